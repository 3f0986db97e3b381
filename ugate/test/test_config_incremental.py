# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of L{ugate.tenancy.config.whole.readConfigs} that reads only what changed.
"""

from __future__ import annotations

from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.config.whole import Config, readConfigs
from ugate.test.test_config_tenants import INLINE, TenantCase
from ugate.testing.store import ValueStore


class IncrementalTests(TenantCase):
    """
    Reading again only what changed.
    """

    def setUp(self) -> None:
        super().setUp()
        self.store = ValueStore(
            policy={"private": "deny"},
            tenants={
                "alice": {"hosts": ["a.example"], "tenants": {"dev": {"listen": {"x": "tcp:1"}}}},
                "bob": {"dial": {"d": "socks:a:1"}},
            },
        )
        self.before = readConfigs(self.store)
        self.seen: list[str] = []

    def again(self, changed: set[str] | None) -> dict[str, Config]:
        """
        Read again, and note whose sections are asked for.
        """
        names = self.store.names

        def noted(tenant: str, kind: str) -> list[str]:
            self.seen.append(tenant)
            return names(tenant, kind)

        self.patch(self.store, "names", noted)
        return readConfigs(self.store, previous=self.before, changed=changed)

    def test_nothing(self) -> None:
        """
        If nothing changed, all is as it was, and nothing is asked for.
        """
        after = self.again(set())
        self.assertEqual((self.before, []), (after, self.seen))
        self.assertEqual(list(self.before), list(after))

    def test_one(self) -> None:
        """
        Only what changed is asked for.
        """
        self.store.put("bob", "dial", "e", {"hops": "socks:b:2"})
        after = self.again({"bob"})
        self.assertEqual(({"bob"}, ["d", "e"]), (set(self.seen), list(after["bob"].dial)))
        for path in (ROOT, "alice", "alice/dev"):
            self.assertIs(self.before[path], after[path])

    def test_unknown(self) -> None:
        """
        If nobody knows what changed, all is read.
        """
        self.assertEqual(self.before, self.again(None))
        self.assertEqual(set(self.before), set(self.seen))

    def test_comeAndGone(self) -> None:
        """
        New tenants are read, and the tenants of one that went are not there any more.
        """
        self.store.put(ROOT, "tenants", "eve", {})
        self.store.put("eve", "tenants", "x", {})
        self.store.delete(ROOT, "tenants", "alice")
        after = self.again({ROOT})
        self.assertEqual({ROOT, "bob", "eve", "eve/x"}, set(after))
        self.assertIs(self.before["bob"], after["bob"])

    def test_lessForChildren(self) -> None:
        """
        A tenant that has less than it gave is told, though it was not read.
        """
        store = ValueStore(
            tenants={"a": {"hosts": ["*.a.x"], "tenants": {"b": {"hosts": ["b.a.x"]}}}},
        )
        before = readConfigs(store)
        store.put(ROOT, "tenants", "a", {"hosts": ["c.x"]})
        error = self.assertRaises(ConfigError, readConfigs, store, previous=before, changed={ROOT})
        self.assertIn("'b.a.x' is not within the hosts of a", str(error))

    def test_sameDelegation(self) -> None:
        """
        What a store gives as the same object is not read again.
        """
        path = self.write("u.yaml", INLINE)
        store = FileStore(path)
        before = readConfigs(store)
        after = readConfigs(store, previous=before, changed={ROOT})
        self.assertIs(before[ROOT].tenants["alice"], after[ROOT].tenants["alice"])
        self.assertEqual(before[ROOT].origins, after[ROOT].origins)

    def test_mistakes(self) -> None:
        """
        A mistake of one tenant is a mistake of all.
        """
        self.store.put("bob", "dial", "d", {"hops": 5, "timeout": "x"})
        self.assertRaises(ConfigError, self.again, {"bob"})

    def test_values(self) -> None:
        """
        A store of values tells whose sections it was made to change.
        """
        calls: list[frozenset[str] | None] = []
        stop = self.store.changed(calls.append)
        self.store.put("bob", "routes", "", {"match": "*", "via": "direct"})
        self.store.put("bob", "routes", "", {"match": "*", "via": "deny"})
        self.store.delete(ROOT, "tenants", "alice")
        stop()
        self.store.delete("bob", "routes", "1")
        self.assertEqual([{"bob"}, {"bob"}, {ROOT, "alice", "alice/dev"}], calls)
        self.assertEqual(["2"], self.store.names("bob", "routes"))
        self.assertRaises(KeyError, self.store.put, "nobody", "dial", "d", {})
