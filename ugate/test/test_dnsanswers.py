# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.dnsanswers}.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.dnsanswers import Answer, Times, addressAnswer, nameAnswer, readAnswer
from ugate.protocols.dnswire import readQuery
from ugate.test.test_dnswire import query, wireOf

TIMES = Times()
SOA = "example. 300 IN SOA ns.example. admin.example. 1 2 3 4 60"


def answerTo(message: Any, *answers: str, authority: str = "", code: int = 0, flags: int = 0) -> bytes:
    """
    What a server says.
    """
    response = dns.message.make_response(message)
    response.set_rcode(dns.rcode.Rcode(code))
    response.flags |= dns.flags.Flag(flags)
    for section, lines in ((response.answer, answers), (response.authority, (authority,))):
        for line in filter(None, lines):
            owner, ttl, kind, *rest = line.replace(" IN ", " ").split()
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, " ".join(rest)))
    return wireOf(response)


class AnswerCase(SynchronousTestCase):
    """
    Answers to one question.
    """

    def read(self, message: Any, *answers: str, times: Times = TIMES, **more: Any) -> Answer:
        """
        Read what a server says.
        """
        question = readQuery(wireOf(message)).asked.question
        return readAnswer(answerTo(message, *answers, **more), question, times)


class ReadTests(AnswerCase):
    """
    L{readAnswer}.
    """

    def test_addresses(self) -> None:
        """
        An answer is good as long as its shortest record, and its addresses are known.
        """
        got = self.read(
            query("www.example", use_edns=0),
            "www.example. 300 CNAME db.example.",
            "db.example. 30 A 192.0.2.1",
            flags=dns.flags.AD,
        )
        self.assertEqual((0, (2, 0, 0), 30.0), (got.code, got.counts, got.ttl))
        self.assertEqual((ip_address("192.0.2.1").packed,), got.addresses)
        self.assertEqual((True, False), (got.isAuthentic, got.isOwn))

    def test_negative(self) -> None:
        """
        That there is nothing is good as long as the SOA says; without one it is not kept.
        """
        message = query("no.example")
        for more, ttl in (
            ({"code": 3, "authority": SOA}, 60),
            ({"authority": SOA}, 60),
            ({"authority": SOA.replace("300", "20")}, 20),
            ({"authority": SOA.replace(" 60", " 99999").replace("300", "99999")}, 3600),
            ({"code": 3}, 0),
            ({}, 0),
        ):
            self.assertEqual(ttl, self.read(message, **more).ttl, more)
        only = self.read(message, "no.example. 30 CNAME x.example.", authority=SOA)
        self.assertEqual(30, only.ttl)

    def test_bounds(self) -> None:
        """
        Times are kept within bounds, those of records too.
        """
        message = query()
        for given_, kept in ((1, 10), (50, 50), (5000, 100)):
            got = self.read(message, f"db.example. {given_} A 192.0.2.1", times=Times(10, 100, 50))
            self.assertEqual(kept, got.ttl)
            sent = dns.message.from_wire(got.reply(readQuery(wireOf(message)), 512))
            self.assertEqual(kept, sent.answer[0].ttl)

    def test_failures(self) -> None:
        """
        What says that the server did not do it is no answer, nor is what cannot be read.
        """
        for code in (1, 2, 4, 5, 9):
            error = self.assertRaises(ProtocolError, self.read, query(), code=code)
            self.assertIn(dns.rcode.to_text(dns.rcode.Rcode(code)), str(error))
        error = self.assertRaises(ProtocolError, self.read, query(), flags=dns.flags.TC)
        self.assertIn("only a part", str(error))
        wire = answerTo(query(), "db.example. 30 A 192.0.2.1")
        question = readQuery(wireOf(query())).asked.question
        for end in range(len(wire)):
            self.assertRaises(ProtocolError, readAnswer, wire[:end], question, TIMES)

    @given(st.integers(12, 80), st.binary(min_size=1, max_size=6))
    def test_mangled(self, at: int, data: bytes) -> None:
        """
        Whatever a server says is read or refused, and can be passed on.
        """
        message = query("www.example")
        wire = answerTo(message, "www.example. 300 CNAME db.example.", "db.example. 30 A 192.0.2.1")
        read = readQuery(wireOf(message))
        try:
            got = readAnswer(wire[:at] + data + wire[at + len(data) :], read.asked.question, TIMES)
        except ProtocolError:
            return
        self.assertEqual(sum(got.counts), len(got.ttls))
        dns.message.from_wire(got.reply(read, 65535, 10))


class ReplyTests(AnswerCase):
    """
    L{Answer.reply}.
    """

    def setUp(self) -> None:
        self.got = self.read(
            query("www.example"), "www.example. 300 CNAME db.example.", "db.example. 30 A 192.0.2.1"
        )

    def reply(self, message: Any, limit: int = 512, age: float = 0) -> Any:
        """
        What somebody is told.
        """
        return dns.message.from_wire(self.got.reply(readQuery(wireOf(message)), limit, age))

    def test_asWritten(self) -> None:
        """
        The question comes back as it was written, with its id, and names in records refer to it.
        """
        message = query("WwW.eXample", id=99)
        got = self.reply(message)
        self.assertTrue(message.is_response(got))
        self.assertEqual("WwW.eXample.", got.question[0].name.to_text())
        self.assertEqual(["WwW.eXample.", "db.eXample."], [each.name.to_text() for each in got.answer])
        self.assertEqual(dns.flags.QR | dns.flags.RD | dns.flags.RA, got.flags)
        self.assertEqual(-1, got.edns)

    def test_edns(self) -> None:
        """
        Who speaks EDNS is answered with it.
        """
        got = self.reply(query("www.example", want_dnssec=True))
        self.assertEqual((0, 1232, True), (got.edns, got.payload, bool(got.ednsflags & dns.flags.DO)))

    def test_aged(self) -> None:
        """
        Records are good for less time, but always for a moment.
        """
        for age, ttls in ((0.5, [300, 30]), (10, [290, 20]), (29, [271, 1]), (500, [1, 1])):
            got = self.reply(query("www.example"), age=age)
            self.assertEqual(ttls, [each.ttl for each in got.answer], age)
        self.got = self.got.stale(30)
        self.assertEqual([30, 30], [each.ttl for each in self.reply(query("www.example")).answer])
        self.assertEqual(0, self.got.ttl)

    def test_truncated(self) -> None:
        """
        What is too large is only said to be so.
        """
        size = len(self.got.reply(readQuery(wireOf(query("www.example"))), 512))
        for limit, isWhole in ((size, True), (size - 1, False)):
            got = self.reply(query("www.example"), limit)
            self.assertEqual(isWhole, bool(got.answer))
            self.assertEqual(not isWhole, bool(got.flags & dns.flags.TC))
        short = self.reply(query("www.example", use_edns=0), 20)
        self.assertEqual((0, "www.example."), (short.edns, short.question[0].name.to_text()))

    def test_authentic(self) -> None:
        """
        That somebody has checked it is told to whom it matters.
        """
        self.got = self.read(query("www.example"), "www.example. 30 A 192.0.2.1", flags=dns.flags.AD)
        for options, isTold in (({}, False), ({"flags": dns.flags.AD}, True), ({"want_dnssec": True}, True)):
            told = self.reply(query("www.example", **options))
            self.assertEqual(isTold, bool(told.flags & dns.flags.AD), options)


class OwnTests(AnswerCase):
    """
    Answers of our own.
    """

    def test_addresses(self) -> None:
        """
        Addresses of a name, of the kind that is asked for.
        """
        for kind, number in (("A", "192.0.2.1"), ("AAAA", "fd00::1")):
            message = query("bob", kind)
            read = readQuery(wireOf(message))
            packed = ip_address(number).packed
            got = addressAnswer(read.asked.question, "bob", read.type, [packed], 5)
            self.assertEqual(((packed,), 5.0, True), (got.addresses, got.ttl, got.isOwn))
            told = dns.message.from_wire(got.reply(read, 512))
            self.assertEqual(f"bob. 5 IN {kind} {number}", str(told.answer[0]))
            self.assertTrue(told.flags & dns.flags.AA)

    def test_none(self) -> None:
        """
        A name without any.
        """
        read = readQuery(wireOf(query("bob", "MX")))
        told = dns.message.from_wire(addressAnswer(read.asked.question, "bob", 15, [], 5).reply(read, 512))
        self.assertEqual((0, []), (told.rcode(), told.answer))

    def test_names(self) -> None:
        """
        The names of an address.
        """
        name = "1.2.0.192.in-addr.arpa"
        read = readQuery(wireOf(query(name, "PTR")))
        got = nameAnswer(read.asked.question, name, ["bob.example"], 5)
        told = dns.message.from_wire(got.reply(read, 512))
        self.assertEqual(f"{name}. 5 IN PTR bob.example.", str(told.answer[0]))
