# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Another configuration that does not come into force.
"""

from __future__ import annotations

from typing import Any

from ugate.errors import StringError
from ugate.tenancy.config.schema import Delegation
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.config.whole import Route
from ugate.test.reloadfakes import (
    ALICE,
    MAIN,
    OTHER,
    ReloadCase,
    config,
)


class RefusedTests(ReloadCase):
    """
    What cannot be does not apply, as a whole.
    """

    def test_mistakes(self) -> None:
        """
        Mistakes are told in the log, to who asked and to who asks later.
        """
        node = self.run_(config({"main": MAIN}))
        self.wrong = StringError("ugate.yaml:3:1: unknown key 'lisen'")
        error = self.bad(node)
        self.assertEqual(error, "ugate.yaml:3:1: unknown key 'lisen'")
        (line,) = self.said()
        self.assertEqual(
            line,
            "reload (test) refused, what was configured before still applies:\n"
            "ugate.yaml:3:1: unknown key 'lisen'",
        )
        self.assertEqual(self.events[-1]["log_level"].name, "error")
        self.assertEqual((node.last.good, node.last.error, node.last.generation), (False, error, 1))
        self.assertEqual((node.reloading.good, node.reloading.bad), (0, 1))

    def test_allOfThem(self) -> None:
        """
        All that is wrong is told at once, with the tenant that it is wrong with; nothing of it applies.
        """
        node = self.run_(config({"main": MAIN}, tenants=ALICE), alice=config())
        error = self.bad(
            node,
            config({"main": MAIN}, {"a": "b -> socks:x:1", "b": "a -> socks:y:1"}, tenants=ALICE),
            alice=config({}, routes=(Route(("*",), ("nowhere -> socks:z:1",)),)),
        )
        self.assertEqual(len(error.split("\n")), 2, error)
        self.assertIn("it needs itself", error)
        self.assertIn("tenant alice: ", error)
        self.assertEqual(vars(node.tenants["alice"]).get("dialer"), None)
        explained = node.tenants["alice"].dialer.explain(self.info("192.0.2.1:1"))
        self.assertIn("direct", explained[0])

    def test_fault(self) -> None:
        """
        A fault of ours is told as one, and nothing applies either.
        """
        node = self.run_(config({"main": MAIN}))
        real = self.reactor.listenTCP

        def listenTCP(*args: Any, **named: Any) -> Any:
            raise ZeroDivisionError("in a reactor")

        self.reactor.listenTCP = listenTCP
        error = self.bad(node, config({"main": OTHER}))
        self.assertIn("in a reactor", error)
        self.reactor.listenTCP = real
        self.assertEqual(self.good(node, config({"main": OTHER})), ("listen main",))
        self.patch(node._listeners, "plan", lambda *args: 1 / 0)
        self.assertIn("a fault of ours: ZeroDivisionError", self.bad(node, config({"main": MAIN})))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_newTenant(self) -> None:
        """
        A tenant that cannot be is not there, and its names are nobody's.
        """
        node = self.run_(config({"main": MAIN}))
        self.bad(
            node,
            config({"main": MAIN}, tenants={"alice": Delegation(hosts=("a.example",))}),
            alice=config({"own": MAIN}),
        )
        self.assertEqual((list(node.tenants), node.tenant.children, node.tenant._byHost), (["root"], {}, {}))

    def test_othersMistakes(self) -> None:
        """
        What one tenant gets wrong does not keep another one from a change.
        """
        node = self.run_(config(tenants={"a": Delegation(), "b": Delegation()}), a=config(), b=config())
        self.wrong = StringError("a is wrong")
        self.successResultOf(node.reload("store", frozenset("a")))
        self.assertFalse(node.last.good)

        def read(previous: Any, changed: Any) -> Any:
            self.asked.append(changed)
            if "a" in changed:
                raise StringError("a is wrong")
            return {**previous, "b": config(rules=())}

        node.reloading._read = read
        outcome = self.successResultOf(node.reload("store", frozenset("b")))
        self.assertEqual((outcome.good, outcome.changed), (True, ("policy b",)))
        # What is left is not forgotten for that.
        self.assertEqual(outcome.others, "a is wrong")
        self.assertEqual(self.asked, [frozenset("a"), frozenset("ab"), frozenset("b")])
        # That is tried again.
        node.reloading._read = self.read
        self.wrong = None
        self.assertEqual(self.successResultOf(node.reload("store", frozenset("b"))).others, "")
        self.successResultOf(node.reload("store", frozenset("b")))
        self.assertEqual(self.asked[3:], [frozenset("ab"), frozenset("b")])

    def test_stillWrong(self) -> None:
        """
        A tenant that could not be, and still cannot, is not told as good because there is nothing
        of it yet that could be different.
        """
        node = self.run_(config())

        def read(previous: Any, changed: Any) -> Any:
            self.asked.append(changed)
            if ROOT in changed:
                raise StringError("a is wrong")
            return previous

        node.reloading._read = read
        self.assertFalse(self.successResultOf(node.reload("store", frozenset([ROOT, "a"]))).good)
        outcome = self.successResultOf(node.reload("store", frozenset("a")))
        self.assertEqual((outcome.good, outcome.error), (False, "a is wrong"))
        self.assertEqual(self.asked, [frozenset([ROOT, "a"])] * 2)
        self.assertEqual((node.reloading.good, node.reloading.bad), (0, 2))

    def test_unknownMistakes(self) -> None:
        """
        When nobody knows what is wrong, all is looked at the next time, too; still others can change.
        """
        node = self.run_(config(tenants={"a": Delegation()}), a=config())
        self.wrong = StringError("somewhere")
        self.successResultOf(node.reload("SIGHUP"))

        def read(previous: Any, changed: Any) -> Any:
            self.asked.append(changed)
            if changed is None:
                raise StringError("somewhere")
            return {**previous, "a": config(rules=())}

        node.reloading._read = read
        self.assertTrue(self.successResultOf(node.reload("store", frozenset("a"))).good)
        self.assertEqual(self.asked, [None, None, frozenset("a")])
        node.reloading._read = self.read
        self.wrong = None
        self.configs["a"] = config(rules=())
        self.successResultOf(node.reload("store", frozenset("a")))
        self.successResultOf(node.reload("store", frozenset("a")))
        self.assertEqual(self.asked[3:], [None, frozenset("a")])
