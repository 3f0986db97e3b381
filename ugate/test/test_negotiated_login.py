# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Logging in at a listener.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from ugate.stream import Principal
from ugate.test.listenfakes import (
    HELLO,
    HELLO_LOGIN,
    LOGIN,
    REQUEST,
    WRONG,
    Line,
    ListenerCase,
)


class LoginTests(ListenerCase):
    """
    Credentials, checked by a portal.
    """

    def begin(self) -> tuple[Any, Line]:
        """
        A client on a listener that anybody reaches, who offers a login.
        """
        server, line = self.connect(self.socks(self.known(), interface=""))
        server.dataReceived(HELLO_LOGIN)
        self.assertEqual(line.take(), b"\x05\x02")
        return server, line

    def test_required(self) -> None:
        """
        Where credentials are required, nothing passes without.
        """
        server, line = self.connect(self.socks(self.known(), interface=""))
        with capturedLogs() as events:
            server.dataReceived(HELLO + REQUEST)
        self.assertEqual((line.take(), self.streams.made, len(events)), (b"\x05\xff", [], 1))

    def test_good(self) -> None:
        """
        Who has a good password is known in the stream.
        """
        server, line = self.begin()
        server.dataReceived(LOGIN + REQUEST + b"early")
        self.assertEqual(line.take(), b"\x01\x00")
        self.assertEqual(self.stream().info.principal, Principal("alice", "password"))
        self.assertEqual(self.stream().got, b"early")

    def test_bad(self) -> None:
        """
        Who has a bad one is turned away, and nothing of it is in the log.
        """
        server, line = self.begin()
        with capturedLogs() as events:
            server.dataReceived(WRONG + REQUEST)
        self.assertEqual((line.take()[:1], self.streams.made), (b"\x01", []))
        said = "".join(formatEvent(event) for event in events)
        self.assertEqual(len(events), 1)
        self.assertIn("192.0.2.7:40000", said)
        self.assertNotIn("other", said)

    def test_optional(self) -> None:
        """
        On this machine a login is welcome and not needed; a wrong one is still wrong.
        """
        factory = self.socks(self.known())
        for said, principal in ((HELLO, None), (HELLO_LOGIN + LOGIN, Principal("alice", "password"))):
            server, _ = self.connect(factory)
            server.dataReceived(said + REQUEST)
            self.assertEqual(self.streams.made.pop().info.principal, principal)
        server, _ = self.connect(factory)
        server.dataReceived(HELLO_LOGIN + WRONG + REQUEST)
        self.assertEqual(self.streams.made, [])

    def test_later(self) -> None:
        """
        A check may take its time: what arrives meanwhile is kept.
        """
        self.checker.later = True
        server, line = self.begin()
        for byte in LOGIN + REQUEST + b"early":
            server.dataReceived(bytes((byte,)))
        self.assertEqual((line.take(), self.streams.made), (b"", []))
        self.checker.answers[0].callback(b"alice")
        self.assertEqual((line.take(), self.stream().got), (b"\x01\x00", b"early"))
        self.assertEqual(self.stream().info.principal, Principal("alice", "password"))

    def test_laterBad(self) -> None:
        """
        The same with a bad end.
        """
        self.checker.later = True
        server, line = self.begin()
        server.dataReceived(WRONG + REQUEST)
        self.checker.answers[0].errback(UnauthorizedLogin())
        self.assertEqual((line.take()[:1], self.streams.made), (b"\x01", []))

    def test_nobodyWaits(self) -> None:
        """
        A check that nobody waits for any more is cancelled, since others wait for it.
        """
        self.checker.later = True
        for end in ("gone", "overdue"):
            server, line = self.begin()
            server.dataReceived(LOGIN + REQUEST)
            if end == "overdue":
                self.real.advance(10)
                self.assertTrue(line.disconnected)
            server.connectionLost(Failure(ConnectionDone()))
            self.assertEqual((line.take(), self.streams.made), (b"", []))
        self.assertEqual((self.checker.cancelled, self.flushLoggedErrors()), (2, []))
        server, _ = self.begin()
        server.dataReceived(LOGIN + REQUEST)
        self.checker.answers[-1].callback(b"alice")
        server.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.checker.cancelled, 2)

    def test_cannotCheck(self) -> None:
        """
        When the check itself fails nobody is let in, and the log says why.
        """
        self.checker.later = True
        server, line = self.begin()
        server.dataReceived(LOGIN + REQUEST)
        self.checker.answers[0].errback(ZeroDivisionError())
        self.assertEqual((line.take()[:1], self.streams.made), (b"\x01", []))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_strangePortal(self) -> None:
        """
        A portal that cannot check passwords lets nobody in.
        """
        server, line = self.connect(self.socks(self.tenant(Portal(object())), interface=""))  # type: ignore[arg-type]
        server.dataReceived(HELLO_LOGIN + LOGIN + REQUEST)
        self.assertEqual((line.take()[2:3], self.streams.made), (b"\x01", []))

    def test_noPortal(self) -> None:
        """
        Without a portal no login is good, whatever asks for it.
        """
        listeners: list[Any] = []

        def wrap(inner: Any, listener: Any) -> Any:
            listeners.append(listener)
            return inner

        self.socks(self.tenant(), wrap=wrap)
        self.assertRaises(UnauthorizedLogin, listeners[0].login, None)
