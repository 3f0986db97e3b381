# -*- test-case-name: ugate.test.test_capturedstring -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{redirect:} and C{tproxy:}, as they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.internet.endpoints import AdoptedStreamServerEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint

from ugate.errors import StringError

CAPTURING: Final = frozenset(("handshake", "sniff", "by", "wait"))
"""The keywords of both."""

_DATAGRAMS: Final = ("interface", "flows")
MOST_PORTS: Final = 64
_SOCKETS: Final = (TCP4ServerEndpoint, TCP6ServerEndpoint, AdoptedStreamServerEndpoint)


def redirectServer(
    reactor: Any, inner: IStreamServerEndpoint, own: Mapping[str, str]
) -> IStreamServerEndpoint:
    """
    Streams that the kernel redirects here.
    """
    return _server(reactor, inner, own, "redirect")


def tproxyServer(reactor: Any, inner: IStreamServerEndpoint, own: Mapping[str, str]) -> IStreamServerEndpoint:
    """
    Streams that the kernel leads here as they are.
    """
    return _server(reactor, inner, own, "tproxy")


def _server(
    reactor: Any, inner: IStreamServerEndpoint, own: Mapping[str, str], protocol: str
) -> IStreamServerEndpoint:
    from ugate.endpoints.captured import SNIFFED, WAIT, Capture, CapturedServerEndpoint
    from ugate.endpoints.servers import _seconds, handshakeOf

    if not isinstance(inner, _SOCKETS):
        raise StringError("the kernel leads TCP here and nothing else: write tcp: right behind it")
    by = own.get("by", "address")
    if by not in ("address", "name"):
        raise StringError(f"by={by}: wanted address or name, which is what streams are carried to")
    ports = portsIn(own["sniff"]) if "sniff" in own else SNIFFED
    capture = Capture(protocol, ports, by == "name", _seconds("wait", own, WAIT))
    return CapturedServerEndpoint(reactor, inner, capture, deadline=handshakeOf(reactor, own))


def datagramsFromParts(reactor: Any, args: Sequence[str], own: Mapping[str, str]) -> IStreamServerEndpoint:
    """
    The endpoint of C{tproxy:udp:PORT}.

    @param args: what comes behind C{udp}.
    @raise StringError: it cannot be read.
    """
    from ugate.endpoints.capturedudp import CapturedDatagramsEndpoint
    from ugate.endpoints.flowtable import DEFAULT_FLOWS
    from ugate.endpoints.udpstring import MAX_FLOWS, readInterface, readNumber

    try:
        if len(args) != 1:
            raise StringError("wanted tproxy:udp:PORT")
        for name in own:
            if name not in _DATAGRAMS:
                raise StringError(f"{name}= is not known; wanted {', '.join(_DATAGRAMS)}")
        return CapturedDatagramsEndpoint(
            reactor,
            readNumber("the port", args[0], 1, 65535),
            readInterface(own.get("interface", "127.0.0.1")),
            readNumber("flows=", own.get("flows", str(DEFAULT_FLOWS)), 1, MAX_FLOWS),
        )
    except StringError as error:
        raise StringError(f"tproxy:udp: {error}") from error


def portsIn(text: str) -> frozenset[int]:
    """
    What C{sniff=} says.

    @raise StringError: it cannot be read.
    """
    if text == "none":
        return frozenset()
    found = set()
    for each in text.split(","):
        each = each.strip()
        if not (each.isascii() and each.isdigit() and len(each) <= 5 and 0 < int(each) < 65536):
            raise StringError(f"sniff={text[:80]}: wanted ports with commas between, as in 80,443; or none")
        found.add(int(each))
    if len(found) > MOST_PORTS:
        raise StringError(f"sniff={text[:80]}: wanted at most {MOST_PORTS} ports")
    return frozenset(found)
