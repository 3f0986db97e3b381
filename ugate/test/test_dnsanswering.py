# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsanswering}.
"""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import Deferred

from ugate.modules import dnsanswering
from ugate.modules.dnsanswering import Answering
from ugate.modules.dnsforwarding import Forwarder
from ugate.protocols.dnsanswers import Answer, Times, addressAnswer
from ugate.protocols.dnscache import Cache
from ugate.protocols.dnswire import Query
from ugate.tenancy.addressnames import AddressNames
from ugate.test.dnsfakes import DnsCase, FakeServer, addressesIn, message, read

GOOD = "db.example 60 A 192.0.2.1"
BIG = ["db.example 60 TXT " + "x" * 200 + str(count) for count in range(8)]


class AnsweringTests(DnsCase):
    """
    L{Answering}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server = FakeServer()
        self.names = AddressNames(self.clock)
        self.cache = Cache(100, 10**6)
        forwarder = Forwarder(self.clock, {"": [self.server]}, self.cache, Times())
        self.looked = 0
        self.answering = Answering(self.clock, self.local, forwarder, self.names)

    def local(self, query: Query) -> Answer | None:
        """
        One name is known here.
        """
        self.looked += 1
        if query.name == "fault.home":
            raise ZeroDivisionError("in a test")
        if query.name != "printer.home":
            return None
        return addressAnswer(query.asked.question, query.name, query.type, [b"\xc0\xa8\x01\x09"], 10)

    def later(self, data: bytes, isStream: bool = False) -> Deferred[bytes]:
        """
        What is answered when a server has.
        """
        answer = self.answering.answer(data, isStream)
        assert isinstance(answer, Deferred)
        return answer

    def now(self, data: bytes, isStream: bool = False) -> Any:
        """
        What is answered at once.
        """
        answer = self.answering.answer(data, isStream)
        assert isinstance(answer, bytes)
        return read(answer)

    def fill(self, kind: str = "A", *records: str) -> None:
        """
        A server has answered.
        """
        self.later(message(kind=kind))
        self.server.say(*(records or (GOOD,)))

    def test_asked(self) -> None:
        """
        A question goes on, and its answer comes back with its own number.
        """
        asking = self.later(message(id=4711))
        self.server.say(GOOD)
        answer = self.successResultOf(asking)
        self.assertEqual((4711, ["192.0.2.1"]), (read(answer).id, addressesIn(answer)))
        self.assertEqual("db.example", self.names.nameFor("192.0.2.1"))

    def test_quick(self) -> None:
        """
        The same bytes with another number are answered unread, with less time to live each second.
        """
        self.fill()
        self.patch(dnsanswering, "readQuery", None)
        for seconds, ttl in ((0, 60), (0, 60), (1.5, 59), (57.5, 1)):
            self.clock.advance(seconds)
            answer = self.now(message(id=99))
            self.assertEqual((99, ttl), (answer.id, answer.answer[0].ttl), seconds)
        self.assertEqual(1, self.looked)
        self.assertEqual({"own": 0, "kept": 4, "asked": 1, "failed": 0}, self.answering.counts)

    def test_old(self) -> None:
        """
        When an answer is too old it is asked for anew.
        """
        self.fill()
        self.clock.advance(60)
        self.assertNoResult(self.later(message()))
        self.assertEqual(2, len(self.server.asked))

    def test_spelled(self) -> None:
        """
        Another spelling, or other options, are the same question for other servers.
        """
        self.fill()
        answer = self.now(message("dB.Example"))
        self.assertEqual("dB.Example.", str(answer.question[0].name))
        self.assertEqual(0, self.now(message(use_edns=0)).edns)
        cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
        for _ in range(2):
            looked = self.looked
            self.now(message(use_edns=0, options=[cookie]))
            self.assertEqual(looked + 1, self.looked)
        self.assertEqual(1, len(self.server.asked))
        self.later(message(want_dnssec=True))
        self.assertEqual(2, len(self.server.asked))

    def test_sizes(self) -> None:
        """
        By a datagram one gets as much as one can take, on a stream all.
        """
        self.fill("TXT", *BIG)
        larger: dict[str, Any] = {"use_edns": 0, "payload": 4096}
        for options in ({}, larger):
            answer = self.now(message(kind="TXT", **options))
            self.assertEqual(([], True), (answer.answer, bool(answer.flags & dns.flags.TC)))
        for _ in range(2):
            self.assertEqual(8, len(self.now(message(kind="TXT"), True).answer[0]))
            self.assertTrue(self.now(message(kind="TXT")).flags & dns.flags.TC)

    def test_own(self) -> None:
        """
        What is known here is as good each time, and looked at again after a moment.
        """
        for seconds, looked in ((0, 1), (0.5, 1), (0.5, 2), (5, 3)):
            self.clock.advance(seconds)
            answer = self.now(message("printer.home"))
            self.assertEqual(
                ("printer.home. 10 IN A 192.168.1.9", looked), (str(answer.answer[0]), self.looked)
            )
        self.assertEqual("printer.home", self.names.nameFor("192.168.1.9"))
        self.assertEqual({"own": 4, "kept": 0, "asked": 0, "failed": 0}, self.answering.counts)
        self.assertEqual([], self.server.asked)

    def test_failed(self) -> None:
        """
        If there is no answer, that is said.
        """
        asking = self.later(message())
        self.server.fail()
        self.assertEqual(2, read(self.successResultOf(asking)).rcode())
        self.assertEqual(2, self.now(message()).rcode())
        self.assertEqual({"own": 0, "kept": 1, "asked": 0, "failed": 1}, self.answering.counts)

    def test_fault(self) -> None:
        """
        So is a fault of ours, which is logged.
        """
        answer = self.now(message("fault.home", use_edns=0))
        self.assertEqual((2, "fault.home."), (answer.rcode(), str(answer.question[0].name)))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_bad(self) -> None:
        """
        What is no question is refused, or not answered at all.
        """
        self.assertEqual(b"", self.answering.answer(b"x", False))
        self.assertEqual(1, self.now(message()[:-1]).rcode())

    def test_most(self) -> None:
        """
        No more than so many answers are at hand; long ones never are, however they are asked for, and those
        to long questions neither.
        """
        self.patch(dnsanswering, "MAX_QUICK", 2)
        for name in ("a.example", "b.example", "c.example"):
            self.later(message(name))
            self.server.say(f"{name} 60 A 192.0.2.1")
        self.assertEqual(2, len(self.answering._quick))
        self.now(message("a.example"))
        self.assertEqual(3, len(self.server.asked))
        self.answering.clear()
        self.fill("TXT", *BIG)
        self.now(message(kind="TXT"))
        self.now(message(kind="TXT"), True)
        long = read(message("a.example"))
        long.additional.append(
            dns.rrset.from_text("a.example.", 1, "IN", "TXT", *(each.split()[3] for each in BIG))
        )
        self.now(long.to_wire())
        self.assertEqual({}, self.answering._quick)

    @given(st.binary(max_size=100), st.booleans())
    def test_garbage(self, data: bytes, isStream: bool) -> None:
        """
        Whatever comes, it ends well.
        """
        answer = self.answering.answer(data, isStream)
        if isinstance(answer, Deferred):
            self.server.fail()
            answer = self.successResultOf(answer)
        self.assertIn(answer[:2], (b"", data[:2]))
