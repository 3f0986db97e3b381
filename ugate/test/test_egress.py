# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which resolved addresses are refused.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Denied, Refused
from ugate.tenancy import egress
from ugate.tenancy.egress import Egress, OwnListeners, plain

NEVER = (
    ("169.254.169.254", "metadata"),
    ("::ffff:169.254.169.254", "metadata"),
    ("::ffff:a9fe:a9fe", "metadata"),
    ("2002:a9fe:a9fe::", "metadata"),
    ("2002:a9fe:a9fe:1::1", "metadata"),
    ("64:ff9b::169.254.169.254", "metadata"),
    ("64:ff9b::a9fe:a9fe", "metadata"),
    ("fd00:ec2::254", "metadata"),
    ("fd00:0ec2:0:0:0:0:0:254", "metadata"),
    ("fd00:ec2::254%eth0", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("100.100.100.200", "metadata"),
    ("168.63.129.16", "metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.255.255", "link-local"),
    ("::ffff:169.254.1.1", "link-local"),
    ("2002:a9fe:101::1", "link-local"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf:ffff::1", "link-local"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("::ffff:224.0.0.251", "multicast"),
    ("ff02::1", "multicast"),
    ("ff02::fb%eth0", "multicast"),
)
PRIVATE = (
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::1",
    "::1%lo",
    "::ffff:127.0.0.1",
    "::ffff:0.0.0.0",
    "64:ff9b::127.0.0.1",
    "2002:7f00:1::",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "::ffff:192.168.1.1",
    "2002:c0a8:101::",
    "64:ff9b::10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "::ffff:100.64.0.1",
    "198.18.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "2001:db8::1",
)
PUBLIC = (
    "1.1.1.1",
    "9.255.255.255",
    "100.63.255.255",
    "100.128.0.0",
    "172.32.0.1",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2002:101:101::",
    "2606:4700:4700::1111",
    "2606:4700:4700::1111%eth0",
)
NOT_ADDRESSES = (
    "localhost",
    "",
    "127.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "2130706433",
    "127.0.0.1.",
    " 127.0.0.1",
    "1.2.3.4/8",
)


class PlainTests(SynchronousTestCase):
    """
    L{plain}.
    """

    @given(st.ip_addresses(v=4))
    def test_taken(self, address: IPv4Address) -> None:
        """
        An IPv4 address is found in each of the ways in which IPv6 can carry it.
        """
        number = int(address)
        wanted = ip_address("127.0.0.1") if not number else address
        for carrier in (
            f"::ffff:{address}",
            f"64:ff9b::{address}",
            f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1",
            str(address),
        ):
            self.assertEqual(plain(ip_address(carrier)), wanted, carrier)

    def test_unspecified(self) -> None:
        """
        The unspecified address is this host for a kernel that is asked to connect there.
        """
        self.assertEqual(plain(ip_address("0.0.0.0")), ip_address("127.0.0.1"))
        self.assertEqual(plain(ip_address("::")), ip_address("::1"))


class EgressTests(SynchronousTestCase):
    """
    L{Egress.check}.
    """

    def setUp(self) -> None:
        self.open = Egress(OwnListeners(), private=True)
        self.closed = Egress(OwnListeners(), private=False)

    def test_never(self) -> None:
        """
        Whatever the config says, these are refused, and the reason is named.
        """
        for rules in (self.open, self.closed):
            for host, why in NEVER:
                error = self.assertRaises(Denied, rules.check, host, 80)
                self.assertIn(why, error.detail, host)
                self.assertIn(f"{host}]:80" if ":" in host else f"{host}:80", error.hop)

    def test_private(self) -> None:
        """
        Private ranges and this host are a setting.
        """
        for host in PRIVATE:
            self.open.check(host, 80)
            error = self.assertRaises(Denied, self.closed.check, host, 80)
            self.assertEqual(error.detail, "a private address", host)
            self.assertIn("policy.private", error.nextStep)

    def test_public(self) -> None:
        """
        All others may be reached.
        """
        for host in PUBLIC:
            self.open.check(host, 80)
            self.closed.check(host, 80)

    def test_noAddress(self) -> None:
        """
        What is no address literal has not been resolved, so nothing can be said of it:
        none of the spellings that some resolvers take for an address passes.
        """
        for host in NOT_ADDRESSES:
            error = self.assertRaises(Denied, self.open.check, host, 80)
            self.assertIn("resolve it first", error.detail, host)

    @given(st.text(max_size=60) | st.ip_addresses().map(str), st.integers(1, 65535))
    def test_anyText(self, host: str, port: int) -> None:
        """
        Any text passes or is L{Denied}; what a strict config lets pass, an open one does.
        """
        try:
            self.closed.check(host, port)
        except Denied:
            return
        self.open.check(host, port)

    def test_ownListener(self) -> None:
        """
        A listener of the gateway is refused also where private addresses are allowed.
        """
        own = OwnListeners()
        own.add("127.0.0.1", 1080)
        rules = Egress(own, private=True)
        rules.check("127.0.0.1", 1081)
        for host in ("127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
            error = self.assertRaises(Denied, rules.check, host, 1080)
            self.assertIn("a listener of this gateway", error.detail)
            self.assertIn("the service itself", error.nextStep)
        own.remove("127.0.0.1", 1080)
        rules.check("127.0.0.1", 1080)

    def test_isARefusal(self) -> None:
        """
        Whoever handles refusals need know nothing of egress rules.
        """
        self.assertRaises(Refused, self.open.check, "169.254.169.254", 80)


class ZoneTests(SynchronousTestCase):
    """
    Addresses on one link, where those are allowed.
    """

    def test_zones(self) -> None:
        """
        Only those of IPv6 that say which link.
        """
        egress = Egress(OwnListeners(), private=True, zones=True)
        egress.check("fe80::1%eth0", 80)
        for host in ("fe80::1", "169.254.0.1", "169.254.169.254", "fd00:ec2::254%eth0", "ff02::fb%eth0"):
            self.assertRaises(Denied, egress.check, host, 80)
        closed = Egress(OwnListeners(), private=False, zones=True)
        self.assertRaises(Denied, closed.check, "fe80::1%eth0", 80)


class OutgoingTests(SynchronousTestCase):
    """
    How our own connections are known.
    """

    def test_capturing(self) -> None:
        """
        They are marked and remembered only while the kernel leads streams here.
        """
        own = OwnListeners().markWith(5)
        rules = Egress(own, True)
        self.assertEqual((rules.mark, rules.outgoing), (0, None))
        rules.capture()
        self.assertEqual((rules.mark, len(own.outgoing or "")), (5, 0))
        rules.capture()
        own.markWith(6)
        self.assertEqual(rules.mark, 5)
        rules.cannotMark()
        rules.cannotMark()
        self.assertEqual(rules.mark, 0)

    def test_isOwn(self) -> None:
        """
        Whether a listener is ours can be asked of what would be refused for other reasons, too.
        """
        own = OwnListeners()
        own.add("127.0.0.1", 80)
        rules = Egress(own, False)
        self.assertTrue(rules.isOwn("127.0.0.1", 80))
        self.assertFalse(rules.isOwn("127.0.0.1", 81))

    def test_most(self) -> None:
        """
        Only the last of them are remembered.
        """
        made = egress.Outgoing()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            for number in range(egress.MOST_OUTGOING + 3):
                made.add(("192.0.2.1", number, "192.0.2.9", 80), listening)
            self.assertEqual(len(made), egress.MOST_OUTGOING)
            self.assertFalse(made.holds(("192.0.2.1", 2, "192.0.2.9", 80)))
            self.assertTrue(made.holds(("192.0.2.1", 3, "192.0.2.9", 80)))
        self.assertFalse(made.holds(("192.0.2.1", 3, "192.0.2.9", 80)))

    def test_gone(self) -> None:
        """
        One that is not up any more is none of ours: others may have its port.
        """
        made = egress.Outgoing()
        key = ("192.0.2.1", 1, "192.0.2.9", 80)
        connecting = socket.socket()
        made.add(key, connecting)
        self.assertFalse(made.holds(key))
        connecting.close()
        del connecting
        self.assertFalse(made.holds(key))
