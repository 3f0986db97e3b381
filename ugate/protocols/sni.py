# -*- test-case-name: ugate.test.test_sni -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS that passes through unopened to the server that its ClientHello names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zope.interface import implementer

from ugate.errors import ProtocolError, Refused, StringError
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.clienthello import Alert, ClientHello, ClientHelloReader, alertFor, alertRecord
from ugate.protocols.servernames import ServerNames, requested
from ugate.stream import Principal, StreamInfo, Target

DEFAULT_PORT: Final = 443
"""What a name stands for, unless C{port=} says otherwise."""

_MORE: Final = Step()


@dataclass(frozen=True, slots=True)
class Listed:
    """
    What a listener for TLS by name leads to.

    @since: ugate NEXT
    """

    names: ServerNames
    """What may be asked for."""

    port: int = DEFAULT_PORT
    """The port of a name that has none in it."""

    default: Target | None = None
    """Where those go who ask for no name; L{None} to refuse them."""

    alpn: tuple[bytes, ...] = ()
    """The application protocols of which a client must offer one; empty for any or none."""


@implementer(INegotiation)
class Sni:
    """
    The server side of TLS by name.  It waits for the whole ClientHello and takes no
    part in the handshake: all bytes are part of the stream.  With an encrypted hello
    the outer name is what counts, since nobody but its server can read the inner one.

    Nobody can log in, so that L{Auth} makes no difference: what may be reached is listed.

    @since: ugate NEXT
    """

    __slots__ = ("_hello", "_info", "_listed")

    def __init__(self, info: StreamInfo, auth: Auth, listed: Listed) -> None:
        """
        @param listed: where streams may go.
        """
        self._info = info
        self._listed = listed
        self._hello = ClientHelloReader()

    def start(self) -> bytes:
        """
        Nothing: the server that is asked for will speak.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Done when the ClientHello is whole.

        @raise ProtocolError: the ClientHello is broken, or what it asks for is not listed;
            its C{reply} is an alert.
        """
        hello = self._hello.feed(data)
        if hello is None:
            return _MORE
        info = self._info
        hints = {**info.hints, **hello.hints}
        target = self._listed.default
        if hello.serverName:
            target, subset = self._target(hello)
            # What is asked for, however it is written: by it tenants are found, too.
            hints["sni"] = target.host
            if subset:
                hints["subset"] = subset
        elif target is None:
            raise _unrecognized(
                "TLS without the name of a server: let the client send one (SNI),"
                " or add default=HOST\\:PORT to the listener"
            )
        self._checkAlpn(hello, target)
        info = info.but(target=target, protocol="sni", hints=hints, layers=(*info.layers, "sni"))
        return Step(done=True, rest=self._hello.seen, info=info)

    def _target(self, hello: ClientHello) -> tuple[Target, str]:
        """
        Where a name leads, and the subset of servers there that is asked for.
        """
        try:
            names, name = self._listed.names, hello.serverName
            target, subset = requested(name, names.portOf(name, self._listed.port))
        except StringError as e:
            raise _unrecognized(f"TLS by name: {e}; let the client ask for a name that is listed") from e
        if not self._listed.names.entryFor(target):
            port = "" if target.port == self._listed.port else f"\\:{target.port}"
            raise _unrecognized(
                f"TLS for {target}, which this listener does not list: add {target.host}{port} to its names="
            )
        return target, subset

    def _checkAlpn(self, hello: ClientHello, target: Target) -> None:
        wanted = self._listed.alpn
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
        An alert.
        """
        return alertFor(reason)


def _unrecognized(why: str) -> ProtocolError:
    return ProtocolError(why, alertRecord(Alert.UNRECOGNIZED_NAME))
