# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.sshcommands}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialers import Deny
from ugate.endpoints.sshcommands import DENIED, UNKNOWN, Commands
from ugate.protocols.credentials import ALL, Permits
from ugate.stream import Principal
from ugate.tenancy.match import parseMatch
from ugate.tenancy.policy import Rule, RulesPolicy
from ugate.tenancy.tenant import Tenant
from ugate.tenancy.who import parseWho
from ugate.test.sshfakes import INFO


class CommandsTests(SynchronousTestCase):
    """
    What is said to somebody.
    """

    def commands(self, permits: Permits = ALL) -> Commands:
        """
        Those of bob, who may go to one place.
        """
        rule = Rule(True, (parseWho("key:bob"),), target=(parseMatch("db.example:1"),))
        tenant = Tenant(Clock(), RulesPolicy([rule]))
        tenant.dialer = Deny()
        info = INFO.but(principal=Principal("bob", "key"))
        return Commands(tenant, info, permits)

    def test_status(self) -> None:
        """
        Who it is, whose rules hold, and what a key is good for.
        """
        for line in ("", "status", "  status "):
            text, status = self.commands().answer(line)
            self.assertEqual(0, status)
            self.assertIn("You are bob (key), and the rules are those of the tenant root.", text)
            self.assertNotIn("good for", text)
        self.assertIn(
            "streams to db:1, web:*.", self.commands(Permits((("db", 1), ("web", 0)))).answer("")[0]
        )
        self.assertIn("streams to nowhere.", self.commands(Permits(())).answer("")[0])

    def test_path(self) -> None:
        """
        The same of a UNIX socket, which no rule for hosts allows.
        """
        text, status = self.commands().answer("explain unix:/run/x")
        self.assertEqual(("you may not go to unix:/run/x: denied by policy\n", DENIED), (text, status))
        text, status = self.commands(Permits((("*", 0),))).answer("explain unix:/run/x")
        self.assertEqual(("your key is not good for unix:/run/x\n", DENIED), (text, status))
        self.assertIn("without //", self.commands().answer("explain unix:/run/../x")[0])

    def test_gone(self) -> None:
        """
        Who is of a tenant that is gone is told so.
        """
        info = INFO.but(principal=Principal("bob", "key", "alice"))
        commands = Commands(Tenant(Clock(), RulesPolicy([])), info)
        for line in ("", "explain db.example:1"):
            text, status = commands.answer(line)
            self.assertEqual(DENIED, status)
            self.assertIn("there is no tenant alice", text)

    def test_help(self) -> None:
        """
        All commands are there, and nothing else is.
        """
        text, status = self.commands().answer("help")
        self.assertEqual(0, status)
        for line in ("sh", "status now", "explain", "explain a b", "scp -t /"):
            other, status = self.commands().answer(line)
            self.assertEqual(UNKNOWN, status)
            self.assertIn(text, other)

    def test_explain(self) -> None:
        """
        Whether one may go somewhere, and why not.
        """
        text, status = self.commands().answer("explain db.example:2")
        self.assertEqual(("you may not go to db.example:2: denied by policy\n", DENIED), (text, status))
        text, status = self.commands().answer("explain db.example:1")
        self.assertEqual(("you may go to db.example:1\n", 0), (text, status))
        text, status = self.commands(Permits(())).answer("explain db.example:1")
        self.assertEqual(("your key is not good for db.example:1\n", DENIED), (text, status))
        text, status = self.commands().answer("explain db.example")
        self.assertIn("wanted HOST:PORT", text)
        self.assertEqual(DENIED, status)

    def test_operator(self) -> None:
        """
        Who runs the gateway is told by which rule and by which way; nobody else is.
        """
        commands = self.commands()
        commands._info = INFO.but(principal=Principal("operator", "local"))
        text, status = commands.answer("explain db.example:1")
        self.assertEqual(0, status)
        self.assertIn("policy: operator (local) may", text)
        self.assertIn("refuse: this way is closed", text)
