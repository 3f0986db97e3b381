# -*- test-case-name: ugate.test.test_sni,ugate.test.test_ending -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS by the name of a server that its ClientHello asks for: it passes through unopened, or ends here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from ugate.errors import ProtocolError, Refused, StringError
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.clienthello import Alert, ClientHello, ClientHelloReader, alertFor, alertRecord
from ugate.protocols.servernames import ENDED, Listed, requested
from ugate.stream import Principal, StreamInfo, Target

if TYPE_CHECKING:
    from ugate.protocols.tlsserver import Begin, TLSHandshake

_MORE: Final = Step()


@implementer(INegotiation)
class Sni:
    """
    The server side of TLS by name.  It waits for the whole ClientHello.  For what passes
    through it takes no part in the handshake, and all bytes are part of the stream; for what
    ends here a L{TLSHandshake} goes on from there.  With an encrypted hello
    the outer name is what counts, since nobody but its server can read the inner one.

    Nobody can log in, so that L{Auth} makes no difference: what may be reached is listed.

    @since: ugate NEXT
    """

    __slots__ = ("_begin", "_hello", "_info", "_listed", "_shaking")

    def __init__(self, info: StreamInfo, auth: Auth, listed: Listed, begin: Begin | None = None) -> None:
        """
        @param listed: where streams may go.
        @param begin: see L{ugate.protocols.tlsserver.Begin}: who answers for a name that ends here.
        """
        self._info = info
        self._listed = listed
        self._begin = begin
        self._hello = ClientHelloReader()
        self._shaking: TLSHandshake | None = None

    @property
    def side(self) -> Any:
        """
        Our side, if TLS ends here.
        """
        return None if self._shaking is None else self._shaking.side

    def start(self) -> bytes:
        """
        Nothing: the client begins.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Done when the ClientHello is whole, or when the handshake is over if TLS ends here.

        @raise ProtocolError: the ClientHello is broken, or what it asks for is not listed,
            or the handshake fails; its C{reply} is an alert.
        """
        if self._shaking is not None:
            return self._shaking.receive(data)
        hello = self._hello.feed(data)
        if hello is None:
            return _MORE
        info = self._info
        hints = {**info.hints, **hello.hints}
        target, ends = self._listed.default, False
        if hello.serverName:
            target, subset, ends = self._target(hello)
            # What is asked for, however it is written: by it tenants are found, too.
            hints["sni"] = target.host
            if subset:
                hints["subset"] = subset
        elif target is None:
            raise _unrecognized(
                "TLS without the name of a server: let the client send one (SNI),"
                " or add default=HOST\\:PORT to the listener"
            )
        self._checkAlpn(hello, target, ends)
        if ends:
            return self._end(hello, info.but(target=target, hints=hints))
        info = info.but(target=target, protocol="sni", hints=hints, layers=(*info.layers, "sni"))
        return Step(done=True, rest=self._hello.seen, info=info)

    def _end(self, hello: ClientHello, info: StreamInfo) -> Step:
        from ugate.protocols.tlsserver import TLSHandshake

        assert self._begin is not None
        self._shaking = TLSHandshake(info, self._begin, "sni", ("sni", ENDED))
        return self._shaking.answer(hello, self._hello.seen)

    def _target(self, hello: ClientHello) -> tuple[Target, str, bool]:
        """
        Where a name leads, the subset of servers there that is asked for, and whether TLS ends here.
        """
        listed, name = self._listed, hello.serverName
        try:
            target, subset = requested(name, listed.portOf(name))
        except StringError as e:
            raise _unrecognized(f"TLS by name: {e}; let the client ask for a name that is listed") from e
        entry, ends = listed.find(target)
        if not entry:
            port = "" if target.port == listed.port else f"\\:{target.port}"
            raise _unrecognized(
                f"TLS for {target}, which this listener does not list: add {target.host}{port} to its names="
                ", to let it pass through, or to its ends="
            )
        return target, subset, ends

    def _checkAlpn(self, hello: ClientHello, target: Target, ends: bool) -> None:
        listed = self._listed
        wanted = listed.alpn
        if listed.ends is not None and not (ends and hello.alpn):
            # What passes through is up to its server, and who offers none takes none (RFC 7301, 3.2).
            return
        if wanted and not set(wanted) & set(hello.alpn):
            offered = hello.hints.get("alpn", "no application protocol")
            raise ProtocolError(
                f"TLS for {target} offers {offered}: add one that it has to alpn= of the listener,"
                " or leave that out",
                alertRecord(Alert.NO_APPLICATION_PROTOCOL),
            )

    def login(self, principal: Principal | None) -> Step:
        """
        Never asked for.
        """
        return _MORE

    def accept(self) -> bytes:
        """
        Nothing: the target answers.
        """
        return b""

    def refuse(self, reason: Refused) -> bytes:
        """
        An alert, as long as it can be read.
        """
        return alertFor(reason) if self._shaking is None else b""


def _unrecognized(why: str) -> ProtocolError:
    return ProtocolError(why, alertRecord(Alert.UNRECOGNIZED_NAME))
