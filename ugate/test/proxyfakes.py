# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Headers of the PROXY protocol, and a server that reads them.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.address import IPv4Address, IPv6Address

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, Step
from ugate.protocols.proxyproto import ProxyHeader
from ugate.protocols.proxyproto2 import SIGNATURE_V2
from ugate.stream import StreamInfo

A = IPv4Address("TCP", "192.0.2.1", 56324)

B = IPv4Address("TCP", "198.51.100.2", 443)

A6 = IPv6Address("TCP", "2001:db8::1", 56324)

B6 = IPv6Address("TCP", "2001:db8::2", 443)

PROXY = IPv4Address("TCP", "127.0.0.1", 40000)

LISTENER = IPv4Address("TCP", "127.0.0.1", 1080)

BASE = StreamInfo(peer=PROXY, host=LISTENER, hints={"user": "u"}, layers=("outer",))

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"

# Written down by hand from the specification.
V2 = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c0000201 c6336402 dc04 01bb")

LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a 20 00 0000")

REASON = Refused(Cause.GENERAL, Phase.CONNECT, "h")


def feed(chunks: Iterable[bytes]) -> tuple[StreamInfo, bytes]:
    """
    What a fresh negotiation makes of chunks, and all bytes that follow the header.
    """
    negotiation = ProxyHeader(BASE, Auth.NONE)
    step = Step()
    rest = b""
    for chunk in chunks:
        if step.done:
            rest += chunk
            continue
        step = negotiation.receive(chunk)
        assert not step.send and step.credentials is None
        rest += step.rest
    if step.info is None:
        raise EOFError("more bytes are needed")
    return step.info, rest


def outcome(chunks: Iterable[bytes]) -> object:
    """
    The same, with errors as values.
    """
    try:
        return feed(chunks)
    except EOFError:
        return "more"
    except ProtocolError as e:
        return str(e)


def singles(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def v2(command: int, kind: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE_V2 + bytes((command, kind)) + size.to_bytes(2, "big") + body
