# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.netlinks}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.netlinks import Link, linkLocals, linksFrom, readLinks

INET6 = """\
fe800000000000000000000000000007 02 40 20 80     eth0
20010db8000000000000000000000007 02 40 00 80     eth0
fe800000000000000000000000000008 02 40 20 80     eth0
fe800000000000000000000000000009 03 40 20 c0     eth1
fe80000000000000000000000000000a 04 40 20 88     eth2
00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000000000000000000b 11 40 20 80     eth17
"""
"""An address that is tentative, and one that another host has."""

UP, LOOPBACK, MULTICAST, RUNNING = 0x1, 0x8, 0x1000, 0x40


class Kernel:
    """
    What the kernel knows.
    """

    def __init__(self, **known: tuple[int, str, str]) -> None:
        self.known = known

    def __call__(self, what: int, name: str) -> bytes:
        """
        As C{ioctl} does.
        """
        try:
            flags, address, mask = self.known[name]
        except KeyError:
            raise OSError(19, "No such device") from None
        if what == 0x8913:
            return pack("=16sH14x", name.encode(), flags)
        text = {0x8915: address, 0x891B: mask}[what]
        if not text:
            raise OSError(99, "Cannot assign requested address")
        return pack("=16sHH4s8x", name.encode(), 2, 0, IPv4Address(text).packed)


class LinksTests(SynchronousTestCase):
    """
    Which links there are.
    """

    def test_inet6(self) -> None:
        """
        The first link-local address of each interface that can be used.
        """
        found = linkLocals(INET6.splitlines())
        self.assertEqual({2: IPv6Address("fe80::7"), 17: IPv6Address("fe80::b")}, found)

    @given(st.lists(st.text(max_size=80)))
    def test_anything(self, lines: list[str]) -> None:
        """
        Lines that have nothing of that are passed over.
        """
        self.assertLessEqual(len(linkLocals([*lines, *INET6.splitlines()])), 2 + len(lines))

    def test_which(self) -> None:
        """
        Those that are up, are no loopback, know multicast and have an address.
        """
        good = UP | MULTICAST | RUNNING
        kernel = Kernel(
            lo=(UP | LOOPBACK, "127.0.0.1", "255.0.0.0"),
            eth0=(good, "192.0.2.1", "255.255.255.0"),
            eth1=(good, "", ""),
            eth2=(MULTICAST, "192.0.2.2", "255.255.255.0"),
            tun0=(UP, "192.0.2.3", "255.255.255.255"),
            eth3=(good, "", ""),
            loop=(good | LOOPBACK, "192.0.2.4", "255.255.255.0"),
        )
        names = list(enumerate(("lo", "eth0", "eth1", "eth2", "tun0", "eth3", "loop", "gone"), 1))
        locals6 = {2: IPv6Address("fe80::7"), 3: IPv6Address("fe80::8")}
        eth0 = Link(2, "eth0", IPv4Interface("192.0.2.1/24"), IPv6Address("fe80::7"))
        eth1 = Link(3, "eth1", None, IPv6Address("fe80::8"))
        self.assertEqual((eth0, eth1), linksFrom(names, kernel, locals6))
        self.assertEqual((eth1,), linksFrom(names, kernel, locals6, ("eth1", "lo", "none")))
        self.assertEqual(("192.0.2.1", "fe80::7"), (eth0.source(False), eth0.source(True)))
        self.assertEqual(("", "fe80::8"), (eth1.source(False), eth1.source(True)))

    def test_neighbours(self) -> None:
        """
        Who can be on a link: whose address is of its network, or link-local.
        """
        link = Link(2, "eth0", IPv4Interface("192.0.2.1/28"), IPv6Address("fe80::7"))
        for host, isThere in (
            ("192.0.2.14", True),
            ("192.0.2.16", False),
            ("fe80::9", True),
            ("2001:db8::9", False),
            ("::1", False),
            ("::ffff:192.0.2.2", False),
            ("ff02::1", False),
            ("127.0.0.1", False),
            ("host.example", False),
        ):
            self.assertEqual(isThere, link.isNeighbour(host), host)
        for host in ("192.0.2.2", "fe80::9"):
            self.assertFalse(Link(2, "eth0").isNeighbour(host))
        loop = Link(2, "odd", IPv4Interface("127.0.0.1/8"))
        self.assertFalse(loop.isNeighbour("127.0.0.2"))

    def test_here(self) -> None:
        """
        This machine tells, and does not name its loopback interface.
        """
        self.assertNotIn("lo", [link.name for link in readLinks()])
        self.assertEqual((), readLinks(("lo", "none")))
