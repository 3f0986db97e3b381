# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump} with TLS on one side or both.
"""

from __future__ import annotations

import socket
from typing import Any

from OpenSSL import SSL

from ugate import pump
from ugate.interfaces import Detached
from ugate.metering import Meter, Meters
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase, Stream
from ugate.test.socketfakes import Peer
from ugate.test.splicefakes import noise
from ugate.test.tlssocketfakes import secure

VERSIONS = (0, SSL.OP_NO_TLSv1_3)
SIDES = ((True, False), (False, True), (True, True))
"""On which of them there is TLS."""


class TLSTests(PumpTestCase):
    """
    Streams in TLS.
    """

    def joinTLS(
        self,
        inTLS: tuple[bool, bool] = (True, False),
        buffers: int = 0,
        version: int = 0,
        early: bytes = b"",
        meters: Meters | None = None,
    ) -> Stream:
        """
        Join two connections.
        """
        ends: list[tuple[Peer, Detached]] = []
        for each in inTLS:
            ends.append(secure(self, buffers, version) if each else self.detached(buffers=buffers))
        (one, a), (two, b) = ends
        stream = Stream(one, two)
        self.streams.append(stream)
        stream.joined = self.pump.join(a, b, early, b"", stream.reasons.append, meters)
        return stream

    def isCut(self, peer: Peer) -> None:
        """
        That peer never finds what would be a clean end.
        """
        self.until(lambda: peer.broken or peer.ended, "the reset")
        self.assertFalse(peer.ended)

    def test_bothWays(self) -> None:
        """
        Little and much, both ways at once, is what was sent; nothing of it is lent to be spliced.
        """
        for inTLS in SIDES:
            for version in VERSIONS:
                stream = self.joinTLS(inTLS, version=version, early=b"early ")
                up, down = noise(3 * MEGABYTE), noise(2 * MEGABYTE)
                stream.a.give(b"question")
                self.arrive(stream.b, b"early question")
                stream.a.give(up)
                stream.b.give(down)
                self.until(
                    lambda: len(stream.b.got) >= 14 + len(up) and len(stream.a.got) >= len(down),  # noqa: B023
                    "all of it",
                )
                self.assertTrue(stream.b.got == b"early question" + up)
                self.assertTrue(stream.a.got == down)
                self.assertEqual(stream.counts, (14 + len(up), len(down)))
                self.assertEqual(stream.lent, (False, False))
                stream.joined.close("enough", abort=True)

    def test_halfClose(self) -> None:
        """
        Whoever ends first, the other may go on; each is told in its own words, and all that was sent arrives.
        """
        for inTLS in SIDES:
            for version in VERSIONS:
                for firstIsA in (True, False):
                    stream = self.joinTLS(inTLS, version=version)
                    first, second = (stream.a, stream.b) if firstIsA else (stream.b, stream.a)
                    first.give(b"last" * 9000, end=True)
                    self.until(lambda: second.ended, "the end")  # noqa: B023
                    self.assertEqual((bytes(second.got), first.ended), (b"last" * 9000, False))
                    second.give(b"answer" * 9000, end=True)
                    self.until(lambda: first.ended, "the other end")  # noqa: B023
                    self.assertEqual(bytes(first.got), b"answer" * 9000)
                    self.over(stream, "done")

    def test_truncated(self) -> None:
        """
        A connection that ends without an end in TLS was cut: nobody may take that for all.
        """
        for inTLS in ((True, False), (True, True)):
            stream = self.joinTLS(inTLS)
            stream.a.give(b"half of it")
            self.arrive(stream.b, b"half of it")
            stream.a.socket.shutdown(socket.SHUT_WR)
            self.isCut(stream.b)
            (reason,) = stream.reasons
            self.assertIn("client: TLS", reason)

    def test_truncatedMuch(self) -> None:
        """
        What came before arrives, however slowly it is read, and then there is the cut.
        """
        data = noise(MEGABYTE // 4)
        for inTLS in SIDES[::2]:
            stream = self.joinTLS(inTLS, buffers=8192)
            stream.b.limit = 0
            stream.a.give(data)
            stream.a.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(data))
            self.rest()
            while len(stream.b.got) < len(data) // 2:
                stream.b.limit = (stream.b.limit or 0) + 10000
                self.rest()
            self.until(lambda: not stream.a.mask & 4, "all of it to be sent")  # noqa: B023
            stream.a.socket.shutdown(socket.SHUT_WR)
            self.rest()
            self.assertEqual([], stream.reasons)
            stream.b.limit = None
            while not stream.reasons:
                self.reactor.advance(pump.DELIVERY)
                self.rest()
            self.isCut(stream.b)
            self.assertTrue(stream.b.got == data)
            self.assertIn("client: TLS: it ended without saying so", stream.reasons[0])

    def test_truncatedUnread(self) -> None:
        """
        Who does not read has it cut with the stream.
        """
        stream = self.joinTLS(buffers=8192)
        stream.b.limit = 0
        stream.a.give(noise(20000))
        self.rest()
        stream.a.socket.shutdown(socket.SHUT_WR)
        for _ in range(5):
            self.reactor.advance(pump.DELIVERY)
            self.rest()
        self.assertEqual([], stream.reasons)
        stream.joined.close("idle", abort=True)
        self.over(stream, "idle")
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_truncatedGone(self) -> None:
        """
        Who goes away without having read has nothing more to wait for.
        """
        stream = self.joinTLS(buffers=8192)
        stream.b.limit = 0
        stream.a.give(noise(20000))
        self.rest()
        stream.a.socket.shutdown(socket.SHUT_WR)
        self.rest()
        self.assertEqual([], stream.reasons)
        stream.b.reset()
        self.reactor.advance(pump.DELIVERY)
        self.assertIn("client: TLS: it ended without saying so", stream.reasons[0])

    def test_truncatedStopped(self) -> None:
        """
        It is cut, too, when everything stops; and what comes the other way meanwhile is not read.
        """
        stream = self.joinTLS(buffers=8192)
        stream.b.limit = 0
        stream.a.give(noise(20000))
        self.rest()
        stream.a.socket.shutdown(socket.SHUT_WR)
        self.rest()
        stream.b.give(b"too late")
        self.rest()
        self.assertEqual([], stream.reasons)
        self.pump.stop()
        self.over(stream, "shutdown")
        self.assertEqual(b"", bytes(stream.a.got))

    def test_aborted(self) -> None:
        """
        What is reset on one side is cut on the other, and so is what we end before its time.
        """
        for inTLS in SIDES:
            stream = self.joinTLS(inTLS)
            stream.a.give(b"x")
            self.arrive(stream.b, b"x")
            stream.a.reset()
            self.isCut(stream.b)
            stream = self.joinTLS(inTLS)
            stream.joined.close("shutdown", abort=True)
            self.isCut(stream.a)
            self.isCut(stream.b)
            self.over(stream, "shutdown")

    def test_stalled(self) -> None:
        """
        A peer that does not read holds up the one that sends, and gets everything when it does.
        """
        for inTLS in SIDES:
            for back in (False, True):
                stream = self.joinTLS(inTLS, buffers=8192)
                source, sink = (stream.b, stream.a) if back else (stream.a, stream.b)
                data = noise(4 * MEGABYTE)
                sink.limit = 0
                source.give(data, end=True)
                self.rest()
                self.assertTrue(source.unsent, "nothing held it up")
                sink.limit = None
                self.until(lambda: sink.ended, "the end")  # noqa: B023
                self.assertTrue(sink.got == data)
                sink.give(b"", end=True)
                self.over(stream, "done")

    def test_endWaits(self) -> None:
        """
        An end for which there is no room is sent when there is, also if it is the last that happens.
        """
        for sinkEndsFirst in (False, True):
            stream = self.joinTLS(buffers=4096)
            target, client = stream.b, stream.a
            client.limit = 0
            if sinkEndsFirst:
                client.give(b"", end=True)
            # As much as fills all that is between the two, to the last byte or nearly so.
            data = noise(2 * MEGABYTE)
            target.give(data, end=True)
            self.rest()
            client.limit = None
            self.until(lambda: client.ended, "the end")  # noqa: B023
            self.assertTrue(client.got == data)
            if not sinkEndsFirst:
                client.give(b"", end=True)
            self.over(stream, "done")

    def test_noRoomForTheEnd(self) -> None:
        """
        The same, with a socket that says so.
        """
        stream = self.joinTLS()
        ours = stream.joined.a
        calls: list[int] = []
        real = ours.socket

        class Full:
            """
            Has no room for an end, for a while.
            """

            fileno = real.fileno
            setsockopt = real.setsockopt
            close = real.close

            def shutdown(self, how: int) -> None:
                calls.append(how)
                if len(calls) < 3:
                    raise BlockingIOError
                real.shutdown(how)

        ours.socket = Full()
        stream.b.give(b"", end=True)
        self.until(lambda: stream.a.ended, "the end")
        self.assertEqual(len(calls), 3)
        self.assertEqual(stream.reasons, [])
        stream.a.give(b"last", end=True)
        self.until(lambda: stream.b.ended, "the other end")
        self.assertEqual(bytes(stream.b.got), b"last")
        self.over(stream, "done")

    def test_wantsRoom(self) -> None:
        """
        TLS that has to send before it can read on is asked again when it can, and not over and over before.
        """
        stream = self.joinTLS()
        ours = stream.joined.a
        real = ours.socket
        asked: list[bool] = []

        class Answering:
            """
            Has to answer something first.
            """

            fileno = real.fileno
            setsockopt = real.setsockopt
            close = real.close
            settle = real.settle
            shutdown = real.shutdown
            wantsRoom = False

            def recv(self, size: int, flags: int) -> Any:
                asked.append(True)
                self.wantsRoom = len(asked) == 1
                if self.wantsRoom:
                    raise BlockingIOError
                return real.recv(size, flags)

        ours.socket = Answering()
        ours.recv = ours.socket.recv
        stream.a.give(b"question")
        self.arrive(stream.b, b"question")
        self.assertEqual(len(asked), 2)
        stream.b.give(b"answer")
        self.arrive(stream.a, b"answer")
        stream.joined.close("enough", abort=True)

    def test_endBehindData(self) -> None:
        """
        An end that came in one piece with data is not overlooked.
        """
        for inTLS in SIDES:
            stream = self.joinTLS(inTLS)
            stream.a.give(bytes(16384), end=True)
            self.until(lambda: stream.b.ended, "the end")  # noqa: B023
            self.assertEqual(len(stream.b.got), 16384)
            stream.joined.close("enough", abort=True)

    def test_broken(self) -> None:
        """
        What is no TLS cuts the stream.
        """
        stream = self.joinTLS()
        stream.a.socket.send(b"GET / HTTP/1.0\r\n\r\n")
        self.until(lambda: stream.reasons, "the end")
        self.assertIn("client: TLS", stream.reasons[0])
        self.isCut(stream.b)

    def test_meters(self) -> None:
        """
        A rate holds, though records are taken as a whole.
        """
        meter = Meter(self.reactor, 65536)
        stream = self.joinTLS(meters=Meters(meter, None))
        data = noise(MEGABYTE)
        stream.a.give(data)
        self.rest()
        before = len(stream.b.got)
        self.assertLess(before, len(data) // 2)
        for _ in range(400):
            self.reactor.advance(0.1)
            self.turn(0.0)
        self.until(lambda: len(stream.b.got) == len(data), "all of it")
        self.assertTrue(stream.b.got == data)

    def test_room(self) -> None:
        """
        Streams that take turns do not get each other's bytes, though they are decrypted to the same place.
        """
        streams = [self.joinTLS((True, True), buffers=8192) for _ in range(4)]
        data = [noise(MEGABYTE) for _ in streams]
        for stream, each in zip(streams, data, strict=True):
            stream.a.give(each)
        self.until(lambda: all(len(stream.b.got) == MEGABYTE for stream in streams), "all of it")
        for stream, each in zip(streams, data, strict=True):
            self.assertTrue(stream.b.got == each)
