# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.portal}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.conch.error import ValidPublicKey
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import SSHPrivateKey, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IPrincipal
from ugate.protocols.credentials import (
    ALL,
    BearerToken,
    IBearerToken,
    ICertificate,
    ILogin,
    Login,
    PeerCertificate,
    Permits,
)
from ugate.stream import Principal
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.tenancy.portal import Logins, hasCredentials, portalFrom
from ugate.tenancy.tokens import makeToken
from ugate.test.credentialfakes import Counted, certificate, publicLine, sshString, tokenLine, write

SECRET = PasswordHash.ofPassword(b"secret", 10)
OTHER = PasswordHash.ofPassword(b"other", 10)
KEYS = {name: Ed25519PrivateKey.generate() for name in ("root", "alice", "stranger")}
CERTIFICATES = {name: certificate(0, 10**10) for name in ("root", "alice", "stranger")}
TOKENS = {name: makeToken() for name in ("root", "alice", "dev", "old", "stranger")}


@dataclass
class Files:
    """
    What the config says.
    """

    users: str | None = None
    tokens: str | None = None
    issuers: str | None = None
    keys: str | None = None
    revoked: str | None = None
    certificates: str | None = None


def password(user: str, text: str = "secret") -> UsernamePassword:
    """
    A name and a password.
    """
    return UsernamePassword(user.encode(), text.encode())


def bearer(name: str, tenant: str = "") -> BearerToken:
    """
    One of the tokens.
    """
    return BearerToken(f"{tenant}{TOKENS[name]}".encode())


def key(name: str, user: str = "whoever", asks: bool = False) -> SSHPrivateKey:
    """
    One of the keys.
    """
    blob = sshString(b"ssh-ed25519") + sshString(KEYS[name].public_key().public_bytes_raw())
    signature = sshString(b"ssh-ed25519") + sshString(KEYS[name].sign(b"data"))
    return SSHPrivateKey(user.encode(), b"ssh-ed25519", blob, b"data", None if asks else signature)


# Credentials, given to the portal of the root; who that is; how many passwords are checked for it.
LOGINS: tuple[tuple[Any, Principal | None, int], ...] = (
    # Passwords of our own.
    (password("bob"), Principal("bob", "password"), 1),
    (password("bob", "other"), None, 1),
    (password("nobody"), None, 1),
    (password(""), None, 1),
    # A name with an @ that is in our file.
    (password("me@alice", "other"), Principal("me@alice", "password"), 1),
    # Of tenants below, and of those below them.
    (password("bob@alice", "other"), Principal("bob", "password", "alice"), 1),
    (password("bob@alice"), None, 1),
    (password("nobody@alice"), None, 1),
    (password("me@alice"), None, 1),
    (password("bob@alice/dev"), Principal("bob", "password", "alice/dev"), 1),
    # The same again, which is remembered.
    (password("bob@dev@alice"), Principal("bob", "password", "alice/dev"), 0),
    # Tenants without passwords, and such that are not there.
    (password("bob@tokens"), None, 1),
    (password("bob@dev"), None, 1),
    (password("bob@nowhere"), None, 1),
    (password("bob@"), None, 1),
    (password("@alice"), None, 1),
    (password("bob@alice/"), None, 1),
    (password("bob@/alice"), None, 1),
    (password("bob@alice/nowhere"), None, 1),
    (password("bob@root"), None, 1),
    (password("bob@root/alice", "other"), None, 1),
    (password("bob@\u00e9"), None, 1),
    (password("bob@" + "/".join("a" * 17)), None, 1),
    # Tokens as passwords.
    (password("ci", TOKENS["root"]), Principal("ci", "token"), 0),
    (password("token", TOKENS["root"]), Principal("ci", "token"), 0),
    (password("bob", TOKENS["root"]), None, 1),
    (password("ci", TOKENS["stranger"]), None, 1),
    (password("nobody", TOKENS["stranger"]), None, 1),
    (password("old", TOKENS["old"]), None, 1),
    (password("token@alice", TOKENS["alice"]), Principal("ci", "token", "alice"), 0),
    (password("ci@alice", TOKENS["root"]), None, 1),
    (password("token@nowhere", TOKENS["root"]), None, 1),
    (password("ci@alice/dev", TOKENS["dev"]), Principal("ci", "token", "alice/dev"), 0),
    # Tokens as such.
    (bearer("root"), Principal("ci", "token"), 0),
    (bearer("stranger"), None, 0),
    (bearer("old"), None, 0),
    (bearer("alice"), None, 0),
    (bearer("alice", "alice~"), Principal("ci", "token", "alice"), 0),
    (bearer("dev", "alice/dev~"), Principal("ci", "token", "alice/dev"), 0),
    (bearer("dev", "alice~dev~"), None, 0),
    (bearer("root", "alice~"), None, 0),
    (bearer("root", "nowhere~"), None, 0),
    (bearer("root", "~"), None, 0),
    (BearerToken(b""), None, 0),
    # SSH keys: the key says who.
    (key("root"), Principal("bob@laptop", "key"), 0),
    (key("stranger"), None, 0),
    (key("alice"), None, 0),
    (key("alice", "x@alice"), Principal("ann", "key", "alice"), 0),
    (key("root", "x@alice"), None, 0),
    (key("root", "x@nowhere"), None, 0),
    (key("stranger", asks=True), None, 0),
    (key("root", "x@tokens"), None, 0),
    # Certificates.
    (PeerCertificate(CERTIFICATES["root"]), Principal("web", "certificate"), 0),
    (PeerCertificate(CERTIFICATES["stranger"]), None, 0),
    (PeerCertificate(CERTIFICATES["alice"]), None, 0),
    (PeerCertificate(CERTIFICATES["alice"], "alice"), Principal("web", "certificate", "alice"), 0),
    (PeerCertificate(CERTIFICATES["root"], "alice"), None, 0),
    (PeerCertificate(CERTIFICATES["root"], "nowhere"), None, 0),
)


class PortalTests(SynchronousTestCase):
    """
    The portals of some tenants.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.portals: dict[str, Portal] = {}
        self.make("root", f"bob:{SECRET}\nme@alice:{OTHER}\n", tokenLine("ci", TOKENS["root"]), "bob@laptop")
        with open(f"{self.folder}/tokens", "a", encoding="utf-8") as out:
            out.write(tokenLine("old", TOKENS["old"], 999))
        self.make("alice", f"bob:{OTHER}\n", tokenLine("ci", TOKENS["alice"]), "ann")
        self.make("alice/dev", f"bob:{SECRET}\n", tokenLine("ci", TOKENS["dev"]))
        self.make("tokens", None, tokenLine("ci", TOKENS["dev"]))

    def make(self, path: str, users: str | None, tokens: str, owner: str = "") -> None:
        """
        A tenant.
        """
        folder = self.folder = self.mktemp()
        os.mkdir(folder)
        files = Files(tokens=write(f"{folder}/tokens", tokens))
        if users is not None:
            files.users = write(f"{folder}/users", users)
        if owner:
            files.keys = write(f"{folder}/keys", f"{publicLine(KEYS[path])} {owner}\n")
            digest = sha256(CERTIFICATES[path]).hexdigest()
            files.certificates = write(f"{folder}/certificates", f"web:sha256:{digest}\n")
        portal = portalFrom(self.clock, files, path, self.child, defer=self.counting, now=lambda: 1000.0)
        assert portal is not None
        self.portals[path] = portal

    def test_permits(self) -> None:
        """
        Who asks for it learns what a key is good for, also one of a tenant below; all else is good for all.
        """
        checker: Any = next(iter(self.portals["alice"].checkers.values()))
        line = f'permitopen="db:1" {publicLine(KEYS["alice"])} ann\n'
        write(checker._keys._file.path, line)
        permitted = Login(Principal("ann", "key", "alice"), Permits((("db", 1),)))
        for path, user in (("alice", "x"), ("root", "x@alice")):
            answer = self.portals[path].login(key("alice", user), None, ILogin, IPrincipal)
            self.assertEqual((ILogin, permitted), self.successResultOf(answer)[:2])
            self.assertEqual(permitted.principal, self.login(key("alice", user), path)[0])
        self.counted = Counted()
        answer = self.portals["root"].login(password("bob"), None, ILogin, IPrincipal)
        self.assertEqual(Login(Principal("bob", "password"), ALL), self.successResultOf(answer)[1])

    def test_again(self) -> None:
        """
        Whoever has logged in may be asked about later: what was taken away, or is another, holds no more; nor
        does that of a tenant below whose portal was made anew.
        """
        self.counted = Counted()
        for credentials, name, line in (
            (password("bob"), "_passwords", f"bob:{OTHER}\n"),
            (password("token", TOKENS["root"]), "_tokens", tokenLine("ci", TOKENS["root"], 999.0)),
            (key("root"), "_keys", f"restrict {publicLine(KEYS['root'])} bob\n"),
        ):
            checker: Any = next(iter(self.portals["root"].checkers.values()))
            path = getattr(checker, name)._file.path
            with open(path) as file:
                before = file.read()
            login: Any = self.successResultOf(self.portals["root"].login(credentials, None, ILogin))[1]
            self.assertTrue(login.again())
            for text in (line, "# nobody\n"):
                write(path, text)
                self.assertFalse(login.again(), name)
            write(path, before)
            self.assertTrue(login.again())
        below: Any = self.successResultOf(self.portals["root"].login(key("alice", "x@alice"), None, ILogin))[
            1
        ]
        self.assertTrue(below.again())
        self.portals["alice"] = self.portals["root"]
        self.assertFalse(below.again())

    def child(self, path: str) -> Portal | None:
        """
        The portal of a tenant.
        """
        self.asked.append(path)
        return self.portals.get(path)

    def counting(self, call: Callable[[], bool]) -> Deferred[bool]:
        """
        Check a password.
        """
        return self.counted(call)

    def login(self, credentials: Any, path: str = "root") -> tuple[Principal | None, int]:
        """
        Log in.

        @return: who that is, and how many passwords were checked for it.
        """
        self.counted = Counted()
        answer = self.portals[path].login(credentials, None, IPrincipal)
        found: list[Any] = []
        answer.addBoth(found.append)
        (result,) = found
        if isinstance(result, tuple):
            self.assertIs(result[0], IPrincipal)
            result[2]()
            return result[1], self.counted.count
        result.trap(UnauthorizedLogin)
        self.assertNotIn(ValidPublicKey, (result.type,))
        return None, self.counted.count

    def test_table(self) -> None:
        """
        Everybody is who they are, and a failure costs one check of a password wherever it was one, be it the
        name, the tenant or the password that is wrong.
        """
        for credentials, who, cost in LOGINS:
            where = vars(credentials) if hasattr(credentials, "__dict__") else credentials
            self.assertEqual(self.login(credentials), (who, cost), where)

    def test_below(self) -> None:
        """
        A tenant's own portal knows those below it by their paths from there, and no others.
        """
        dev = Principal("bob", "password", "alice/dev")
        self.assertEqual(self.login(password("bob@dev"), "alice"), (dev, 1))
        for user in ("bob@alice/dev", "bob@tokens", "bob@root", "bob@alice"):
            self.assertEqual(self.login(password(user), "alice"), (None, 1))
        self.assertTrue(all(path.startswith("alice/") for path in self.asked), self.asked)

    def test_validKey(self) -> None:
        """
        A key that is known is told so before it has signed, as SSH asks for.
        """
        answer = self.portals["root"].login(key("root", asks=True), None, IPrincipal)
        self.failureResultOf(answer, ValidPublicKey)

    def test_changed(self) -> None:
        """
        Files that change are read again.
        """
        write(f"{self.folder}/tokens", tokenLine("new", TOKENS["dev"]))
        self.assertEqual(self.login(bearer("dev"), "tokens")[0], Principal("new", "token", "tokens"))

    def test_none(self) -> None:
        """
        There is no portal where nobody could log in, unless somebody below could.
        """
        self.assertIsNone(portalFrom(self.clock, Files()))
        self.assertFalse(hasCredentials(Files()))
        for name in ("users", "tokens", "keys", "certificates"):
            self.assertTrue(hasCredentials(Files(**{name: "x"})))
            self.assertRaises(ConfigError, portalFrom, self.clock, Files(**{name: "/nowhere"}))
        portal = portalFrom(self.clock, Files(), "root", self.child, always=True, defer=self.counting)
        assert portal is not None
        self.portals["root"] = portal
        self.assertEqual(
            self.login(password("bob@alice", "other")), (Principal("bob", "password", "alice"), 1)
        )
        for credentials in (password("bob"), password("bob@nowhere")):
            self.assertEqual(self.login(credentials), (None, 1))
        for other in (bearer("root"), key("root"), PeerCertificate(CERTIFICATES["root"])):
            self.assertEqual(self.login(other), (None, 0))

    def test_interfaces(self) -> None:
        """
        They provide what they say, and have nothing else to give.
        """
        verifyObject(ICredentialsChecker, Logins(self.clock, Files(), defer=self.counting))
        verifyObject(IRealm, self.portals["root"].realm)
        verifyObject(IBearerToken, bearer("root"))
        verifyObject(ICertificate, PeerCertificate(b""))
        self.failureResultOf(self.portals["root"].login(bearer("root"), None, IRealm), LookupError)

    def test_noSecrets(self) -> None:
        """
        No text of credentials has a secret in it.
        """
        self.assertNotIn(TOKENS["root"], repr(bearer("root")))
        self.assertNotIn(TOKENS["root"], str(bearer("root")))

    @given(st.binary(max_size=40), st.binary(max_size=20))
    def test_anything(self, name: bytes, secret: bytes) -> None:
        """
        Any name and password are somebody's or nobody's, and a failure costs one check.
        """
        for user in (name, name + b"@alice", b"bob@" + name):
            self.assertEqual(self.login(UsernamePassword(user, secret)), (None, 1))
        for token in (name, name + b"~" + secret):
            self.assertEqual(self.login(BearerToken(token)), (None, 0))
