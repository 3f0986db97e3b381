# -*- test-case-name: ugate.test.test_websocketserver -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which requests for a WebSocket tunnel are taken, in HTTP/1.1 and in HTTP/2, and where they lead.

A page of any site can open a WebSocket to wherever the browser of whoever looks at it can connect, this
machine included.  Two things give it away: the browser names the site in C{Origin}; and a name that a foreign
server had point here (DNS rebinding) stands in C{Host}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.protocols import connectudp
from ugate.protocols.httpfields import Fields, tokens, values
from ugate.protocols.httpreply import Unserved
from ugate.stream import UDP, StreamInfo, Target

PROTOCOL: Final = "websocket"
"""What such a stream was recognized as."""

SUBPROTOCOL: Final = b"binary"
"""What is chosen if the client offers it, as those do that carry screens."""

DATAGRAMS: Final = connectudp.NAME
"""What is chosen for datagrams: the messages carry their capsules (RFC 9297)."""

OFFERED: Final = b"%b, %b" % (SUBPROTOCOL, DATAGRAMS)
"""What we offer for these: some servers choose the first of what they do not know."""

STEP: Final = "check that a WebSocket tunnel is served there, and at that path"
"""What to do about a server that does not speak this."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_PARAMETERS: Final = 32


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What a listener takes.

    @since: ugate NEXT
    """

    path: str = "/"
    """The path that is asked for, without what follows a question mark."""

    origins: frozenset[str] = frozenset()
    """Of which sites pages may come, as in C{https://app.example}, in lower case."""

    hosts: frozenset[str] = frozenset()
    """The names, in lower case, under which those may come who have not proven who they are."""

    def target(self, wanted: bytes, fields: Fields) -> Target | None:
        """
        Where a request leads: the protocols that it offers say whether as datagrams.

        @param wanted: the path with what follows a question mark.
        @return: L{None} if it does not say.
        @raise Unserved: there is nothing at that path, or it is no target.
        """
        path, _, query = wanted.decode("latin-1").partition("?")
        if path != self.path:
            raise Unserved(404, "There is no tunnel here.")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_PARAMETERS)
        except ValueError as e:
            raise Unserved(400, f"More than {_PARAMETERS} parameters.") from e
        targets = [value for name, value in pairs if name == "target"]
        if len(targets) > 1:
            raise Unserved(400, "A tunnel has one target.")
        try:
            target = Target.fromText(targets[0]) if targets else None
        except StringError as e:
            raise Unserved(400, f"target= wants HOST:PORT, and [v6]:PORT for IPv6: {e}.") from e
        if target is None or DATAGRAMS not in tokens(fields, b"sec-websocket-protocol"):
            return target
        return Target(target.host, target.port, UDP)

    def check(self, fields: Fields, host: bytes, info: StreamInfo) -> None:
        """
        See whether who asks may.

        @param host: what was asked.
        @param info: what is known of who asks.
        @raise Unserved: no.
        """
        origins = values(fields, b"origin")
        self.checkOrigin(origins, host)
        self.checkHost(host, info, bool(origins))

    def checkOrigin(self, origins: list[bytes], host: bytes) -> None:
        """
        See that a request does not come from a page of another site.

        @param origins: the values of C{Origin}.
        @param host: what was asked.
        @raise Unserved: it does.
        """
        for origin in origins:
            said = origin.decode("latin-1").lower()
            scheme, _, site = said.partition("://")
            if said not in self.origins and not (
                scheme in ("http", "https") and site.encode() == host.lower()
            ):
                raise Unserved(
                    403, "Pages of that site may open no tunnels here: origins= lists those that may."
                )

    def checkHost(self, host: bytes, info: StreamInfo, isPage: bool) -> None:
        """
        See that no name server had a say in where this request went, if nobody has proven who it is.
        Programs from elsewhere need not be: no page can speak for them.

        @param host: what was asked.
        @param info: what is known of who asks.
        @param isPage: whether it comes from a page, of the very site that it asks.
        @raise Unserved: one may have had.
        """
        match = _HOST.fullmatch(host.decode("latin-1"))
        if match is None:
            raise Unserved(400, "Host is no name or address with a port.")
        name = match[1].strip("[]").lower().rstrip(".")
        if info.principal is not None or name in self.hosts or _isFixed(name):
            return
        if isPage or _isFixed(getattr(info.host, "host", "localhost"), local=True):
            raise Unserved(403, "Without a login, this is for addresses, and for names that hosts= lists.")


def _isFixed(name: str, local: bool = False) -> bool:
    """
    Whether it is an address, or this machine by its own name.

    @param local: whether it has to be an address that only this machine reaches.
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback or not local
    except ValueError:
        return False


def isUpgrade(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """
    Whether a message wants to change to WebSocket, or does.
    """
    fields = list(fields)
    return b"upgrade" in tokens(fields, b"connection") and b"websocket" in tokens(fields, b"upgrade")


def subprotocol(fields: Iterable[tuple[bytes, bytes]], target: Target | None) -> bytes:
    """
    What to choose of the protocols that a client offers; it may be nothing.
    """
    if target is not None and target.network == UDP:
        return DATAGRAMS
    return SUBPROTOCOL if SUBPROTOCOL in tokens(fields, b"sec-websocket-protocol") else b""


def checkChosen(fields: Fields, target: Target | None, hop: str) -> None:
    """
    See that the answer of a server chooses what a client offers: for datagrams their protocol, else nothing.

    @raise Refused: it does not; a server may take the stream, and not know what is in it.
    """
    chosen = b",".join(values(fields, b"sec-websocket-protocol"))
    wanted = DATAGRAMS if target is not None and target.network == UDP else b""
    isExtended = bool(values(fields, b"sec-websocket-extensions"))
    if chosen == wanted and not isExtended:
        return
    if wanted and chosen in (b"", SUBPROTOCOL):
        step = "use one that carries datagrams in WebSocket, or another way for them"
        raise Refused(Cause.UNSUPPORTED, Phase.REMOTE, hop, "it takes no datagrams", step)
    raise Refused(Cause.PEER_MISBEHAVED, Phase.REMOTE, hop, "it chose what we did not offer", STEP)


def checkVersion(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """
    See that a client speaks the WebSocket that there is.

    @raise Unserved: it does not.
    """
    if values(fields, b"sec-websocket-version") != [b"13"]:
        wanted = ((b"Sec-WebSocket-Version", b"13"),)
        raise Unserved(426, "This port speaks version 13 of WebSocket (RFC 6455).", wanted)
