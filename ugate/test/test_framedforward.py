# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.framedforward}: what L{ugate.test.test_framing} asks of one connection in HTTP/2, asked of
two with a gate in between.
"""

from __future__ import annotations

from ugate.protocols.h2link import H2Link
from ugate.stream import StreamInfo
from ugate.test import test_framedends, test_framing
from ugate.test.forwardfakes import FIRST, Joining
from ugate.test.framingfakes import FramingTestCase, Way
from ugate.test.h2fakes import HOST, PEER
from ugate.test.socketfakes import tcpPair
from ugate.test.splicefakes import noise


class GatedTestCase(FramingTestCase):
    """
    Has the gate: C{client} is a link to it, and C{server} the end of one from it.
    """

    def setUp(self) -> None:
        super(FramingTestCase, self).setUp()
        self.ways: list[Way] = []
        self.client = H2Link(self.reactor, StreamInfo(HOST, PEER), True)
        self.server = H2Link(self.reactor, StreamInfo(PEER, HOST), False)
        inward = H2Link(self.reactor, StreamInfo(PEER, HOST), False)
        outward = H2Link(self.reactor, StreamInfo(HOST, PEER), True)
        self.gate = (inward, outward)
        self.joining = Joining(self.reactor, inward, outward)
        one, two = tcpPair(self.buffers)
        self.clientSocket = self.transport(one, self.client)
        self.transport(two, inward)
        one, two = tcpPair(self.buffers)
        self.transport(one, outward)
        self.transport(two, self.server)
        self.until(lambda: self.client.room and outward.room, "the links to be up")

    def stop(self) -> None:
        for link in self.gate:
            link.abort("the test is over")
        super().stop()


class BulkTests(GatedTestCase, test_framing.BulkTests):
    """
    Much data.
    """

    def test_isSpliced(self) -> None:
        """
        Most of it is seen by nobody in the gate, both ways, and all of it is counted.
        """
        seen = 0
        for link in self.gate:
            receive = link.dataReceived

            def counted(data: bytes | memoryview, receive: object = receive) -> None:
                nonlocal seen
                seen += len(data)
                receive(data)  # type: ignore[operator]

            link.dataReceived = counted  # type: ignore[method-assign]
        way = self.way()
        data = noise(32 * self.unit)
        way.a.give(data)
        self.arrive(way.b, data)
        way.b.give(data)
        self.arrive(way.a, data)
        self.assertLess(seen, len(data))
        (copying,) = self.joining.copies
        self.assertEqual((len(data), len(data)), (copying.sent, copying.received))

    def test_stalled(self) -> None:
        """
        Who does not read leaves no more than a first window in the gate.
        """
        slow = self.way()
        slow.b.limit = 24 * self.unit
        slow.a.give(noise(80 * self.unit))
        self.until(lambda: len(slow.b.got) == 24 * self.unit, "bulk")
        self.rest()
        (inward,) = self.gate[0].core.channels.values()
        (outward,) = self.gate[1].core.channels.values()
        self.assertLessEqual(inward.unread + outward.unsent, FIRST)
        self.assertFalse(self.gate[1].splicer.isBusy)


class NarrowTests(GatedTestCase, test_framing.NarrowTests):
    """
    The same where the kernel keeps little, so that everything comes in parts.
    """


class EndTests(GatedTestCase, test_framedends.EndTests):
    """
    What breaks in the middle.
    """
