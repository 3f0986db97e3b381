# -*- test-case-name: ugate.test.test_dnswire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Questions of the DNS as bytes (RFC 1035, RFC 6891): those that come, and those that go on to another server.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from ugate.errors import ProtocolError

HEADER: Final = Struct("!HHHHHH")
_OPT: Final = Struct("!BHHIH")
_KIND: Final = Struct("!HH")
_OPTION: Final = Struct("!HH")

PAYLOAD: Final = 1232
"""Bytes of a datagram that no network cuts in pieces."""

_LEAST: Final = 512
"""Bytes that every client takes in a datagram."""

_PADDED: Final = 128
_PADDING: Final = 12
_DO: Final = 0x8000
_COPIED: Final = int(dns.flags.RD | dns.flags.CD)
_TRANSFERS: Final = (int(dns.rdatatype.IXFR), int(dns.rdatatype.AXFR))
_META: Final = range(128, 251)


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What is asked, whoever asks.
    """

    question: bytes
    """The question as it is written in a message, its name in lower case."""

    isSecure: bool = False
    """Whether signatures are wanted, too (DO)."""

    isUnchecked: bool = False
    """Whether nobody shall look at them (CD)."""

    def wire(self, number: int, padded: bool = False) -> bytes:
        """
        It as a message to another server.

        @param number: its id.
        @param padded: whether it shall be as long as others (RFC 8467), which makes sense inside of TLS.
        """
        flags = int(dns.flags.RD | dns.flags.AD | (dns.flags.CD if self.isUnchecked else 0))
        padding = b""
        if padded:
            size = HEADER.size + len(self.question) + _OPT.size + _OPTION.size
            zeros = -size % _PADDED
            padding = _OPTION.pack(_PADDING, zeros) + bytes(zeros)
        head = HEADER.pack(number, flags, 1, 0, 0, 1)
        return head + self.question + opt(self.isSecure, size=len(padding)) + padding

    def isAnsweredBy(self, data: bytes) -> bool:
        """
        Whether a message is an answer to this, whatever it says.
        """
        if len(data) < HEADER.size + len(self.question):
            return False
        _, flags, questions, _, _, _ = HEADER.unpack_from(data)
        if not flags & dns.flags.QR or dns.opcode.from_flags(flags) or questions != 1:
            return False
        end = HEADER.size + len(self.question)
        kind = end - _KIND.size
        return data[HEADER.size : kind].lower() + data[kind:end] == self.question


@dataclass(frozen=True, slots=True)
class Query:
    """
    A question that came, from somebody who waits for the answer.
    """

    number: int
    """The id of the message."""

    name: str
    """The name, in lower case, without a dot at its end."""

    type: int
    """What is wanted of it: C{1} for addresses of IPv4 ..."""

    question: bytes
    """The question as it was written."""

    asked: Asked
    """What is asked."""

    flags: int
    """Those that come back as they were: RD, CD."""

    wantsAuthentic: bool
    """Whether it matters to the client that somebody has checked the answer (AD or DO)."""

    payload: int
    """Bytes that an answer in a datagram may have."""

    hasEDNS: bool
    """Whether the answer has an OPT record, too."""

    isPlain: bool
    """Whether nothing in the message is of this one question alone, as a cookie is."""


def opt(isSecure: bool, high: int = 0, size: int = 0) -> bytes:
    """
    An OPT record.

    @param high: the upper bits of the code of an answer.
    @param size: of the options that follow it.
    """
    return _OPT.pack(0, dns.rdatatype.OPT, PAYLOAD, high << 24 | (_DO if isSecure else 0), size)


def questionOf(name: str, kind: int) -> bytes:
    """
    A question as it is written in a message.

    @raise ValueError: there is no such name.
    """
    try:
        wire = _written(dns.name.from_text(name.lower()))
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{name!r} is no name: {error}") from error
    return wire + _KIND.pack(kind, dns.rdataclass.IN)


def _written(name: dns.name.Name) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name.labels)


def refusal(data: bytes, code: int, query: Query | None = None) -> bytes:
    """
    An answer that has nothing but a code.

    @param data: the message that was sent.
    @param query: what is known of it.
    """
    number, flags, *_ = HEADER.unpack_from(data)
    kept = flags & (_COPIED | 0x7800)
    head = int(dns.flags.QR | dns.flags.RA) | kept | code & 15
    if query is None:
        if code < 16:
            return HEADER.pack(number, head, 0, 0, 0, 0)
        return HEADER.pack(number, head, 0, 0, 0, 1) + opt(False, code >> 4)
    tail = opt(query.asked.isSecure, code >> 4) if query.hasEDNS else b""
    return HEADER.pack(number, head, 1, 0, 0, len(tail) and 1) + query.question + tail


def readQuery(data: bytes) -> Query:
    """
    Read a message of a client.

    @raise ProtocolError: it is none that is answered with more than a code; C{reply} has that, or is empty if
        nothing is to be said to it.
    """
    if len(data) < HEADER.size:
        raise ProtocolError("no message of the DNS")
    number, flags, *counts = HEADER.unpack_from(data)
    if flags & dns.flags.QR:
        raise ProtocolError("an answer, where questions come")
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        raise ProtocolError("no question", refusal(data, dns.rcode.NOTIMP))
    if counts[:3] != [1, 0, 0]:
        raise ProtocolError("not one question", refusal(data, dns.rcode.FORMERR))
    try:
        message = dns.message.from_wire(data)
        (question,) = message.question
        name = question.name
        text = name.canonicalize().to_text(omit_final_dot=True)
    except Exception as error:
        # What is raised for bad messages is of many types.
        raise ProtocolError(f"a bad message: {error!r}", refusal(data, dns.rcode.FORMERR)) from error
    if message.edns > 0:
        raise ProtocolError("an unknown EDNS version", refusal(data, dns.rcode.BADVERS))
    kind = _KIND.pack(question.rdtype, question.rdclass)
    isSecure = bool(message.ednsflags & _DO)
    query = Query(
        number,
        text,
        int(question.rdtype),
        _written(name) + kind,
        Asked(_written(name.canonicalize()) + kind, isSecure, bool(flags & dns.flags.CD)),
        flags & _COPIED,
        isSecure or bool(flags & dns.flags.AD),
        max(_LEAST, min(message.payload, PAYLOAD)),
        message.edns >= 0,
        not message.options,
    )
    if question.rdclass != dns.rdataclass.IN or query.type in _TRANSFERS:
        raise ProtocolError("nothing that is given out", refusal(data, dns.rcode.REFUSED, query))
    if query.type in _META or query.type in (0, dns.rdatatype.OPT):
        raise ProtocolError("a type that no record has", refusal(data, dns.rcode.FORMERR, query))
    return query
