# -*- test-case-name: ugate.test.test_sniff -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which protocol a stream speaks, from the first bytes of its client.

Each matcher says yes, no, or that it needs more bytes, as soon as it can and
for good: more bytes never change a yes or a no.  No two say yes to the same
bytes, so their order is of no importance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from ugate.protocols.proxyproto1 import PREFIX_V1
from ugate.protocols.proxyproto2 import SIGNATURE_V2

SNIFF_BYTES: Final = 21
"""After so many bytes L{sniff} has always decided."""

MAX_METHOD: Final = 20
"""The longest HTTP method that is recognized, in bytes; the longest registered one has 17."""

UNKNOWN: Final = "unknown"
"""What L{sniff} says of bytes that no matcher knows."""

_METHOD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
_H2C: Final = b"PRI * HTTP/2"
_SSH: Final = b"SSH-"
_MAX_RECORD: Final = 16384


class Match(Enum):
    """
    What a matcher says.

    @since: ugate NEXT
    """

    YES = "yes"
    """It is that protocol."""

    NO = "no"
    """It is another one."""

    MORE = "more"
    """The bytes so far allow both."""


def _literal(data: bytes, wanted: bytes) -> Match:
    if data.startswith(wanted):
        return Match.YES
    return Match.MORE if wanted.startswith(data) else Match.NO


def socks4(data: bytes) -> Match:
    """
    SOCKS4 and 4a: version 4, and a command of 1 or 2.

    @since: ugate NEXT
    """
    if data[:1] not in (b"", b"\x04"):
        return Match.NO
    if len(data) < 2:
        return Match.MORE
    return Match.YES if data[1] in (1, 2) else Match.NO


def socks5(data: bytes) -> Match:
    """
    SOCKS5 (RFC 1928, 3): version 5, and at least one method.

    @since: ugate NEXT
    """
    if data[:1] not in (b"", b"\x05"):
        return Match.NO
    if len(data) < 2:
        return Match.MORE
    return Match.YES if data[1] else Match.NO


def tls(data: bytes) -> Match:
    """
    TLS and SSL 3 (RFC 8446, 5.1): a handshake record with a ClientHello in it.

    @since: ugate NEXT
    """
    if data[:1] not in (b"", b"\x16") or data[1:2] not in (b"", b"\x03"):
        return Match.NO
    if len(data) >= 5 and not 0 < int.from_bytes(data[3:5], "big") <= _MAX_RECORD:
        return Match.NO
    if len(data) < 6:
        return Match.MORE
    return Match.YES if data[5] == 1 else Match.NO


def ssh(data: bytes) -> Match:
    """
    SSH (RFC 4253, 4.2): a client's first line begins with C{SSH-}.

    @since: ugate NEXT
    """
    return _literal(data, _SSH)


def h2c(data: bytes) -> Match:
    """
    HTTP/2 in clear text (RFC 9113, 3.4), by as much of its preface as no HTTP/1 request has.

    @since: ugate NEXT
    """
    return _literal(data, _H2C)


def proxyproto(data: bytes) -> Match:
    """
    A PROXY header, of either version.  It is recognized so that one who sends it
    to the wrong listener can be told; it must not be believed without config.

    @since: ugate NEXT
    """
    if data[:1] == b"P":
        return _literal(data, PREFIX_V1)
    return _literal(data, SIGNATURE_V2)


def http1(data: bytes) -> Match:
    """
    HTTP/1 (RFC 9112, 3): a method and a space.  A method is of capitals, digits,
    C{-} and C{_}, as each registered one is, so that commands of other protocols
    in small letters are none.

    @since: ugate NEXT
    """
    space = data.find(b" ", 0, MAX_METHOD + 1)
    method = data[: MAX_METHOD + 1] if space < 0 else data[:space]
    if method.translate(None, _METHOD) or not (b"A" <= method[:1] <= b"Z"):
        return Match.NO if data else Match.MORE
    if space < 0:
        return Match.NO if len(data) > MAX_METHOD or method.startswith(_SSH) else Match.MORE
    if method in (b"PROXY", b"PRI"):
        return Match.NO if method == b"PROXY" else _notH2c(data)
    return Match.NO if method.startswith(_SSH) else Match.YES


def _notH2c(data: bytes) -> Match:
    """
    Whether a request with the method C{PRI} is one of HTTP/1.
    """
    match = _literal(data, _H2C)
    if match is Match.MORE:
        return match
    return Match.YES if match is Match.NO else Match.NO


MATCHERS: Final[Mapping[str, Callable[[bytes], Match]]] = {
    "socks5": socks5,
    "socks4": socks4,
    "http1": http1,
    "tls": tls,
    "ssh": ssh,
    "h2c": h2c,
    "proxyproto": proxyproto,
}
"""The matchers by the names that L{sniff} answers with."""

_Candidates = tuple[tuple[str, Callable[[bytes], Match]], ...]

_BY_FIRST_BYTE: Final[tuple[_Candidates, ...]] = tuple(
    tuple((name, match) for name, match in MATCHERS.items() if match(bytes((first,))) is not Match.NO)
    for first in range(256)
)


def sniff(data: bytes) -> str | None:
    """
    The one protocol that begins like this.

    @param data: all that the client has sent so far.
    @return: a key of L{MATCHERS}; L{UNKNOWN} if it is none of them; L{None} if
        more bytes are needed, which is never so from L{SNIFF_BYTES} on.
    @since: ugate NEXT
    """
    if not data:
        return None
    answer: str | None = UNKNOWN
    for name, match in _BY_FIRST_BYTE[data[0]]:
        said = match(data)
        if said is Match.YES:
            return name
        if said is Match.MORE:
            answer = None
    return answer
