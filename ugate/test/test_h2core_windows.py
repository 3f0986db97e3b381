# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2core}, L{ugate.protocols.h2channel} and L{ugate.protocols.h2sending}: windows
and turns.
"""

from __future__ import annotations

from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2channel import TURN
from ugate.protocols.h2frames import (
    DATA,
    END_STREAM,
    HEADERS,
    PADDED,
    Code,
    frameHead,
)
from ugate.protocols.mux import MuxStream
from ugate.test.h2corefakes import FIRST, INITIAL_WINDOW, MAX_FRAME_SIZE, CoreTestCase
from ugate.test.h2fakes import INFO, RawPeer, Upper


class ReceivingTests(CoreTestCase):
    """
    What a peer may send, and when it may send more.
    """

    def test_windowOfReaderThatKeepsUp(self) -> None:
        """
        A reader that keeps up is given twice the window each time that half of one is through.
        """
        one = self.up()
        self.data(1, FIRST // 2 - 1)
        self.assertEqual({}, self.updates())
        self.data(1, 1)
        self.assertEqual({1: FIRST // 2 + FIRST}, self.updates())
        while one.channel.promised < H2Limits().streamWindow:
            self.data(1, FIRST // 2)
        self.updates()
        for size in (1 << 20, (1 << 20) - 1 - one.channel._taken):
            self.data(1, size)
        self.assertEqual({}, self.updates())
        self.data(1, 1)
        self.assertEqual(1 << 21, self.updates()[1])

    def test_unread(self) -> None:
        """
        What nobody takes is not granted again, and more than the window is an error of the stream.
        """
        one = self.up(takes=False)
        self.data(1, FIRST)
        self.assertEqual({}, self.updates())
        self.assertEqual(FIRST, len(one.data))
        self.data(1, 1)
        self.assertEqual([(1, Code.FLOW_CONTROL_ERROR)], self.peer.resets())
        self.assertEqual(["closed"], one.told)

    def test_slowReadersHoldUpNobody(self) -> None:
        """
        However many do not read, the others go on: the first window of each is granted for it alone.
        """
        for number in range(1, 401, 2):
            self.up(number, takes=False)
            self.data(number, FIRST)
        quick = self.up(401)
        total = 0
        for _ in range(100):
            self.data(401, 60000)
            total += 60000
        self.assertEqual(total, len(quick.data))
        self.assertIsNone(self.peer.goneAway())

    def test_quickThenStalled(self) -> None:
        """
        Streams that had a large window and are not read any more leave a part of the connection to others,
        and all of it when they are gone.
        """
        stalled = []
        for number in range(1, 41, 2):
            one = self.up(number)
            for _ in range(40):
                self.data(number, FIRST // 2)
            one.takes = False
            self.data(number, min(one.channel.credit, 1 << 20))
            while one.channel.credit:
                self.data(number, min(one.channel.credit, 1 << 20))
            stalled.append(one)
        self.updates()
        room = self.core._credit + self.core.freed
        self.assertGreaterEqual(room, H2Limits().connectionWindow // 4)
        quick = self.up(41)
        for _ in range(200):
            self.data(41, 60000)
        self.assertEqual(200 * 60000, len(quick.data))
        for one in stalled:
            one.channel.reset()
        self.assertEqual(H2Limits().connectionWindow, self.core._credit + self.core.freed)
        quick.channel.reset()
        self.assertEqual(0, self.core.promised)

    def test_connectionWindow(self) -> None:
        """
        More than the window of the connection ends it.
        """
        self.up(takes=False)
        self.core._credit = 10
        self.data(1, 11)
        self.assertGone(Code.FLOW_CONTROL_ERROR)

    def test_padding(self) -> None:
        """
        Padding counts for windows, and is read by nobody.
        """
        one = self.up(takes=False)
        for _ in range(3000):
            self.peer.send(DATA, PADDED, 1, b"\xc8" + b"x" + bytes(200))
        self.assertEqual(3000, len(one.data))
        self.assertGreater(self.updates().get(1, 0), FIRST // 2)
        self.assertIsNone(self.peer.goneAway())

    def test_consumedAfterTheEnd(self) -> None:
        """
        A reader may take its time after the end, and after a reset.
        """
        for how in ("end", "reset"):
            peer = RawPeer()
            peer.headers(1)
            upper = Upper(peer.link.core.channels[1], takes=False)
            upper.channel.accept()
            peer.send(DATA, END_STREAM if how == "end" else 0, 1, bytes(1000))
            if how == "reset":
                upper.channel.reset()
            upper.channel.consumed(1000)
            self.assertEqual(H2Limits().connectionWindow, peer.link.core._credit + peer.link.core.freed)

    def test_resetWithinAFrame(self) -> None:
        """
        What is left of a long frame whose stream is gone counts for the connection no more than before.
        """
        one = self.up()
        while one.channel.credit < 1 << 20:
            self.data(1, FIRST // 2)
        self.peer.raw(frameHead(1 << 20, DATA, 0, 1) + bytes(10))
        stream = MuxStream(one.channel, INFO)
        one.channel.attach(stream)
        stream.abortConnection()
        for _ in range(15):
            self.peer.raw(bytes(1 << 16))
        self.assertEqual(H2Limits().connectionWindow, self.core._credit + self.core.freed + self.core.left)


class SendingTests(CoreTestCase):
    """
    What may be sent, and whose turn it is.
    """

    def test_windows(self) -> None:
        """
        Data goes as far as both windows let it, and then as they are enlarged.
        """
        one = self.up()
        one.channel.write(bytes(100_000))
        self.assertEqual({1: 65535}, self.sent())
        self.assertEqual(100_000 - 65535, one.channel.unsent)
        self.window(1, 20000)
        self.assertEqual({}, self.sent())
        self.window(0, 1 << 20)
        self.assertEqual({1: 20000}, self.sent())
        self.assertEqual([], one.told)
        self.window(1, 1 << 20)
        self.assertEqual({1: 100_000 - 85535}, self.sent())
        self.assertEqual((0, ["drained"]), (one.channel.unsent, one.told))

    def test_orderIsKept(self) -> None:
        """
        What waits goes before what is written later.
        """
        one = self.up()
        wanted = b""
        for number in range(300):
            piece = bytes((number % 256,)) * 997
            wanted += piece
            one.channel.write(piece)
        found = b""
        for _ in range(60):
            found += b"".join(payload for kind, _, _, payload in self.peer.frames() if kind == DATA)
            self.window(0, 5000)
            self.window(1, 5000)
        self.assertEqual(wanted, found)

    def test_frameSize(self) -> None:
        """
        No frame is longer than the peer wants it.
        """
        one = self.up()
        one.channel.write(bytes(40000))
        self.assertEqual([16384, 16384, 7232], [len(payload) for *_, payload in self.peer.frames()])
        self.peer.settings((MAX_FRAME_SIZE, 1 << 20), (INITIAL_WINDOW, 1 << 21))
        self.window(0, 1 << 21)
        self.peer.frames()
        one.channel.write(bytes(1 << 20))
        self.assertEqual([1 << 20], [len(payload) for *_, payload in self.peer.frames()])

    def test_initialWindow(self) -> None:
        """
        Another initial window changes that of all streams, also to below nothing.
        """
        one = self.up()
        one.channel.write(bytes(60000))
        self.sent()
        self.peer.settings((INITIAL_WINDOW, 10000))
        self.assertEqual(10000 - 60000, one.channel.window)
        one.channel.write(bytes(100))
        self.window(1, 50000)
        self.assertEqual({}, self.sent())
        self.window(1, 100)
        self.assertEqual({1: 100}, self.sent())

    def test_wait(self) -> None:
        """
        Who waits for both windows is told once, when so much may be sent; nobody waits for what is there, or
        for more than half of what a peer may let us send at all.
        """
        told: list[str] = []

        def wait(least: int = 30000) -> bool:
            return self.core.wait(one.channel, least, lambda: told.append("roomier"))

        one = self.up()
        self.assertFalse(wait())
        one.channel.write(bytes(60000))
        self.assertFalse(wait(32768))
        self.assertTrue(wait())
        self.window(1, 24000)
        self.window(0, 24000)
        self.assertEqual([], told)
        self.window(1, 1000)
        self.assertEqual([], told)
        self.window(0, 1000)
        self.assertEqual((["roomier"], {}), (told, self.core.waiting))
        self.window(0, 1 << 20)
        self.window(1, 1)
        self.assertEqual(["roomier"], told)

    def test_waitInVain(self) -> None:
        """
        So is who waits for what will never be: settings may make windows smaller, and streams end.
        """
        told: list[int] = []
        streams = [self.up(number) for number in (1, 3)]
        for one in streams:
            one.channel.write(bytes(40000))
            self.window(0, 40000)
            self.assertTrue(self.core.wait(one.channel, 30000, lambda one=one: told.append(one.channel.id)))  # type: ignore[misc]
        streams[0].channel.reset()
        self.assertEqual([1], told)
        self.peer.settings((INITIAL_WINDOW, 50000))
        self.assertEqual(([1, 3], {}), (told, self.core.waiting))
        self.assertFalse(self.core.wait(streams[1].channel, 30000, lambda: told.append(0)))

    def test_overflow(self) -> None:
        """
        A window of over 2^31-1 ends its stream, or the connection.
        """
        one = self.up()
        self.window(1, 2**31 - 1)
        self.assertEqual([(1, Code.FLOW_CONTROL_ERROR)], self.peer.resets())
        self.assertEqual(["closed"], one.told)
        self.window(0, 2**31 - 1)
        self.assertGone(Code.FLOW_CONTROL_ERROR)

    def test_overflowBySettings(self) -> None:
        """
        So does one that settings make so large.
        """
        self.up()
        self.window(1, 2**31 - 1 - 65535)
        self.peer.settings((INITIAL_WINDOW, 65536))
        self.assertGone(Code.FLOW_CONTROL_ERROR)

    def test_byNothing(self) -> None:
        """
        To enlarge a window by nothing is an error.
        """
        self.up()
        self.window(1, 0)
        self.assertEqual([(1, Code.PROTOCOL_ERROR)], self.peer.resets())
        self.window(0, 0)
        self.assertGone(Code.PROTOCOL_ERROR)

    def test_turns(self) -> None:
        """
        Streams that have much to send have their turns.
        """
        self.peer.settings((INITIAL_WINDOW, 1 << 30), (MAX_FRAME_SIZE, 1 << 20))
        self.window(0, 1 << 30)
        one, two = self.up(1), self.up(3)
        self.peer.link.pauseProducing()
        one.channel.write(bytes(4 * TURN))
        two.channel.write(bytes(2 * TURN))
        self.peer.link.resumeProducing()
        order = [stream for kind, _, stream, payload in self.peer.frames() if kind == DATA]
        self.assertEqual([1, 3, 1, 3, 1, 1], order)

    def test_blocked(self) -> None:
        """
        While the transport is full, data waits in its stream; one that has no window holds up nobody.
        """
        one, two = self.up(1), self.up(3)
        one.channel.write(bytes(65535))
        self.window(0, 1 << 20)
        one.channel.write(b"no window")
        self.peer.frames()
        two.channel.write(b"goes")
        self.assertEqual({3: 4}, self.sent())
        self.peer.link.pauseProducing()
        two.channel.write(b"waits")
        self.assertEqual({}, self.sent())
        self.peer.link.resumeProducing()
        self.assertEqual({3: 5}, self.sent())

    def test_finishAfterWhatWaits(self) -> None:
        """
        The end comes after all that was written.
        """
        one = self.up()
        one.channel.write(bytes(70000))
        one.channel.finish()
        self.assertNotIn((DATA, END_STREAM, 1, b""), self.peer.frames())
        self.window(0, 1 << 20)
        self.window(1, 1 << 20)
        self.assertEqual([(DATA, 0, 1, bytes(70000 - 65535)), (DATA, END_STREAM, 1, b"")], self.peer.frames())

    def test_beforeAccept(self) -> None:
        """
        Nothing goes in front of the answer.
        """
        self.peer.headers(1)
        upper = Upper(self.core.channels[1])
        upper.channel.write(b"early")
        upper.channel.finish()
        self.assertEqual([], self.peer.frames())
        upper.channel.accept()
        self.assertEqual([HEADERS, DATA, DATA], [kind for kind, *_ in self.peer.frames()])

    def test_deadChannel(self) -> None:
        """
        Whatever is asked of a channel that is gone does nothing.
        """
        one = self.up()
        one.channel.reset()
        self.peer.frames()
        one.channel.write(bytes(100_000))
        for call in ("finish", "reset", "accept"):
            getattr(one.channel, call)()
        self.assertEqual({}, self.sent())
