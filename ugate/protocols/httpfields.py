# -*- test-case-name: ugate.test.test_httpfields -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a proxy does to the header fields that pass through it (RFC 9110, 7.6).

Fields are pairs of a name, in any case, and a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Fields = list[tuple[bytes, bytes]]
"""The fields of one message, in their order."""

HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"proxy-authentication-info",
    )
)
"""Fields that are for this hop alone, in lower case."""

_KEPT: Final = frozenset((b"host", b"content-length"))
"""What no C{Connection} field may take out: the framing and the address."""

_NO_TRAILER: Final = HOP_BY_HOP | {
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"location",
    b"max-forwards",
    b"set-cookie",
    b"trailer",
}
"""What changes the meaning of a message, so that it counts only in front of it."""


def values(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """
    The values of all fields of that name.

    @param name: in lower case.
    @since: ugate NEXT
    """
    return [value for key, value in fields if key.lower() == name]


def tokens(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """
    The members of a field that is a list of tokens, in lower case.

    @param name: in lower case.
    @since: ugate NEXT
    """
    members = b",".join(values(fields, name)).lower().split(b",")
    return [token for token in (member.strip(b" \t") for member in members) if token]


def endToEnd(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """
    The fields that go on, without those for this hop and those that
    C{Connection} names.

    @since: ugate NEXT
    """
    fields = list(fields)
    drop = (HOP_BY_HOP | frozenset(tokens(fields, b"connection"))) - _KEPT
    return [field for field in fields if field[0].lower() not in drop]


def trailers(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """
    The fields that may go on after the content (RFC 9110, 6.5.1).

    @since: ugate NEXT
    """
    return [field for field in fields if field[0].lower() not in _NO_TRAILER]


def upgradeOf(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """
    The protocols that a message wants this connection to change to, or empty:
    without C{Connection: upgrade} the field does not count (RFC 9110, 7.8).

    @since: ugate NEXT
    """
    fields = list(fields)
    if b"upgrade" not in tokens(fields, b"connection"):
        return b""
    return b", ".join(values(fields, b"upgrade"))


def via(version: bytes) -> tuple[bytes, bytes]:
    """
    The mark of this proxy on a message (RFC 9110, 7.6.3).

    @param version: of the message as it came, as in C{b"1.1"}.
    @since: ugate NEXT
    """
    return (b"Via", b"%b ugate" % version)
