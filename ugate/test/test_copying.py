# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.copying}.
"""

from __future__ import annotations

from itertools import permutations

from OpenSSL import SSL

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from ugate.leg import EARLY_LIMIT, Leg
from ugate.protocols.mux import MuxStream
from ugate.protocols.tlsalerts import lossFrom
from ugate.test.copyfakes import CopyingTestCase, Half, Plain
from ugate.test.muxfakes import INFO, FakeChannel


class BytesTests(CopyingTestCase):
    """
    Bytes and back-pressure.
    """

    def test_bothWays(self) -> None:
        """
        What one sends, the other gets; it is counted, and so is when.
        """
        copying = self.start()
        self.clock.advance(5)
        self.a.leg.dataReceived(b"question")
        self.b.leg.dataReceived(b"an")
        self.clock.advance(5)
        self.b.leg.dataReceived(b"swer")
        self.assertEqual((self.b.calls, self.a.calls), ([b"question"], [b"an", b"swer"]))
        self.assertEqual((copying.sent, copying.received, copying.active), (8, 6, 10.0))
        self.assertEqual(self.finished, [])

    def test_early(self) -> None:
        """
        What came before goes first, and is counted.
        """
        self.a.leg.dataReceived(b"early ")
        self.b.leg.dataReceived(b"banner ")
        copying = self.start()
        self.a.leg.dataReceived(b"late")
        self.b.leg.dataReceived(b"more")
        self.assertEqual((self.b.calls, self.a.calls), ([b"early ", b"late"], [b"banner ", b"more"]))
        self.assertEqual((copying.sent, copying.received), (10, 11))
        self.assertEqual((self.a.leg.early, self.b.leg.early), (b"", b""))

    def test_backPressure(self) -> None:
        """
        A transport that is full pauses the other one until there is room, and not itself.
        """
        self.start()
        for full, source in ((self.a, self.b), (self.b, self.a)):
            source.leg.dataReceived(bytes(1001))
            self.assertEqual((source.paused, full.paused), (True, False))
            full.drain()
            self.assertFalse(source.paused)

    def test_pausedEarly(self) -> None:
        """
        Who was paused because nobody took the bytes goes on; what it had meanwhile
        comes after them.
        """
        self.b.room = EARLY_LIMIT * 2
        self.a.leg.dataReceived(bytes(EARLY_LIMIT))
        self.a.waiting = [b"one", b"two"]
        self.start()
        self.assertFalse(self.a.paused)
        self.assertEqual(self.b.calls, [bytes(EARLY_LIMIT), b"one", b"two"])

    def test_pausedEarlyAndFull(self) -> None:
        """
        If those bytes alone are too many for the other one, it is paused again with the
        next, and the one that is full knows of it.
        """
        self.a.leg.dataReceived(bytes(EARLY_LIMIT))
        self.a.waiting = [b"one", b"two"]
        self.start()
        self.assertTrue(self.a.paused)
        self.assertEqual(self.b.calls, [bytes(EARLY_LIMIT), b"one"])
        self.b.drain()
        self.assertEqual(self.b.calls[-1], b"two")

    def test_pausedEarlyAndGone(self) -> None:
        """
        Who is gone does not go on.
        """
        self.a.leg.dataReceived(bytes(EARLY_LIMIT))
        self.a.lose(ConnectionLost())
        self.start()
        self.assertTrue(self.a.paused)

    def test_afterTheEnd(self) -> None:
        """
        What still arrives after the end goes nowhere.
        """
        self.start().close("enough", abort=False)
        self.a.leg.dataReceived(b"late")
        self.assertEqual((self.b.calls, self.a.leg.early), (["close"], b""))
        self.assertEqual(self.copying.sent, 0)


class EndTests(CopyingTestCase):
    """
    Half-close, close and reset.
    """

    def test_halfClose(self) -> None:
        """
        The end of one direction is passed on, and the other goes on; then all is over.
        """
        for first, second in ((self.a, self.b), (self.b, self.a)):
            self.setUp()
            first, second = (self.a, self.b) if first.leg is not second.leg else (self.b, self.a)
            self.start()
            first.leg.readConnectionLost()
            self.assertEqual((second.calls, first.calls), (["end"], []))
            second.leg.dataReceived(b"rest")
            self.assertEqual((first.calls, self.finished), ([b"rest"], []))
            second.leg.readConnectionLost()
            self.assertEqual((first.calls, second.calls), ([b"rest", "close"], ["end", "close"]))
            self.assertEqual(self.finished, ["done"])

    def test_endedBefore(self) -> None:
        """
        The same for who has ended before the other end was up, after its bytes.
        """
        self.a.leg.dataReceived(b"request")
        self.a.leg.readConnectionLost()
        self.start()
        self.assertEqual(self.b.calls, [b"request", "end"])
        self.b.leg.dataReceived(b"response")
        self.b.leg.readConnectionLost()
        self.assertEqual((self.a.calls, self.finished), ([b"response", "close"], ["done"]))

    def test_bothEndedBefore(self) -> None:
        """
        If both have, it is over at once, and both have everything.
        """
        for side in (self.a, self.b):
            side.leg.dataReceived(b"bye")
            side.leg.readConnectionLost()
        self.start()
        self.assertEqual((self.a.calls[0], self.a.calls[-1]), (b"bye", "close"))
        self.assertEqual((self.b.calls[0], self.b.calls[-1]), (b"bye", "close"))
        self.assertEqual(self.finished, ["done"])

    def test_endWhileResuming(self) -> None:
        """
        An end that comes as soon as a leg goes on counts once.
        """
        self.a.leg.dataReceived(bytes(EARLY_LIMIT))
        self.a.resumeProducing = self.a.leg.readConnectionLost  # type: ignore[method-assign]
        self.start()
        self.assertEqual((self.b.calls, self.finished), ([bytes(EARLY_LIMIT), "end"], []))

    def test_reset(self) -> None:
        """
        A reset on one side is one on the other.
        """
        for name in ("a", "b"):
            self.setUp()
            self.start()
            lost, other = (self.a, self.b) if name == "a" else (self.b, self.a)
            lost.lose(ConnectionLost("reset by peer"))
            self.assertEqual((lost.calls, other.calls), ([], ["abort"]))
            self.assertEqual(len(self.finished), 1)
            self.assertIn("reset by peer", self.finished[0])

    def test_resetAfterHalfClose(self) -> None:
        """
        So it is in the middle of a half-closed stream.
        """
        self.start()
        self.a.leg.readConnectionLost()
        self.a.lose(ConnectionLost())
        self.assertEqual(self.b.calls, ["end", "abort"])
        self.assertNotEqual(self.finished, ["done"])

    def test_goneBefore(self) -> None:
        """
        Who was gone before the other end was up has nobody to get anything.
        """
        for error, end in ((ConnectionDone(), "close"), (ConnectionLost(), "abort")):
            self.setUp()
            self.b.leg.dataReceived(b"banner")
            self.b.lose(error)
            self.start()
            self.assertEqual(self.a.calls, [b"banner", end])
            self.assertIs(self.a.producer, None)
            self.assertEqual(len(self.finished), 1)

    def test_deaf(self) -> None:
        """
        When nobody reads any more, there is no use in going on; when we have ended that
        direction ourselves, there is.
        """
        self.start()
        self.a.leg.readConnectionLost()
        self.b.leg.writeConnectionLost()
        self.assertEqual(self.finished, [])
        self.setUp()
        self.start()
        self.a.leg.writeConnectionLost()
        self.assertEqual((self.b.calls, self.finished), (["abort"], ["nobody reads there"]))
        self.setUp()
        self.a.leg.writeConnectionLost()
        self.start()
        self.assertEqual((self.b.calls, self.finished), (["abort"], ["nobody reads there"]))

    def test_close(self) -> None:
        """
        It can be ended from outside: after what was written, or at once; once.
        """
        for abort, call in ((False, "close"), (True, "abort")):
            self.setUp()
            self.start().close("idle", abort)
            self.copying.close("again", not abort)
            self.assertEqual((self.a.calls, self.b.calls), ([call], [call]))
            self.a.lose(ConnectionAborted())
            self.b.leg.readConnectionLost()
            self.b.lose(ConnectionDone())
            self.assertEqual(self.finished, ["idle"])

    def test_stdio(self) -> None:
        """
        What cannot be reset is closed.
        """
        abort = Plain.abortConnection

        del Plain.abortConnection
        self.addCleanup(setattr, Plain, "abortConnection", abort)
        self.start()
        self.b.lose(ConnectionLost())
        self.assertEqual((self.a.calls, len(self.finished)), (["close"], 1))


class PlainTests(CopyingTestCase):
    """
    Where one side has no half-close.
    """

    kinds = (Half, Plain)

    def test_end(self) -> None:
        """
        The end is told by closing, and what still comes from there is delivered.
        """
        self.start()
        self.a.leg.readConnectionLost()
        self.assertEqual(self.b.calls, ["close"])
        self.b.leg.dataReceived(b"rest")
        self.assertEqual((self.a.calls, self.finished), ([b"rest"], []))
        self.b.lose(ConnectionDone())
        self.assertEqual((self.a.calls, self.finished), ([b"rest", "close"], ["done"]))

    def test_closed(self) -> None:
        """
        A side that closes has ended both directions.
        """
        self.start()
        self.b.lose(ConnectionDone())
        self.assertEqual((self.a.calls, self.finished), (["close"], ["done"]))


class TruncatedTests(CopyingTestCase):
    """
    TLS on one side whose connection ends and does not say so, and on the other a stream of a link.
    """

    def setUp(self) -> None:
        super().setUp()
        self.channel = FakeChannel()
        self.stream = MuxStream(self.channel, INFO)
        self.b.leg = Leg()
        self.stream.begin(self.b.leg)
        self.start()
        self.a.leg.dataReceived(b"first")

    def lose(self) -> None:
        """
        As OpenSSL complains of it.
        """
        self.a.lose(lossFrom(SSL.SysCallError(-1, "Unexpected EOF")))
        self.assertEqual(["TLS: it ended without saying so"], self.finished)

    def test_allSent(self) -> None:
        """
        With nothing that waits it is cut at once.
        """
        self.lose()
        self.assertEqual([b"first", "reset"], self.channel.calls)

    def test_waits(self) -> None:
        """
        What came before goes before the cut; what comes the other way is for nobody.
        """
        self.channel.isFull = True
        self.a.leg.dataReceived(b"rest")
        self.lose()
        self.stream.received(b"late")
        self.assertEqual(([b"first", b"rest"], 4), (self.channel.calls, self.channel.taken))
        self.channel.drain(self.stream)
        self.assertEqual([b"first", b"rest", "reset"], self.channel.calls)
        self.assertIsNotNone(self.b.leg.gone)

    def test_closedMeanwhile(self) -> None:
        """
        The peer of the stream may be gone before, or have us cut it.
        """
        for isCut in (False, True):
            self.setUp()
            self.channel.isFull = True
            self.a.leg.dataReceived(b"rest")
            self.lose()
            if isCut:
                self.stream.abortConnection()
            else:
                self.stream.closed(Failure(ConnectionLost()))
            self.stream.drained()
            self.assertEqual(isCut, "reset" in self.channel.calls)
            self.assertIsNotNone(self.b.leg.gone)

    def test_others(self) -> None:
        """
        Another loss cuts at once.
        """
        self.channel.isFull = True
        self.a.leg.dataReceived(b"rest")
        self.a.lose(ConnectionLost())
        self.assertEqual([b"first", b"rest", "reset"], self.channel.calls)


class OrderTests(CopyingTestCase):
    """
    Events in any order.
    """

    def test_once(self) -> None:
        """
        In whatever order things end, it is told once, and no transport keeps its producer.
        """
        events = ("a ends", "b ends", "a lost", "b lost", "close", "a reset")
        for kinds in ((Half, Half), (Half, Plain), (Plain, Plain)):
            self.kinds = kinds
            for order in permutations(events):
                self.setUp()
                self.start()
                for event in order:
                    self.happen(event)
                self.assertEqual(len(self.finished), 1, order)
                self.assertEqual((self.a.producer, self.b.producer), (None, None))
                for side in (self.a, self.b):
                    ends = [call for call in side.calls if call in ("close", "abort")]
                    self.assertLessEqual(len(ends), 2, order)

    def happen(self, event: str) -> None:
        """
        Let something happen, if it still can.
        """
        name, _, what = event.partition(" ")
        if event == "close":
            self.copying.close("closed", abort=True)
            return
        side = self.a if name == "a" else self.b
        if side.leg.gone is not None:
            return
        if what == "ends":
            if not side.leg.eof:
                side.leg.readConnectionLost()
        else:
            side.lose(ConnectionDone() if what == "lost" else ConnectionLost())
