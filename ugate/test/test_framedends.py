# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.framedends}: how streams on two links in HTTP/2 end, with sockets on either side.
"""

from __future__ import annotations

from ugate.test.framingfakes import FramingTestCase, Way
from ugate.test.splicefakes import noise


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
