# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsforwarding}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ugate.modules import dnsforwarding
from ugate.modules.dnsforwarding import (
    DEADLINE,
    FAILED,
    FAILURE,
    NEXT,
    NOBODY,
    OVERLOADED,
    REST,
    STALE_AFTER,
    STALE_TTL,
    Forwarder,
)
from ugate.protocols.dnsanswers import Answer, Times
from ugate.protocols.dnscache import Cache
from ugate.test.dnsfakes import DnsCase, FakeServer, askedFor

GOOD = "db.example 60 A 192.0.2.1"
NONE = "example 60 SOA ns.example. a.example. 1 2 3 4 60"
NAME = "db.example"


class ForwarderCase(DnsCase):
    """
    Two servers for all, and one for a domain.
    """

    stale = 0

    def setUp(self) -> None:
        super().setUp()
        self.one, self.two, self.corp = FakeServer("one"), FakeServer("two"), FakeServer("corp")
        self.forwarder = Forwarder(
            self.clock,
            {"": [self.one, self.two], "corp.example": [self.corp]},
            Cache(100, 10**6, self.stale),
            Times(),
            stale=self.stale > 0,
        )

    def ask(self, name: str = NAME, kind: str = "A") -> Deferred[Answer]:
        """
        Ask.
        """
        return self.forwarder.ask(askedFor(name, kind), name)

    def kept(self, name: str = NAME) -> Any:
        """
        What need not be asked.
        """
        return self.forwarder.kept(askedFor(name))


class AskTests(ForwarderCase):
    """
    L{Forwarder.ask}.
    """

    def test_answered(self) -> None:
        """
        The first server is asked, and what it says is kept.
        """
        asking = self.ask()
        self.assertEqual((1, 0), (len(self.one.asked), len(self.two.asked)))
        self.one.say(GOOD)
        answer = self.successResultOf(asking)
        self.assertEqual((b"\xc0\x00\x02\x01",), answer.addresses)
        self.clock.advance(59)
        self.assertEqual(answer, self.kept().answer)
        self.clock.advance(1)
        self.assertIsNone(self.kept())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_once(self) -> None:
        """
        Who asks the same meanwhile waits for the same answer; another question is another one.
        """
        first, second = self.ask(), self.ask()
        self.ask(kind="AAAA")
        self.assertEqual(2, len(self.one.asked))
        self.one.say(GOOD, at=0)
        self.assertEqual(self.successResultOf(first), self.successResultOf(second))

    def test_negative(self) -> None:
        """
        That there is nothing is an answer, too, and kept.
        """
        asking = self.ask()
        self.one.say(NONE, code=3)
        self.assertEqual(3, self.successResultOf(asking).code)
        self.assertEqual(3, self.kept().answer.code)

    def test_refused(self) -> None:
        """
        If one cannot be reached, the next is asked at once, and first for a while; the log says so once.
        """
        asking = self.ask()
        self.one.fail()
        self.two.say(GOOD)
        self.assertEqual(0, self.successResultOf(asking).code)
        self.assertEqual(
            ["dns: one: connect at one: connection refused; check that the service is running on that port"],
            self.lines(),
        )
        self.ask("b.example")
        self.assertEqual((1, 2), (len(self.one.asked), len(self.two.asked)))
        self.two.fail()
        self.one.fail()
        self.assertEqual(2, len(self.lines()))
        self.clock.advance(REST + FAILED)
        self.ask("c.example")
        self.assertEqual(3, len(self.one.asked))

    def test_saysNo(self) -> None:
        """
        One that answers that it cannot is no worse than the other, which is asked at once.
        """
        asking = self.ask()
        self.one.say(code=2)
        self.two.say(GOOD)
        self.assertEqual(0, self.successResultOf(asking).code)
        self.ask("b.example")
        self.assertEqual(2, len(self.one.asked))
        self.assertEqual([], self.lines())

    def test_garbage(self) -> None:
        """
        So is one whose answer cannot be read.
        """
        asking = self.ask()
        self.one.asked[0][1].callback(b"\x00\x00\x80\x00" + bytes(3))
        self.two.say(GOOD)
        self.assertEqual(0, self.successResultOf(asking).code)

    def test_slow(self) -> None:
        """
        If one takes its time, the next is asked beside it, and the first answer counts.
        """
        asking = self.ask()
        self.clock.advance(NEXT)
        self.assertEqual(1, len(self.two.asked))
        self.one.say(GOOD)
        self.assertEqual(0, self.successResultOf(asking).code)
        self.assertEqual(1, self.two.cancelled)
        self.assertEqual([], self.lines())

    def test_silent(self) -> None:
        """
        One that does not answer while the next does is asked last for a while.
        """
        asking = self.ask()
        self.clock.advance(NEXT)
        self.two.say(GOOD)
        self.assertEqual(0, self.successResultOf(asking).code)
        self.assertEqual(["dns: one: no answer in 1.2 s"], self.lines())
        self.ask("b.example")
        self.assertEqual((1, 2), (len(self.one.asked), len(self.two.asked)))

    def test_lost(self) -> None:
        """
        Each is asked twice, since datagrams are lost, and no more.
        """
        asking = self.ask()
        self.clock.pump([NEXT] * 3)
        self.assertEqual((2, 2), (len(self.one.asked), len(self.two.asked)))
        self.assertNoResult(asking)
        self.clock.advance(DEADLINE - 3 * NEXT)
        self.assertEqual(FAILURE, self.successResultOf(asking))
        self.assertEqual((2, 2), (self.one.cancelled, self.two.cancelled))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_allRefuse(self) -> None:
        """
        If all say no there is no answer; that is remembered for a moment.
        """
        asking = self.ask()
        self.one.fail()
        self.two.say(code=5)
        self.assertEqual(FAILURE, self.successResultOf(asking))
        self.assertEqual((1, 1), (len(self.one.asked), len(self.two.asked)))
        self.assertEqual(FAILURE, self.kept().answer)
        self.clock.advance(FAILED)
        self.assertIsNone(self.kept())

    def test_domains(self) -> None:
        """
        The servers of a domain are asked for what is below it, and for nothing else; nobody else is.
        """
        for name in ("corp.example", "a.b.corp.example"):
            self.ask(name)
        self.ask("xcorp.example")
        self.assertEqual((2, 1), (len(self.corp.asked), len(self.one.asked)))
        self.corp.fail(0)
        self.clock.pump([NEXT] * 5)
        others = {asked.question for asked, _ in (*self.one.asked, *self.two.asked)}
        self.assertEqual({askedFor("xcorp.example").question}, others)
        self.assertTrue(self.forwarder.isDelegated("a.corp.example"))
        self.assertFalse(self.forwarder.isDelegated("example"))

    def test_nobody(self) -> None:
        """
        With no server for a name there is no answer.
        """
        forwarder = Forwarder(self.clock, {"corp.example": [self.corp]}, Cache(1, 1), Times())
        self.assertEqual(NOBODY, self.successResultOf(forwarder.ask(askedFor(), NAME)))

    def test_tooMany(self) -> None:
        """
        No more than so many questions are under way.
        """
        self.patch(dnsforwarding, "MAX_ASKING", 2)
        self.ask("a.example")
        self.ask("b.example")
        self.assertNoResult(self.ask("a.example"))
        self.assertEqual(OVERLOADED, self.successResultOf(self.ask("c.example")))

    def test_fair(self) -> None:
        """
        One client alone does not take all of that; what it waits for no longer is no matter any more.
        """
        self.patch(dnsforwarding, "MAX_ASKING", 4)

        def ask(name: str, source: str) -> Deferred[Answer]:
            return self.forwarder.ask(askedFor(name), name, source)

        first = [ask(f"{letter}.example", "alice") for letter in "abc"]
        self.assertEqual(OVERLOADED, self.successResultOf(first[2]))
        self.assertNoResult(ask("d.example", "bob"))
        self.assertEqual(OVERLOADED, self.successResultOf(ask("e.example", "bob")))
        self.one.say(GOOD, at=0)
        self.assertNoResult(ask("e.example", "bob"))

    def test_loop(self) -> None:
        """
        A server that asks us in turn waits for itself, and nothing is asked again and again.
        """
        asked: list[Deferred[Answer]] = []

        def back(question: Any) -> Deferred[bytes]:
            asked.append(self.forwarder.ask(question, NAME))
            return Deferred()

        self.patch(self.one, "ask", back)
        self.patch(self.two, "ask", back)
        asking = self.ask()
        self.clock.pump([NEXT] * 3)
        self.assertNoResult(asking)
        self.clock.advance(DEADLINE - 3 * NEXT)
        self.assertEqual([FAILURE] * 4, [self.successResultOf(each) for each in asked])
        self.assertEqual(FAILURE, self.successResultOf(asking))

    def test_ours(self) -> None:
        """
        What others say is not believed if it would lead to what an address stands for here; of many such
        answers the log has one.
        """
        self.forwarder._isOurs = b"\xc0\x00\x02\x01".__eq__
        for _ in range(2):
            asking = self.ask()
            self.one.say(GOOD)
            self.assertEqual(FAILURE, self.successResultOf(asking))
            self.assertEqual(FAILURE, self.kept().answer)
            self.clock.advance(FAILED)
        self.assertEqual(
            ["dns: others say that db.example has an address that is made up here"], self.lines()
        )
        asking = self.ask()
        self.one.say("db.example 60 A 192.0.2.2")
        self.assertEqual(0, self.successResultOf(asking).code)

    def test_stop(self) -> None:
        """
        When it is stopped nobody waits any longer, and all is closed.
        """
        asking = self.ask()
        self.forwarder.stop()
        self.assertEqual(2, self.successResultOf(asking).code)
        self.assertEqual((1, 1), (self.one.cancelled, self.one.stopped))
        self.assertEqual(1, self.corp.stopped)
        self.assertEqual([], self.clock.getDelayedCalls())


class StaleTests(ForwarderCase):
    """
    Answers that are too old.
    """

    stale = 3600

    def setUp(self) -> None:
        super().setUp()
        self.ask()
        self.one.say(GOOD)
        self.clock.advance(100)

    def test_fresh(self) -> None:
        """
        As long as somebody answers, they are not given.
        """
        self.assertIsNone(self.kept())
        asking = self.ask()
        self.one.say("db.example 60 A 192.0.2.2")
        self.assertEqual((b"\xc0\x00\x02\x02",), self.successResultOf(asking).addresses)

    def test_slow(self) -> None:
        """
        If that takes too long, they are given, and the new one is kept when it comes.
        """
        asking = self.ask()
        self.clock.advance(STALE_AFTER)
        old = self.successResultOf(asking)
        self.assertEqual(((b"\xc0\x00\x02\x01",), 0), (old.addresses, old.ttl))
        self.one.say("db.example 60 A 192.0.2.2")
        self.assertEqual((b"\xc0\x00\x02\x02",), self.kept().answer.addresses)

    def test_failed(self) -> None:
        """
        If nobody answers they are given, and for a while without asking.
        """
        asking = self.ask()
        self.one.fail()
        self.two.fail()
        self.assertEqual((b"\xc0\x00\x02\x01",), self.successResultOf(asking).addresses)
        self.assertEqual((b"\xc0\x00\x02\x01",), self.kept().answer.addresses)
        self.clock.advance(STALE_TTL)
        self.assertIsNone(self.kept())
        self.clock.advance(3600)
        asking = self.ask()
        for server in (self.one, self.two):
            server.fail()
        self.assertEqual(FAILURE, self.successResultOf(asking))
