# -*- test-case-name: ugate.test.test_mtls -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The server side of a TLS handshake as a negotiation: the name that the client asks for
chooses who answers, and the client's certificate says who it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from ugate.errors import Cause, Phase, ProtocolError, Refused, UgateError
from ugate.interfaces import INegotiation, Step
from ugate.protocols.clienthello import Alert, ClientHello, ClientHelloReader, alertRecord
from ugate.protocols.tlsmemory import out, shake
from ugate.protocols.tlsverify import PeerCheck
from ugate.stream import Principal, StreamInfo

CAP: Final = 131072
"""Bytes of a handshake: certificates may be many, and OpenSSL itself takes 100 KiB of them."""

TLS12: Final = 0x0303
TLS13: Final = 0x0304

_MORE: Final = Step()
_UNCERTIFIED: Final = {"mtls": "anonymous=yes", "sni": "certificates=optional"}
"""How a listener of each protocol lets clients in that have no certificate."""


class Side:
    """
    Our side of one connection.
    """

    __slots__ = ("check", "connection")

    def __init__(self, connection: Any, check: PeerCheck | None) -> None:
        """
        @param connection: an C{OpenSSL.SSL.Connection} over memory, in the state of a server.
        @param check: who the peer is; L{None} if it is not asked.
        """
        self.connection = connection
        self.check = check


Begin = Callable[[ClientHello, StreamInfo], Side]
"""Chooses who answers; raises L{ProtocolError} or another L{UgateError}."""


def said(error: BaseException) -> str:
    """
    What OpenSSL complains of, in words.
    """
    entries = error.args[0] if error.args else None
    if isinstance(entries, list):
        return "; ".join(str(entry[-1]) if isinstance(entry, tuple) else str(entry) for entry in entries)
    return str(error) or type(error).__name__


def _failure() -> type[Exception]:
    """
    How OpenSSL says that something failed: asked for when it did.
    """
    from OpenSSL.SSL import Error

    return Error


@implementer(INegotiation)
class TLSHandshake:
    """
    A TLS handshake, from the ClientHello to the Principal.

    @ivar side: our side, once the ClientHello was read; afterwards it is the stream's, and
        holds what came behind the handshake.
    @since: ugate NEXT
    """

    __slots__ = ("_begin", "_info", "_layers", "_protocol", "_reader", "side")

    def __init__(
        self, info: StreamInfo, begin: Begin, protocol: str = "mtls", layers: tuple[str, ...] = ("mtls",)
    ) -> None:
        """
        @param begin: see L{Begin}.
        @param protocol: what the stream is known as.
        @param layers: what it goes through.
        """
        self._layers = layers
        self._info = info
        self._begin = begin
        self._protocol = protocol
        self._reader = ClientHelloReader()
        self.side: Side | None = None

    def start(self) -> bytes:
        """
        Nothing: the client begins.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more bytes.

        @raise ProtocolError: it is not TLS, not one that is served, or the client is not
            believed; the C{reply} is an alert.
        """
        if self.side is not None:
            return self._shake(self.side, data)
        hello = self._reader.feed(data)
        if hello is None:
            return _MORE
        hints = hello.hints
        if hints:
            self._info = self._info.but(hints={**self._info.hints, **hints})
        return self.answer(hello, self._reader.seen)

    def answer(self, hello: ClientHello, data: bytes) -> Step:
        """
        Go on from a ClientHello that was read already, and is among the hints.

        @param data: all that came, the ClientHello first.
        @raise ProtocolError: as L{receive}.
        """
        self.side = self._sideFor(hello)
        return self._shake(self.side, data)

    def _sideFor(self, hello: ClientHello) -> Side:
        if max(hello.versions, default=0) < TLS12:
            raise ProtocolError(
                "the client speaks no TLS since 1.2: let it be updated", alertRecord(Alert.PROTOCOL_VERSION)
            )
        try:
            return self._begin(hello, self._info)
        except ProtocolError:
            raise
        except UgateError as error:
            unknown = isinstance(error, Refused) and error.cause is Cause.NAME_UNKNOWN
            alert = Alert.UNRECOGNIZED_NAME if unknown else Alert.INTERNAL_ERROR
            raise ProtocolError(
                f"TLS for {hello.serverName or 'no name'}: {error}", alertRecord(alert)
            ) from error

    def _shake(self, side: Side, data: bytes) -> Step:
        connection = side.connection
        try:
            isDone = shake(connection, data)
        except _failure() as error:
            raise ProtocolError(self._why(side, error), out(connection)) from error
        if not isDone:
            return Step(send=out(connection))
        try:
            principal = None if side.check is None else side.check.finish(connection)
        except Refused as refused:
            raise ProtocolError(str(refused)) from refused
        # With TLS 1.3 the client has all that it needs: what is left are tickets, which go with what the
        # stream sends, after what it is for was begun.
        last = b"" if connection.get_protocol_version() >= TLS13 else out(connection)
        return Step(send=last, done=True, info=self._known(side, principal))

    def _why(self, side: Side, error: Exception) -> str:
        if side.check is not None and side.check.refused is not None:
            return str(side.check.refused)
        words = said(error)
        if "peer did not return a certificate" in words:
            return str(
                Refused(
                    Cause.AUTHENTICATION,
                    Phase.TLS,
                    "peer",
                    "it sent no certificate",
                    f"give that client one, or add {_UNCERTIFIED[self._protocol]} to the listener",
                )
            )
        step = "see what that client supports"
        if "alert" in words:
            step = "it does not believe us: let it trust our root, or ask for a name that our certificate has"
        return f"TLS at peer: {words}; {step}"

    def _known(self, side: Side, principal: Principal | None) -> StreamInfo:
        info = self._info
        hints = dict(info.hints)
        if hints.pop("alpn", ""):
            chosen: bytes = side.connection.get_alpn_proto_negotiated()
            if chosen:
                hints["alpn"] = chosen.decode("latin-1")
        return info.but(
            principal=info.principal if principal is None else principal,
            protocol=self._protocol,
            hints=hints,
            layers=(*info.layers, *self._layers),
        )

    def login(self, principal: Principal | None) -> Step:
        """
        Never asked for.
        """
        return _MORE

    def accept(self) -> bytes:
        """
        Nothing: TLS has no word for it.
        """
        return b""

    def refuse(self, reason: Refused) -> bytes:
        """
        Nothing: TLS has no word for it any more.
        """
        return b""
