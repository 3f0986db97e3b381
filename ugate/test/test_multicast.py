# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.multicast} and L{ugate.modules.datagrams}; those with real networks are in
C{ugate.test.interop.test_discovery}.
"""

from __future__ import annotations

import errno
import socket
from struct import pack
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ListenRefused
from ugate.modules.datagrams import Datagram, Family
from ugate.modules.multicast import AT_ONCE, PAUSE, Multicast
from ugate.modules.netlinks import Link
from ugate.test.discoveryfakes import ETH0, ETH1

GROUPS = ("ff02::5227", "224.0.0.250")


class FakeSocket:
    """
    A socket that the network is not behind.
    """

    def __init__(self, family: FakeFamily, port: int) -> None:
        self.family = family
        self.port = port
        self.isClosed = False
        self.waiting: list[Any] = []

    def fileno(self) -> int:
        """
        Its number.
        """
        return -1 if self.isClosed else id(self)

    def recvmsg(self, size: int, room: int) -> Any:
        """
        As that of a socket.
        """
        if not self.waiting:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        return self.waiting.pop(0)

    def close(self) -> None:
        """
        As that of a socket.
        """
        self.isClosed = True


class FakeFamily(Family):
    """
    A family that keeps what it is told.
    """

    def __init__(self, group: str) -> None:
        super().__init__(group)
        self.opened: list[FakeSocket] = []
        self.joined: list[int] = []
        self.left: list[int] = []
        self.sent: list[tuple[int, bytes, str, int, int, str]] = []
        self.trouble: OSError | None = None

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def open(self, port: int) -> Any:
        """
        See L{Family}.
        """
        self._fail()
        self.opened.append(FakeSocket(self, port))
        return self.opened[-1]

    def join(self, joining: Any, link: int) -> None:
        """
        See L{Family}.
        """
        self._fail()
        self.joined.append(link)

    def leave(self, leaving: Any, link: int) -> None:
        """
        See L{Family}.
        """
        self.left.append(link)
        self._fail()

    def send(self, by: Any, data: bytes, host: str, port: int, link: int, source: str) -> None:
        """
        See L{Family}.
        """
        self._fail()
        self.sent.append((by.port, data, host, port, link, source))


class MulticastTests(SynchronousTestCase):
    """
    L{Multicast}.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.came: list[Datagram] = []
        self.multicast = Multicast(self.reactor, GROUPS, 5227, self.came.append)
        self.six, self.four = families = [FakeFamily(group) for group in GROUPS]
        self.multicast._families = {each.isIPv6: each for each in families}
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_opened(self) -> None:
        """
        Each family has a socket with the port of the groups, and one to send with; all are closed.
        """
        self.multicast.open(True)
        self.assertEqual(
            [[5227, 0]] * 2, [[each.port for each in one.opened] for one in (self.six, self.four)]
        )
        self.assertEqual(4, len(self.reactor.getReaders()))
        self.multicast.close()
        self.assertEqual([], self.reactor.getReaders())
        self.assertTrue(all(each.isClosed for each in self.six.opened + self.four.opened))

    def test_silent(self) -> None:
        """
        Who sends nothing has no socket for it.
        """
        self.multicast.open(False)
        self.assertEqual([[5227]] * 2, [[each.port for each in one.opened] for one in (self.six, self.four)])
        self.assertFalse(self.multicast.tellAll(ETH0, True, b"x"))

    def test_oneFamily(self) -> None:
        """
        A family that this host has not is left out; with none at all it is refused.
        """
        self.six.trouble = OSError(errno.EAFNOSUPPORT, "not supported")
        self.multicast.open(True)
        self.multicast.follow([ETH0])
        self.assertEqual(([], [2]), (self.six.joined, self.four.joined))
        self.assertFalse(self.multicast.tellAll(ETH0, True, b"x"))
        self.assertFalse(self.multicast.tell(ETH0, "fe80::7", 1, b"x"))
        self.four.trouble = OSError(errno.EADDRINUSE, "in use")
        other = Multicast(self.reactor, GROUPS, 5227, self.came.append)
        other._families = self.multicast._families
        error = self.assertRaises(ListenRefused, other.open, True)
        self.assertIn("UDP port 5227 cannot be listened on", str(error))

    def test_follow(self) -> None:
        """
        The groups are joined on each link, by the families that it has, and left when it is gone.
        """
        self.multicast.open(True)
        bare = Link(4, "eth2", None, ETH0.ipv6)
        self.multicast.follow([ETH0, bare])
        self.assertEqual(([2, 4], [2]), (sorted(self.six.joined), self.four.joined))
        self.multicast.follow([ETH1, bare])
        self.assertEqual(([2], [2]), (self.six.left, self.four.left))
        self.assertEqual((3, [2, 3]), (len(self.six.joined), self.four.joined))
        self.four.trouble = OSError(errno.ENODEV, "gone")
        self.multicast.follow([])
        self.assertEqual([2, 3], self.four.left)

    def test_unjoined(self) -> None:
        """
        What cannot be joined is told once, and tried again.
        """
        self.multicast.open(True)
        self.four.trouble = OSError(errno.ENOBUFS, "too many")
        for _ in range(3):
            self.multicast.follow([ETH0])
        lines = [formatEvent(each) for each in self.events]
        self.assertEqual(1, len([line for line in lines if "eth0: nobody is heard there" in line]), lines)
        self.four.trouble = None
        self.multicast.follow([ETH0])
        self.assertEqual([2], self.four.joined)

    def test_told(self) -> None:
        """
        To all goes what the socket with a port of its own sends, so that answers come there; answers come
        from the port of the group.  Both say from which address.
        """
        self.multicast.open(True)
        self.assertTrue(self.multicast.tellAll(ETH0, True, b"a"))
        self.assertTrue(self.multicast.tellAll(ETH0, False, b"b"))
        self.assertTrue(self.multicast.tell(ETH0, "fe80::7", 40000, b"c"))
        self.assertTrue(self.multicast.tell(ETH0, "192.0.2.7", 40000, b"d"))
        self.assertEqual(
            [(0, b"a", "ff02::5227", 5227, 2, "fe80::1"), (5227, b"c", "fe80::7", 40000, 2, "fe80::1")],
            self.six.sent,
        )
        self.assertEqual(
            [
                (0, b"b", "224.0.0.250", 5227, 2, "192.0.2.1"),
                (5227, b"d", "192.0.2.7", 40000, 2, "192.0.2.1"),
            ],
            self.four.sent,
        )
        self.four.trouble = OSError(errno.ENETUNREACH, "no")
        self.assertFalse(self.multicast.tellAll(ETH0, False, b"e"))

    def test_read(self) -> None:
        """
        What is there is read; of a flood, only so many at once.
        """
        self.multicast.open(True)
        opened = self.four.opened[0]
        opened.waiting = [(b"x", [], 0, ("192.0.2.7", 1))] * (AT_ONCE + 6)
        (reader,) = (each for each in self.reactor.getReaders() if each.socket is opened)
        self.assertEqual((id(opened), "discovery"), (reader.fileno(), reader.logPrefix()))
        reader.doRead()
        self.assertEqual(AT_ONCE, len(self.came))
        self.assertNotIn(reader, self.reactor.getReaders())
        self.reactor.advance(PAUSE)
        self.assertIn(reader, self.reactor.getReaders())
        reader.doRead()
        self.assertEqual(AT_ONCE + 6, len(self.came))
        self.assertIn(reader, self.reactor.getReaders())
        opened.waiting = [(b"x", [], 0, ("192.0.2.7", 1))] * AT_ONCE
        reader.doRead()
        self.multicast.close()
        self.assertEqual(([], []), (self.reactor.getReaders(), self.reactor.getDelayedCalls()))

    def test_closedMeanwhile(self) -> None:
        """
        Who is told may close all of it.
        """
        self.multicast.open(True)
        opened = self.four.opened[0]
        opened.waiting = [(b"x", [], 0, ("192.0.2.7", 1))] * AT_ONCE
        (reader,) = (each for each in self.reactor.getReaders() if each.socket is opened)
        reader._received = lambda came: self.multicast.close()
        reader.doRead()
        self.assertEqual(([], []), (self.reactor.getReaders(), self.reactor.getDelayedCalls()))

    def test_lost(self) -> None:
        """
        When the reactor is done with it, its socket is closed.
        """
        self.multicast.open(False)
        (reader, _) = self.reactor.getReaders()
        reader.connectionLost(Failure(OSError()))
        self.assertTrue(reader.socket.isClosed)


class FamilyTests(SynchronousTestCase):
    """
    What the kernel says of a datagram.
    """

    def test_ipv4(self) -> None:
        """
        The link, the hop limit, and whether it was sent to the group.
        """
        family = Family("224.0.0.250")

        def info(to: str) -> Any:
            return socket.IPPROTO_IP, 8, pack("=i4s4s", 7, bytes(4), socket.inet_aton(to))

        hops = socket.IPPROTO_IP, socket.IP_TTL, pack("=i", 255)
        came = family.received(b"x", [hops, info("224.0.0.250")], ("192.0.2.7", 5))
        self.assertEqual(Datagram(b"x", "192.0.2.7", 5, 7, 255, True), came)
        self.assertFalse(family.received(b"x", [hops, info("192.0.2.1")], ("192.0.2.7", 5)).isToAll)
        self.assertFalse(family.received(b"x", [hops, info("224.0.0.251")], ("192.0.2.7", 5)).isToAll)
        self.assertEqual(
            Datagram(b"x", "192.0.2.7", 5, 0, 0, False), family.received(b"x", [], ("192.0.2.7", 5))
        )

    def test_ipv6(self) -> None:
        """
        The same; the zone is left out, since the link is known.
        """
        family = Family("ff02::5227")
        to = socket.inet_pton(socket.AF_INET6, "ff02::5227")
        info = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, pack("=16si", to, 7)
        hops = socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, pack("=i", 64)
        came = family.received(b"x", [info, hops], ("fe80::7%eth0", 5, 0, 7))
        self.assertEqual(Datagram(b"x", "fe80::7", 5, 7, 64, True), came)
