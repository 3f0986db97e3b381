# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.passwords}: who gets in, and what is remembered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IPrincipal
from ugate.stream import Principal
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.tenancy.passwords import (
    MAX_REMEMBERED,
    REMEMBERED_FOR,
    PasswordFile,
    portalFor,
)

ALICE = PasswordHash.ofPassword(b"secret", 10)
BOB = PasswordHash.ofPassword(b"hunter2", 10)


class Elsewhere:
    """
    Where checks are run: nowhere, until the test says so.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], bool], Deferred[bool]]] = []

    def __call__(self, call: Callable[[], bool]) -> Deferred[bool]:
        answer: Deferred[bool] = Deferred()
        self.calls.append((call, answer))
        return answer

    def run(self) -> None:
        """
        Run the oldest check.
        """
        call, answer = self.calls.pop(0)
        answer.callback(call())


@contextmanager
def logged() -> Iterator[list[LogEvent]]:
    """
    Collect what the checker logs meanwhile.
    """
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event["log_namespace"].startswith("ugate."):
            events.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observe)


class PasswordCase(SynchronousTestCase):
    """
    Tests with a password file.
    """

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.write(f"alice:{ALICE}\nbob:{BOB}\n")
        self.clock = Clock()
        self.elsewhere = Elsewhere()

    def write(self, text: str) -> None:
        """
        Replace the file by another one.
        """
        Path(self.path + ".new").write_text(text, encoding="utf-8")
        os.chmod(self.path + ".new", 0o600)
        os.rename(self.path + ".new", self.path)

    def passwords(self, atOnce: int = 2, waiting: int = 1000) -> PasswordFile:
        """
        The file as a checker.
        """
        return PasswordFile(self.path, self.clock, self.elsewhere, atOnce, waiting)

    def login(
        self, file: PasswordFile, name: bytes = b"alice", password: bytes = b"secret"
    ) -> Deferred[bytes | tuple[()]]:
        """
        Begin a login.
        """
        return file.requestAvatarId(UsernamePassword(name, password))


class PasswordFileTests(PasswordCase):
    """
    Checking names and passwords.
    """

    def test_interface(self) -> None:
        """
        It is a checker of passwords.
        """
        verifyObject(ICredentialsChecker, self.passwords())

    def test_good(self) -> None:
        """
        A good password gives the name, once it was checked elsewhere.
        """
        answer = self.login(self.passwords())
        self.assertNoResult(answer)
        self.elsewhere.run()
        self.assertEqual(b"alice", self.successResultOf(answer))

    def test_bad(self) -> None:
        """
        A bad password, that of another and an unknown name are refused; each costs a check.
        """
        file = self.passwords()
        for name, password in ((b"alice", b"x"), (b"alice", b"hunter2"), (b"carol", b"secret"), (b"", b"")):
            answer = self.login(file, name, password)
            self.assertNoResult(answer)
            self.elsewhere.run()
            self.failureResultOf(answer, UnauthorizedLogin)

    def test_unknownCostsTheSame(self) -> None:
        """
        For an unknown name the work is that of most names in the file, or the default if there are none.
        """
        self.write(f"a:{ALICE}\nb:{BOB}\nc:{PasswordHash(b's' * 8, b'k' * 16, 11, 4, 1)}\n")
        file = self.passwords()
        self.login(file, b"carol")
        self.write("")
        self.login(file, b"dave")
        costs = []
        for call, _ in self.elsewhere.calls:
            expected = call.__self__.expected  # type: ignore[attr-defined]
            costs.append((expected.ln, expected.r, expected.p))
        self.assertEqual([(10, 8, 1), (15, 8, 1)], costs)

    def test_badFileAtStart(self) -> None:
        """
        Without a good file there is no checker.
        """
        self.write("alice\n")
        self.assertRaises(ConfigError, self.passwords)

    def test_remembered(self) -> None:
        """
        What was good is known at once for five minutes, and what was bad never is.
        """
        file = self.passwords()
        self.login(file)
        self.elsewhere.run()
        self.clock.advance(REMEMBERED_FOR - 1)
        self.assertEqual(b"alice", self.successResultOf(self.login(file)))
        for name, password in ((b"alice", b"secret2"), (b"alices", b"ecret"), (b"bob", b"secret")):
            answer = self.login(file, name, password)
            self.assertNoResult(answer)
            self.elsewhere.run()
            self.failureResultOf(answer, UnauthorizedLogin)
        self.clock.advance(2)
        self.assertNoResult(self.login(file))

    def test_rememberedIsBounded(self) -> None:
        """
        Only so many are remembered: the oldest is forgotten.
        """
        self.write("".join(f"u{number}:{ALICE}\n" for number in range(MAX_REMEMBERED + 1)))
        file = PasswordFile(self.path, self.clock, lambda call: succeed(True))
        for number in range(MAX_REMEMBERED + 1):
            self.login(file, b"u%d" % number)
            self.clock.advance(0.001)
        held = file._remembered
        self.assertEqual(MAX_REMEMBERED, len(held))
        file._defer = self.elsewhere
        self.assertNoResult(self.login(file, b"u0"))
        self.successResultOf(self.login(file, b"u1"))

    def test_noSecretsHeld(self) -> None:
        """
        What is remembered is no password.
        """
        file = self.passwords()
        self.login(file)
        self.elsewhere.run()
        self.assertNotIn(b"secret", repr(vars(file)).encode())

    def test_changed(self) -> None:
        """
        After a change of the file the new passwords count, at once, and what was remembered does not.
        """
        file = self.passwords()
        self.login(file)
        self.elsewhere.run()
        self.write(f"alice:{BOB}\n")
        old, new = self.login(file), self.login(file, password=b"hunter2")
        self.elsewhere.run()
        self.elsewhere.run()
        self.failureResultOf(old, UnauthorizedLogin)
        self.assertEqual(b"alice", self.successResultOf(new))

    def test_changedMeanwhile(self) -> None:
        """
        Who was removed while the check ran is not let in, and not remembered.
        """
        file = self.passwords()
        answer = self.login(file)
        self.write(f"bob:{BOB}\n")
        self.login(file, b"bob", b"hunter2")
        self.elsewhere.run()
        self.failureResultOf(answer, UnauthorizedLogin)
        self.assertEqual({}, file._remembered)

    def test_changedToBad(self) -> None:
        """
        A file with mistakes is told once, and the passwords from before stay.
        """
        file = self.passwords()
        with logged() as events:
            for text in ("alice\n", None):
                if text is None:
                    os.unlink(self.path)
                else:
                    self.write(text)
                for _ in range(2):
                    self.login(file)
                    if self.elsewhere.calls:
                        self.elsewhere.run()
                    self.assertEqual(b"alice", self.successResultOf(self.login(file)))
        self.assertEqual(2, len(events))
        self.assertIn(f"{self.path}:1:1: no ':' after a name", str(events[0]["error"]))
        self.write(f"bob:{BOB}\n")
        answer = self.login(file)
        self.elsewhere.run()
        self.failureResultOf(answer, UnauthorizedLogin)


class PortalTests(PasswordCase):
    """
    The portal of a password file.
    """

    def test_portal(self) -> None:
        """
        Whoever has a good password is a principal.
        """
        self.write(f"björn:{ALICE}\n")
        portal = portalFor(self.passwords())
        verifyObject(IRealm, portal.realm)
        answer = portal.login(UsernamePassword("björn".encode(), b"secret"), None, IPrincipal)
        self.elsewhere.run()
        interface, avatar, logout = self.successResultOf(answer)
        self.assertEqual((IPrincipal, Principal("björn", "password")), (interface, avatar))
        logout()
        answer = portal.login(UsernamePassword(b"alice", b"x"), None, IPrincipal)
        self.elsewhere.run()
        self.failureResultOf(answer, UnauthorizedLogin)

    def test_otherInterface(self) -> None:
        """
        It has nothing else to give.
        """
        portal = portalFor(self.passwords())
        answer = portal.login(UsernamePassword(b"alice", b"secret"), None, IRealm)
        self.elsewhere.run()
        self.failureResultOf(answer, LookupError)
