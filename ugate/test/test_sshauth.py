# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshauth}.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from twisted.conch.error import ValidPublicKey
from twisted.cred.credentials import ISSHPrivateKey, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.credentials import Login
from ugate.protocols.sshauth import DELAY, MOST, PASSWORD, TRIES, WAITING, ServerAuth
from ugate.protocols.sshpackets import AUTH_REQUEST, string
from ugate.protocols.sshsignatures import isSigned
from ugate.stream import Principal

BOB = Login(Principal("bob", "password"))
FAILED = (51, string(b"publickey,password") + b"\0")
DONE = (52, b"")
KEY = Ed25519PrivateKey.generate()
BLOB = string(b"ssh-ed25519") + string(KEY.public_key().public_bytes_raw())


class Wire:
    """
    What is below.
    """

    sessionID = b"the session"

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.left: tuple[int, bytes] | None = None

    def sendPacket(self, number: int, payload: bytes) -> None:
        """
        As Conch has it.
        """
        self.sent.append((number, payload))

    def sendUnimplemented(self) -> None:
        """
        As Conch has it.
        """
        self.sent.append((3, b""))

    def sendDisconnect(self, code: int, text: bytes) -> None:
        """
        As Conch has it.
        """
        self.left = code, text


class AuthCase(SynchronousTestCase):
    """
    A login that is answered by the test.
    """

    isOpen = False

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Any] = []
        self.waiting: list[Deferred[Login]] = []
        self.done: list[tuple[str, Login | None]] = []
        self.wire = Wire()
        login = None if self.isOpen else self.login
        self.auth = ServerAuth(self.clock, login, lambda *done: self.done.append(done), "peer")
        self.auth.transport = self.wire
        self.auth.serviceStarted()

    def login(self, credentials: Any) -> Deferred[Login]:
        self.asked.append(credentials)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def ask(
        self, method: bytes, more: bytes = b"", user: bytes = b"bob", to: bytes = b"ssh-connection"
    ) -> None:
        """
        The client asks.
        """
        self.auth.packetReceived(50, string(user) + string(to) + string(method) + more)

    def password(self, text: bytes = b"secret", user: bytes = b"bob") -> None:
        """
        The client has a password.
        """
        self.ask(b"password", b"\0" + string(text), user)

    def key(
        self, isSigned: bool = True, algorithm: bytes = b"ssh-ed25519", used: bytes = b"ssh-ed25519"
    ) -> None:
        """
        The client has a key.
        """
        head = string(algorithm) + string(BLOB)
        if not isSigned:
            self.ask(b"publickey", b"\0" + head)
            return
        names = string(b"bob") + string(b"ssh-connection") + string(b"publickey")
        signed = string(Wire.sessionID) + b"\x32" + names + b"\1" + head
        self.ask(b"publickey", b"\1" + head + string(string(used) + string(KEY.sign(signed))))

    def said(self) -> list[tuple[int, bytes]]:
        """
        What the client was told since the last time.
        """
        sent, self.wire.sent = self.wire.sent, []
        return sent


class OpenTests(AuthCase):
    """
    Where nobody has credentials.
    """

    isOpen = True

    def test_open(self) -> None:
        """
        Everybody is let in, as nobody, whatever they have; nothing is heard after that.
        """
        self.ask(b"none")
        self.assertEqual(([DONE], [("bob", None)]), (self.said(), self.done))
        self.ask(b"none")
        self.assertEqual([], self.said())

    def test_service(self) -> None:
        """
        There is one thing to log in for.
        """
        self.ask(b"none", to=b"ssh-other")
        assert self.wire.left is not None
        self.assertEqual((7, []), (self.wire.left[0], self.done))


class LoginTests(AuthCase):
    """
    Where somebody has some.
    """

    def test_none(self) -> None:
        """
        Without any, one is told what there could be.
        """
        for method in (b"none", b"hostbased", b"keyboard-interactive", b""):
            self.ask(method)
            self.assertEqual([FAILED], self.said())
        self.assertEqual([], self.asked)

    def test_password(self) -> None:
        """
        A password is asked about, and lets in.
        """
        self.password()
        (credentials,) = self.asked
        self.assertTrue(IUsernamePassword.providedBy(credentials))
        self.assertEqual((b"bob", b"secret"), (credentials.username, credentials.password))
        self.assertEqual([], self.said())
        self.waiting[0].callback(BOB)
        self.assertEqual(([DONE], [("bob", BOB)]), (self.said(), self.done))

    def test_wrong(self) -> None:
        """
        A wrong one is said to be so a second later; after some of them all is over.
        """
        for number in range(TRIES):
            self.password()
            self.waiting[-1].errback(UnauthorizedLogin())
            self.clock.advance(DELAY - 0.1)
            self.assertEqual([], self.said())
            self.clock.advance(0.1)
            self.assertEqual([FAILED] if number < TRIES - 1 else [], self.said())
        self.assertEqual((14, b"too many tries"), self.wire.left)
        self.password()
        self.assertEqual(TRIES, len(self.asked))

    def test_change(self) -> None:
        """
        Nobody changes a password here, and none is endless.
        """
        self.ask(b"password", b"\1" + string(b"old") + string(b"new"))
        self.password(b"x" * (PASSWORD + 1))
        self.assertEqual([FAILED] * 2, self.said())
        self.password(user=b"u" * 600)
        self.assertEqual([FAILED], self.said())
        self.assertEqual([], self.asked)

    def test_overloaded(self) -> None:
        """
        Why a login could not be checked is for the log, and the client is let in neither way.
        """
        self.password()
        self.waiting[0].errback(Refused(Cause.OVERLOADED, Phase.AUTH, "users"))
        self.clock.advance(DELAY)
        self.assertEqual([FAILED], self.said())
        self.password()
        self.waiting[1].errback(ZeroDivisionError())
        self.clock.advance(DELAY)
        self.assertEqual([FAILED], self.said())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_asked(self) -> None:
        """
        A key that is known is said to be so, and no other is.
        """
        self.key(isSigned=False)
        (credentials,) = self.asked
        self.assertTrue(ISSHPrivateKey.providedBy(credentials))
        self.assertEqual((BLOB, None), (credentials.blob, credentials.signature))
        self.waiting[0].errback(ValidPublicKey())
        self.assertEqual([(60, string(b"ssh-ed25519") + string(BLOB))], self.said())
        self.key(isSigned=False)
        self.waiting[1].errback(UnauthorizedLogin())
        self.assertEqual([FAILED], self.said())
        # Nor is anybody in without a signature, if a portal should say so.
        self.key(isSigned=False)
        self.waiting[2].callback(BOB)
        self.assertEqual([(60, string(b"ssh-ed25519") + string(BLOB))], self.said())
        self.assertEqual([], self.done)

    def test_signed(self) -> None:
        """
        What the key has signed is what SSH says it has to be.
        """
        self.key()
        (credentials,) = self.asked
        self.assertTrue(isSigned(credentials.blob, credentials.sigData, credentials.signature))
        self.waiting[0].callback(BOB)
        self.assertEqual([DONE], self.said())

    def test_algorithms(self) -> None:
        """
        SHA-1, and a signature by another algorithm than was said, are no way in.
        """
        self.key(algorithm=b"ssh-rsa")
        self.key(isSigned=False, algorithm=b"ssh-dss")
        self.key(used=b"rsa-sha2-256")
        self.assertEqual([FAILED] * 3, self.said())
        self.assertEqual([], self.asked)

    def test_keysAreCounted(self) -> None:
        """
        To ask for many keys is no offence, to ask for ever is.
        """
        for _ in range(MOST):
            self.key(isSigned=False)
            self.waiting[-1].errback(UnauthorizedLogin())
        self.assertIsNone(self.wire.left)
        self.key(isSigned=False)
        self.assertEqual((14, b"too many tries"), self.wire.left)

    def test_atOnce(self) -> None:
        """
        What comes before an answer is looked at behind it, within limits.
        """
        self.password(b"one")
        self.password(b"two")
        self.assertEqual(1, len(self.asked))
        self.waiting[0].errback(UnauthorizedLogin())
        self.clock.advance(DELAY)
        self.assertEqual(2, len(self.asked))
        for _ in range(WAITING):
            self.password()
        self.assertIsNone(self.wire.left)
        self.password()
        self.assertEqual((2, b"too many requests at once"), self.wire.left)

    def test_gone(self) -> None:
        """
        When the client goes, nobody waits for anything any more.
        """
        cancelled: list[object] = []
        self.password()
        self.waiting[0].addErrback(cancelled.append)
        self.auth.serviceStopped()
        self.assertTrue(self.waiting[0].called)
        self.assertEqual([], self.said())
        self.setUp()
        self.password()
        self.waiting[0].errback(UnauthorizedLogin())
        self.auth.serviceStopped()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_broken(self) -> None:
        """
        What is cut off ends it.
        """
        self.auth.packetReceived(50, string(b"bob"))
        assert self.wire.left is not None
        self.assertEqual(2, self.wire.left[0])

    def test_other(self) -> None:
        """
        Nothing else is understood before somebody is in.
        """
        self.auth.packetReceived(90, string(b"direct-tcpip"))
        self.assertEqual([3], [number for number, _ in self.said()])

    @given(st.lists(st.binary(max_size=60), max_size=6))
    def test_anything(self, packets: list[bytes]) -> None:
        """
        Whatever comes, nothing is raised, and nobody is in.
        """
        self.setUp()
        for packet in packets:
            self.auth.packetReceived(AUTH_REQUEST, packet)
            self.auth.packetReceived(
                AUTH_REQUEST, string(b"bob") + string(b"ssh-connection") + string(b"publickey") + packet
            )
        self.assertEqual([], self.done)
