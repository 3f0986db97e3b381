# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshsession}, and for the words of L{ugate.protocols.sshpackets}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.protocols import sshpackets as say
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshpackets import U32, Reader, U32x3, asked, refused, refusing, string, words
from ugate.protocols.sshsession import SSHSession
from ugate.test.sshfakes import INFO, FakeWire


class SessionTests(SynchronousTestCase):
    """
    Channels for people.
    """

    def setUp(self) -> None:
        self.link = SSHLink(Clock(), INFO)
        self.wire = FakeWire(self.link)
        self.wire.begin()
        self.commands: list[str] = []
        self.link.sessions = lambda channel: SSHSession(channel, self.answer)

    def answer(self, line: str) -> tuple[str, int]:
        self.commands.append(line)
        return "one\ntwo\n", 7

    def open(self, window: int = 1000) -> None:
        """
        The client has a session.
        """
        self.link.packetReceived(say.OPEN, string(b"session") + U32x3.pack(5, window, 1000))
        self.assertEqual([say.OPEN_CONFIRMATION], [number for number, _ in self.said()])

    def ask(self, name: bytes, data: bytes = b"", wants: bytes = b"\1") -> None:
        """
        The client wants something of it.
        """
        self.link.packetReceived(say.CHANNEL_REQUEST, U32.pack(0) + string(name) + wants + data)

    def said(self) -> list[tuple[int, bytes]]:
        """
        What we have said since the last time.
        """
        sent, self.wire.sent = self.wire.sent, []
        return sent

    def ends(self, status: int = 7) -> list[tuple[int, bytes]]:
        """
        How a session ends.
        """
        number = U32.pack(5)
        ended = (say.CHANNEL_REQUEST, number + string(b"exit-status") + b"\0" + U32.pack(status))
        return [ended, (say.EOF, number), (say.CLOSE, number)]

    def test_exec(self) -> None:
        """
        A command is answered, then comes its status, and the end.
        """
        self.open()
        self.ask(b"env", string(b"LANG") + string(b"C"), b"\0")
        self.ask(b"exec", string(b"status\0"))
        text = (say.DATA, U32.pack(5) + string(b"one\ntwo\n"))
        self.assertEqual([(say.CHANNEL_SUCCESS, U32.pack(5)), text, *self.ends()], self.said())
        self.assertEqual(["status?"], self.commands)
        self.ask(b"exec", string(b"again"))
        self.link.packetReceived(say.CLOSE, U32.pack(0))
        self.assertEqual(([], 0, 1), (self.said(), self.link.streams, len(self.commands)))

    def test_terminal(self) -> None:
        """
        On a terminal lines end as there; to have one is granted, and what is typed is dropped.
        """
        self.open()
        self.ask(b"pty-req", string(b"xterm"))
        self.link.packetReceived(say.DATA, U32.pack(0) + string(b"rm -rf /\n"))
        self.assertEqual([(say.CHANNEL_SUCCESS, U32.pack(5))], self.said())
        self.ask(b"shell", wants=b"\0")
        self.assertEqual([(say.DATA, U32.pack(5) + string(b"one\r\ntwo\r\n")), *self.ends()], self.said())
        self.assertEqual([""], self.commands)

    def test_refused(self) -> None:
        """
        There are no subsystems, no agents, no X11, and no endless commands.
        """
        self.open()
        for name, data in (
            (b"subsystem", string(b"sftp")),
            (b"auth-agent-req@openssh.com", b""),
            (b"x11-req", b""),
            (b"exec", string(b"x" * 5000)),
            (b"keepalive@openssh.com", b""),
        ):
            self.ask(name, data)
            self.assertEqual([(say.CHANNEL_FAILURE, U32.pack(5))], self.said(), name)
        self.assertEqual([], self.commands)

    def test_window(self) -> None:
        """
        An answer waits for the window, and the end for the answer.
        """
        self.open(window=3)
        self.ask(b"shell")
        self.assertEqual([say.CHANNEL_SUCCESS, say.DATA], [number for number, _ in self.said()])
        self.link.packetReceived(say.WINDOW_ADJUST, say.U32x2.pack(0, 100))
        self.assertEqual([(say.DATA, U32.pack(5) + string(b"\ntwo\n")), *self.ends()], self.said())


class PacketTests(SynchronousTestCase):
    """
    Packets, and words in them.
    """

    def test_asked(self) -> None:
        """
        Addresses have brackets or none; who asks need not say for whom.
        """
        data = string(b"[2001:db8::1]") + U32.pack(22) + string(b"") + U32.pack(0)
        target, claim = asked(data)
        self.assertEqual(("[2001:db8::1]:22", ""), (str(target), claim))
        for cut in range(len(data)):
            self.assertRaises(ProtocolError, asked, data[:cut])

    def test_refusals(self) -> None:
        """
        Every cause comes back as it went, if it is one that words tell apart.
        """
        for cause in Cause:
            code, text = refusing(Refused(cause, Phase.CONNECT, "here", "what nobody has to know"))
            self.assertNotIn("nobody", text)
            again = refused("there", None, code, text).cause
            self.assertIs(Cause.GENERAL if cause is Cause.GENERAL else cause, again)

    def test_words(self) -> None:
        """
        What a peer says is not endless, and nothing that a terminal would obey.
        """
        self.assertEqual("?[31m\N{BULLET}", words("\x1b[31m\N{BULLET}".encode()))
        self.assertEqual(200, len(words(b"x" * 10**6)))

    @given(st.binary(max_size=60))
    def test_anything(self, data: bytes) -> None:
        """
        Bytes are taken apart, or are broken, and nothing else.
        """
        for take in (Reader.number, Reader.string, Reader.truth):
            try:
                take(Reader(data))
            except ProtocolError:
                pass
