# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshchannel}: windows, ends and what breaks them.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from ugate.protocols import sshpackets as say
from ugate.protocols.sshchannel import PACKET, PACKETS
from ugate.protocols.sshchannels import PATIENCE, WINDOW
from ugate.protocols.sshpackets import U32, U32x2, string
from ugate.test.sshpeer import PeerCase
from ugate.testing import Conversation


class StreamTests(PeerCase):
    """
    Bytes and ends of a stream.
    """

    def data(self, data: bytes, number: int = 0) -> None:
        """
        The peer sends some.
        """
        self.link.packetReceived(say.DATA, U32.pack(number) + string(data))

    def test_windows(self) -> None:
        """
        We send no more than the peer lets us, in packets as it wants them; and it may send again what was
        taken, half of the window at a time.
        """
        conversation = self.up()
        conversation.write(b"x" * 1050)
        sent = self.said()
        self.assertEqual([100] * 10, [len(payload) - 8 for _, payload in sent])
        self.link.packetReceived(say.WINDOW_ADJUST, U32x2.pack(0, 20))
        self.link.packetReceived(say.WINDOW_ADJUST, U32x2.pack(0, 100))
        self.assertEqual([20, 30], [len(payload) - 8 for _, payload in self.said()])
        for _ in range(WINDOW // PACKET // 2 - 1):
            self.data(b"y" * PACKET)
        self.assertEqual([], self.said())
        self.data(b"y" * PACKET)
        self.assertEqual([(say.WINDOW_ADJUST, U32x2.pack(7, WINDOW // 2))], self.said())

    def test_turn(self) -> None:
        """
        With a peer that wants small packets, a turn is short, too: others are between.
        """
        for remote in (7, 8):
            self.ask(remote=remote, packet=1)
            stream = self.streams[-1]
            stream.accept()
            stream.begin(Conversation())
        self.said()
        self.link.isHeld = True
        for stream in self.streams:
            stream.write(b"x" * 1000)
        self.link.resumeProducing()
        sent = [U32.unpack_from(payload)[0] for _, payload in self.said()]
        self.assertEqual((2000, [7] * PACKETS + [8] * PACKETS + [7]), (len(sent), sent[: 2 * PACKETS + 1]))

    def test_notTaken(self) -> None:
        """
        What the reader has not taken may not be sent again, and what comes beyond that ends the link.
        """
        conversation = self.up()
        conversation.pause()
        for _ in range(WINDOW // PACKET):
            self.data(b"y" * PACKET)
        self.assertEqual([], self.said())
        self.data(b"y")
        self.assertBroken("1 bytes that channel 0 has no window for")

    def test_extended(self) -> None:
        """
        What a peer says beside its data is dropped, and counts.
        """
        conversation = self.up()
        payload = U32x2.pack(0, 1) + string(b"z" * PACKET)
        for _ in range(WINDOW // PACKET // 2):
            self.link.packetReceived(say.EXTENDED_DATA, payload)
        self.assertEqual([(say.WINDOW_ADJUST, U32x2.pack(7, WINDOW // 2))], self.said())
        self.assertEqual(b"", conversation.received)

    def test_endAndClose(self) -> None:
        """
        An end and a close at once, as many clients have it, are as it should be; a close alone is a cut.
        """
        conversation = self.up()
        self.data(b"all there is")
        self.link.packetReceived(say.EOF, U32.pack(0))
        self.link.packetReceived(say.CLOSE, U32.pack(0))
        self.assertEqual((b"all there is", True), (conversation.received, conversation.isClean))
        self.assertEqual([say.CLOSE], [number for number, _ in self.said()])
        conversation = self.up()
        self.link.packetReceived(say.CLOSE, U32.pack(1))
        self.assertFalse(conversation.isClean)
        conversation = self.up()
        conversation.write(b"x" * 2000)
        self.link.packetReceived(say.EOF, U32.pack(2))
        self.link.packetReceived(say.CLOSE, U32.pack(2))
        assert conversation.lost is not None
        self.assertIsNone(conversation.lost.check(ConnectionDone))
        self.assertEqual(0, self.link.streams)

    def test_closeAlone(self) -> None:
        """
        It is no cut by peers that are known to omit the end, unless something of ours was not sent.
        """
        self.wire.omitsEOF = True
        conversation = self.up()
        self.data(b"all there is")
        self.link.packetReceived(say.CLOSE, U32.pack(0))
        self.assertEqual((b"all there is", True), (conversation.received, conversation.isClean))
        conversation = self.up()
        conversation.write(b"x" * 2000)
        self.link.packetReceived(say.CLOSE, U32.pack(1))
        self.assertFalse(conversation.isClean)

    def test_closeLate(self) -> None:
        """
        A peer that never closes what we have closed loses the link.
        """
        conversation = self.up()
        conversation.abort()
        self.assertEqual([(say.CLOSE, U32.pack(7))], self.said())
        self.data(b"on its way")
        self.clock.advance(PATIENCE - 1)
        self.assertFalse(self.wire.isClosed)
        self.clock.advance(1)
        self.assertTrue(self.wire.isClosed)
        self.assertIn("did not close", self.successResultOf(self.link.whenClosed()))

    def test_requests(self) -> None:
        """
        A stream takes no requests; nobody who wants no answer gets one.
        """
        self.up()
        for wants in (b"\0", b"\1"):
            self.link.packetReceived(
                say.CHANNEL_REQUEST, U32.pack(0) + string(b"keepalive@openssh.com") + wants
            )
        self.assertEqual([(say.CHANNEL_FAILURE, U32.pack(7))], self.said())

    def test_afterTheEnd(self) -> None:
        """
        Data behind an end breaks the protocol.
        """
        self.up()
        self.link.packetReceived(say.EOF, U32.pack(0))
        self.link.packetReceived(say.EOF, U32.pack(0))
        self.data(b"more")
        self.assertBroken("no window")
