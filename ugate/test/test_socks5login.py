# -*- test-case-name: ugate.test.test_socks5login -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for the methods and logins of L{ugate.protocols.socks5}.
"""

from __future__ import annotations

from twisted.cred.credentials import UsernamePassword
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.interfaces import Auth
from ugate.protocols.socks5 import Socks5
from ugate.test.test_socks5 import (
    ALICE,
    BY_NAME,
    GREET,
    GREET_BOTH,
    GREET_LOGIN,
    INFO,
    LOGIN,
    WRONG_LOGIN,
    serve,
)


class AuthTests(SynchronousTestCase):
    """
    Methods and logins.
    """

    def method(self, auth: Auth, greeting: bytes) -> bytes:
        """
        What a server answers to a greeting.
        """
        return serve(Socks5(INFO, auth), [greeting]).sent

    def test_none(self) -> None:
        """
        Where nobody could check a login, none is asked for.
        """
        self.assertEqual(self.method(Auth.NONE, GREET), b"\x05\x00")
        self.assertEqual(self.method(Auth.NONE, GREET_BOTH), b"\x05\x00")
        self.assertEqual(self.method(Auth.NONE, GREET_LOGIN), b"\x05\xff")

    def test_optional(self) -> None:
        """
        Who offers a login is asked for it, and who does not may go on.
        """
        self.assertEqual(self.method(Auth.OPTIONAL, GREET), b"\x05\x00")
        self.assertEqual(self.method(Auth.OPTIONAL, GREET_BOTH), b"\x05\x02")
        self.assertEqual(self.method(Auth.OPTIONAL, b"\x05\x03\x02\x01\x00"), b"\x05\x02")
        self.assertEqual(self.method(Auth.OPTIONAL, GREET_LOGIN), b"\x05\x02")

    def test_required(self) -> None:
        """
        Nothing passes without a login.
        """
        self.assertEqual(self.method(Auth.REQUIRED, GREET), b"\x05\xff")
        self.assertEqual(self.method(Auth.REQUIRED, GREET_BOTH), b"\x05\x02")
        self.assertEqual(self.method(Auth.REQUIRED, GREET_LOGIN), b"\x05\x02")

    def test_noMethod(self) -> None:
        """
        Methods that are not served, or none at all: FF, and an error that says
        how the client should be set up.
        """
        for auth, wanted in (
            (Auth.NONE, "no login"),
            (Auth.OPTIONAL, "no login"),
            (Auth.REQUIRED, "a user name and a password"),
        ):
            for greeting, offered in (
                (b"\x05\x00", "(none)"),
                (b"\x05\x01\x01", "01"),
                (b"\x05\x03\x01\x03\xff", "01 03 ff"),
            ):
                outcome = serve(Socks5(INFO, auth), [greeting])
                self.assertEqual(outcome.sent, b"\x05\xff")
                self.assertIn(f"the methods {offered}: set it up for {wanted}", outcome.error)

    def test_login(self) -> None:
        """
        A good login proves who asks.
        """
        for auth in Auth.OPTIONAL, Auth.REQUIRED:
            outcome = serve(Socks5(INFO, auth), [GREET_BOTH, LOGIN, BY_NAME])
            self.assertEqual(outcome.sent, b"\x05\x02\x01\x00")
            assert outcome.info is not None
            self.assertEqual(outcome.info.principal, ALICE)

    def test_badLogin(self) -> None:
        """
        A bad login is refused, even where none was needed, and no error tells it.
        """
        for auth in Auth.OPTIONAL, Auth.REQUIRED:
            outcome = serve(Socks5(INFO, auth), [GREET_BOTH, WRONG_LOGIN, BY_NAME])
            self.assertEqual((outcome.sent, outcome.info), (b"\x05\x02\x01\x01", None))
            self.assertNotIn("alice", outcome.error)
            self.assertNotIn("wrong", outcome.error)

    def test_pipelinedLogin(self) -> None:
        """
        What came behind the login waits until the login is checked, and is read then.
        """
        server = Socks5(INFO, Auth.REQUIRED)
        step = server.receive(GREET_LOGIN + LOGIN + BY_NAME + b"early")
        self.assertEqual((step.send, step.done), (b"\x05\x02", False))
        step = server.login(ALICE)
        self.assertEqual((step.send, step.done, step.rest), (b"\x01\x00", True, b"early"))

    def test_nothingBeforeTheCheck(self) -> None:
        """
        Bytes that are fed while the login is checked do not get round it.
        """
        server = Socks5(INFO, Auth.REQUIRED)
        server.receive(GREET_LOGIN + LOGIN)
        self.assertFalse(server.receive(BY_NAME).done)
        self.assertEqual(self.assertRaises(ProtocolError, server.login, None).reply, b"\x01\x01")

    def test_emptyPassword(self) -> None:
        """
        An empty password is for the portal to judge.
        """
        credentials = Socks5(INFO, Auth.OPTIONAL).receive(GREET_BOTH + b"\x01\x01u\x00").credentials
        assert isinstance(credentials, UsernamePassword)
        self.assertEqual((credentials.username, credentials.password), (b"u", b""))

    def test_emptyLogin(self) -> None:
        """
        A login that says nothing is none, where none is needed; else it is checked.
        """
        outcome = serve(Socks5(INFO, Auth.OPTIONAL), [GREET_BOTH, b"\x01\x00\x00", BY_NAME])
        self.assertEqual(outcome.sent, b"\x05\x02\x01\x00")
        assert outcome.info is not None
        self.assertIsNone(outcome.info.principal)
        required = serve(Socks5(INFO, Auth.REQUIRED), [GREET_BOTH, b"\x01\x00\x00", BY_NAME])
        self.assertEqual((required.sent, required.info), (b"\x05\x02\x01\x01", None))
        for login in b"\x01\x00\x01x", b"\x01\x01\x00\x00":
            half = serve(Socks5(INFO, Auth.OPTIONAL), [GREET_BOTH, login, BY_NAME])
            self.assertEqual((half.sent, half.info), (b"\x05\x02\x01\x01", None))

    def test_loginVersion(self) -> None:
        """
        The login has a version of its own.
        """
        outcome = serve(Socks5(INFO, Auth.REQUIRED), [GREET_LOGIN, b"\x05" + LOGIN[1:]])
        self.assertEqual(outcome.sent, b"\x05\x02\x01\x01")
        self.assertIn("version 0x05", outcome.error)
