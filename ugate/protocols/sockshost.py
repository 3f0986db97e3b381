# -*- test-case-name: ugate.test.test_sockshost -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Host names as SOCKS 4a and SOCKS5 carry them: bytes of no stated encoding.
"""

from __future__ import annotations

from socket import AF_INET6, inet_ntop, inet_pton

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.stream import Target

MAX_FIELD = 255
"""The most bytes of a host name, a user name or a password (L{int}; RFC 1928, RFC 1929)."""


def hostFromWire(raw: bytes) -> str:
    """
    The host that a client names.  Many clients send an address where a name
    belongs, and some keep the brackets of a URL round an IPv6 address: both are
    taken as the address.

    What else a host may not be is for L{Target.checked} to say.

    @param raw: the bytes of the name.
    @raise StringError: if it is not ASCII, or has colons and is no IPv6 address.
    @since: ugate NEXT
    """
    try:
        host = raw.decode("ascii")
    except UnicodeDecodeError as e:
        raise StringError(f"{raw!r}: wanted a host name in ASCII, with other letters as xn--...") from e
    if ":" not in host:
        return host
    literal = host[1:-1] if host[0] == "[" and host[-1] == "]" else host
    try:
        return inet_ntop(AF_INET6, inet_pton(AF_INET6, literal))
    except (OSError, ValueError) as e:  # ValueError: there is a NUL in it
        raise StringError(f"{host!r}: wanted a host name or an IPv6 address without a zone") from e


def hostToWire(target: Target, hop: str) -> bytes:
    """
    The bytes that ask a proxy for a host by its name.

    @param target: where the stream wants to go.
    @param hop: the proxy that will be asked; what the error names.
    @raise Refused: if a proxy cannot be asked for such a name: it is not ASCII,
        is not printable, is empty or has over 255 bytes.
    @since: ugate NEXT
    """
    host = target.host
    if not (host.isascii() and host.isprintable()):
        raise Refused(
            Cause.NAME_UNKNOWN,
            Phase.NEGOTIATE,
            hop,
            f"{host!r} is not printable ASCII, and SOCKS has no other names",
            "write the name in its ASCII form, with other letters as xn--...",
        )
    if not 0 < len(host) <= MAX_FIELD:
        raise Refused(
            Cause.NAME_UNKNOWN,
            Phase.NEGOTIATE,
            hop,
            f"a host name of {len(host)} bytes, and SOCKS carries 1 to {MAX_FIELD}",
            "check the spelling",
        )
    return host.encode("ascii")
