# -*- test-case-name: ugate.test.test_captured -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A stream whose client knows nothing of us: the kernel led it here, and said where it was to go.

On some ports the client says a name as well, in TLS or in HTTP.  Nothing proves that name, and a client that
keeps silent has none: so it is read, and waited for, only for a moment, and whatever cannot be read is no
mistake here.
"""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from ugate.errors import ProtocolError, Refused
from ugate.interfaces import Auth, ISilence, Step
from ugate.protocols.clienthello import ClientHelloReader, alertFor
from ugate.protocols.servernames import isHostName
from ugate.protocols.sniff import sniff
from ugate.stream import NAME, Principal, StreamInfo, Target

MAX_SEEN: Final = 16384
"""Bytes in which a name is looked for."""

_MORE: Final = Step()
_HOST: Final = b"host"


def hostIn(head: bytes) -> str | None:
    """
    The name of the host in the head of an HTTP request: that of its first C{Host} field.

    @param head: what has come of it; what comes behind it does not matter.
    @return: the name in small letters, without the port; empty if there is none, or an address;
        L{None} if more has to come.
    @since: ugate NEXT
    """
    at = head.find(b"\n") + 1
    while at:
        end = head.find(b"\n", at)
        if end < 0:
            return None
        line = head[at:end].rstrip(b"\r")
        if not line:
            return ""
        name, colon, value = line.partition(b":")
        if colon and name.lower() == _HOST:
            return _named(value)
        at = end + 1
    return None


def _named(value: bytes) -> str:
    host = value.strip(b" \t").decode("latin-1").lower()
    name, colon, port = host.partition(":")
    if colon and not (port.isascii() and port.isdigit()):
        return ""
    name = name.removesuffix(".")
    return name if name.isascii() and isHostName(name) else ""


class NameReader:
    """
    Finds the name that a client says of its server in its first bytes.

    @ivar protocol: what is spoken, if that has shown: C{tls} or C{http1}.
    @since: ugate NEXT
    """

    __slots__ = ("_hello", "_seen", "protocol")

    def __init__(self) -> None:
        self._hello: ClientHelloReader | None = None
        self._seen = b""
        self.protocol = ""

    @property
    def seen(self) -> bytes:
        """
        All bytes that were fed.
        """
        return self._seen

    def feed(self, data: bytes) -> dict[str, str] | None:
        """
        Take more bytes.

        @return: the hints of the stream, with its name if there is one; L{None} if more has to come.
        """
        self._seen = seen = self._seen + data
        if len(seen) > MAX_SEEN:
            return {}
        if not self.protocol:
            protocol = sniff(seen)
            if protocol is None:
                return None
            if protocol not in ("tls", "http1"):
                return {}
            self.protocol = protocol
        return self._inTLS(data) if self.protocol == "tls" else self._inHTTP()

    def _inTLS(self, data: bytes) -> dict[str, str] | None:
        if self._hello is None:
            self._hello, data = ClientHelloReader(), self._seen
        try:
            hello = self._hello.feed(data)
        except ProtocolError:
            return {}
        if hello is None:
            return None
        hints = hello.hints
        name = hints.pop("sni", "")
        return {**hints, NAME: name} if name and isHostName(name) else hints

    def _inHTTP(self) -> dict[str, str] | None:
        name = hostIn(self._seen)
        if name is None:
            return None
        return {NAME: name} if name else {}


@implementer(ISilence)
class Captured:
    """
    The server side of a stream that the kernel led here.

    @since: ugate NEXT
    """

    __slots__ = ("_auth", "_byName", "_info", "_protocol", "_reader")

    def __init__(
        self, info: StreamInfo, auth: Auth, protocol: str, *, reads: bool = False, byName: bool = False
    ) -> None:
        """
        @param info: with the target that the kernel knows.
        @param protocol: how it was led here: C{redirect} or C{tproxy}.
        @param reads: whether the client is expected to say a name.
        @param byName: whether that name becomes the target, in place of the address.
        """
        self._info = info
        self._auth = auth
        self._protocol = protocol
        self._byName = byName
        self._reader = NameReader() if reads else None

    def start(self) -> bytes:
        """
        Nothing: the target answers.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Done when the name is known, or that there is none; at once if there need not be one.

        @raise ProtocolError: nothing may pass without credentials, which such a stream cannot give.
        """
        if self._auth is Auth.REQUIRED and self._info.principal is None:
            raise ProtocolError(
                f"a captured stream to {self._info.target} holds no credentials and this listener requires"
                " them: bind it to loopback, or let it be open"
            )
        if self._reader is None:
            return self._done(data, {})
        hints = self._reader.feed(data)
        return _MORE if hints is None else self._done(self._reader.seen, hints)

    def silent(self) -> Step:
        """
        The client has not said enough in its time: it goes by the address.
        """
        return self._done(b"" if self._reader is None else self._reader.seen, {})

    def _done(self, rest: bytes, hints: dict[str, str]) -> Step:
        info = self._info
        target = info.target
        assert target is not None
        if self._byName and NAME in hints:
            # As if the client had asked for that; the address is still that of info.host.
            target = Target(hints.pop(NAME), target.port)
        info = StreamInfo(
            info.peer,
            info.host,
            target,
            info.principal,
            self._protocol,
            {**info.hints, **hints} if hints else info.hints,
            (*info.layers, self._protocol),
        )
        return Step(done=True, rest=rest, info=info)

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
        A TLS alert, or a status of HTTP; else nothing.
        """
        protocol = "" if self._reader is None else self._reader.protocol
        if protocol == "tls":
            return alertFor(reason)
        if protocol == "http1":
            from ugate.protocols.httpreply import refusal

            return refusal(reason).toBytes()
        return b""
