# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.neighbours} and L{ugate.modules.buckets}.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import MeshAddress
from ugate.modules import neighbours
from ugate.modules.neighbours import (
    BROKEN,
    FAR,
    FULL,
    MAX_AT_PLACE,
    MAX_PLACES,
    PER_SOURCE,
    QUIET,
    RATE,
    UNTRUSTED,
    Dropped,
    Heard,
    Neighbours,
)
from ugate.modules.netlinks import Link
from ugate.tenancy.identity import Identity
from ugate.tenancy.noderecords import peek, sign
from ugate.test.discoveryfakes import ETH0, ETH1, announcement, datagram
from ugate.test.identityfakes import NOW, p256
from ugate.test.test_noderecords import identityOf

HOST = "192.0.2.7"


def somebody() -> Identity:
    """
    A node with a new key, of the kind that is quickly made.
    """
    return identityOf(Ed25519PrivateKey.generate())


class NeighboursTests(SynchronousTestCase):
    """
    L{Neighbours}.
    """

    def setUp(self) -> None:
        self.now = NOW
        self.at = 1000.0
        self.table = Neighbours(256)
        self.bob = identityOf(p256())

    def hear(self, data: bytes, host: str = HOST, link: Link | None = ETH0, **more: Any) -> Heard:
        """
        A datagram comes.
        """
        came = datagram(data, host, link or ETH0, **more)
        return self.table.hear(came, link, self.now, self.at)

    def dropped(self, why: str, data: bytes, *args: Any, text: str = "", **more: Any) -> None:
        """
        Nothing follows from it.
        """
        error = self.assertRaises(Dropped, self.hear, data, *args, **more)
        self.assertEqual(why, error.why, error.detail)
        self.assertIn(text, error.detail)

    def wait(self, seconds: float) -> list[str]:
        """
        Time passes.

        @return: of whom something changed.
        """
        self.now += seconds
        self.at += seconds
        return [each.keyid for each in self.table.forgetOld(self.now, self.at)]

    def say(self, *ways: str, host: str = HOST, **more: Any) -> bytes:
        """
        What bob says.
        """
        return announcement(self.bob, host, *ways, **{"issued": self.now, **more})

    def test_heard(self) -> None:
        """
        Who announces itself is known until that is over, at the address that it came from.
        """
        heard = self.hear(self.say("connect:15008", "tls:443"))
        self.assertTrue(heard.isNewcomer)
        self.assertEqual(self.bob.keyid, heard.neighbour.keyid)
        ways = (MeshAddress("connect", HOST, 15008), MeshAddress("tls", HOST, 443))
        self.assertEqual(ways, heard.neighbour.addresses)
        self.assertEqual(self.at + 360, heard.neighbour.expires)
        self.assertEqual([], self.wait(359))
        self.assertEqual([self.bob.keyid], self.wait(1))
        self.assertEqual((), heard.neighbour.addresses)
        self.assertEqual([], self.wait(60))
        self.assertEqual(0, len(self.table))

    def test_zone(self) -> None:
        """
        A link-local address is one on that link.
        """
        heard = self.hear(self.say(host="fe80::7"), "fe80::7")
        self.assertEqual((MeshAddress("connect", "fe80::7%eth0", 15008),), heard.neighbour.addresses)

    def test_both(self) -> None:
        """
        All addresses that a node announces itself from are its own; each ends by itself.
        """
        self.hear(self.say(host="fe80::7", sequence=1), "fe80::7")
        self.wait(100)
        both = self.hear(self.say(sequence=2)).neighbour
        self.assertEqual(["fe80::7%eth0", HOST], [each.host for each in both.addresses])
        self.hear(self.say(host="198.51.100.7", sequence=3), "198.51.100.7", ETH1)
        self.assertEqual(3, len(both.addresses))
        self.assertEqual([self.bob.keyid], self.wait(260))
        self.assertEqual([HOST, "198.51.100.7"], [each.host for each in both.addresses])
        self.hear(self.say(host="198.51.100.7", lifetime=0), "198.51.100.7", ETH1)
        self.assertEqual([HOST], [each.host for each in both.addresses])

    def test_far(self) -> None:
        """
        What a router passed on, what is from another network, and what came by another link is dropped before
        anything else.
        """
        data = self.say()
        self.dropped(FAR, data, hops=254)
        self.dropped(FAR, data, hops=0)
        self.dropped(FAR, data, HOST, None)
        self.dropped(FAR, data, HOST, ETH1)
        for host in ("203.0.113.9", "127.0.0.1", "::1", "2001:db8::7", "fd00::7", "nonsense", ""):
            self.dropped(FAR, data, host)
        self.hear(data)

    def test_elsewhere(self) -> None:
        """
        What somebody else repeats from its own address is not believed.
        """
        data = self.say()
        for host in ("192.0.2.66", "fe80::66"):
            self.dropped(BROKEN, data, host, text="of another address")
        many = sign(
            self.bob,
            [MeshAddress("connect", host, 1) for host in (HOST, "192.0.2.66")],
            issued=self.now,
            lifetime=360,
        )
        self.dropped(BROKEN, many, text="of another address")
        self.dropped(BROKEN, sign(self.bob, [], issued=self.now, lifetime=360), text="of another address")
        self.assertEqual([], self.table.all())

    def test_replay(self) -> None:
        """
        An older one, or the same, changes nothing: not when a later one came, nor after a goodbye, nor when
        the time is over.
        """
        first = self.say(sequence=1)
        later = self.say("connect:1", sequence=2)
        node = self.hear(later).neighbour
        self.dropped(QUIET, first)
        self.dropped(QUIET, later)
        self.assertEqual(1, node.addresses[0].port)
        self.wait(1)
        self.hear(self.say(lifetime=0))
        self.assertEqual((), node.addresses)
        for _ in range(5):
            self.dropped(QUIET, first)
            self.dropped(QUIET, later)
            self.wait(80)
        self.assertEqual(1, len(self.table))
        self.wait(60)
        self.assertEqual(0, len(self.table))
        self.dropped(BROKEN, later, text="too old")

    def test_ended(self) -> None:
        """
        A clock that is ahead gives no more time, and what is over is not heard a second time.
        """
        data = self.say(issued=self.now + 50)
        node = self.hear(data).neighbour
        self.assertEqual(self.at + 360, node.expires)
        self.assertEqual([self.bob.keyid], self.wait(361))
        self.dropped(QUIET, data)
        late = announcement(somebody(), HOST, issued=self.now - 400)
        self.dropped(BROKEN, late, text="too old")

    def test_goodbye(self) -> None:
        """
        Who was not there does not go; who went may come again.
        """
        self.dropped(QUIET, self.say(lifetime=0))
        self.assertEqual(0, len(self.table))
        self.hear(self.say())
        self.wait(1)
        gone = self.hear(self.say(lifetime=0))
        self.assertFalse(gone.isNewcomer)
        self.wait(1)
        self.dropped(QUIET, self.say(lifetime=0))
        again = self.hear(self.say(sequence=1))
        self.assertTrue(again.isNewcomer)
        self.assertEqual(1, len(again.neighbour.addresses))

    def test_newcomer(self) -> None:
        """
        A node counts what it sends, so one that began anew is a newcomer, and one that goes on is none.
        """
        self.assertTrue(self.hear(self.say(sequence=5)).isNewcomer)
        self.wait(1)
        self.assertFalse(self.hear(self.say(sequence=6)).isNewcomer)
        self.wait(1)
        self.assertTrue(self.hear(self.say(sequence=1)).isNewcomer)

    def test_own(self) -> None:
        """
        What we say ourselves is heard, and nothing follows.
        """
        data = self.say()
        self.table = Neighbours(256, isOurs=lambda key: key == peek(data).key)
        self.dropped(QUIET, data)
        self.assertEqual(0, len(self.table))

    def test_sameAddress(self) -> None:
        """
        A key that announces the address of another one is another node.
        """
        bob = self.hear(self.say()).neighbour
        mallory = self.hear(announcement(somebody(), HOST)).neighbour
        self.assertNotEqual(bob.keyid, mallory.keyid)
        self.assertEqual(bob.addresses, mallory.addresses)
        self.assertEqual(2, len(self.table))

    def test_trusted(self) -> None:
        """
        Who is not wanted is not remembered.
        """
        self.table = Neighbours(256, lambda keyid: keyid == self.bob.keyid)
        self.hear(self.say())
        self.dropped(UNTRUSTED, announcement(somebody(), HOST))
        self.assertEqual(1, len(self.table))

    def test_nodes(self) -> None:
        """
        There are only so many nodes.
        """
        self.table = Neighbours(2)
        for number in range(2):
            self.hear(announcement(somebody(), f"192.0.2.{number + 7}"), f"192.0.2.{number + 7}")
        self.dropped(FULL, self.say(host="192.0.2.9"), "192.0.2.9", text="one more from 192.0.2.9")
        self.wait(361)
        self.wait(60)
        self.hear(self.say(host="192.0.2.9"), "192.0.2.9")

    def test_places(self) -> None:
        """
        One node is at only so many addresses, and only so many nodes are at one.
        """
        for number in range(MAX_PLACES):
            self.hear(self.say(host=f"192.0.2.{number + 20}", sequence=number), f"192.0.2.{number + 20}")
        self.dropped(FULL, self.say(), text="from 192.0.2.7 too")
        node = self.table.all()[0]
        self.assertEqual(neighbours.MAX_ADDRESSES, len(node.addresses))
        self.wait(1)
        for number in range(MAX_PLACES):
            ways = [f"connect:{port}" for port in range(1, 9)]
            data = self.say(*ways, host=f"192.0.2.{number + 20}")
            self.hear(data, f"192.0.2.{number + 20}")
        self.assertEqual(neighbours.MAX_ADDRESSES, len(node.addresses))
        for _ in range(MAX_AT_PLACE):
            self.hear(announcement(somebody(), HOST))
        self.dropped(FULL, announcement(somebody(), HOST), text="where there are 16")

    def test_source(self) -> None:
        """
        From one address come only so many datagrams, and others are heard nevertheless.
        """
        rate, burst = PER_SOURCE
        for _ in range(int(burst)):
            self.dropped(BROKEN, b"x")
        self.dropped(RATE, self.say())
        self.hear(self.say(host="192.0.2.8"), "192.0.2.8")
        self.wait(1 / rate)
        self.hear(self.say())

    def test_links(self) -> None:
        """
        From all together come only so many.
        """
        link = Link(2, "eth0", None, ETH0.ipv6)
        burst = int(neighbours.PER_LINKS[1])
        for number in range(burst):
            self.dropped(BROKEN, b"x", f"fe80::{number + 10:x}", link)
        self.dropped(RATE, self.say(host="fe80::7"), "fe80::7", link)
        self.wait(1)
        self.hear(self.say(host="fe80::7"), "fe80::7", link)

    def test_checks(self) -> None:
        """
        Only so many signatures are checked, and none of what is not worth it.
        """
        burst = int(neighbours.CHECKS[1])
        data = self.say(host="fe80::7")
        bad = data[:-1] + bytes([data[-1] ^ 1])
        for number in range(burst):
            self.dropped(BROKEN, bad, f"fe80::{number + 10:x}", text="signature is wrong")
        self.dropped(RATE, data, "fe80::7", text="signatures")
        self.wait(2 / neighbours.CHECKS[0])
        self.hear(data, "fe80::7")
        # It is the same: no signature has to be checked to see that.
        self.dropped(QUIET, data, "fe80::7")
        self.dropped(BROKEN, b"x" * 1201, text="at most 1200")

    def test_long(self) -> None:
        """
        Nobody is remembered for longer than a few hours.
        """
        self.hear(self.say(lifetime=3 * 3600))
        self.dropped(BROKEN, announcement(somebody(), HOST, lifetime=3 * 3600 + 1), text="good for")

    @given(st.binary(max_size=1300))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever comes is dropped.
        """
        self.at += 10
        self.assertRaises(Dropped, self.hear, data)
