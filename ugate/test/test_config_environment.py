# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.environment}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.config.environment import EnvironmentStore
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.schema import Delegation, Dial, Limits, Listener, Node, Policy
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.config.whole import Route, readConfigs


class EnvironmentTests(SynchronousTestCase):
    """
    Variables as a store.
    """

    def wrong(self, **variables: str) -> list[str]:
        """
        What is wrong with variables.
        """
        error = self.assertRaises(ConfigError, readConfigs, EnvironmentStore("U", variables))
        return [str(mistake) for mistake in error.mistakes]

    def test_read(self) -> None:
        """
        The keys that lead to a value are in the name of its variable, in small letters or all in capitals.
        """
        variables = {
            "U__LISTEN__MAIN": "auto:tcp:1080",
            "U__listen__Db": '{endpoint: "tcp:5432", to: "[2001:db8::1]:22"}',
            "U__dial__office__hops": "socks:a:1",
            "U__dial__office__timeout": "5",
            "U__routes__10__match": "*",
            "U__routes__10__via": "deny",
            "U__routes__2__match": '["*.corp", "a: b"]',
            "U__routes__2__via": "office",
            "U__NODE__IDLE": "60",
            "U__policy__users": "1234",
            "U__tenants__alice__limits__up": "10M",
            "U__tenants__alice__routes": "[{match: a, via: direct}, {match: b, via: direct}]",
            "U__tenants__alice": "",
            "U_URL": "x",
            "OTHER__listen__x": "tcp:1",
        }
        del variables["U__tenants__alice"]
        configs = readConfigs(EnvironmentStore("U", variables))
        root = configs[ROOT]
        listen = {"main": Listener("auto:tcp:1080"), "Db": Listener("tcp:5432", "[2001:db8::1]:22")}
        self.assertEqual((listen, {"office": Dial("socks:a:1", 5.0)}), (root.listen, root.dial))
        self.assertEqual((Route(("*.corp", "a: b"), ("office",)), Route(("*",), ("deny",))), root.routes)
        self.assertEqual((Node(idle=60.0), Policy(users="1234")), (root.node, root.policy))
        self.assertEqual({"alice": Delegation(limits=Limits(up=10_000_000))}, root.tenants)
        self.assertEqual(2, len(configs["alice"].routes))
        self.assertEqual("U__dial__office__hops", root.origins["dial", "office"])

    def test_mistakes(self) -> None:
        """
        The place of a mistake is the variable.
        """
        for variables, message in (
            ({"U__NODE__IDLE": "soon"}, "U__NODE__IDLE: node.idle is 'soon'; wanted a number of seconds"),
            ({"U__lisen__a": "tcp:1"}, "U__lisen__a: unknown key 'lisen' at the top; wanted listen, dial,"),
            ({"U__node": "{idle: "}, "U__node: node is '{idle:"),
            ({"U__node": "{idle: }}"}, "U__node: this is not YAML"),
            ({"U__node__": "1"}, "U__node__: a key is empty; wanted PREFIX__KEY__KEY"),
            ({"U__node": "{}", "U__node__idle": "1"}, "U__node__idle: it is given by U__node too"),
            (
                {"U__node__idle__x": "1", "U__NODE__IDLE": "1"},
                "U__node__idle__x: it is given by U__NODE__IDLE",
            ),
            ({"U__LISTEN__A": "x", "U__listen__a": "y"}, "U__listen__a: it is given by U__LISTEN__A too"),
            ({"U__tenants__a__node__idle": "1"}, "U__tenants__a__node__idle: tenants.a.node holds for"),
            ({"U__routes__0__match": "a"}, "U__routes__0__match: routes lacks 'via'"),
        ):
            first, *_ = self.wrong(**variables)
            self.assertTrue(first.startswith(message), first)

    def test_store(self) -> None:
        """
        It never changes, and what is not there is a L{KeyError}.
        """
        store = EnvironmentStore("U", {"U__dial__a": "socks:a:1"})
        store.changed(lambda tenants: self.fail("it changed"))()
        self.assertRaises(KeyError, store.section, ROOT, "listen", "a")
        self.assertRaises(KeyError, store.section, "alice", "dial", "a")
        self.assertTrue(store.isWhole(ROOT, "dial"))
        self.assertFalse(EnvironmentStore("U", {"U__dial": "{"}).isWhole(ROOT, "dial"))
        self.assertEqual([], EnvironmentStore("NONE_SUCH").names(ROOT, "dial"))

    @given(
        st.dictionaries(
            st.lists(
                st.sampled_from(["listen", "tenants", "a", "0", "1", "", "limits", "NODE", "x_"]), max_size=5
            ).map(lambda keys: "U__" + "__".join(keys)),
            st.sampled_from(["", "{", "[]", "{}", "a", "[a, b]", "{a: {b: c}}", "}", "10M", "\n"]),
            max_size=6,
        )
    )
    def test_anything(self, variables: dict[str, str]) -> None:
        """
        Whatever the variables are, they are read or told.
        """
        try:
            readConfigs(EnvironmentStore("U", variables))
        except ConfigError as error:
            for mistake in error.mistakes:
                self.assertIn(str(mistake).partition(": ")[0], {*variables, "U__..."})
