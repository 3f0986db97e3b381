# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A peer of a link in SSH that says what it is told to.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols import sshpackets as say
from ugate.protocols.mux import MuxStream
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshpackets import U32, Reader, U32x3, string
from ugate.test.sshfakes import INFO, FakeWire
from ugate.testing import Conversation

DIRECT = string(b"db.example") + U32.pack(5432) + string(b"10.0.0.9") + U32.pack(4711)


class PeerCase(SynchronousTestCase):
    """
    A link whose peer says what it is told to.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = SSHLink(self.clock, INFO)
        self.wire = FakeWire(self.link)
        self.wire.begin()
        self.streams: list[MuxStream] = []
        self.link.incoming = self.streams.append

    def said(self) -> list[tuple[int, bytes]]:
        """
        What we have said since the last time.
        """
        sent, self.wire.sent = self.wire.sent, []
        return sent

    def ask(
        self, kind: bytes = b"direct-tcpip", more: bytes = DIRECT, remote: int = 7, packet: int = 100
    ) -> None:
        """
        The peer asks for a channel, with a window of a thousand bytes.
        """
        self.link.packetReceived(say.OPEN, string(kind) + U32x3.pack(remote, 1000, packet) + more)

    def up(self) -> Conversation:
        """
        A stream that the peer has asked for.
        """
        self.ask()
        stream, conversation = self.streams[-1], Conversation()
        stream.accept()
        stream.begin(conversation)
        self.said()
        return conversation

    def assertRefuses(self, code: int, text: str) -> None:
        """
        The last request was refused.
        """
        ((number, payload),) = self.said()
        reader = Reader(payload)
        self.assertEqual((say.OPEN_FAILURE, 7, code), (number, reader.number(), reader.number()))
        self.assertIn(text, reader.string().decode())

    def assertBroken(self, text: str) -> None:
        """
        The peer broke the protocol, and was told so.
        """
        assert self.wire.disconnected is not None
        self.assertEqual(2, self.wire.disconnected[0])
        self.assertIn(text, self.successResultOf(self.link.whenClosed()))
