# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2forward}: a gate between two links, whose peers the test plays.
"""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from ugate.buffers import Buffers
from ugate.copying import STALLED
from ugate.metering import TICK, Meter, Meters
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2forward import forward, passedOn
from ugate.protocols.h2frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    PADDED,
    RST_STREAM,
    Code,
    goAway,
)
from ugate.protocols.h2sending import FIRST_WINDOW
from ugate.protocols.mux import MuxStream
from ugate.test.forwardfakes import FIRST, Came, Chain, RawGate, heard
from ugate.test.h2corefakes import INITIAL_WINDOW, MAX_FRAME_SIZE
from ugate.test.h2fakes import RawPeer
from ugate.test.muxfakes import FakeChannel
from ugate.test.splicefakes import noise


class GateTestCase(SynchronousTestCase):
    """
    Has the gate, and a stream through it.
    """

    def setUp(self) -> None:
        self.gate = RawGate()
        self.near, self.far = self.gate.near, self.gate.far
        self.gate.up()

    def came(self, peer: RawPeer, stream: int = 1) -> Came:
        """
        What came to a peer of a stream.
        """
        return self.gate.came(peer).get(stream, Came())

    def held(self, stream: int = 1) -> int:
        """
        The bytes of a stream that wait in the gate, on their way to the far peer.
        """
        inward = self.near.link.core.channels[stream]
        outward = self.far.link.core.channels[stream]
        return inward.unread + outward.unsent


class DataTests(GateTestCase):
    """
    Bytes, and how they are framed.
    """

    def test_bothWays(self) -> None:
        """
        What comes goes on at once, is counted, and so is when; no protocol sees it.
        """
        copying = self.gate.joining.copies[0]
        seen: list[bytes] = []
        for leg in copying._legs:
            leg.dataReceived = seen.append  # type: ignore[method-assign]
        self.near.clock.advance(5)
        self.near.send(DATA, 0, 1, b"question")
        self.assertEqual(b"question", self.came(self.far).data)
        self.far.send(DATA, 0, 1, b"answer")
        self.assertEqual(b"answer", self.came(self.near).data)
        self.assertEqual((8, 6, 5.0), (copying.sent, copying.received, copying.active))
        self.assertEqual([], seen)

    def test_early(self) -> None:
        """
        What came before the far side had answered goes first.
        """
        self.near.headers(3)
        self.near.send(DATA, 0, 3, b"early ")
        self.far.headers(3, [(":status", "200")])
        self.near.send(DATA, 0, 3, b"late")
        self.assertEqual(b"early late", self.came(self.far, 3).data)
        self.assertEqual(10, self.gate.joining.copies[1].sent)

    def test_frameSize(self) -> None:
        """
        A frame that is longer than what the far peer takes is several.
        """
        data = noise(40000)
        self.near.send(DATA, 0, 1, data)
        came = self.came(self.far)
        self.assertEqual((data, [16384, 16384, 7232]), (came.data, came.sizes))
        self.far.settings((MAX_FRAME_SIZE, 20000))
        self.far.frames()
        self.gate.window(self.far, 1, 40000)
        self.near.send(DATA, 0, 1, data)
        self.assertEqual([20000, 20000], self.came(self.far).sizes)

    def test_pieces(self) -> None:
        """
        What comes byte by byte goes on so, and is the same.
        """
        data = noise(300)
        for at in range(len(data)):
            self.near.send(DATA, 0, 1, data[at : at + 1])
        self.assertEqual(data, self.came(self.far).data)

    def test_padding(self) -> None:
        """
        Padding goes no further, and may be sent again.
        """
        for _ in range(400):
            self.near.send(DATA, PADDED, 1, b"\xff" + b"x" * 100 + bytes(255))
        self.assertEqual(b"x" * 40000, self.came(self.far).data)
        self.assertGreaterEqual(self.came(self.near).granted, FIRST // 2)
        self.assertEqual(0, self.held())

    def test_notTwoOfThem(self) -> None:
        """
        A stream of another kind is not joined this way.
        """
        stream = MuxStream(FakeChannel(), self.near.link.info)
        ours = self.gate.joining.copies[0]._legs[0].transport
        for one, two in ((stream, ours), (ours, stream), (stream, None)):
            self.assertFalse(forward(one, two, len, len))  # type: ignore[arg-type]


class WindowTests(GateTestCase):
    """
    Windows from end to end.
    """

    def send(self, size: int, stream: int = 1) -> None:
        """
        The near peer sends so much, in frames of some size.
        """
        while size:
            some = min(size, 16384)
            self.near.send(DATA, 0, stream, bytes(some))
            size -= some

    def use(self, stream: int = 1, credit: int = 0) -> int:
        """
        The near peer sends all that it may.

        @param credit: what it may send, besides what it is told now.
        @return: how much that was.
        """
        sent = 0
        while True:
            credit += self.came(self.near, stream).granted
            if not credit:
                return sent
            self.send(credit, stream)
            sent += credit
            credit = 0

    def test_nobodyReads(self) -> None:
        """
        The near peer is granted nothing for what waits here, which is a first window at most; when the far
        one takes it, as much may follow.
        """
        self.assertEqual(FIRST, self.use(credit=FIRST))
        self.assertEqual(FIRST_WINDOW, len(self.came(self.far).data))
        self.assertEqual(FIRST - FIRST_WINDOW, self.held())
        self.gate.window(self.far, 1, 1000)
        self.assertEqual(1000, len(self.came(self.far).data))
        granted = self.use()
        self.assertLessEqual(self.held(), FIRST)
        self.assertEqual(FIRST + granted, FIRST_WINDOW + 1000 + self.held())
        self.gate.window(self.far, 1, FIRST)
        self.assertLessEqual(self.held(), FIRST)
        self.assertGreater(self.use(), FIRST // 2)

    def test_large(self) -> None:
        """
        A large window at the far end becomes one at the near end, and when it is not renewed any more, no
        more than a first window stays here.
        """
        window = 1 << 22
        self.gate.window(self.far, 1, window - FIRST_WINDOW)
        credit, sent = FIRST, 0
        for _ in range(16):
            sent += self.use(credit=credit)
            credit = 0
            arrived = len(self.came(self.far).data)
            if arrived:
                self.gate.window(self.far, 1, arrived)
        self.assertGreater(sent, 2 * window)
        self.assertGreater(self.near.link.core.channels[1].credit, window // 2)
        self.near.frames()
        self.use(credit=self.near.link.core.channels[1].credit)
        self.assertLessEqual(self.held(), FIRST)

    def test_narrowConnection(self) -> None:
        """
        It counts what the far peer takes of all streams together, too.
        """
        self.far.settings((INITIAL_WINDOW, 1 << 22))
        self.far.frames()
        sent = self.use(credit=FIRST)
        self.assertLessEqual(sent, FIRST_WINDOW + FIRST)
        self.assertLessEqual(self.held(), FIRST)

    def test_smaller(self) -> None:
        """
        When the far peer makes its windows smaller than nothing, the near one waits until they are not.
        """
        self.far.settings((INITIAL_WINDOW, 100))
        self.send(60000)
        self.far.settings((INITIAL_WINDOW, 10))
        self.far.frames()
        self.use(credit=FIRST - 60000)
        self.assertLessEqual(self.held(), FIRST)
        self.gate.window(self.far, 1, 2 * FIRST)
        self.assertEqual(0, self.held())
        self.assertGreater(self.use(), 0)

    def test_others(self) -> None:
        """
        Hundred streams go on beside one that nobody reads.
        """
        self.use(credit=FIRST)
        self.came(self.far)
        for number in range(100):
            stream = 3 + 2 * number
            self.gate.up(stream)
            self.gate.window(self.far, stream, 40000)
            self.send(40000, stream)
            came = self.came(self.far, stream)
            self.assertEqual(40000, len(came.data), stream)
            self.near.send(RST_STREAM, 0, stream, struct.pack(">L", Code.CANCEL))
        self.assertEqual(FIRST - FIRST_WINDOW, self.held())

    def test_wireIsFull(self) -> None:
        """
        A wire that takes nothing for a time holds up what the far peer would take, and loses nothing.
        """
        self.far.link.pauseProducing()
        self.send(50000)
        self.assertEqual(50000, self.held())
        self.far.link.resumeProducing()
        self.assertEqual(50000, len(self.came(self.far).data))
        self.gate.window(self.far, 1, FIRST)
        self.assertGreater(self.use(credit=FIRST - 50000), FIRST - 50000)

    def test_afterOneHasEnded(self) -> None:
        """
        Who is left without the other one is a stream as all are.
        """
        inward = self.near.link.core.channels[1]
        outward = self.far.link.core.channels[1]
        self.assertIs(outward, inward.other)
        self.far.send(RST_STREAM, 0, 1, struct.pack(">L", Code.CANCEL))
        self.assertEqual([None, None], [inward.other, outward.other])


class EndTests(GateTestCase):
    """
    How it ends.
    """

    def test_halfClose(self) -> None:
        """
        The end of one direction comes after its data; the other goes on.
        """
        self.near.send(DATA, END_STREAM, 1, b"question")
        came = self.came(self.far)
        self.assertEqual((b"question", True), (came.data, came.ended))
        self.far.send(DATA, 0, 1, b"ans")
        self.far.send(DATA, END_STREAM, 1, b"wer")
        came = self.came(self.near)
        self.assertEqual((b"answer", True), (came.data, came.ended))
        self.assertEqual(["done"], self.gate.joining.reasons)
        self.assertEqual([{}, {}], [each.link.core.channels for each in (self.near, self.far)])

    def test_endWaits(self) -> None:
        """
        An end is not told before what still waits for the window.
        """
        self.near.send(DATA, END_STREAM, 1, bytes(FIRST_WINDOW + 1))
        self.assertFalse(self.came(self.far).ended)
        self.gate.window(self.far, 1, 1)
        came = self.came(self.far)
        self.assertEqual((b"\0", True), (came.data, came.ended))

    def test_resets(self) -> None:
        """
        A cut is a cut on the other side, with its code, whichever side it comes from.
        """
        for number, (code, told) in enumerate(
            [
                (Code.CANCEL, Code.CANCEL),
                (Code.INTERNAL_ERROR, Code.INTERNAL_ERROR),
                (0x4A11, 0x4A11),
                (Code.NO_ERROR, Code.CONNECT_ERROR),
                (Code.FLOW_CONTROL_ERROR, Code.CONNECT_ERROR),
            ]
        ):
            for side, (one, other) in enumerate(((self.near, self.far), (self.far, self.near))):
                stream = 3 + 4 * number + 2 * side
                self.gate.up(stream)
                one.send(DATA, 0, stream, b"half of it")
                one.send(RST_STREAM, 0, stream, struct.pack(">L", code))
                self.assertEqual(told, self.came(other, stream).code, code)
                self.assertIn("ended the stream with", self.gate.joining.reasons[-1])

    def test_codes(self) -> None:
        """
        What speaks of a connection is not passed on, and nothing that could pass for a good end.
        """
        kept = {code for code in range(20) if passedOn(code) == code}
        of = {Code.INTERNAL_ERROR, Code.CANCEL, Code.CONNECT_ERROR, Code.ENHANCE_YOUR_CALM}
        self.assertEqual({*of, *range(14, 20)}, kept)

    def test_ourCut(self) -> None:
        """
        Who is cut here, as when it is idle, is told nothing of codes.
        """
        self.gate.joining.copies[0].close("idle", abort=True)
        self.assertEqual([Code.CONNECT_ERROR] * 2, [self.came(self.near).code, self.came(self.far).code])

    def test_linkIsLost(self) -> None:
        """
        What was on a link that breaks is cut on the other one, which goes on.
        """
        self.far.link.abort("the test says so")
        self.assertEqual(Code.CONNECT_ERROR, self.came(self.near).code)
        self.assertFalse(self.near.wire.aborted)

    def test_trailers(self) -> None:
        """
        Trailers, which a tunnel has no use for, are an end.
        """
        self.far.headers(1, [("x-check", "sum")], END_HEADERS | END_STREAM)
        came = self.came(self.near)
        self.assertEqual((b"", True), (came.data, came.ended))

    def test_refused(self) -> None:
        """
        Who does not want a stream says so in its own words, and they pass back.
        """
        self.near.headers(3)
        self.far.headers(3, [(":status", "403"), ("content-type", "text/plain")])
        self.far.send(DATA, END_STREAM, 3, b"no cats today")
        frames = [each for each in self.near.frames() if each[2] == 3]
        fields = dict(self.near.decoder.decode(frames[0][3]))
        self.assertEqual("403", fields[":status"])
        self.assertIn(b"no cats today", frames[1][3])

    def test_goingAway(self) -> None:
        """
        A peer that goes away ends what it has in peace, both ways.
        """
        self.far.raw(goAway(1, Code.NO_ERROR))
        self.near.send(DATA, 0, 1, b"still")
        self.assertEqual(b"still", self.came(self.far).data)
        self.far.send(DATA, END_STREAM, 1, b"well")
        self.near.send(DATA, END_STREAM, 1)
        came = self.came(self.near)
        self.assertEqual((b"well", True), (came.data, came.ended))
        self.assertEqual(["done"], self.gate.joining.reasons)


class LimitTests(GateTestCase):
    """
    Rates and memory hold as for other streams.
    """

    def test_rate(self) -> None:
        """
        It is held up when there is no room, and goes on when there is, in order.
        """
        meter = Meter(self.near.clock, 100_000)
        self.gate.joining.meters = Meters(up=meter)
        self.gate.up(3)
        data = noise(60000)
        for at in range(0, len(data), 10000):
            self.near.send(DATA, 0, 3, data[at : at + 10000])
        copying = self.gate.joining.copies[1]
        self.assertEqual(20000, copying.sent)
        self.assertEqual(data[:20000], self.came(self.far, 3).data)
        for _ in range(200):
            self.near.clock.advance(TICK)
        self.assertEqual(data[20000:], self.came(self.far, 3).data)
        self.assertEqual((60000, 60000), (copying.sent, meter.total))

    def test_memory(self) -> None:
        """
        What waits is counted for whose it is, until it is gone.
        """
        buffers = Buffers()
        self.gate.joining.meters = Meters(buffers=buffers)
        self.gate.up(3)
        for _ in range(FIRST // 16384):
            self.assertEqual(0, buffers.used)
            self.near.send(DATA, 0, 3, bytes(16384))
        self.assertEqual(STALLED, buffers.used)
        self.gate.window(self.far, 3, FIRST)
        self.assertEqual(0, buffers.used)


class ChainTests(SynchronousTestCase):
    """
    Links of ours on both sides.
    """

    def test_bulk(self) -> None:
        """
        Much passes, and windows grow at both ends.
        """
        chain = Chain(1, H2Limits(streamWindow=1 << 20, firstWindow=1 << 14))
        near, far = chain.near[0].transport, chain.far[0].transport
        data = noise(4 << 20)
        near.write(data)  # type: ignore[union-attr]
        far.write(data)  # type: ignore[union-attr]
        chain.flow()
        self.assertEqual([data, data], [heard(chain.near[0])[0], heard(chain.far[0])[0]])
        for link in (*chain.gate, chain.client, chain.server):
            (channel,) = link.core.channels.values()
            self.assertGreater(channel.promised, 1 << 18)

    def test_stalled(self) -> None:
        """
        When a server stops to read, who sends has about a window under way, and the gate little of it.
        """
        chain = Chain(2)
        near, far = chain.near[0].transport, chain.far[0].transport
        warm = noise(16 << 20)
        near.write(warm)  # type: ignore[union-attr]
        chain.flow()
        far.pauseProducing()  # type: ignore[union-attr]
        near.write(noise(32 << 20))  # type: ignore[union-attr]
        chain.flow()
        (sending, _) = chain.client.core.channels.values()
        inward, _ = chain.gate[0].core.channels.values()
        outward, _ = chain.gate[1].core.channels.values()
        arrived, _ = chain.server.core.channels.values()
        self.assertLessEqual(inward.unread + outward.unsent, FIRST)
        under = (32 << 20) - sending.unsent
        self.assertLessEqual(under, arrived.promised + FIRST)
        other = noise(3 << 20, 1)
        chain.near[1].transport.write(other)  # type: ignore[union-attr]
        chain.flow()
        self.assertEqual(other, heard(chain.far[1])[0])
        far.resumeProducing()  # type: ignore[union-attr]
        chain.flow()
        self.assertEqual(len(warm) + (32 << 20), len(heard(chain.far[0])[0]))
