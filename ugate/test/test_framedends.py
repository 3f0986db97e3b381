# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.framedends}: how streams on two links in HTTP/2 end, with sockets on either side.
"""

from __future__ import annotations

from typing import Any

from ugate.framedends import LONGEST
from ugate.pace import LOT, WHILE
from ugate.protocols.negotiate import connectionBelow
from ugate.test.framingfakes import FramingTestCase, Way
from ugate.test.splicefakes import noise
from ugate.test.test_pace import lowest


class EndTests(FramingTestCase):
    """
    What breaks in the middle; and that it is what these tests are about.
    """

    def test_isSpliced(self) -> None:
        """
        Most of it is seen by nobody here.
        """
        seen = 0
        receive = self.server.dataReceived

        def counted(data: bytes | memoryview) -> None:
            nonlocal seen
            seen += len(data)
            receive(data)

        self.server.dataReceived = counted  # type: ignore[method-assign]
        way = self.way()
        data = noise(32 * self.unit)
        way.a.give(data)
        self.arrive(way.b, data)
        self.assertLess(seen, len(data) // 2)

    def begun(self) -> Way:
        """
        A stream in the middle of its bulk, that nobody reads any more.
        """
        way = self.way()
        way.b.limit = 4 * self.unit
        way.a.give(noise(64 * self.unit))
        self.until(lambda: len(way.b.got) == 4 * self.unit, "bulk")
        self.rest()
        return way

    def test_sourceIsReset(self) -> None:
        """
        The other side is reset, too, and the link goes on.
        """
        way = self.begun()
        way.a.reset()
        way.b.limit = None
        self.until(lambda: way.b.broken, "the reset")
        self.assertEqual(2, len(way.reasons))
        again = self.way()
        again.a.give(b"again")
        self.arrive(again.b, b"again")

    def test_sinkIsReset(self) -> None:
        """
        The other way round.
        """
        way = self.begun()
        way.b.reset()
        self.until(lambda: way.a.broken, "the reset")
        again = self.way()
        again.a.give(b"again")
        self.arrive(again.b, b"again")

    def test_linkIsCut(self) -> None:
        """
        Both are reset.
        """
        way = self.begun()
        self.clientSocket.abortConnection()
        way.b.limit = None
        self.until(lambda: way.a.broken and way.b.broken, "the resets")
        self.assertEqual(2, len(way.reasons))

    def test_cut(self) -> None:
        """
        So they are if one half is cut here.
        """
        way = self.begun()
        way.halves[0].close("idle", abort=True)
        way.b.limit = None
        self.until(lambda: way.a.broken and way.b.broken, "the resets")


class PaceTests(FramingTestCase):
    """
    Sources that are left alone, with a clock that stands still until it is moved.
    """

    def almost(self) -> tuple[Way, Any]:
        """
        A stream that was fast for a while, which shows when the next byte comes.

        @return: it, and the socket that its bytes come from.
        """
        way = self.way()
        data = noise(8 * self.unit)
        way.b.give(data)
        self.arrive(way.a, data)
        source: Any = connectionBelow(way.target.transport)
        self.assertEqual(1, lowest(source.socket))
        self.reactor.advance(2 * WHILE)
        way.a.got.clear()
        return way, source.socket

    def fast(self) -> tuple[Way, Any]:
        """
        The same after that byte.
        """
        way, source = self.almost()
        way.b.give(b"x")
        self.arrive(way.a, b"x")
        self.assertEqual(LOT, lowest(source))
        way.a.got.clear()
        return way, source

    def test_littleWaits(self) -> None:
        """
        A little waits for more, but not for long; and what comes after that does not.
        """
        way, source = self.fast()
        way.b.give(b"a little")
        self.rest()
        self.assertEqual(b"", way.a.got)
        self.reactor.advance(LONGEST)
        self.arrive(way.a, b"a little")
        self.assertEqual(1, lowest(source))
        way.b.give(b", and more")
        self.arrive(way.a, b"a little, and more")

    def test_aLot(self) -> None:
        """
        A lot does not wait, and puts the end of that off.
        """
        way, source = self.fast()
        self.reactor.advance(LONGEST / 2)
        way.b.give(data := noise(LOT))
        self.arrive(way.a, data)
        self.reactor.advance(LONGEST * 3 / 4)
        self.assertEqual(LOT, lowest(source))
        self.reactor.advance(LONGEST / 4)
        self.assertEqual(1, lowest(source))

    def test_end(self) -> None:
        """
        An end does not wait, nor what is before it; and nobody is missed later.
        """
        way, _ = self.fast()
        way.b.give(b"the last", end=True)
        self.until(lambda: way.a.ended, "the end")
        self.assertEqual(b"the last", way.a.got)
        way.a.give(b"", end=True)
        self.until(lambda: len(way.reasons) == 2, "the other end")
        self.reactor.advance(LONGEST)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_endOfAFastOne(self) -> None:
        """
        One that ends with that byte is not left alone any more.
        """
        way, source = self.almost()
        way.b.give(b"x", end=True)
        self.until(lambda: way.a.ended, "the end")
        self.assertEqual(1, lowest(source))

    def test_reset(self) -> None:
        """
        Nor does a reset.
        """
        way, _ = self.fast()
        way.b.reset()
        self.until(lambda: way.a.broken and len(way.reasons) == 2, "the reset")
        self.reactor.advance(LONGEST)
