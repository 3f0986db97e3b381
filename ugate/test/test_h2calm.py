# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2calm}: what a peer may not do.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    Code,
    frameHead,
)
from ugate.protocols.mux import MuxStream
from ugate.stream import Target
from ugate.test.h2corefakes import INITIAL_WINDOW, CoreTestCase
from ugate.test.h2fakes import CONNECT, INFO, RawPeer

OF_GET = [(":scheme", "http"), (":path", "/")]


class LimitsTests(SynchronousTestCase):
    """
    L{H2Limits}.
    """

    def test_windows(self) -> None:
        """
        No stream is promised more than it keeps for a reader who has stopped: it would be cut.
        """
        most = MuxStream.CAP
        H2Limits(streamWindow=most, firstWindow=most)
        for name in ("streamWindow", "firstWindow"):
            error = self.assertRaises(ValueError, H2Limits, **{name: most + 1})
            self.assertIn(f"{most + 1} bytes for a stream that keeps no more than {most}", str(error))


class Busy:
    """
    What splices a frame.
    """

    isBusy = True


class FloodTests(CoreTestCase):
    """
    What costs us more than it costs the peer: it has to calm down.
    """

    limits = H2Limits(streams=20, odd=50, resets=30, unread=2000)

    def assertCalmed(self, call: Any, atLeast: int, atMost: int = 1000) -> None:
        """
        To do that again and again is borne for a while, and then not.
        """
        for number in range(atMost):
            call(number)
            if self.peer.link._isLeaving:
                break
        self.assertTrue(self.peer.link._isLeaving, "it is borne for ever")
        self.assertGreaterEqual(number, atLeast)
        self.assertGone(Code.ENHANCE_YOUR_CALM)

    def test_settings(self) -> None:
        """
        Settings.
        """
        self.assertCalmed(lambda _: self.peer.settings((INITIAL_WINDOW, 1000)), 45)

    def test_pings(self) -> None:
        """
        Pings; slow ones may go on.
        """
        for _ in range(300):
            self.peer.send(PING, 0, 0, bytes(8))
            self.peer.clock.advance(0.1)
        self.assertCalmed(lambda _: self.peer.send(PING, 0, 0, bytes(8)), 45)

    def test_priorities(self) -> None:
        """
        Priorities, which mean nothing here.
        """
        self.assertCalmed(lambda number: self.peer.send(PRIORITY, 0, 2 * number + 1, bytes(5)), 45)

    def test_unknown(self) -> None:
        """
        Frames that nobody knows.
        """
        self.assertCalmed(lambda _: self.peer.send(0x77), 45)

    def test_emptyData(self) -> None:
        """
        Data frames without data, padded or not.
        """
        self.up()
        self.assertCalmed(lambda _: self.data(1, 0), 45)

    def test_onlyPadding(self) -> None:
        """
        The same in a longer form.
        """
        self.up()
        self.assertCalmed(lambda _: self.peer.send(DATA, PADDED, 1, b"\7" + bytes(7)), 45)

    def test_useMakesUpForIt(self) -> None:
        """
        Frames with data make up for some pings, as a peer sends them to measure the way.
        """
        self.up()
        for _ in range(500):
            self.data(1, 100)
            self.peer.send(PING, 0, 0, bytes(8))
        self.assertIsNone(self.peer.goneAway())

    def test_emptyContinuations(self) -> None:
        """
        A header that goes on and on.
        """
        self.peer.send(HEADERS, 0, 1, b"")
        self.assertCalmed(lambda _: self.peer.send(CONTINUATION, 0, 1, b""), 10)

    def test_rapidReset(self) -> None:
        """
        Streams that are given up before we could answer them.
        """

        def openAndReset(number: int) -> None:
            self.peer.headers(2 * number + 1)
            self.peer.send(RST_STREAM, 0, 2 * number + 1, b"\0\0\0\x08")

        self.assertCalmed(openAndReset, 25)

    def test_resetOfWhatIsUp(self) -> None:
        """
        To reset streams that are up is no flood: each was paid for.
        """
        for number in range(1, 401, 2):
            self.up(number)
            self.peer.send(RST_STREAM, 0, number, b"\0\0\0\x08")
        self.assertIsNone(self.peer.goneAway())

    def test_unreadAnswers(self) -> None:
        """
        Requests whose answers are not read; with some that the transport has yet to send it may go on.
        """

        def ask(number: int) -> None:
            self.peer.headers(2 * number + 1, [(":method", "GET"), (":authority", "a"), *OF_GET])

        for number in range(200):
            ask(number)
            if number % 10 == 5:
                self.peer.link.pauseProducing()
            elif number % 10 == 9:
                self.peer.link.resumeProducing()
        self.assertIsNone(self.peer.goneAway())
        self.peer.link.pauseProducing()
        self.assertCalmed(lambda number: ask(200 + number), 10)

    def test_unreadLater(self) -> None:
        """
        The same, if the answers take their time.
        """
        self.peer.link.pauseProducing()

        def ask(number: int) -> None:
            self.peer.headers(2 * number + 1, [*CONNECT, ("x", str(number))])
            self.peer.streams.pop().refuse(Refused(Cause.DENIED, Phase.POLICY, "here"))

        self.assertCalmed(ask, 5)

    def test_unreadRequests(self) -> None:
        """
        What we ask for ourselves is nothing that the peer wants.
        """
        peer = RawPeer(client=True, limits=self.limits)
        peer.link.pauseProducing()
        for number in range(90):
            target = Target(f"database{number}.example", number + 1)
            peer.link.open(INFO.but(target=target)).addErrback(lambda _: None)
        self.assertGreater(len(peer.wire.value()), 2000)
        peer.send(PING, 0, 0, bytes(8))
        self.assertFalse(peer.link._isLeaving)

    def test_unreadWhileSplicing(self) -> None:
        """
        The same, while a long frame is on its way past the transport.
        """
        self.peer.link.splicer = splicer = Busy()
        self.core.blocked = True
        for _ in range(31):
            self.peer.send(PING, 0, 0, bytes(8))
        self.assertFalse(self.peer.link._isLeaving)
        self.peer.send(PING, 0, 0, bytes(8))
        self.assertTrue(self.peer.link._isLeaving)
        splicer.isBusy = False
        self.peer.link.flush()
        self.assertGone(Code.ENHANCE_YOUR_CALM)

    def test_provokedResets(self) -> None:
        """
        Streams that we are made to reset.
        """

        def openAndProvoke(number: int) -> None:
            self.peer.headers(2 * number + 1)
            self.window(2 * number + 1, 0)

        self.assertCalmed(openAndProvoke, 25)

    def test_dataOnClosed(self) -> None:
        """
        Data for streams that are gone, each frame of which we answer.
        """
        self.up().channel.reset()
        self.assertCalmed(lambda _: self.data(1, 1), 25)

    def test_tooManyStreams(self) -> None:
        """
        More streams than we said are refused, and whoever goes on is told to stop.
        """
        for number in range(1, 41, 2):
            self.up(number)
        self.peer.headers(41)
        self.assertEqual([(41, Code.REFUSED_STREAM)], self.peer.resets())
        self.assertEqual(20, self.peer.link.streams)
        self.assertCalmed(lambda number: self.peer.headers(2 * number + 43), 25)

    def test_tinyWindows(self) -> None:
        """
        Windows that are opened by one byte, and again by one.
        """
        self.peer.settings((INITIAL_WINDOW, 1))
        self.up().channel.write(bytes(10000))
        self.assertCalmed(lambda _: self.window(1, 1), 45)

    def test_headerBomb(self) -> None:
        """
        A small header that is a large one when it is unpacked.
        """
        fields = [*CONNECT, ("a", "x" * 3000)]
        self.peer.headers(1, fields)
        packed = self.peer._encoder.encode([*CONNECT, *[("a", "x" * 3000)] * 500])
        self.assertLess(len(packed), 1000)
        self.peer.send(HEADERS, END_HEADERS, 3, packed)
        self.assertGone(Code.ENHANCE_YOUR_CALM)

    def test_longHeader(self) -> None:
        """
        A header that is long as it comes.
        """
        self.peer.send(HEADERS, 0, 1, bytes(60000))
        self.peer.send(CONTINUATION, 0, 1, bytes(60000))
        self.assertGone(Code.ENHANCE_YOUR_CALM)

    def test_goodbyes(self) -> None:
        """
        Words that it goes away; the log has the first.
        """
        events: list[Any] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.up()
        self.assertCalmed(lambda number: self.peer.send(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\2%d" % number), 45)
        said = [event["why"] for event in events if "why" in event]
        self.assertEqual(["the peer went away with INTERNAL_ERROR: 0"], said)

    def test_isLogged(self) -> None:
        """
        Who does it is in the log.
        """
        events: list[Any] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for _ in range(60):
            self.raw()
        (event,) = (event for event in events if "HTTP/2" in (event.get("log_format") or ""))
        self.assertIn("192.0.2.1:40000", event["peer"])
        self.assertEqual("ENHANCE_YOUR_CALM", event["code"])

    def raw(self) -> None:
        self.peer.raw(frameHead(8, PING, 0, 0) + bytes(8))
