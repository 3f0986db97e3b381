# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshforwards}, in the bytes of a peer.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import Deferred, fail, succeed

from ugate.errors import Cause, Denied, Refused
from ugate.protocols import sshpackets as say
from ugate.protocols.sshforwards import LOCAL_CANCEL, LOCAL_FORWARD, MOST, WAITING, SSHForwards
from ugate.protocols.sshpackets import U32, Reader, string
from ugate.stream import UNIX, StreamInfo, Target
from ugate.test.sshfakes import HOST, PEER
from ugate.test.sshpeer import PeerCase


class FakePublisher:
    """
    Gives all, or what the test says later.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.withdrawn: list[Target] = []
        self.answer: Deferred[Target] | None = None

    def publish(self, host: str, port: int) -> Deferred[Target]:
        """
        Note it.
        """
        self.asked.append((host, port))
        return self.answer or succeed(Target("bob", port or 50_000 + len(self.asked)))

    def publishAt(self, path: Target) -> Deferred[Target]:
        """
        Note it.
        """
        self.asked.append((path.host, path.port))
        return succeed(path)

    def withdraw(self, at: Target) -> None:
        """
        Note it.
        """
        self.withdrawn.append(at)


class ForwardsTests(PeerCase):
    """
    A client that asks.
    """

    def setUp(self) -> None:
        super().setUp()
        self.publisher = FakePublisher()
        self.link.forwards = SSHForwards(self.publisher)

    def request(
        self, host: bytes = b"localhost", port: int = 0, name: bytes = b"tcpip-forward", wants: bool = True
    ) -> list[tuple[int, bytes]]:
        """
        Ask.

        @return: what was said.
        """
        payload = string(name) + (b"\1" if wants else b"\0") + string(host) + U32.pack(port)
        self.link.packetReceived(say.GLOBAL_REQUEST, payload)
        return self.said()

    def requestPath(self, path: bytes, name: bytes = LOCAL_FORWARD) -> list[tuple[int, bytes]]:
        """
        Ask for a UNIX socket.

        @return: what was said.
        """
        self.link.packetReceived(say.GLOBAL_REQUEST, string(name) + b"\1" + string(path))
        return self.said()

    def test_path(self) -> None:
        """
        A UNIX socket of ours is asked for by its path, in whose words streams come, until it is cancelled.
        """
        good, bad = [(say.REQUEST_SUCCESS, b"")], [(say.REQUEST_FAILURE, b"")]
        at = Target("/run/x", 0, UNIX)
        self.assertEqual(good, self.requestPath(b"/run/x"))
        self.assertEqual([("/run/x", 0)], self.publisher.asked)
        self.assertEqual(bad, self.requestPath(b"/run/x"))
        self.link.open(StreamInfo(PEER, HOST, at))
        ((number, payload),) = self.said()
        reader = Reader(payload)
        self.assertEqual((say.OPEN, b"forwarded-streamlocal@openssh.com"), (number, reader.string()))
        reader.number(), reader.number(), reader.number()
        self.assertEqual((b"/run/x", b"", True), (reader.string(), reader.string(), reader.isOver))
        # A host of that name is something else.
        self.assertEqual(bad, self.request(b"/run/x", 0, b"cancel-tcpip-forward"))
        self.assertEqual(bad, self.requestPath(b"/run/y", LOCAL_CANCEL))
        self.assertEqual(good, self.requestPath(b"/run/x", LOCAL_CANCEL))
        self.assertEqual([at], self.publisher.withdrawn)
        self.failureResultOf(self.link.open(StreamInfo(PEER, HOST, at)), Refused)

    def test_noPath(self) -> None:
        """
        What is no path is refused before anybody is asked.
        """
        for path in (b"", b"x", b"/run/../x", b"/run/\xff", b"/" + b"x" * 107):
            self.assertEqual([(say.REQUEST_FAILURE, b"")], self.requestPath(path))
        self.assertEqual([], self.publisher.asked)

    def opened(self, at: Target) -> tuple[bytes, int, bytes, int]:
        """
        In which words a stream for the client is opened.
        """
        self.link.open(StreamInfo(PEER, HOST, at))
        ((number, payload),) = self.said()
        reader = Reader(payload)
        self.assertEqual((say.OPEN, b"forwarded-tcpip"), (number, reader.string()))
        reader.number(), reader.number(), reader.number()
        words = reader.string(), reader.number(), reader.string(), reader.number()
        self.assertTrue(reader.isOver)
        return words

    def test_any(self) -> None:
        """
        The answer to port 0 has the port, and streams come with the words of the client, its own bytes.
        """
        for host in (b"localhost", b"", b"*", b"\xff"):
            ((number, payload),) = self.request(host)
            port = Reader(payload).number()
            self.assertEqual((say.REQUEST_SUCCESS, 4), (number, len(payload)))
            self.assertEqual((host, port, b"192.0.2.1", 4000), self.opened(Target("bob", port)))

    def test_named(self) -> None:
        """
        The answer to a port that was named is empty.
        """
        self.assertEqual([(say.REQUEST_SUCCESS, b"")], self.request(b"web.example", 80))
        self.assertEqual([("web.example", 80)], self.publisher.asked)
        self.assertEqual((b"web.example", 80, b"192.0.2.1", 4000), self.opened(Target("bob", 80)))

    def test_unasked(self) -> None:
        """
        What the client has not asked for is never opened, nor anything of another kind.
        """
        refused = self.failureResultOf(self.link.open(StreamInfo(PEER, HOST, Target("bob", 22))), Refused)
        self.assertIs(Cause.CONNECTION_REFUSED, refused.value.cause)
        self.assertEqual([], self.said())

    def test_cancel(self) -> None:
        """
        What is withdrawn is opened no more, and can be asked for again; what is not there is refused.
        """
        for _ in range(2):
            self.request(b"web.example", 80)
            self.assertEqual([(82, b"")], self.request(b"web.example", 80))
            self.assertEqual([(81, b"")], self.request(b"web.example", 80, b"cancel-tcpip-forward"))
            self.assertEqual([(82, b"")], self.request(b"web.example", 80, b"cancel-tcpip-forward"))
            self.failureResultOf(self.link.open(StreamInfo(PEER, HOST, Target("bob", 80))), Refused)
        self.assertEqual([Target("bob", 80)] * 2, self.publisher.withdrawn)
        ((_, payload),) = self.request()
        port = Reader(payload).number()
        self.assertEqual([(81, b"")], self.request(b"localhost", port, b"cancel-tcpip-forward"))

    def test_refused(self) -> None:
        """
        Who may not have it is told so, and may ask again; nobody is told who does not want to hear.
        """
        self.publisher.answer = fail(Denied("x", "no"))
        self.assertEqual([(82, b"")], self.request(b"x", 80))
        self.publisher.answer = fail(Denied("x", "no"))
        self.assertEqual([], self.request(b"x", 80, wants=False))
        self.publisher.answer = None
        self.assertEqual([(81, b"")], self.request(b"x", 80))
        self.assertEqual([(82, b"")], self.request(b"x", 1 << 16))

    def test_fault(self) -> None:
        """
        A fault of ours is logged, refuses, and holds up nothing.
        """
        self.publisher.answer = fail(ZeroDivisionError())
        self.assertEqual([(82, b"")], self.request(b"x", 80))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_order(self) -> None:
        """
        Answers have no names: they go in the order of the requests, whichever is decided first.
        """
        slow: Deferred[Target] = Deferred()
        self.publisher.answer = slow
        self.assertEqual([], self.request(b"slow", 80))
        self.publisher.answer = None
        self.assertEqual([], self.request(b"slow", 80))
        self.assertEqual([], self.request(b"fast", 80, wants=False))
        self.assertEqual([], self.request(b"any", 0))
        keepalive = string(b"keepalive@openssh.com") + b"\1"
        self.link.packetReceived(say.GLOBAL_REQUEST, keepalive)
        self.assertEqual([], self.said())
        slow.callback(Target("bob", 80))
        self.assertEqual([81, 82, 81, 81], [number for number, _ in self.said()])

    def test_waiting(self) -> None:
        """
        There is an end to what may wait for its answers.
        """
        self.publisher.answer = Deferred()
        for number in range(WAITING):
            self.request(b"x", number + 1)
        self.assertIsNone(self.wire.disconnected)
        self.request(b"x", 9999)
        self.assertBroken("requests at once")

    def test_most(self) -> None:
        """
        There is an end to forwards of one connection.
        """
        for number in range(MOST):
            self.assertEqual([(81, b"")], self.request(b"x", number + 1))
        self.assertEqual([(82, b"")], self.request(b"x", 9999))
        self.request(b"x", 1, b"cancel-tcpip-forward")
        self.assertEqual([(81, b"")], self.request(b"x", 9999))

    def test_client(self) -> None:
        """
        Whose side is that of the client is asked for nothing.
        """
        self.link.forwards = None
        self.assertEqual([(82, b"")], self.request())

    @given(st.binary(max_size=40), st.booleans())
    def test_broken(self, data: bytes, isCancel: bool) -> None:
        """
        Whatever comes is an answer, or ends the link with a reason.
        """
        self.setUp()
        name = b"cancel-tcpip-forward" if isCancel else b"tcpip-forward"
        self.link.packetReceived(say.GLOBAL_REQUEST, string(name) + b"\1" + data)
        numbers = [number for number, _ in self.said()]
        self.assertIn(numbers, ([say.REQUEST_SUCCESS], [say.REQUEST_FAILURE], [say.DISCONNECT]))


class ClientTests(PeerCase):
    """
    The other side: a server that is asked to listen for us.
    """

    def comes(self, port: int = 15022) -> None:
        """
        The server opens a stream that came there.
        """
        wanted = string(b"localhost") + U32.pack(port) + string(b"192.0.2.9") + U32.pack(77)
        self.ask(b"forwarded-tcpip", wanted)

    def test_listen(self) -> None:
        """
        Streams come from where we have asked for them, and from nowhere else.
        """
        self.comes()
        self.assertRefuses(3, "unknown channel type")
        asked = self.link.listen("localhost", 0)
        wanted = string(b"tcpip-forward") + b"\1" + string(b"localhost") + U32.pack(0)
        self.assertEqual([(say.GLOBAL_REQUEST, wanted)], self.said())
        self.link.packetReceived(say.REQUEST_SUCCESS, U32.pack(15022))
        at = self.successResultOf(asked)
        self.assertEqual(Target("localhost", 15022), at)
        self.comes()
        (stream,) = self.streams
        self.assertEqual((at, "forwarded-tcpip"), (stream.info.target, stream.info.protocol))
        self.assertEqual("192.0.2.9:77", stream.info.hints["originator"])
        self.comes(port=15023)
        self.assertRefuses(1, "denied by policy")
        gone = self.link.unlisten(at)
        self.link.packetReceived(say.REQUEST_SUCCESS, b"")
        self.successResultOf(gone)
        self.said()
        self.comes()
        self.assertRefuses(3, "unknown channel type")

    def test_refused(self) -> None:
        """
        A server that does not, and one that goes away.
        """
        asked = self.link.listen("localhost", 80)
        self.link.packetReceived(say.REQUEST_FAILURE, b"")
        refused = self.failureResultOf(asked, Refused).value
        self.assertIs(Cause.DENIED, refused.cause)
        asked = self.link.listen("localhost", 80)
        self.link.serviceStopped()
        self.assertIs(Cause.PEER_CLOSED, self.failureResultOf(asked, Refused).value.cause)
        self.failureResultOf(self.link.listen("localhost", 80), Refused)

    def test_cutOff(self) -> None:
        """
        An answer without the port that was asked for is none.
        """
        asked = self.link.listen("localhost", 0)
        self.link.packetReceived(say.REQUEST_SUCCESS, b"\0")
        cause = self.failureResultOf(asked, Refused).value.cause
        self.assertIs(Cause.PEER_MISBEHAVED, cause)
