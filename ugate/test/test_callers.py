# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.callers} and L{ugate.modules.admin}.
"""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given
from hypothesis.strategies import binary

from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.modules.admin import Admin, AdminModule
from ugate.modules.callers import Caller, callerOf, credentialsFrom, isOperator, someoneOf
from ugate.modules.problems import Trouble
from ugate.modules.sections import AdminSection
from ugate.protocols.credentials import BearerToken
from ugate.stream import Principal
from ugate.tenancy.passwords import TooManyLogins
from ugate.test.adminfakes import FakeNode
from ugate.test.admintenants import Realm


class CredentialsTests(SynchronousTestCase):
    """
    What C{Authorization} says.
    """

    def test_read(self) -> None:
        """
        Passwords and tokens; nothing is nothing.
        """
        self.assertIsNone(credentialsFrom(None))
        found: Any = credentialsFrom([b"bearer  ugate_x "])
        self.assertEqual(BearerToken(b"ugate_x"), found)
        self.assertNotIn("ugate_x", repr(found))
        found = credentialsFrom([b"Basic " + base64.b64encode(b"carol:a:b")])
        self.assertIsInstance(found, UsernamePassword)
        self.assertEqual((b"carol", b"a:b"), (found.username, found.password))

    @given(binary(max_size=60))
    def test_any(self, field: bytes) -> None:
        """
        Whatever it says, it is read or refused.
        """
        for each in (field, b"Basic " + field, b"Bearer " + field):
            try:
                found = credentialsFrom([each])
            except Trouble as trouble:
                self.assertEqual(401, trouble.status)
            else:
                self.assertIsInstance(found, (BearerToken, UsernamePassword))

    def test_several(self) -> None:
        """
        It is said once.
        """
        self.assertRaises(Trouble, credentialsFrom, [b"Bearer x", b"Bearer y"])


class CallerTests(SynchronousTestCase):
    """
    Who asks.
    """

    def setUp(self) -> None:
        self.node: Any = FakeNode(MemoryReactorClock())

    def caller(self, name: str, portal: str = "root") -> Deferred[Caller]:
        """
        Somebody asks with a password.
        """
        return callerOf(self.node, portal, UsernamePassword(name.encode(), b"secret"), trusted=True)

    def test_sees(self) -> None:
        """
        One sees what one looks after, and what is below.
        """
        caller = self.successResultOf(self.caller("carol@alice"))
        seen = [path for path in ("root", "alice", "alice/dev", "alicex", "bob") if caller.sees(path)]
        self.assertEqual(["alice", "alice/dev"], seen)
        self.assertEqual((False, True, False), (isOperator(caller), caller.mayChange, caller.isHere))

    def test_trust(self) -> None:
        """
        Who says nothing is the operator where nobody else could say that; else one is who that proves.
        """
        operator = self.successResultOf(callerOf(self.node, "root", None, trusted=True))
        self.assertTrue(isOperator(operator) and operator.isHere)
        failure = self.failureResultOf(callerOf(self.node, "root", None, trusted=False), Trouble)
        self.assertEqual(401, failure.value.status)
        failure = self.failureResultOf(self.caller("eve"), Trouble)
        self.assertEqual(403, failure.value.status)

    def test_outside(self) -> None:
        """
        A portal that knows principals of a tenant which is not below its own gives nobody a way there.
        """
        self.node.tenants["alice"].portal = self.node.tenants["root"].portal
        failure = self.failureResultOf(self.caller("ann", "alice"), Trouble)
        self.assertEqual(403, failure.value.status)

    def test_busy(self) -> None:
        """
        Too many logins at once are no wrong password.
        """

        class Busy:
            """
            A checker with too much to do.
            """

            credentialInterfaces = (IUsernamePassword,)

            def requestAvatarId(self, credentials: object) -> Deferred[Any]:
                return fail(TooManyLogins("users", 1000))

        checker: Any = Busy()
        self.node.tenants["root"].portal = Portal(Realm("root"), [checker])
        failure = self.failureResultOf(self.caller("ann"), Trouble)
        self.assertEqual(503, failure.value.status)

    def test_noPortal(self) -> None:
        """
        Where nobody can log in nobody does.
        """
        self.failureResultOf(self.caller("ann", "alice/dev"), Trouble)

    def test_someone(self) -> None:
        """
        For what modules show any user of the tenant will do.
        """
        credentials = UsernamePassword(b"eve", b"secret")
        who = self.successResultOf(someoneOf(self.node, "root", credentials, trusted=False))
        self.assertEqual(Principal("eve", "password", "root"), who)
        self.failureResultOf(someoneOf(self.node, "root", None, trusted=False), Trouble)


class AdminTests(SynchronousTestCase):
    """
    Whom a section names.
    """

    def test_means(self) -> None:
        """
        Names and methods, with stars.
        """
        admin = Admin(AdminSection(("carol", "token:ci-*")))
        for name, method, means in (
            ("carol", "password", True),
            ("carol", "token", True),
            ("ci-1", "token", True),
            ("ci-1", "password", False),
            ("Carol", "password", False),
        ):
            self.assertEqual(means, admin.means(Principal(name, method)), (name, method))

    def test_mistake(self) -> None:
        """
        What names nobody is a mistake.
        """
        tenant: Any = None
        self.assertRaises(StringError, AdminModule().makeService, tenant, "x", AdminSection(("tokn:ci",)))
