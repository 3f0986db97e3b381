# -*- test-case-name: ugate.test.test_auto -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One listener for several protocols: L{Auto} finds out which one a client speaks
and becomes it; L{Fixed} serves a protocol that does not say where it wants to go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from zope.interface import implementer

from ugate.errors import ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, ISilence, Step
from ugate.protocols.clienthello import Alert, ClientHelloReader, alertFor, alertRecord
from ugate.protocols.sniff import UNKNOWN, sniff
from ugate.stream import UDP, Principal, StreamInfo, Target

Choice = Callable[[StreamInfo, Auth], INegotiation]
"""What makes the negotiation of one protocol."""

SILENT: Final = "silent"
"""The choice for a client that says nothing, since its server speaks first."""

_MORE: Final = Step()
_SHOWN: Final = 16

_NAMES: Final = {
    "socks4": "SOCKS4",
    "socks5": "SOCKS5",
    "http1": "HTTP",
    "h2c": "HTTP/2 without TLS",
    "tls": "TLS",
    "ssh": "SSH",
    SILENT: "a protocol whose server speaks first",
}

_KEYWORDS: Final = frozenset(("h2c", "tls", "ssh", SILENT))

_NOT_SERVED: Final = {
    "socks4": b"\x00\x5b\x00\x00\x00\x00\x00\x00",
    "socks5": b"\x05\xff",
    "tls": alertRecord(Alert.HANDSHAKE_FAILURE),
    # A server may send such lines in front of its version (RFC 4253, 4.2).
    "ssh": b"SSH is not served here.\r\n",
    # Empty SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED (RFC 9113, 3.4 and 6.8).
    "h2c": bytes.fromhex("000000 04 00 00000000  000008 07 00 00000000 00000000 0000000d"),
}


@implementer(ISilence)
class Auto:
    """
    The server side of a listener for several protocols.  It reads as few bytes
    as tell them apart, and from then on it is the chosen negotiation.

    @since: ugate NEXT
    """

    __slots__ = ("_auth", "_choices", "_chosen", "_info", "_seen")

    def __init__(self, info: StreamInfo, auth: Auth, choices: Mapping[str, Choice]) -> None:
        """
        @param choices: what makes the negotiations, by the names that
            L{ugate.protocols.sniff.sniff} answers with (C{unknown} too, if
            something serves what nobody knows), and C{silent}.
        """
        self._info = info
        self._auth = auth
        self._choices = choices
        self._chosen: INegotiation | None = None
        self._seen = b""

    def start(self) -> bytes:
        """
        Nothing: the client speaks, or keeps silent.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more bytes.

        @raise ProtocolError: it is a protocol that is not served here; or as the
            chosen negotiation raises it.
        """
        if self._chosen is not None:
            return self._chosen.receive(data)
        seen = self._seen = self._seen + data
        name = sniff(seen)
        return _MORE if name is None else self._become(name, seen)

    def silent(self) -> Step:
        """
        The client waits for the server to speak.

        @raise ProtocolError: nothing is served to such clients here.
        """
        if self._chosen is not None or self._seen:
            return _MORE
        return self._become(SILENT, b"")

    def _become(self, name: str, seen: bytes) -> Step:
        choice = self._choices.get(name)
        if choice is None:
            raise ProtocolError(self._explained(name), _NOT_SERVED.get(name, b""))
        self._seen = b""
        chosen = self._chosen = choice(self._info, self._auth)
        first = chosen.start()
        step = chosen.receive(seen)
        return replace(step, send=first + step.send) if first else step

    def _explained(self, name: str) -> str:
        if name in _KEYWORDS:
            return f"{_NAMES[name]} is not served here: add {name}=HOST\\:PORT to the listener"
        if name == "proxyproto":
            return (
                "a PROXY header came in front of the stream: write auto:proxyproto:... if a trusted proxy"
                " sends it, else stop that proxy from sending one"
            )
        served = ", ".join(_NAMES.get(key, key) for key in self._choices if key not in (UNKNOWN, SILENT))
        if name in _NAMES:
            return f"{_NAMES[name]} is not served here: use {served or 'another listener'}"
        return (
            f"a stream that begins with {self._seen[:_SHOWN]!r} is of no protocol that is recognized:"
            f" use {served or 'another listener'}, or a listener for that protocol alone"
        )

    def login(self, principal: Principal | None) -> Step:
        """
        As the chosen negotiation does.
        """
        return _MORE if self._chosen is None else self._chosen.login(principal)

    def accept(self) -> bytes:
        """
        As the chosen negotiation does.
        """
        return b"" if self._chosen is None else self._chosen.accept()

    def refuse(self, reason: Refused) -> bytes:
        """
        As the chosen negotiation does; nothing before one is chosen.
        """
        return b"" if self._chosen is None else self._chosen.refuse(reason)


@implementer(INegotiation)
class Fixed:
    """
    The server side for a protocol that passes through unchanged to one place.
    It waits for nothing, but with TLS for the whole ClientHello, which gives
    the hints C{sni} and C{alpn}; all bytes are part of the stream.

    @since: ugate NEXT
    """

    __slots__ = ("_auth", "_hello", "_info", "_protocol", "_target")

    def __init__(self, info: StreamInfo, auth: Auth, target: Target, protocol: str) -> None:
        """
        @param target: where each stream goes.
        @param protocol: what it was recognized as, as in C{StreamInfo.protocol};
            C{tls}, C{ssh} and C{h2c} have words for a refusal.
        """
        self._info = info
        self._auth = auth
        self._target = target
        self._protocol = protocol
        self._hello = ClientHelloReader() if protocol == "tls" else None

    def start(self) -> bytes:
        """
        Nothing: the server that it leads to will speak.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Done at once, or with TLS when the ClientHello is whole.

        @raise ProtocolError: the ClientHello is broken; or nothing may pass without
            credentials, which such a stream cannot give to a gateway.
        """
        info, protocol = self._info, self._protocol
        if self._auth is Auth.REQUIRED and info.principal is None:
            raise ProtocolError(
                f"{_NAMES.get(protocol, protocol)} to {self._target} holds no credentials and this listener"
                " requires them: bind it to loopback, or reach that target by SOCKS5 or HTTP with a login",
                _NOT_SERVED.get(protocol, b""),
            )
        hints = info.hints
        if self._hello is not None:
            hello = self._hello.feed(data)
            if hello is None:
                return _MORE
            data = self._hello.seen
            hints = {**hints, **hello.hints}
        target = self._target
        if info.target is not None and info.target.network == UDP:
            # Whoever asked was told that it carries datagrams.
            target = Target(target.host, target.port, UDP)
        info = info.but(target=target, protocol=protocol, hints=hints, layers=(*info.layers, protocol))
        return Step(done=True, rest=data, info=info)

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
        A TLS alert, a line that an SSH client shows, a GOAWAY; else nothing.
        """
        if self._protocol == "tls":
            return alertFor(reason)
        if self._protocol == "ssh":
            return f"{reason.cause.value}\r\n".encode("ascii")
        return _NOT_SERVED["h2c"] if self._protocol == "h2c" else b""
