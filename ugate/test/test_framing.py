# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.framing}: bulk on two links in HTTP/2 that are one connection, with sockets on either side.
"""

from __future__ import annotations

import errno
from typing import Any

from OpenSSL.SSL import OP_NO_TLSv1_3

from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from ugate import framing
from ugate.endpoints.connecting import Dialed
from ugate.interfaces import Detached
from ugate.leg import Leg
from ugate.protocols.negotiate import Negotiating, connectionBelow
from ugate.protocols.tlsconnection import TLSConnection
from ugate.protocols.tlsrecords import Records
from ugate.test.framingfakes import FramingTestCase
from ugate.test.h2fakes import HOST, PEER
from ugate.test.negotiatefakes import Listener, NegotiateTestCase
from ugate.test.socketfakes import Peer, tcpPair
from ugate.test.splicefakes import noise
from ugate.test.tlssocketfakes import shaken


class BulkTests(FramingTestCase):
    """
    Much data.
    """

    mayWait = 1
    """Bytes that are kept for who does not read, and one more: they wait where they are."""

    def test_eachWay(self) -> None:
        """
        It arrives as it was sent, is counted on both sides, and hardly any of it was copied.
        """
        for back in (False, True):
            way = self.way()
            source, sink = (way.b, way.a) if back else (way.a, way.b)
            data = noise(24 * self.unit)
            source.give(data)
            self.arrive(sink, data)
            for half in way.halves:
                self.assertEqual((0, len(data)) if back else (len(data), 0), (half.sent, half.received))
        for link in (self.client, self.server):
            self.assertEqual(link.secure is None, link.splicer is not None)

    def test_bothWays(self) -> None:
        """
        Both ways at once, with the ends after it.
        """
        way = self.way()
        forth, back = noise(20 * self.unit, 1), noise(21 * self.unit, 2)
        way.a.give(forth, end=True)
        way.b.give(back, end=True)
        self.arrive(way.b, forth)
        self.arrive(way.a, back)
        self.until(lambda: way.a.ended and way.b.ended and len(way.reasons) == 2, "the ends")
        self.assertEqual(["done", "done"], way.reasons)

    def test_halfClose(self) -> None:
        """
        What comes after the end of the other direction is not lost.
        """
        way = self.way()
        forth, back = noise(8 * self.unit, 1), noise(9 * self.unit, 2)
        way.a.give(forth, end=True)
        self.arrive(way.b, forth)
        self.until(lambda: way.b.ended, "the end")
        way.b.give(back, end=True)
        self.arrive(way.a, back)
        self.until(lambda: way.a.ended, "the other end")

    def test_smallBetween(self) -> None:
        """
        Bulk, then little, then bulk again, with nothing out of place.
        """
        way = self.way()
        wanted = b""
        for number, size in enumerate((4 * self.unit, 1, 100, 3 * self.unit, 70_000, 5)):
            data = noise(size, number)
            wanted += data
            way.a.give(data)
            self.arrive(way.b, wanted)

    def test_resetMetByAWrite(self) -> None:
        """
        Who resets has not ended, though what is written finds out first, and whoever reads then is told of an
        end: before there is bulk, and after it.
        """
        for bulk in (0, 4 * self.unit):
            way = self.way()
            way.b.give(b"half of it")
            self.arrive(way.a, b"half of it")
            way.a.give(noise(bulk))
            self.arrive(way.b, noise(bulk))
            target: Any = connectionBelow(way.target.transport)
            self.rest()
            target.stopReading()
            way.b.reset()
            way.a.give(noise(bulk or 1))
            self.until(lambda: target in self.reactor.getWriters(), "a write that fails")  # noqa: B023
            self.reactor._done(target, target.doRead(), True)
            self.until(lambda: len(way.reasons) == 2 and not way.a.mask, "the end")  # noqa: B023
            self.assertFalse(way.a.ended, "a cut was told as a clean end")
            self.assertTrue(way.a.broken)

    def test_slowReader(self) -> None:
        """
        Who does not read keeps a window at most, and nobody else waits for it; when it reads on, all is
        there.
        """
        slow, quick = self.way(), self.way()
        data = noise(40 * self.unit)
        slow.b.limit = 2 * self.unit
        slow.a.give(data)
        self.rest()
        self.assertGreater(slow.a.unsent, 0)
        channels = self.client.core.channels
        self.until(lambda: max(each.unsent for each in channels.values()) < self.mayWait, "no more to wait")
        other = noise(20 * self.unit, 1)
        quick.a.give(other)
        self.arrive(quick.b, other)
        quick.b.give(other)
        self.arrive(quick.a, other)
        slow.b.limit = None
        self.arrive(slow.b, data)

    def test_manyAtOnce(self) -> None:
        """
        Streams with bulk, and one with a few bytes.
        """
        ways = [self.way() for _ in range(4)]
        wanted = [noise(12 * self.unit, number) for number in range(4)]
        small = self.way()
        for way, data in zip(ways, wanted, strict=True):
            way.a.give(data)
            way.b.give(data)
        small.a.give(b"ping")
        self.arrive(small.b, b"ping")
        for way, data in zip(ways, wanted, strict=True):
            self.arrive(way.b, data)
            self.arrive(way.a, data)

    def test_noPipe(self) -> None:
        """
        Without a pipe it goes on as it began.
        """

        def none() -> tuple[int, int]:
            raise OSError(errno.EMFILE, "none left")

        self.patch(framing, "openPipe", none)
        way = self.way()
        data = noise(8 * self.unit)
        way.a.give(data)
        self.arrive(way.b, data)
        self.assertIsNone(self.client.splicer)

    def test_noPipeForTheNext(self) -> None:
        """
        If there is none for whoever comes next, what a slow reader has in one is taken out of it.
        """
        slow, quick = self.way(), self.way()
        data = noise(10 * self.unit)
        slow.a.give(data[: 2 * self.unit])
        self.arrive(slow.b, data[: 2 * self.unit])

        def none() -> tuple[int, int]:
            raise OSError(errno.EMFILE, "none left")

        self.patch(framing, "openPipe", none)
        slow.b.limit = 3 * self.unit
        slow.a.give(data[2 * self.unit :])
        self.rest()
        quick.a.give(data)
        self.arrive(quick.b, data)
        slow.b.limit = None
        self.arrive(slow.b, data)


class NarrowTests(BulkTests):
    """
    The same where the kernel keeps little, so that everything comes in parts.
    """

    buffers = 8192
    unit = 1 << 18

    def leg(self, buffers: int = 0) -> tuple[Peer, Leg]:
        return super().leg(16384)


class SecureTests(BulkTests):
    """
    The same in TLS on both sides, which is encrypted and decrypted here.
    """

    version = 0
    seen = 1
    """By how many of the two sides what comes is seen at most."""

    def connect(self) -> None:
        connected, shakes = tcpPair(self.buffers), shaken(self.version)
        self.secure = []
        for link, each, shake in zip((self.client, self.server), connected, shakes, strict=True):
            each.setblocking(False)
            self.secure.append(
                TLSConnection(Detached(each, reactor=self.reactor), Records(shake), link, PEER, HOST)
            )
            link.makeConnection(self.secure[-1])
        for secure in self.secure:
            secure.begin()

    def test_cutWithin(self) -> None:
        """
        Whoever cuts a stream in the middle of its bulk, or the link below it, is found cut at the other end.
        """
        for link in (False, True):
            way, other = self.way(), self.way()
            way.b.limit = 4 * self.unit
            way.a.give(noise(64 * self.unit))
            self.until(lambda: len(way.b.got) == 4 * self.unit, "bulk")  # noqa: B023
            if link:
                self.secure[0].abortConnection()
            else:
                way.a.reset()
            way.b.limit = None
            self.until(lambda: way.b.broken and len(way.reasons) == 2, "the cut")  # noqa: B023
            self.assertFalse(way.b.ended)
            if not link:
                other.a.give(data := noise(4 * self.unit))
                self.arrive(other.b, data)

    def test_lostWithin(self) -> None:
        """
        A socket that is gone in the middle of its bulk ends its stream, and leaves the link to the others.
        """
        way, other = self.way(), self.way()
        way.a.give(noise(64 * self.unit))
        self.until(lambda: len(way.b.got) >= 4 * self.unit, "bulk")
        way.b.reset()
        self.until(lambda: len(way.reasons) == 2 and way.a.broken, "the end")
        other.a.give(data := noise(4 * self.unit))
        self.arrive(other.b, data)

    def test_isPastTheLegs(self) -> None:
        """
        Most of it is seen by no protocol on either side.
        """
        self.passBy(self.seen)


class SecureNarrowTests(SecureTests):
    """
    The same where the kernel keeps little, and with TLS 1.2.
    """

    buffers = 8192
    unit = 1 << 18
    version = OP_NO_TLSv1_3

    seen = 2
    mayWait = 1 << 19

    def leg(self, buffers: int = 0) -> tuple[Peer, Leg]:
        return super().leg(16384)


class Asking(Listener):
    """
    Asks for lines, and has a leg for who has said them.
    """

    def __init__(self, leg: Leg) -> None:
        super().__init__(Clock())
        self.leg = leg

    def buildInner(self, host: Negotiating, step: Any) -> IProtocol | None:
        """
        The leg.
        """
        return self.leg


class AskedTests(BulkTests):
    """
    The same with sockets that had to say first what they want, as they do to SOCKS.
    """

    def leg(self, buffers: int = 0) -> tuple[Peer, Leg]:
        far, near = tcpPair(buffers)
        peer = Peer(far)
        self.peers.append(peer)
        leg = Leg()
        host = Negotiating(Asking(leg), PEER)
        self.transport(near, host)
        peer.give(b"open\n")
        self.until(lambda: host.inner is leg, "the end of the handshake")
        return peer, leg

    def test_isSpliced(self) -> None:
        """
        Nobody sees most of it, on either side.
        """
        self.passBy(1)


class BelowTests(NegotiateTestCase):
    """
    L{connectionBelow<ugate.protocols.negotiate.connectionBelow>}: what may be gone past.
    """

    def connection(self) -> Any:
        """
        A connection that nobody uses.
        """
        return Dialed.__new__(Dialed)

    def test_afterTheHandshake(self) -> None:
        """
        That of a handshake, once it is over and not before.
        """
        host = self.begin()
        bare = host.transport = self.connection()
        self.assertIsNone(connectionBelow(host))
        host.inner = self.owner.stream
        self.assertIs(bare, connectionBelow(host))

    def test_notBelowTLS(self) -> None:
        """
        TLS is not gone past, be it the connection's own or one that claims to be what it is on.
        """
        host = self.begin()
        host.transport = self.connection()
        host.inner = self.owner.stream
        secure = ProtocolWrapper(WrappingFactory(Factory.forProtocol(Protocol)), Protocol())
        secure.transport = host
        self.assertIsNone(connectionBelow(secure))
        host.transport.TLS = True
        self.assertIsNone(connectionBelow(host))


class WrappedTests(FramingTestCase):
    """
    L{framing.splicerFor}.
    """

    def test_notBelowTLS(self) -> None:
        """
        What stands on a stream is not gone past, though it claims to be one.
        """
        way = self.way()
        stream = way.halves[0]._legs[0].transport
        secure = ProtocolWrapper(WrappingFactory(Factory.forProtocol(Protocol)), Protocol())
        secure.transport = stream
        self.assertIsNotNone(secure.channel)
        self.assertIsNone(framing.splicerFor(secure))
        self.assertIsNotNone(framing.splicerFor(stream))
