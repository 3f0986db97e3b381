# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.addressnames} and L{ugate.tenancy.fakeaddresses}.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from secrets import randbelow
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy import addressnames, fakeaddresses
from ugate.tenancy.addressnames import GRACE, AddressNames
from ugate.tenancy.fakeaddresses import REST, FakeAddresses

WIDE = ip_network("198.18.0.0/15")
SMALL = ip_network("198.18.0.0/29")


def number(text: str) -> bytes:
    """
    An address, packed.
    """
    return ip_address(text).packed


class AddressNamesTests(SynchronousTestCase):
    """
    L{AddressNames}.
    """

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.patch(fakeaddresses, "randbelow", lambda _: 0)
        self.names = AddressNames(self.clock, most=3)

    def test_learned(self) -> None:
        """
        The name of an address is known while the answer is good and a while longer, in whatever way the
        address is written.
        """
        self.names.learn("db.example", number("192.0.2.1"), 60)
        self.names.learn("six.example", number("2001:db8::1"), 60)
        self.assertEqual("db.example", self.names.nameFor("192.0.2.1"))
        self.assertEqual("db.example", self.names.nameFor("::ffff:192.0.2.1"))
        self.assertEqual("six.example", self.names.nameFor("2001:db8:0::1"))
        for other in ("192.0.2.2", "db.example", "", "::", "fe80::1%eth0"):
            self.assertIsNone(self.names.nameFor(other), other)
        self.clock.advance(60 + GRACE)
        self.assertEqual("db.example", self.names.nameFor("192.0.2.1"))
        self.clock.advance(1)
        self.assertIsNone(self.names.nameFor("192.0.2.1"))
        self.assertEqual(1, len(self.names))

    def test_last(self) -> None:
        """
        Of several names with one address, it is the one that was asked for last.
        """
        self.names.learn("a.example", number("192.0.2.1"), 60)
        self.names.learn("b.example", number("192.0.2.1"), 60)
        self.assertEqual("b.example", self.names.nameFor("192.0.2.1"))
        self.assertEqual(1, len(self.names))

    def test_most(self) -> None:
        """
        Of too many, what was told longest ago is forgotten.
        """
        for last in (1, 2, 3, 1, 4):
            self.names.learn(f"{last}.example", number(f"192.0.2.{last}"), 60)
        self.assertEqual(3, len(self.names))
        self.assertIsNone(self.names.nameFor("192.0.2.2"))
        self.assertEqual("1.example", self.names.nameFor("192.0.2.1"))
        self.assertGreater(addressnames.MOST, 1000)

    def test_fake(self) -> None:
        """
        Addresses of a range stand for names alone, also those that are nobody's.
        """
        self.assertFalse(self.names.isFake("198.18.0.1"))
        made = self.names.fake(WIDE, set)
        address = made.addressFor("db.example")
        self.assertEqual(number("198.18.0.1"), address)
        self.assertEqual("db.example", self.names.nameFor("198.18.0.1"))
        self.assertIsNone(self.names.nameFor("198.18.0.2"))
        self.names.learn("other.example", number("198.18.0.1"), 60)
        self.assertEqual(("db.example", 0), (self.names.nameFor("198.18.0.1"), len(self.names)))
        for inside in ("198.18.0.0", "198.18.0.2", "198.19.255.255", "::ffff:198.18.0.1"):
            self.assertTrue(self.names.isFake(inside), inside)
        for outside in ("198.17.255.255", "198.20.0.0", "db.example", "::1"):
            self.assertFalse(self.names.isFake(outside), outside)

    def test_fakeIsKept(self) -> None:
        """
        Whoever asks for the same range again has what was made up before, until nobody wants it.
        """
        made = self.names.fake(WIDE, set)
        self.assertIs(made, self.names.fake(WIDE, set))
        other = ip_network("fd00:1::/64")
        self.names.fake(other, set)
        self.names.keep([WIDE, SMALL])
        self.assertEqual([True, False], [self.names.isFake(each) for each in ("198.18.0.1", "fd00:1::1")])
        self.names.keep([])
        self.assertFalse(self.names.isFake("198.18.0.1"))
        self.assertIsNot(made, self.names.fake(WIDE, set))


class FakeAddressesTests(SynchronousTestCase):
    """
    L{FakeAddresses}.
    """

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.patch(fakeaddresses, "randbelow", lambda _: 0)
        self.streams: set[str] = set()
        self.asked = 0
        self.made = FakeAddresses(self.clock, SMALL, self.inUse)

    def inUse(self) -> set[str]:
        """
        What streams are for.
        """
        self.asked += 1
        return set(self.streams)

    def fill(self) -> dict[str, bytes | None]:
        """
        Use all, one name a second.
        """
        given = {}
        for name in "abcdef":
            given[name] = self.made.addressFor(name)
            self.clock.advance(1)
        return given

    def test_stable(self) -> None:
        """
        A name keeps its address; no two have the same; neither end of the range is used.
        """
        given = self.fill()
        self.assertEqual([number(f"198.18.0.{last}") for last in range(1, 7)], list(given.values()))
        self.assertEqual(given["a"], self.made.addressFor("a"))
        self.assertEqual(6, len(self.made))

    def test_restarted(self) -> None:
        """
        After a restart they begin elsewhere, so that what a program still has is hardly another name's; all
        are used nevertheless.
        """
        self.patch(fakeaddresses, "randbelow", randbelow)
        wide = [FakeAddresses(self.clock, WIDE, self.inUse).addressFor("a") for _ in range(20)]
        self.assertGreater(len({*wide}), 10)
        for start in range(6):
            self.patch(fakeaddresses, "randbelow", lambda many, start=start: start % many)
            self.made = FakeAddresses(self.clock, SMALL, self.inUse)
            given = self.fill()
            self.assertEqual({number(f"198.18.0.{last}") for last in range(1, 7)}, {*given.values()})

    def test_noneLeft(self) -> None:
        """
        None is given away that was told or used a moment ago.
        """
        given = self.fill()
        self.assertIsNone(self.made.addressFor("g"))
        self.clock.advance(REST - 7)
        self.assertEqual("a", self.made.nameFor(given["a"] or b""))
        self.assertIsNone(self.made.addressFor("g"))
        self.clock.advance(2)
        self.assertEqual(given["b"], self.made.addressFor("g"))
        self.assertEqual("g", self.made.nameFor(given["b"] or b""))
        self.assertEqual("a", self.made.nameFor(given["a"] or b""))
        self.assertEqual(6, len(self.made))

    def test_streams(self) -> None:
        """
        None is given away that a stream uses, however long ago it was asked for.
        """
        given = self.fill()
        self.streams = {"a", "b", "d"}
        self.clock.advance(10 * REST)
        self.assertEqual(given["c"], self.made.addressFor("g"))
        self.assertEqual(given["e"], self.made.addressFor("h"))
        self.assertEqual(given["f"], self.made.addressFor("i"))
        self.assertIsNone(self.made.addressFor("j"))
        self.assertEqual(1, self.asked)
        self.streams = {"a"}
        self.clock.advance(REST)
        self.assertEqual(given["b"], self.made.addressFor("j"))
        self.assertEqual(2, self.asked)

    def test_most(self) -> None:
        """
        Of a large range only a part is used; of one that is too small, nothing.
        """
        made = FakeAddresses(self.clock, ip_network("fd00:1::/64"), set, most=2)
        self.assertEqual(number("fd00:1::1"), made.addressFor("a"))
        self.assertEqual(number("fd00:1::2"), made.addressFor("b"))
        self.assertIsNone(made.addressFor("c"))
        self.assertIsNone(FakeAddresses(self.clock, ip_network("192.0.2.1/32"), set).addressFor("a"))
        self.assertIsNone(FakeAddresses(self.clock, ip_network("192.0.2.0/31"), set).addressFor("a"))
