# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2forward}: a gate between two links, whose peers the test plays.
"""

from __future__ import annotations

import struct
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from ugate.buffers import Buffers
from ugate.copyends import STALLED
from ugate.metering import TICK, Meter, Meters
from ugate.protocols.h2channel import H2Channel
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
from ugate.test.forwardfakes import FIRST, GateTestCase
from ugate.test.h2corefakes import MAX_FRAME_SIZE
from ugate.test.muxfakes import FakeChannel
from ugate.test.splicefakes import noise


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
            leg.dataReceived = seen.append  # type: ignore[method-assign, assignment]
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

    def test_notBelowTLS(self) -> None:
        """
        What stands on a stream, as TLS does, is not gone past, though it claims to be one.
        """
        ours, other = (leg.transport for leg in self.gate.joining.copies[0]._legs)
        secure = ProtocolWrapper(WrappingFactory(Factory.forProtocol(Protocol)), Protocol())
        secure.transport = ours
        self.assertIsInstance(secure.channel, H2Channel)
        for one, two in ((secure, other), (other, secure)):
            self.assertFalse(forward(one, two, len, len))  # type: ignore[arg-type]


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
        fields: dict[Any, Any] = dict(self.near.decoder.decode(frames[0][3]))
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
