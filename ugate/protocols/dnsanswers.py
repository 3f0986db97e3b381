# -*- test-case-name: ugate.test.test_dnsanswers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Answers of the DNS as bytes, kept so that they are sent again without being read: what changes is the id, how
the question was written, and how long each record is still good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from ugate.errors import ProtocolError
from ugate.protocols.dnswire import HEADER, Query, opt

_RECORD: Final = Struct("!HHIH")
_TTL: Final = Struct("!I")
_ADDRESSES: Final = (int(dns.rdatatype.A), int(dns.rdatatype.AAAA))
_GOOD: Final = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
_LARGEST: Final = 65535
_POINTER: Final = 0xC0


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What is answered to one question, whoever asks it.
    """

    code: int
    """How it went: 0, or 3 if there is no such name."""

    counts: tuple[int, int, int] = (0, 0, 0)
    """Records in the sections behind the question."""

    records: bytes = b""
    """These, as they are behind a question of that length."""

    ttls: tuple[int, ...] = ()
    """Where in them the times are for which each is good."""

    ttl: float = 0.0
    """Seconds for which all of it may be kept; 0 for not at all."""

    addresses: tuple[bytes, ...] = ()
    """The addresses in it, packed."""

    isAuthentic: bool = False
    """Whether another server says that it has checked it."""

    isOwn: bool = False
    """Whether nobody else was asked (AA)."""

    def aged(self, age: float) -> bytes:
        """
        The records after some time.
        """
        return self._timed(lambda ttl: max(1, ttl - int(age))) if age >= 1 else self.records

    def stale(self, ttl: int) -> Answer:
        """
        The same, good for a moment although it is too old.
        """
        return replace(self, records=self._timed(lambda _: ttl), ttl=0.0)

    def _timed(self, change: Callable[[int], int]) -> bytes:
        records = bytearray(self.records)
        for at in self.ttls:
            (ttl,) = _TTL.unpack_from(records, at)
            _TTL.pack_into(records, at, change(ttl))
        return bytes(records)

    def reply(self, query: Query, limit: int, age: float = 0.0) -> bytes:
        """
        It as a message to somebody who asked.

        @param limit: bytes that it may have; of one that would have more, it is only said so (TC).
        @param age: seconds since it was got.
        """
        flags = int(dns.flags.QR | dns.flags.RA) | query.flags | self.code & 15
        if self.isOwn:
            flags |= dns.flags.AA
        if self.isAuthentic and query.wantsAuthentic:
            flags |= dns.flags.AD
        tail = opt(query.asked.isSecure, self.code >> 4) if query.hasEDNS else b""
        size = HEADER.size + len(query.question) + len(self.records) + len(tail)
        if size > limit:
            head = HEADER.pack(query.number, flags | dns.flags.TC, 1, 0, 0, len(tail) and 1)
            return head + query.question + tail
        answers, authority, additional = self.counts
        if tail:
            additional += 1
        head = HEADER.pack(query.number, flags, 1, answers, authority, additional)
        return head + query.question + self.aged(age) + tail


def render(
    question: bytes, sections: Sequence[Iterable[dns.rrset.RRset]], code: int = dns.rcode.NOERROR
) -> Answer:
    """
    Write records down.

    @param question: as it is written in a message.
    @param sections: answer, authority and additional.
    """
    message = dns.message.QueryMessage(id=0)
    message.question = dns.message.from_wire(HEADER.pack(0, 0, 1, 0, 0, 0) + question).question
    message.sections[1:] = [list(section) for section in sections]
    wire = message.to_wire(max_size=_LARGEST)
    counts = HEADER.unpack_from(wire)[3:]
    records = wire[HEADER.size + len(question) :]
    addresses = tuple(
        # Of an address, its packed form is all that there is of the record.
        record.to_digestable()
        for rrset in message.answer
        if rrset.rdtype in _ADDRESSES
        for record in rrset
    )
    return Answer(int(code), counts, records, tuple(_ttls(records)), addresses=addresses)


def _ttls(records: bytes) -> Iterator[int]:
    """
    Where the times are in what we have written ourselves.
    """
    at = 0
    while at < len(records):
        at = _behindName(records, at)
        *_, size = _RECORD.unpack_from(records, at)
        yield at + 4
        at += _RECORD.size + size


def _behindName(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] >= _POINTER:
            return at + 2
        at += 1 + data[at]
    return at + 1


def leastTtl(message: bytes) -> int:
    """
    For how many seconds all records of a message of ours are good.
    """
    if not HEADER.unpack_from(message)[2]:
        return 0
    records = message[_behindName(message, HEADER.size) + 4 :]
    ttls = [
        _TTL.unpack_from(records, at)[0]
        for at in _ttls(records)
        if _RECORD.unpack_from(records, at - 4)[0] != dns.rdatatype.OPT
    ]
    return min(ttls, default=0)


def addressAnswer(question: bytes, name: str, kind: int, numbers: Iterable[bytes], ttl: int) -> Answer:
    """
    The answer that a name has these addresses, or none of that kind.

    @param numbers: the addresses, packed.
    """
    found = [
        dns.rdata.from_wire(dns.rdataclass.IN, kind, number, 0, len(number))  # type: ignore[arg-type]
        for number in numbers
    ]
    return _own(question, name, kind, found, ttl)


def nameAnswer(question: bytes, name: str, names: Iterable[str], ttl: int) -> Answer:
    """
    The answer that an address, by its own name, has these names.
    """
    kind = dns.rdatatype.PTR
    found = [dns.rdata.from_text(dns.rdataclass.IN, kind, f"{each}.") for each in names]
    return _own(question, name, kind, found, ttl)


def _own(question: bytes, name: str, kind: int, found: Sequence[dns.rdata.Rdata], ttl: int) -> Answer:
    rrsets = []
    if found:
        rrset = dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, kind)  # type: ignore[arg-type]
        for record in found:
            rrset.add(record, ttl)
        rrsets.append(rrset)
    return replace(render(question, (rrsets, (), ())), ttl=float(ttl), isOwn=True)


@dataclass(frozen=True, slots=True)
class Times:
    """
    Between which times answers are kept.
    """

    least: int = 0
    """Seconds for which they are, at least."""

    most: int = 86400
    """At most."""

    negative: int = 3600
    """At most, that there is no such name, or nothing of that kind."""


def readAnswer(data: bytes, question: bytes, times: Times) -> Answer:
    """
    Read the answer of another server.

    @param question: what was asked, which this is known to be an answer to.
    @raise ProtocolError: it cannot be read, or it says that the server did not do it.
    """
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
    except Exception as error:
        # What is raised for bad messages is of many types.
        raise ProtocolError(f"an answer that cannot be read: {error!r}") from error
    code = message.rcode()
    if code not in _GOOD:
        raise ProtocolError(f"it says {dns.rcode.to_text(code)}")
    if message.flags & dns.flags.TC:
        raise ProtocolError("it says only a part, and there is no other way to ask")
    ttl = _lifetime(message, times)
    for rrset in (*message.answer, *message.authority, *message.additional):
        rrset.ttl = max(times.least, min(rrset.ttl, times.most))
    sections = message.answer, message.authority, message.additional
    try:
        answer = render(question, sections, code)
    except Exception as error:
        # As above: names may have grown too long, or it is too large without compression.
        raise ProtocolError(f"an answer that cannot be passed on: {error!r}") from error
    return replace(answer, ttl=float(ttl), isAuthentic=bool(message.flags & dns.flags.AD))


def _lifetime(message: dns.message.Message, times: Times) -> int:
    """
    How long an answer may be kept (RFC 2308).
    """
    (question,) = message.question
    isPositive = message.rcode() == dns.rcode.NOERROR and any(
        question.rdtype in (rrset.rdtype, dns.rdatatype.ANY) for rrset in message.answer
    )
    ttls = [rrset.ttl for rrset in message.answer]
    if isPositive:
        return max(times.least, min(*ttls, times.most))
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            # Whoever we tell keeps it no longer either.
            rrset.ttl = min(rrset.ttl, int(rrset[0].minimum), times.negative)
            return max(times.least, min([*ttls, rrset.ttl, times.most]))
    # Nobody says for how long there is none.
    return 0
