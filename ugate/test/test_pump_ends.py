# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump}: how streams end.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from ugate import splice
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase, Stream
from ugate.test.socketfakes import Peer
from ugate.test.splicefakes import noise

ALL = ("fresh", "talking", "lent", "lent back", "lent both", "stalled", "stalled in a thread")
STATES = [state for state in ALL if splice.available or state in ("fresh", "talking", "stalled")]


class EndTestCase(PumpTestCase):
    """
    Streams in any state.
    """

    def stream(self, state: str) -> Stream:
        """
        A stream that has come so far.
        """
        stalled = "stalled" in state
        stream = self.join(buffers=8192 if stalled else 0)
        if state == "talking":
            stream.a.give(b"question")
            self.arrive(stream.b, b"question")
            stream.b.give(b"answer")
            self.arrive(stream.a, b"answer")
        elif "lent" in state:
            self.lend(stream, state != "lent back", state != "lent")
        elif stalled:
            inThread = "thread" in state
            stream.b.limit = 2 * MEGABYTE if inThread else 0
            stream.a.give(noise(6 * MEGABYTE))
            self.until(lambda: len(stream.b.got) == stream.b.limit, "a part")
            self.rest()
            self.assertEqual(stream.lent, (inThread, False))
            self.assertEqual(bool(stream.joined.b.out), not inThread)
        return stream

    def isReset(self, peer: Peer) -> None:
        """
        That peer finds its connection reset, and never a clean end.
        """
        peer.limit = None
        self.until(lambda: peer.broken or peer.ended, "the reset")
        self.assertFalse(peer.ended, "a reset was told as a clean end")
        assert peer.broken is not None
        self.assertEqual(peer.broken.errno, errno.ECONNRESET)


class HalfCloseTests(EndTestCase):
    """
    One direction ends before the other.
    """

    def test_halfClose(self) -> None:
        """
        Whoever ends first, the other may go on, and end in its own time.
        """
        for state in ("fresh", "talking", "lent", "lent back", "lent both"):
            if state not in STATES:
                continue
            for firstIsA in (True, False):
                stream = self.stream(state)
                first, second = (stream.a, stream.b) if firstIsA else (stream.b, stream.a)
                got = bytes(second.got)
                first.give(b"last", end=True)
                self.until(lambda: second.ended, "the end")  # noqa: B023
                self.assertEqual(second.got[len(got) :], b"last")
                self.assertEqual(stream.reasons, [])
                got = bytes(first.got)
                data = noise(2 * MEGABYTE)
                second.give(data, end=True)
                self.until(lambda: first.ended, "the other end")  # noqa: B023
                self.assertTrue(first.got[len(got) :] == data)
                self.over(stream, "done")
                self.assertEqual(stream.counts, (len(stream.b.got), len(stream.a.got)))

    def test_endBehindAQueue(self) -> None:
        """
        The end comes after what waits for a slow peer.
        """
        for state in STATES:
            if "stalled" not in state:
                continue
            stream = self.stream(state)
            stream.a.give(b"last", end=True)
            stream.b.give(b"answer", end=True)
            self.until(lambda: stream.a.ended, "the end the other way")  # noqa: B023
            self.rest()
            self.assertEqual((stream.b.ended, stream.reasons), (False, []))
            stream.b.limit = None
            self.until(lambda: stream.b.ended, "the end")  # noqa: B023
            self.assertTrue(stream.b.got == noise(6 * MEGABYTE) + b"last")
            self.over(stream, "done")

    def test_silence(self) -> None:
        """
        A stream of which one direction has ended costs nothing while nothing comes.
        """
        stream = self.stream("talking")
        stream.a.give(b"", end=True)
        self.until(lambda: stream.b.ended, "the end")
        self.rest()
        self.reactor.advance(100)
        self.rest()
        self.assertEqual(stream.reasons, [])

    def test_closed(self) -> None:
        """
        A peer that closes has ended; what is still sent to it breaks the stream.
        """
        stream = self.stream("talking")
        stream.a.close()
        self.until(lambda: stream.b.ended, "the end")
        stream.b.give(b"one")
        self.rest()
        stream.b.give(b"two")
        self.over(stream, "client: reset")


class ResetTests(EndTestCase):
    """
    A peer that goes away as a crashed program does.
    """

    def reset(self, byA: bool, reason: str) -> None:
        """
        In whatever state, it is passed on.
        """
        for state in STATES:
            if not byA and "stalled" in state:
                # Nobody asks a peer that takes nothing how it is, but the next test.
                continue
            stream = self.stream(state)
            gone, other = (stream.a, stream.b) if byA else (stream.b, stream.a)
            gone.reset()
            self.isReset(other)
            self.over(stream, reason)

    def test_client(self) -> None:
        """
        By who asked.
        """
        self.reset(True, "client: reset")

    def test_target(self) -> None:
        """
        By the target.
        """
        self.reset(False, "target: reset")

    def test_stalled(self) -> None:
        """
        By one that has not read: what waits for it is dropped, and its name told.
        """
        for state in STATES:
            if "stalled" not in state:
                continue
            stream = self.stream(state)
            stream.b.reset()
            self.over(stream, "target: reset")
            self.isReset(stream.a)

    def test_errorTaken(self) -> None:
        """
        By one that a thread sends to: the kernel tells the thread, and looks as if it had
        ended cleanly to who reads.
        """
        if "lent" not in STATES:
            self.skipTest("there are no threads")
        stream = self.stream("lent")
        near = stream.joined.b.socket
        stream.b.reset()
        # As if the thread came first.
        self.assertEqual(near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), errno.ECONNRESET)
        self.isReset(stream.a)
        self.over(stream, "target: reset")

    def test_afterItsEnd(self) -> None:
        """
        By one that had ended its direction and is still sent to.
        """
        stream = self.stream("talking")
        stream.a.give(b"", end=True)
        self.until(lambda: stream.b.ended, "the end")
        stream.a.reset()
        self.rest()
        stream.b.ended = False
        stream.b.give(b"one")
        self.rest()
        stream.b.give(b"two")
        self.over(stream, "client: reset")

    def test_otherErrors(self) -> None:
        """
        What else can break a connection is told as the system does.
        """
        stream = self.stream("talking")

        def recv(*args: Any) -> bytes:
            raise OSError(errno.ETIMEDOUT, "Connection timed out")

        stream.joined.a.recv = recv
        stream.a.give(b"word")
        self.over(stream, "client: Connection timed out")
        self.isReset(stream.b)


class OutsideTests(EndTestCase):
    """
    Streams that are ended from here.
    """

    def test_abort(self) -> None:
        """
        An aborted stream is a reset for both, and the threads go on with the others.
        """
        for state in STATES:
            stream, other = self.stream(state), self.stream("lent" if "lent" in STATES else "talking")
            stream.joined.close("idle", abort=True)
            stream.joined.close("again", abort=True)
            self.over(stream, "idle")
            self.isReset(stream.a)
            self.isReset(stream.b)
            got = len(other.b.got)
            other.a.give(b"word")
            self.until(lambda: len(other.b.got) == got + 4, "a word")  # noqa: B023
            other.joined.close("enough", abort=True)
            self.over(other, "enough")

    def test_close(self) -> None:
        """
        One that is closed is a clean end.
        """
        for state in ("fresh", "lent"):
            if state not in STATES:
                continue
            stream = self.stream(state)
            stream.joined.close("enough", abort=False)
            self.over(stream, "enough")
            self.until(lambda: stream.a.ended and stream.b.ended, "the ends")  # noqa: B023

    def test_counts(self) -> None:
        """
        What was moved is known afterwards.
        """
        for state in STATES:
            if "stalled" in state:
                continue
            stream = self.stream(state)
            stream.joined.close("enough", abort=True)
            self.over(stream, "enough")
            self.assertEqual(stream.counts, (len(stream.b.got), len(stream.a.got)))
            self.assertEqual(stream.joined.active, stream.joined.active)

    def test_brokenBesideAThread(self) -> None:
        """
        When one direction breaks while a thread has the other, nothing of the stream is
        waited for until that has come back.
        """
        if "lent" not in STATES:
            self.skipTest("there are no threads")
        stream = self.stream("lent")

        def send(*args: Any) -> int:
            raise OSError(errno.EPIPE, "broken")

        stream.joined.a.send = send
        stream.b.give(b"word")
        self.until(lambda: stream.joined.ending, "the end")
        self.assertEqual((stream.joined.a.mask, stream.joined.b.mask, stream.joined.a.out), (0, 0, b""))
        self.over(stream, "client: reset")
        self.isReset(stream.b)

    def test_resetAtTheSameTime(self) -> None:
        """
        Events that the kernel had for a stream that ends meanwhile are for nobody.
        """
        for state in ("talking", "lent", "lent both"):
            if state not in STATES:
                continue
            stream = self.stream(state)
            for peer in (stream.a, stream.b):
                peer.give(b"late")
                peer.reset()
            self.until(lambda: stream.reasons, "the end")  # noqa: B023
            self.assertEqual(len(stream.reasons), 1)

    def test_stop(self) -> None:
        """
        To stop cuts all there are, in whatever state.
        """
        streams = [self.stream(state) for state in STATES]
        half = self.stream("talking")
        half.a.give(b"", end=True)
        self.until(lambda: half.b.ended, "the end")
        half.b.ended = False
        streams.append(half)
        for stream in streams:
            for peer in (stream.a, stream.b):
                peer.limit = len(peer.got)
        self.stopped = True
        self.pump.stop()
        for stream in streams:
            self.assertEqual(stream.reasons, ["shutdown"])
            if stream is not half:
                self.isReset(stream.a)
                self.isReset(stream.b)

    def test_stopWhileEnding(self) -> None:
        """
        So it is for one that is about to end, and keeps its own reason.
        """
        stream = self.stream(STATES[-1])
        stream.joined.close("idle", abort=True)
        self.stopped = True
        self.pump.stop()
        self.assertEqual(stream.reasons, ["idle"])
        # What the threads had still said to the reactor is for nobody.
        self.rest()
        self.assertEqual(stream.reasons, ["idle"])
