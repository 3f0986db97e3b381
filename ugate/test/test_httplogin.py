# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httplogin}.
"""

from __future__ import annotations

from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import Auth
from ugate.protocols.credentials import BearerToken
from ugate.protocols.httpauth import CHALLENGE
from ugate.protocols.httplogin import MAX_TRIES, ProxyLogin
from ugate.protocols.httpreply import Unserved
from ugate.stream import Principal
from ugate.test.httpfakes import ALICE, BAD, GOOD, aliceOnly

LOCAL = Principal("local", "local")


def field(line: bytes) -> list[tuple[bytes, bytes]]:
    """
    The field of a line.
    """
    name, _, value = line.strip().partition(b": ")
    return [(name, value)]


class LoginTests(SynchronousTestCase):
    """
    Who makes a request.
    """

    def who(self, login: ProxyLogin, line: bytes = b"") -> Principal | None:
        """
        The answer, when there is one at once.
        """
        found = login.check(field(line) if line else [])
        return self.successResultOf(found) if isinstance(found, Deferred) else found

    def refused(self, login: ProxyLogin, line: bytes = b"") -> Unserved:
        """
        The refusal, when there is one at once.
        """
        try:
            found = login.check(field(line) if line else [])
        except Unserved as e:
            return e
        assert isinstance(found, Deferred)
        error = self.failureResultOf(found, Unserved).value
        assert isinstance(error, Unserved)
        return error

    def test_none(self) -> None:
        """
        Where nobody can log in, nobody has to, whatever they send.
        """
        for login in ProxyLogin(Auth.NONE, aliceOnly, LOCAL), ProxyLogin(Auth.OPTIONAL, None, LOCAL):
            self.assertEqual(self.who(login), LOCAL)
            self.assertEqual(self.who(login, BAD), LOCAL)

    def test_optional(self) -> None:
        """
        A login need not be given; a given one has to be good.
        """
        login = ProxyLogin(Auth.OPTIONAL, aliceOnly, LOCAL)
        self.assertEqual(self.who(login), LOCAL)
        self.assertEqual(self.who(login, GOOD), ALICE)
        self.assertEqual(self.refused(login, BAD).reply.status, 407)

    def test_required(self) -> None:
        """
        A login has to be given.
        """
        login = ProxyLogin(Auth.REQUIRED, aliceOnly, LOCAL)
        for line in b"", BAD, b"Proxy-Authorization: Bearer abc", b"Proxy-Authorization: Basic !":
            reply = self.refused(login, line).reply
            self.assertEqual(reply.status, 407)
            self.assertEqual(reply.fields, ((b"Proxy-Authenticate", CHALLENGE),))
        self.assertEqual(self.who(login, GOOD), ALICE)

    def test_bearer(self) -> None:
        """
        A token is a login, too; who knows no tokens finds none good.
        """
        tokens = {b"good": ALICE}

        def known(credentials: ICredentials) -> Principal:
            if isinstance(credentials, BearerToken) and credentials.token in tokens:
                return tokens[credentials.token]
            raise UnauthorizedLogin

        login = ProxyLogin(Auth.REQUIRED, known, None)
        self.assertEqual(self.who(login, b"Proxy-Authorization: Bearer good"), ALICE)
        self.assertEqual(self.refused(login, b"Proxy-Authorization: Bearer bad").reply.status, 407)

        def unknown(credentials: ICredentials) -> Principal:
            raise UnhandledCredentials

        login = ProxyLogin(Auth.REQUIRED, unknown, None)
        self.assertEqual(self.refused(login, b"Proxy-Authorization: Bearer good").reply.status, 407)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_requiredByMistake(self) -> None:
        """
        If nobody can check a login, none is good.
        """
        login = ProxyLogin(Auth.REQUIRED, None, LOCAL)
        self.assertEqual(self.refused(login).reply.status, 407)
        self.assertEqual(self.refused(login, GOOD).reply.status, 407)

    def test_two(self) -> None:
        """
        Two logins at once are a bad request.
        """
        login = ProxyLogin(Auth.REQUIRED, aliceOnly, None)
        error = self.assertRaises(Unserved, login.check, field(GOOD) + field(BAD))
        self.assertEqual(error.reply.status, 400)

    def test_known(self) -> None:
        """
        The last good login is checked once.
        """
        calls: list[ICredentials] = []

        def counted(credentials: ICredentials) -> Principal | Deferred[Principal]:
            calls.append(credentials)
            return aliceOnly(credentials)

        login = ProxyLogin(Auth.REQUIRED, counted, None)
        for _ in range(3):
            self.assertEqual(self.who(login, GOOD), ALICE)
        self.assertEqual(len(calls), 1)
        self.refused(login, BAD)
        self.refused(login, BAD)
        self.assertEqual(len(calls), 3)
        self.assertEqual(self.who(login, GOOD), ALICE)
        self.assertEqual(len(calls), 3)

    def test_tries(self) -> None:
        """
        Too many bad logins in a row are noted.
        """
        login = ProxyLogin(Auth.REQUIRED, aliceOnly, None)
        for _ in range(MAX_TRIES - 1):
            self.refused(login)
        self.assertFalse(login.isSpent)
        self.who(login, GOOD)
        for _ in range(MAX_TRIES):
            self.assertFalse(login.isSpent)
            self.refused(login, BAD)
        self.assertTrue(login.isSpent)

    def test_later(self) -> None:
        """
        The answer may come later.
        """
        asked: list[Deferred[Principal]] = []

        def later(credentials: ICredentials) -> Deferred[Principal]:
            asked.append(Deferred())
            return asked[-1]

        login = ProxyLogin(Auth.REQUIRED, later, None)
        bad, good = login.check(field(BAD)), login.check(field(GOOD))
        assert isinstance(bad, Deferred) and isinstance(good, Deferred)
        self.assertNoResult(bad)
        asked[0].errback(UnauthorizedLogin())
        error = self.failureResultOf(bad, Unserved).value
        assert isinstance(error, Unserved)
        self.assertEqual(error.reply.status, 407)
        self.assertNoResult(good)
        asked[1].callback(ALICE)
        self.assertEqual(self.successResultOf(good), ALICE)

    def test_broken(self) -> None:
        """
        An error of the check is logged, and is not the client's fault.
        """

        def broken(credentials: ICredentials) -> Principal:
            raise ZeroDivisionError("the store is gone")

        login = ProxyLogin(Auth.REQUIRED, broken, None)
        reply = self.refused(login, GOOD).reply
        self.assertEqual(reply.status, 500)
        self.assertNotIn("store", reply.text)
        self.assertFalse(login.isSpent)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
