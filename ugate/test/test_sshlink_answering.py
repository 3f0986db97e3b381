# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshlink}: what a peer may say, in its own bytes.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from ugate.errors import Cause, Denied, Refused
from ugate.interfaces import IChannel, ILink
from ugate.protocols import sshpackets as say
from ugate.protocols.sshchannel import PACKET, SSHChannel
from ugate.protocols.sshchannels import MOST, SMALL, TOTAL, UNREAD, WINDOW
from ugate.protocols.sshpackets import U32, Reader, U32x2, U32x3, U32x4, string
from ugate.stream import UNIX, Target
from ugate.test.sshfakes import INFO
from ugate.test.sshpeer import DIRECT, PeerCase


class AskedTests(PeerCase):
    """
    Streams that the peer asks for.
    """

    def test_provides(self) -> None:
        """
        It is a link, and has channels.
        """
        verifyObject(ILink, self.link)
        verifyObject(IChannel, SSHChannel(self.link, 0, WINDOW))

    def test_info(self) -> None:
        """
        The stream knows where it goes, who asks, and for whom it says to be.
        """
        self.ask()
        info = self.streams[0].info
        self.assertEqual(Target("db.example", 5432), info.target)
        self.assertEqual(
            ("direct-tcpip", ("ssh",), INFO.principal), (info.protocol, info.layers, info.principal)
        )
        self.assertEqual("10.0.0.9:4711", info.hints["originator"])
        self.assertEqual([], self.said())
        self.streams[0].accept()
        self.assertEqual([(say.OPEN_CONFIRMATION, U32x4.pack(7, 0, WINDOW, PACKET))], self.said())

    def test_refusals(self) -> None:
        """
        What there is none of, and what names no place, is refused by the code for that; the link goes on.
        """
        for kind, more, code, text in (
            (b"direct-streamlocal@openssh.com", string(b"/run/../x"), 2, "without //, . and .."),
            (b"direct-streamlocal@openssh.com", string(b"/\xff"), 2, "UTF-8"),
            (b"forwarded-tcpip", DIRECT, 3, "unknown channel type"),
            (b"session", b"", 3, "unknown channel type"),
            (b"x11", b"", 3, "unknown channel type"),
            (b"direct-tcpip", string(b"a b") + U32.pack(1) + string(b"") + U32.pack(0), 2, "not a host name"),
            (b"direct-tcpip", string(b"db") + U32.pack(0) + string(b"") + U32.pack(0), 2, "port 0"),
            (b"direct-tcpip", string(b"db") + U32.pack(1 << 20) + string(b"") + U32.pack(0), 2, "port"),
            (b"direct-tcpip", string(b"\xff") + U32.pack(1) + string(b"") + U32.pack(0), 2, "UTF-8"),
        ):
            self.ask(kind, more)
            self.assertRefuses(code, text)
        self.assertEqual((0, []), (self.link.streams, self.streams))

    def test_path(self) -> None:
        """
        A stream to a UNIX socket of ours has its path for a target, and is decided as all others.
        """
        asked: list[str] = []
        self.link.mayOpen = lambda target: asked.append(str(target))
        self.ask(say.LOCAL, string(b"/run/app.sock") + string(b"") + U32.pack(0))
        (stream,) = self.streams
        self.assertEqual(stream.info.target, Target("/run/app.sock", 0, UNIX))
        self.assertEqual((stream.info.protocol, stream.info.layers), ("direct-streamlocal", ("ssh",)))
        self.assertNotIn("originator", stream.info.hints)
        self.assertEqual(asked, ["unix:/run/app.sock"])

    def test_asksForPath(self) -> None:
        """
        A server is asked for one in the words of OpenSSH.
        """
        self.link.open(INFO.but(target=Target("/run/app.sock", 0, UNIX)))
        ((number, payload),) = self.said()
        reader = Reader(payload)
        self.assertEqual((say.OPEN, b"direct-streamlocal@openssh.com"), (number, reader.string()))
        reader.number(), reader.number(), reader.number()
        self.assertEqual((b"/run/app.sock", b"", 0), (reader.string(), reader.string(), reader.number()))
        self.assertTrue(reader.isOver)

    def test_mayOpen(self) -> None:
        """
        What the credentials are not good for is refused before anybody sees it.
        """

        def mayOpen(target: Target) -> None:
            raise Denied(str(target), "the key is not good for it")

        self.link.mayOpen = mayOpen
        self.ask()
        self.assertRefuses(1, "denied by policy")
        self.assertEqual([], self.streams)

    def test_nobody(self) -> None:
        """
        As long as nobody takes streams, there are none.
        """
        self.link.incoming = None
        self.ask()
        self.assertRefuses(4, "a limit is reached")

    def test_most(self) -> None:
        """
        There are no more than a thousand, and windows get smaller when there are many.
        """
        for number in range(MOST):
            self.ask(remote=number)
            self.streams[-1].accept()
        windows = [Reader(payload[8:]).number() for _, payload in self.said()]
        self.assertEqual(TOTAL // WINDOW, windows.count(WINDOW))
        self.assertEqual(MOST - TOTAL // WINDOW, windows.count(SMALL))
        self.ask()
        self.assertRefuses(4, "more than 1000 channels")
        self.link.packetReceived(say.CLOSE, U32.pack(0))
        self.said()
        self.ask()
        self.streams[-1].accept()
        self.assertEqual(WINDOW, Reader(self.said()[0][1][8:]).number())

    def test_draining(self) -> None:
        """
        Who does not know that we go away is refused.
        """
        self.up()
        self.link.drain()
        self.assertEqual([(say.GLOBAL_REQUEST, string(b"draining@ugate") + b"\0")], self.said())
        self.ask()
        self.assertRefuses(4, "going away")


class BrokenTests(PeerCase):
    """
    Peers that break the protocol.
    """

    def test_broken(self) -> None:
        """
        What cannot be ends the link, and says why.
        """
        for number, payload, text in (
            (say.DATA, U32.pack(9) + string(b"x"), "channel 9 is not open"),
            (say.OPEN_CONFIRMATION, U32x4.pack(0, 0, 1, 1), "channel 0 is not waited for"),
            (say.REQUEST_SUCCESS, b"", "nobody has asked for"),
            (say.OPEN, string(b"direct-tcpip"), "cut off"),
            (say.OPEN, U32.pack(1 << 30), "cut off"),
            (say.OPEN, string(b"direct-tcpip") + U32x3.pack(1, 2, 0) + DIRECT, "packets of no bytes"),
            (say.CHANNEL_REQUEST, U32.pack(0), "not open"),
            (say.GLOBAL_REQUEST, string(b"x"), "cut off"),
        ):
            self.setUp()
            self.link.packetReceived(number, payload)
            self.assertBroken(text)
            self.assertEqual(0, self.link.streams)
            self.link.packetReceived(say.OPEN, b"nobody looks")

    def test_window(self) -> None:
        """
        A window of more than there can be breaks the protocol.
        """
        self.up()
        self.link.packetReceived(say.WINDOW_ADJUST, U32x2.pack(0, (1 << 32) - 1))
        self.assertBroken("a window of")

    def test_twice(self) -> None:
        """
        What is answered is not answered again.
        """
        opened = self.link.open(INFO.but(target=Target("db", 1)))
        self.link.packetReceived(say.OPEN_CONFIRMATION, U32x4.pack(0, 3, 10, 10))
        self.successResultOf(opened)
        self.link.packetReceived(say.OPEN_CONFIRMATION, U32x4.pack(0, 3, 10, 10))
        self.assertBroken("channel 0 is not waited for")

    def test_unknown(self) -> None:
        """
        A message that we do not know is said not to be implemented.
        """
        self.link.packetReceived(192, b"x")
        self.assertEqual([3], [number for number, _ in self.said()])

    @given(st.lists(st.tuples(st.integers(80, 101), st.binary(max_size=40)), max_size=8))
    def test_anything(self, messages: list[tuple[int, bytes]]) -> None:
        """
        Whatever comes, nothing else is raised.
        """
        self.setUp()
        self.ask()
        self.streams[-1].accept()
        for number, payload in messages:
            self.link.packetReceived(number, payload)


class FloodTests(PeerCase):
    """
    Peers that do not read.
    """

    def test_unread(self) -> None:
        """
        A peer that wants answers, and reads none, is cut in the end; one that reads is not.
        """
        keepalive = string(b"keepalive@openssh.com") + b"\1"
        for _ in range(3):
            self.link.pauseProducing()
            for _ in range(UNREAD):
                self.link.packetReceived(say.GLOBAL_REQUEST, keepalive)
            self.link.resumeProducing()
        self.assertFalse(self.wire.isClosed)
        self.link.pauseProducing()
        for _ in range(UNREAD + 1):
            self.link.packetReceived(say.GLOBAL_REQUEST, keepalive)
        self.assertTrue(self.wire.isClosed)
        self.assertIn("reads nothing", self.successResultOf(self.link.whenClosed()))


class OpeningTests(PeerCase):
    """
    Streams that we ask for.
    """

    def opened(self, code: int, text: bytes) -> Refused:
        """
        The refusal of one.
        """
        opened: Any = self.link.open(INFO.but(target=Target("db.example", 5432)))
        ((_, payload),) = self.said()
        reader = Reader(payload)
        self.assertEqual(b"direct-tcpip", reader.string())
        number = reader.number()
        failure = U32x2.pack(number, code) + string(text) + string(b"")
        self.link.packetReceived(say.OPEN_FAILURE, failure)
        refused: Refused = self.failureResultOf(opened, Refused).value
        return refused

    def test_causes(self) -> None:
        """
        The code of a refusal, and the words of servers, say what it was.
        """
        for code, text, cause in (
            (1, b"open failed", Cause.DENIED),
            (2, b"Connection refused", Cause.CONNECTION_REFUSED),
            (2, b"open failed", Cause.CONNECTION_REFUSED),
            (2, b"Connection timed out", Cause.TIMED_OUT),
            (2, b"Name or service not known", Cause.NAME_UNKNOWN),
            (2, b"No route to host", Cause.HOST_UNREACHABLE),
            (2, b"something else", Cause.GENERAL),
            (3, b"", Cause.UNSUPPORTED),
            (4, b"", Cause.OVERLOADED),
            (99, b"\xff\0", Cause.GENERAL),
        ):
            self.assertIs(cause, self.opened(code, text).cause, text)
        self.assertIn("db.example:5432: no\ufffd?way", str(self.opened(2, b"no\xff\nway")))
        self.assertEqual(0, self.link.streams)

    def test_request(self) -> None:
        """
        It says where to, and for whom.
        """
        self.link.open(INFO.but(target=Target("db.example", 5432)))
        ((number, payload),) = self.said()
        want = string(b"db.example") + U32.pack(5432) + string(b"192.0.2.1") + U32.pack(4000)
        self.assertEqual(say.OPEN, number)
        self.assertEqual(string(b"direct-tcpip") + U32x3.pack(0, WINDOW, PACKET) + want, payload)

    def test_brokenAnswer(self) -> None:
        """
        Who waits for a stream learns it when the peer breaks SSH instead, or closes what is not open.
        """
        for number, payload in (
            (say.OPEN_CONFIRMATION, U32x4.pack(0, 3, 10, 0)),
            (say.OPEN_CONFIRMATION, U32x2.pack(0, 3)),
            (say.OPEN_FAILURE, U32x2.pack(0, 2)),
            (say.CLOSE, U32.pack(0)),
            (say.EOF, U32.pack(0)),
        ):
            self.setUp()
            opened = self.link.open(INFO.but(target=Target("db", 1)))
            self.link.packetReceived(number, payload)
            self.failureResultOf(opened, Refused)
            self.assertIsNotNone(self.wire.disconnected)

    def test_noTarget(self) -> None:
        """
        Without a place there is no stream.
        """
        self.failureResultOf(self.link.open(INFO), Refused)


class GlobalTests(PeerCase):
    """
    What is said of the connection.
    """

    def test_keepalive(self) -> None:
        """
        It is answered, as is what there is none of; who wants no answer gets none.
        """
        for name, wants, answer in (
            (b"keepalive@openssh.com", b"\1", [(say.REQUEST_SUCCESS, b"")]),
            (b"tcpip-forward", b"\1", [(say.REQUEST_FAILURE, b"")]),
            (b"no-more-sessions@openssh.com", b"\0", []),
            (b"hostkeys-00@openssh.com", b"\0", []),
        ):
            self.link.packetReceived(say.GLOBAL_REQUEST, string(name) + wants)
            self.assertEqual(answer, self.said())

    def test_ping(self) -> None:
        """
        Any answer says that the peer is there.
        """
        pinged = self.link.ping()
        self.assertEqual([(say.GLOBAL_REQUEST, string(b"keepalive@openssh.com") + b"\1")], self.said())
        self.assertNoResult(pinged)
        self.link.packetReceived(say.REQUEST_FAILURE, b"")
        self.successResultOf(pinged)
