# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump}: small data, its ends and its limits.
"""

from __future__ import annotations

import errno
import socket

from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.testing import MemoryReactorClock

from ugate.poll import asSocketReactor, canPoll
from ugate.pump import CHUNK, Pump
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase
from ugate.test.socketfakes import SocketReactor, unixPair
from ugate.test.splicefakes import noise


class BytesTests(PumpTestCase):
    """
    Few bytes, which never see a thread.
    """

    def test_interfaces(self) -> None:
        """
        It is a reader of the reactor, of those reactors that have readers.
        """
        verifyObject(IReadDescriptor, self.pump)
        self.assertEqual((self.reactor.getReaders(), self.pump.logPrefix()), ([self.pump], "relay"))
        self.assertTrue(canPoll(self.reactor))
        self.assertFalse(canPoll(MemoryReactorClock()))

    def test_bothWays(self) -> None:
        """
        What one says, the other hears, at once.
        """
        stream = self.join()
        asked = answered = b""
        for number in range(50):
            asked += b"question %d\n" % number
            stream.a.give(b"question %d\n" % number)
            self.arrive(stream.b, asked)
            answered += b"answer %d\n" % number
            stream.b.give(b"answer %d\n" % number)
            self.arrive(stream.a, answered)
        self.assertEqual(stream.counts, (len(stream.b.got), len(stream.a.got)))

    def test_noDelay(self) -> None:
        """
        No side waits for more before it sends.
        """
        stream = self.join()
        for side in (stream.joined.a, stream.joined.b):
            self.assertTrue(side.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_many(self) -> None:
        """
        Many streams at once do not mix.
        """
        streams = [self.join() for _ in range(30)]
        for number, stream in enumerate(streams):
            stream.a.give(b"to %d" % number)
            stream.b.give(b"from %d" % number)
        for number, stream in enumerate(streams):
            self.arrive(stream.b, b"to %d" % number)
            self.arrive(stream.a, b"from %d" % number)

    def test_unix(self) -> None:
        """
        UNIX sockets are joined as well.
        """
        stream = self.join(pair=unixPair)
        stream.a.give(b"question", end=True)
        self.until(lambda: stream.b.ended, "the end")
        stream.b.give(b"answer", end=True)
        self.until(lambda: stream.a.ended, "the end")
        self.assertEqual((bytes(stream.b.got), bytes(stream.a.got)), (b"question", b"answer"))
        self.over(stream, "done")

    def test_early(self) -> None:
        """
        What came before is sent first, in the order in which it came, and what was
        under way is not counted again.
        """
        stream = self.join(
            early=(b"first ", b"1 "), unread=(b"second ", b"2 "), unsent=(b"accepted ", b"hello ")
        )
        stream.a.give(b"third")
        stream.b.give(b"3")
        self.arrive(stream.b, b"hello first second third")
        self.arrive(stream.a, b"accepted 1 2 3")
        self.assertEqual(stream.counts, (len(b"first second third"), len(b"1 2 3")))

    def test_earlyAndFull(self) -> None:
        """
        So it is if that is more than the kernel takes at once, both ways.
        """
        forth, back = noise(MEGABYTE, 1), noise(MEGABYTE, 2)
        stream = self.join(buffers=8192, early=(forth, b""), unsent=(back, b""))
        stream.a.limit = stream.b.limit = 0
        stream.a.give(b"more", end=True)
        stream.b.give(b"more", end=True)
        self.rest()
        stream.a.limit = stream.b.limit = None
        self.arrive(stream.b, forth + b"more")
        self.arrive(stream.a, back + b"more")
        self.over(stream, "done")

    def test_active(self) -> None:
        """
        When bytes last moved is known to a quarter second, either way.
        """
        stream = self.join()
        for peer, other in ((stream.a, stream.b), (stream.b, stream.a)):
            self.reactor.advance(10)
            peer.give(b"word")
            self.arrive(other, b"word")
            self.assertLess(abs(stream.joined.active - self.reactor.seconds()), 0.3)
        self.reactor.advance(7)
        self.assertLess(abs(stream.joined.active - (self.reactor.seconds() - 7)), 0.3)

    def test_otherReactors(self) -> None:
        """
        Without splice(2), or with no threads allowed, all is copied.
        """
        stream = self.join()
        self.pump._lender.lends = False
        data = noise(4 * MEGABYTE)
        stream.a.give(data, end=True)
        self.arrive(stream.b, data)
        self.assertEqual(stream.lent, (False, False))
        reactor = SocketReactor()
        none = Pump(asSocketReactor(reactor), 0)
        self.assertFalse(none._lender.lends)
        none.stop()
        reactor.close()


class SlowTests(PumpTestCase):
    """
    A peer that does not read.
    """

    threads = 0

    def test_bounded(self) -> None:
        """
        What waits for it here is one chunk at most, and no more is read meanwhile.
        """
        stream = self.join(buffers=8192)
        data = noise(4 * MEGABYTE)
        stream.b.limit = 10_000
        stream.a.give(data)
        self.until(lambda: stream.joined.b.out, "a chunk that waits")
        self.rest()
        self.assertLessEqual(len(stream.joined.b.out), CHUNK)
        sent = stream.a.sent
        self.assertLess(sent, MEGABYTE)
        self.rest()
        self.assertEqual(stream.a.sent, sent)
        stream.b.limit = None
        self.arrive(stream.b, data)
        self.assertEqual(stream.counts, (len(data), 0))

    def test_active(self) -> None:
        """
        A peer that takes what waited for it makes the stream active.
        """
        stream = self.join(buffers=8192, early=(noise(MEGABYTE), b""))
        stream.b.limit = 0
        self.rest()
        self.assertEqual(stream.joined.active, 0)
        self.reactor.advance(10)
        stream.b.limit = 50_000
        self.until(lambda: stream.joined.active == 10, "some of it")

    def test_otherWay(self) -> None:
        """
        The other direction goes on meanwhile; and both may stall at once.
        """
        stream = self.join(buffers=8192)
        forth, back = noise(MEGABYTE, 1), noise(MEGABYTE, 2)
        stream.b.limit = 0
        stream.a.give(forth)
        self.until(lambda: stream.joined.b.out, "a chunk that waits")
        stream.b.give(b"answer")
        self.arrive(stream.a, b"answer")
        stream.a.limit = 6
        stream.b.give(back)
        self.until(lambda: stream.joined.a.out, "a chunk that waits the other way")
        self.rest()
        stream.a.limit = stream.b.limit = None
        self.arrive(stream.b, forth)
        self.arrive(stream.a, b"answer" + back)

    def test_others(self) -> None:
        """
        Other streams are not held up.
        """
        slow, quick = self.join(buffers=8192), self.join()
        slow.b.limit = 0
        slow.a.give(bytes(MEGABYTE))
        self.until(lambda: slow.joined.b.out, "a chunk that waits")
        quick.a.give(b"word")
        self.arrive(quick.b, b"word")

    def test_restsWhileStalled(self) -> None:
        """
        While nothing can move, the reactor has nothing to do: neither for a source that
        has more, nor for one that has gone.
        """
        stream = self.join(buffers=8192)
        stream.b.limit = 0
        stream.a.give(bytes(MEGABYTE))
        self.until(lambda: stream.joined.b.out, "a chunk that waits")
        self.rest()
        stream.a.reset()
        self.rest()
        stream.b.limit = None
        self.until(lambda: stream.b.broken, "the reset")
        self.over(stream, "client: reset")


class TroubleTests(PumpTestCase):
    """
    What must not hurt other streams.
    """

    def test_finishedFails(self) -> None:
        """
        A mistake in what is called at the end is logged, and that is all.
        """
        one, a = self.detached()
        two, b = self.detached()
        self.pump.join(a, b, b"", b"", lambda reason: 1 // 0)
        other = self.join()
        one.close()
        two.close()
        self.until(lambda: self.flushLoggedErrors(ZeroDivisionError), "the mistake")
        other.a.give(b"word")
        self.arrive(other.b, b"word")

    def test_epollFull(self) -> None:
        """
        If the kernel has no more room in an epoll, the stream ends, and gives its
        sockets back.
        """
        real = self.pump._epoll

        class Full:
            registered = 0

            def register(self, descriptor: int, mask: int) -> None:
                self.registered += 1
                if self.registered == 2:
                    raise OSError(errno.ENOSPC, "no room")
                real.register(descriptor, mask)

            def unregister(self, descriptor: int) -> None:
                real.unregister(descriptor)

        self.pump._epoll = Full()  # type: ignore[assignment]
        stream = self.join()
        self.pump._epoll = real
        self.assertEqual(len(stream.reasons), 1)
        self.until(lambda: stream.a.broken and stream.b.broken, "the resets")
