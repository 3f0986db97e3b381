# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.negotiate}: credentials.
"""

from __future__ import annotations

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone

from ugate.stream import Principal
from ugate.test.negotiatefakes import ALICE, DEADLINE, HalfStream, Listener, NegotiateTestCase


class LoginTests(NegotiateTestCase):
    """
    Credentials and who checks them.
    """

    def test_good(self) -> None:
        """
        The owner is asked once, and the negotiation told who it is.
        """
        self.begin().dataReceived(b"login alice\n")
        (asked,) = self.owner.asked
        assert isinstance(asked, UsernamePassword)
        self.assertEqual(self.said(), b"welcome alice\n")

    def test_bad(self) -> None:
        """
        Nobody is told so.
        """
        self.begin().dataReceived(b"login mallory\nopen\n")
        self.assertEqual(self.said(), b"denied\n")
        self.assertEqual((self.events, self.wire.halfClosed), ([], 1))

    def test_again(self) -> None:
        """
        A negotiation may give another try, also to one that sent it along.
        """
        self.lines.spares = True
        self.begin().dataReceived(b"login mallory\nlogin alice\nopen\nrest")
        self.assertEqual(self.said(), b"again\nwelcome alice\n")
        self.assertEqual(self.events, ["made", b"rest"])

    def test_kept(self) -> None:
        """
        It makes no difference who keeps what came with the credentials.
        """
        self.lines.keeps = True
        self.begin().dataReceived(b"login alice\nopen\nrest")
        self.assertEqual(self.events, ["made", b"rest"])

    def later(self) -> Deferred[Principal]:
        """
        Begin, with a login that takes its time.
        """
        checked: Deferred[Principal] = Deferred()
        self.owner.users[b"bob"] = checked
        self.begin().dataReceived(b"login bob\nhel")
        return checked

    def test_later(self) -> None:
        """
        While it is checked, the negotiation is left alone; what arrives comes after.
        """
        checked = self.later()
        self.host.dataReceived(b"lo\nop")
        self.host.dataReceived(b"en\nrest")
        self.assertEqual((self.said(), len(self.lines.fed)), (b"", 1))
        checked.callback(ALICE)
        self.assertEqual(self.said(), b"welcome alice\nhi\n")
        self.assertEqual(self.events, ["made", b"rest"])

    def test_laterKept(self) -> None:
        """
        What the negotiation has kept goes before what came while it waited.
        """
        self.lines.keeps = True
        checked: Deferred[Principal] = Deferred()
        self.owner.users[b"bob"] = checked
        self.begin().dataReceived(b"login bob\nopen\nfirst ")
        self.host.dataReceived(b"second")
        checked.callback(ALICE)
        self.assertEqual(self.events, ["made", b"first second"])

    def test_laterTwice(self) -> None:
        """
        What came meanwhile may be another login that takes its time.
        """
        first, second = Deferred[Principal](), Deferred[Principal]()
        self.owner.users.update({b"bob": first, b"eve": second})
        self.begin().dataReceived(b"login bob\nlogin eve\nopen\n")
        first.callback(ALICE)
        self.host.dataReceived(b"rest")
        self.assertEqual(self.events, [])
        second.callback(ALICE)
        self.assertEqual(self.events, ["made", b"rest"])

    def test_laterBad(self) -> None:
        """
        A login that fails later is a bad one; why it could not be checked is logged.
        """
        for error, logged in ((UnauthorizedLogin(), 0), (UnhandledCredentials(), 0), (OSError("no disk"), 1)):
            self.setUp()
            self.later().errback(error)
            self.assertEqual(self.said(), b"denied\n")
            self.assertEqual(len(self.flushLoggedErrors(OSError)), logged)

    def test_laterGone(self) -> None:
        """
        The answer for a peer that is gone, or was too slow, is for nobody.
        """
        checked = self.later()
        self.wire.lose(ConnectionDone())
        checked.callback(ALICE)
        self.assertEqual((self.said(), self.events), (b"", []))
        self.setUp()
        checked = self.later()
        self.clock.advance(DEADLINE)
        self.assertTrue(self.wire.disconnected)
        checked.errback(UnauthorizedLogin())
        self.assertEqual((self.said(), self.events), (b"", []))

    def test_laterCancelled(self) -> None:
        """
        A check that nobody waits for any more is cancelled, and that is no error.
        """
        cancelled: list[object] = []
        self.owner.users[b"bob"] = Deferred(cancelled.append)
        self.begin().dataReceived(b"login bob\n")
        self.assertEqual(cancelled, [])
        self.wire.lose(ConnectionDone())
        self.assertEqual(len(cancelled), 1)
        self.assertEqual((self.said(), self.flushLoggedErrors()), (b"", []))

    def test_laterMistake(self) -> None:
        """
        A mistake of ours after a login is logged and ends the connection.
        """
        checked = self.later()
        self.host.dataReceived(b"lo\nmistake\n")
        checked.callback(ALICE)
        self.assertTrue(self.wire.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_endWhileChecking(self) -> None:
        """
        A peer may end while its login is checked: if it had said all, its stream is
        up, and is told; if not, it is closed.
        """
        for data, events in ((b"lo\nopen\nrest", ["made", b"rest", "eof"]), (b"lo\nop", [])):
            self.setUp()
            checked = self.later()
            self.host.dataReceived(data)
            self.host.readConnectionLost()
            self.assertFalse(self.wire.disconnecting)
            checked.callback(ALICE)
            self.assertEqual(self.events, events)
            self.assertEqual(self.wire.disconnecting, not events)

    def test_streamThatFails(self) -> None:
        """
        An inner protocol that breaks when nobody listens does not stay for ever.
        """
        stream = HalfStream()
        stream.act = lambda stream: 1 // 0
        self.owner.stream = stream
        checked = self.later()
        self.host.dataReceived(b"lo\nopen\n")
        checked.callback(ALICE)
        self.assertTrue(self.wire.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class NoLoginTests(NegotiateTestCase):
    """
    An owner that says nothing about logins.
    """

    def test_nobody(self) -> None:
        """
        It knows nobody.
        """
        self.owner.login = super(Listener, self.owner).login  # type: ignore[method-assign]
        self.begin().dataReceived(b"login alice\n")
        self.assertEqual(self.said(), b"denied\n")
