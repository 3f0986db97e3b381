# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where this process listens itself: L{ugate.tenancy.egress.OwnListeners}.
"""

from __future__ import annotations

import errno
import socket

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy import egress
from ugate.tenancy.egress import OwnListeners


class OwnListenersTests(SynchronousTestCase):
    """
    L{OwnListeners}.
    """

    def setUp(self) -> None:
        self.own = OwnListeners()

    def test_exactly(self) -> None:
        """
        One address is one address, in whatever form it is asked for.
        """
        self.own.add("192.0.2.1", 80)
        self.assertTrue(self.own.holds("192.0.2.1", 80))
        self.assertTrue(self.own.holds("::ffff:192.0.2.1", 80))
        for host, port in (("192.0.2.1", 81), ("192.0.2.2", 80), ("127.0.0.1", 80), ("::1", 80)):
            self.assertFalse(self.own.holds(host, port), (host, port))

    def test_zone(self) -> None:
        """
        The zone of an address makes no difference.
        """
        self.own.add("fe80::1%eth0", 80)
        self.assertTrue(self.own.holds("fe80::1", 80))
        self.assertTrue(self.own.holds("fe80::1%eth1", 80))

    def test_zoneOfAll(self) -> None:
        """
        Whether a link-local address is of this machine is asked for its link; where there is no such link it
        is taken for ours.
        """
        self.own.add("::", 80)
        self.assertFalse(self.own.holds("fe80::dead:beef%lo", 80))
        self.assertTrue(self.own.holds("fe80::dead:beef%nolink", 80))

    def test_wildcard(self) -> None:
        """
        Who listens everywhere listens on each address of this machine, and on no other.
        """
        self.own.add("0.0.0.0", 80)
        for host in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "::ffff:127.0.0.1", *addressesOfThisHost()):
            self.assertTrue(self.own.holds(host, 80), host)
        for host in ("192.0.2.1", "1.1.1.1"):
            self.assertFalse(self.own.holds(host, 80), host)

    def test_wildcardHearsItsFamily(self) -> None:
        """
        Who listens on all IPv4 addresses hears nothing of ::1; who listens on :: hears
        both families.
        """
        self.own.add("0.0.0.0", 80)
        self.assertFalse(self.own.holds("::1", 80))
        self.assertFalse(self.own.holds("::", 80))
        self.own.add("::", 81)
        for host in ("127.0.0.1", "0.0.0.0", *addressesOfThisHost()):
            self.assertTrue(self.own.holds(host, 81), host)
        if hasIPv6():
            self.assertTrue(self.own.holds("::1", 81))
        self.assertFalse(self.own.holds("2606:4700:4700::1111", 81))

    def test_several(self) -> None:
        """
        Two listeners on one port are two; to forget one leaves the other.
        """
        self.own.add("127.0.0.1", 80)
        self.own.add("127.0.0.2", 80)
        self.own.add("127.0.0.2", 80)
        self.own.remove("127.0.0.2", 80)
        self.assertTrue(self.own.holds("127.0.0.2", 80))
        self.own.remove("127.0.0.2", 80)
        self.assertFalse(self.own.holds("127.0.0.2", 80))
        self.assertTrue(self.own.holds("127.0.0.1", 80))
        self.own.remove("127.0.0.1", 80)
        self.assertFalse(self.own.holds("127.0.0.1", 80))

    def test_clear(self) -> None:
        """
        All can be forgotten at once.
        """
        self.own.add("127.0.0.1", 80)
        self.own.add("::", 81)
        self.own.clear()
        self.assertFalse(self.own.holds("127.0.0.1", 80))
        self.assertFalse(self.own.holds("127.0.0.1", 81))

    def test_doubtIsRefused(self) -> None:
        """
        When it cannot be found out whether an address is ours, as without a free
        descriptor, it is taken for ours; an address family that this host does not have
        is not.
        """

        class Broken:
            AF_INET, AF_INET6, SOCK_DGRAM = socket.AF_INET, socket.AF_INET6, socket.SOCK_DGRAM
            number = errno.EMFILE

            def socket(self, family: int, kind: int) -> socket.socket:
                raise OSError(self.number, "no")

        broken = Broken()
        self.patch(egress, "socket", broken)
        self.own.add("::", 80)
        self.assertTrue(self.own.holds("192.0.2.1", 80))
        broken.number = errno.EAFNOSUPPORT
        self.assertFalse(self.own.holds("192.0.2.1", 80))


def addressesOfThisHost() -> list[str]:
    """
    Where a datagram from here to elsewhere would come from, if there is such a way.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


def hasIPv6() -> bool:
    """
    Whether this host has ::1.
    """
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
