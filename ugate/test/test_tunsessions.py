# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tunsessions}.
"""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.tunpackets import ACK, FIN, IPV4, IPV6, RST, SYN
from ugate.protocols.tunsessions import LINGER, OPENING, Sessions
from ugate.test.tunfakes import FAR, OWN, PEER, Segment, answerTo, outwards, packed, read

PORT = 15001


class SessionsCase(SynchronousTestCase):
    """
    Packets through a table.
    """

    version = 4

    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = self.make(4)

    def make(self, version: int, limit: int = 4) -> Sessions:
        """
        A table.
        """
        layout = IPV4 if version == 4 else IPV6
        own, peer = packed(OWN[version]), packed(PEER[version])
        return Sessions(layout, own, peer, PORT, self.clock.seconds, limit)

    def give(self, segment: Segment, sessions: Sessions | None = None) -> Segment | None:
        """
        A packet.

        @return: what the kernel gets for it.
        """
        packet, size = segment.buffered()
        answer = (self.sessions if sessions is None else sessions).translate(packet, size)
        return None if answer is None else read(bytes(answer[:size] if answer is packet else answer))

    def begin(self, sport: int = 40000, up: bool = True) -> Segment:
        """
        A connection.

        @param up: whether our port has accepted it.
        @return: its first packet, as the kernel gets it.
        """
        given = self.give(outwards(sport=sport))
        assert given is not None
        self.assertEqual((given.source, given.target, given.dport), (PEER[4], OWN[4], PORT))
        if up:
            self.assertIsNotNone(self.sessions.find(given.sport))
        return given

    def end(self, given: Segment, sport: int = 40000) -> None:
        """
        Both ends of it.
        """
        self.give(answerTo(given, FIN | ACK))
        self.give(outwards(sport=sport, flags=FIN | ACK))


class TranslateTests(SessionsCase):
    """
    One connection.
    """

    def test_bothWays(self) -> None:
        """
        For our port it comes from the neighbour; for the program it is with whom it wanted to reach.
        """
        for version in (4, 6):
            sessions = self.make(version)
            given = self.give(outwards(version, body=b"early"), sessions)
            assert given is not None
            self.assertEqual(
                (given.source, given.target, given.dport, given.body),
                (PEER[version], OWN[version], PORT, b"early"),
            )
            session = sessions.find(given.sport)
            assert session is not None
            self.assertEqual(session.source, (OWN[version], 40000))
            self.assertEqual(session.target, (FAR[version], 80))
            back = self.give(answerTo(given, body=b"hello"), sessions)
            self.assertEqual(
                back, Segment(FAR[version], 80, OWN[version], 40000, SYN | ACK, b"hello", 7000, 1001)
            )
            later = self.give(outwards(version, flags=ACK, body=b"more"), sessions)
            assert later is not None
            self.assertEqual((later.sport, later.body), (given.sport, b"more"))
            self.assertEqual((len(sessions), sessions.dropped), (1, 0))

    def test_apart(self) -> None:
        """
        Each connection is another one's neighbour; the same one again is the same.
        """
        ports = {self.begin(sport).sport for sport in (1, 2, 3)}
        self.assertEqual(len(ports), 3)
        self.assertIn(self.begin(1).sport, ports)

    def test_nobodys(self) -> None:
        """
        What belongs to no connection is reset, so that its program need not wait; a reset itself is not.
        """
        reset = self.give(outwards(flags=ACK, acknowledged=5))
        self.assertEqual(reset, Segment(FAR[4], 80, OWN[4], 40000, RST, b"", 5, 0))
        self.assertIsNone(self.give(outwards(flags=RST)))
        self.assertEqual(len(self.sessions), 0)
        self.assertEqual(self.sessions.dropped, 2)

    def test_others(self) -> None:
        """
        What other machines send, and what is for us or for many, is none of ours.
        """
        for source, target in (
            ("192.0.2.9", FAR[4]),
            (OWN[4], OWN[4]),
            (OWN[4], PEER[4]),
            (OWN[4], "224.0.0.1"),
            (OWN[4], "255.255.255.255"),
            (OWN[4], "0.0.0.0"),
        ):
            self.assertIsNone(self.give(Segment(source, 1, target, 2)), (source, target))
        self.assertIsNone(self.give(outwards(dport=0)))
        for target in ("ff02::1", "fe80::1", OWN[6], PEER[6]):
            self.assertIsNone(self.give(Segment(OWN[6], 1, target, 2), self.make(6)), target)
        self.assertEqual(len(self.sessions), 0)

    def test_forwarded(self) -> None:
        """
        For whom this is a router is answered as our own programs are; any other source is refused, and so is
        who says to be where it wants to go.
        """
        for version, network, source, other in (
            (4, "192.0.2.0/28", "192.0.2.9", "192.0.2.16"),
            (6, "2001:db8:7::/48", "2001:db8:7::9", "2001:db8:8::9"),
        ):
            sessions = self.make(version)
            sessions.forward = (ip_network(network),)
            given = self.give(Segment(source, 5, FAR[version], 80), sessions)
            assert given is not None
            self.assertEqual((given.source, given.target), (PEER[version], OWN[version]))
            session = sessions.find(given.sport)
            assert session is not None
            self.assertEqual(session.source, (source, 5))
            back = self.give(answerTo(given), sessions)
            assert back is not None
            self.assertEqual((back.source, back.target, back.dport), (FAR[version], source, 5))
            for wrong in (other, PEER[version]):
                self.assertIsNone(self.give(Segment(wrong, 5, FAR[version], 80), sessions), wrong)
            self.assertIsNone(self.give(Segment(source, 5, source, 80), sessions))
            self.assertEqual((len(sessions), sessions.dropped), (1, 3))

    def test_short(self) -> None:
        """
        A header that is not whole.
        """
        packet, size = outwards().buffered()
        self.assertIsNone(self.sessions.translate(packet, size - 1))

    def test_unknown(self) -> None:
        """
        Nobody came from another port.
        """
        self.assertIsNone(self.sessions.find(5))


class EndTests(SessionsCase):
    """
    How a place becomes free.
    """

    def test_lingers(self) -> None:
        """
        One that has ended is still known for a while; then its place is another's.
        """
        given = self.begin()
        self.end(given)
        self.assertIsNotNone(self.give(outwards(flags=ACK)))
        self.clock.advance(LINGER + 1)
        self.begin(40001)
        self.assertEqual(len(self.sessions), 1)
        late = self.give(outwards(flags=ACK, acknowledged=9))
        assert late is not None
        self.assertEqual(late.flags, RST)

    def test_again(self) -> None:
        """
        A program may use its port again for a new connection to the same target.
        """
        first = self.begin()
        self.end(first)
        second = self.begin()
        self.assertNotEqual(second.sport, first.sport)
        self.give(outwards(flags=FIN | ACK))
        self.assertNotIn(self.begin().sport, (first.sport, second.sport))
        self.assertEqual((len(self.sessions), self.sessions.up), (1, 1))
        self.clock.advance(LINGER + 1)
        self.begin(40001)
        self.assertEqual((len(self.sessions), self.sessions.up), (2, 2))

    def test_reset(self) -> None:
        """
        A reset by either side ends both directions.
        """
        for sport, ours in ((1, True), (2, False)):
            given = self.begin(sport)
            self.give(answerTo(given, RST) if ours else outwards(sport=sport, flags=RST))
        self.assertEqual(self.sessions.up, 0)
        self.clock.advance(LINGER + 1)
        self.begin(3)
        self.assertEqual(len(self.sessions), 1)

    def test_half(self) -> None:
        """
        One that has ended in one direction alone keeps its place.
        """
        self.begin()
        self.give(outwards(flags=FIN | ACK))
        self.clock.advance(LINGER + 1)
        self.begin(40001)
        self.assertEqual(len(self.sessions), 2)
        self.assertEqual(self.sessions.up, 2)

    def test_early(self) -> None:
        """
        One that was reset before it was accepted is not up any more.
        """
        given = self.begin(up=False)
        self.give(outwards(flags=RST))
        self.assertIsNotNone(self.sessions.find(given.sport))
        self.assertEqual(self.sessions.up, 0)

    def test_closed(self) -> None:
        """
        When no more shall begin, it is told when the last one was ended by us.
        """
        told: list[None] = []
        first, second = self.begin(1), self.begin(2)
        self.sessions.closed = lambda: told.append(None)
        refused = self.give(outwards(sport=3))
        assert refused is not None
        self.assertEqual(refused.flags, RST | ACK)
        self.end(first, 1)
        self.assertEqual(told, [])
        self.give(answerTo(second, FIN | ACK))
        self.assertEqual(told, [None])
        self.end(second, 2)
        self.assertEqual(told, [None])


class LimitTests(SessionsCase):
    """
    How many there may be.
    """

    def test_full(self) -> None:
        """
        One more than there may be is refused.
        """
        for sport in range(1, 5):
            self.begin(sport)
        refused = self.give(outwards(sport=5))
        self.assertEqual(refused, Segment(FAR[4], 80, OWN[4], 5, RST | ACK, b"", 0, 1001))
        self.assertEqual(len(self.sessions), 4)

    def test_endedMakesWay(self) -> None:
        """
        One that has ended need not linger if others want its place.
        """
        given = [self.begin(sport) for sport in range(1, 5)]
        self.end(given[0], 1)
        self.begin(5)
        self.assertEqual(len(self.sessions), 4)
        self.assertIsNone(self.sessions.find(given[0].sport))

    def test_flood(self) -> None:
        """
        Those that never come to be make way after a moment, and those that are up do not.
        """
        self.begin(1)
        for sport in range(2, 5):
            self.begin(sport, up=False)
        refused = self.give(outwards(sport=5))
        assert refused is not None
        self.assertEqual(refused.flags, RST | ACK)
        self.clock.advance(OPENING)
        for sport in range(5, 8):
            self.begin(sport, up=False)
        self.assertEqual((len(self.sessions), self.sessions.up), (4, 1))

    def test_ports(self) -> None:
        """
        Ports of the neighbour are used one after another, and never one that is in use.
        """
        stays = self.begin(1)
        self.sessions._next = 65535 - 1024 - 2
        ports = []
        for sport in range(2, 7):
            given = self.begin(sport)
            self.end(given, sport)
            ports.append(given.sport)
        self.assertEqual(stays.sport, 1025)
        self.assertEqual(ports, [65534, 65535, 1024, 1026, 1027])


class AnyOrderTests(SessionsCase):
    """
    Packets as nobody should send them.
    """

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(("program", "port", "accept", "wait")),
                st.integers(1, 6),
                st.sampled_from((SYN, SYN | ACK, ACK, FIN | ACK, RST, SYN | FIN, 0)),
            ),
            max_size=60,
        )
    )
    def test_any(self, steps: list[tuple[str, int, int]]) -> None:
        """
        In whatever order they come, there are never more connections than there may be, and all that is known
        of them fits together.
        """
        self.setUp()
        sessions = self.sessions
        for kind, number, flags in steps:
            known = list(sessions._ports)
            port = known[number % len(known)] if known else 1024
            if kind == "program":
                self.give(outwards(sport=number, flags=flags))
            elif kind == "port":
                self.give(Segment(OWN[4], PORT, PEER[4], port, flags))
            elif kind == "accept":
                sessions.find(port)
            else:
                self.clock.advance(number * 12)
            self.assertLessEqual(len(sessions), 4)
            all = set(sessions._ports.values())
            self.assertEqual({found[0] for found in sessions._sessions.values()}, all)
            self.assertEqual(len(sessions._sessions), 2 * len(all))
            self.assertLessEqual({*sessions._opening, *sessions._ended}, all)
            self.assertEqual(sessions.up, sum(session.isUp for session in all))
            self.assertFalse(any(session.isUp and session.ends & 2 for session in all))
