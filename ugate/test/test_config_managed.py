# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.managed}: sections that are written into files.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ugate.errors import UgateError
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.sections import ONLY, ROOT
from ugate.tenancy.config.whole import readConfigs
from ugate.test.test_config_files import told
from ugate.test.test_config_tenants import TenantCase

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(-1e9, 1e9).map(lambda number: round(number, 3))
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc: #-", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


class ManagedTests(TenantCase):
    """
    A folder that is written.
    """

    def setUp(self) -> None:
        super().setUp()
        self.write(
            "ugate.yaml", "listen: {main: 'auto:tcp:1080'}\npolicy: {private: deny}\ntenants: {bob: {}}\n"
        )
        self.store = self.folder()
        self.calls: list[frozenset[str] | None] = []
        self.store.changed(self.calls.append)

    def text(self, path: str = "managed.yaml") -> str:
        """
        What is in a file, without its first line.
        """
        return (self.directory / path).read_text(encoding="utf-8").partition("\n")[2]

    def refused(self, call: Any, *arguments: object) -> str:
        """
        Why something is not done; nothing is changed by it.
        """
        before = {path: path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}
        error = self.assertRaises(UgateError, call, *arguments)
        self.assertEqual(before, {path: path.read_bytes() for path in before})
        self.assertEqual([], self.calls)
        return str(error).replace(f"{self.directory}/", "")

    def test_named(self) -> None:
        """
        A section is put, replaced and taken out.
        """
        self.store.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
        self.store.put(ROOT, "dial", "b", {"hops": "socks:b:1", "retries": 0})
        self.store.put(ROOT, "dial", "a", {"hops": "socks:c:1"})
        self.assertEqual(
            "dial:\n  a:\n    hops: socks:c:1\n  b:\n    hops: socks:b:1\n    retries: 0\n", self.text()
        )
        self.assertEqual({"hops": "socks:c:1"}, dict(self.store.section(ROOT, "dial", "a")))
        self.store.delete(ROOT, "dial", "a")
        self.store.delete(ROOT, "dial", "b")
        self.assertEqual(("", []), (self.text(), self.store.names(ROOT, "dial")))
        self.assertEqual([{ROOT}] * 5, self.calls)
        self.assertEqual([], told(self.store))

    def test_single(self) -> None:
        """
        Where there is one section, its keys may be in two files, but not one key in both.
        """
        self.store.put(ROOT, "policy", ONLY, {"users": "/etc/users"})
        self.assertEqual(
            {"users": "/etc/users", "private": "deny"}, dict(self.store.section(ROOT, "policy", ONLY))
        )
        self.calls.clear()
        self.assertEqual(
            "policy.private is at ugate.yaml:2:19; change it there, or take it out there first",
            self.refused(self.store.put, ROOT, "policy", ONLY, {"private": "allow"}),
        )
        self.assertIn("policy is at ugate.yaml:2:9", self.refused(self.store.delete, ROOT, "policy", ONLY))

    def test_listed(self) -> None:
        """
        Items of a list are known by their places.
        """
        for match in "abc":
            self.store.put(ROOT, "routes", ONLY, {"match": match, "via": "direct"})
        first, second, third = self.store.names(ROOT, "routes")
        self.store.put(ROOT, "routes", second, {"match": "x", "via": "deny"})
        self.store.delete(ROOT, "routes", first)
        config = readConfigs(self.store)[ROOT]
        self.assertEqual([("x",), ("c",)], [route.match for route in config.routes])
        self.assertRaises(KeyError, self.store.delete, ROOT, "routes", third)
        self.assertRaises(KeyError, self.store.put, ROOT, "routes", "nowhere", {})

    def test_tenants(self) -> None:
        """
        A tenant is put and has sections in a file of its own; it goes with all that is below it.
        """
        self.store.put(ROOT, "tenants", "alice", {"limits": {"up": "10M"}})
        self.store.put("alice", "dial", "a", {"hops": "socks:a:1"})
        self.store.put("alice", "tenants", "dev", {})
        self.store.put("alice/dev", "policy", ONLY, {"private": "deny"})
        self.assertEqual('tenants:\n  alice:\n    limits:\n      up: "10M"\n', self.text())
        self.assertEqual(
            "dial:\n  a:\n    hops: socks:a:1\ntenants:\n  dev: {}\n", self.text("tenants/alice/managed.yaml")
        )
        configs = readConfigs(self.store)
        self.assertEqual({ROOT, "alice", "alice/dev", "bob"}, set(configs))
        self.assertEqual(10_000_000, configs[ROOT].tenants["alice"].limits.up)
        self.calls.clear()
        self.store.delete(ROOT, "tenants", "alice")
        self.assertEqual([{ROOT, "alice", "alice/dev"}], self.calls)
        self.assertEqual({ROOT, "bob"}, set(readConfigs(self.store)))
        self.assertEqual([], os.listdir(self.directory / "tenants"))

    def test_tenantsOfPeople(self) -> None:
        """
        Files of people are left alone.
        """
        self.write("tenants/alice.yaml", "dial: {a: 'socks:a:1'}")
        self.write("tenants/eve/mine.yaml", "dial: {a: 'socks:a:1'}")
        self.store.reload()
        self.calls.clear()
        for name, why in (
            ("alice", "has a file of its own, tenants/alice.yaml; remove that"),
            ("eve", "has tenants/eve/mine.yaml; remove that"),
        ):
            self.assertEqual(f"tenants.{name} {why}", self.refused(self.store.delete, ROOT, "tenants", name))
        self.assertIn(
            "tenants.bob is at ugate.yaml:3:11", self.refused(self.store.delete, ROOT, "tenants", "bob")
        )
        self.store.put(ROOT, "tenants", "bob", {"hosts": ["b.example"]})
        self.assertEqual(("b.example",), readConfigs(self.store)[ROOT].tenants["bob"].hosts)

    def test_refused(self) -> None:
        """
        What cannot be is not written.
        """
        put, delete = self.store.put, self.store.delete
        self.assertIn("listen.main is at ugate.yaml:1:10", self.refused(put, ROOT, "listen", "main", {}))
        self.assertIn("'a b' is no name for listen", self.refused(put, ROOT, "listen", "a b", {}))
        self.assertIn("there is one policy", self.refused(put, ROOT, "policy", "x", {}))
        self.assertIn("wanted it of root, not of bob", self.refused(put, "bob", "node", ONLY, {}))
        self.assertIn("'root' is the node itself", self.refused(put, ROOT, "tenants", "root", {}))
        self.assertIn("listen.main is at ugate.yaml:1:10", self.refused(delete, ROOT, "listen", "main"))
        error = self.assertRaises(KeyError, put, ROOT, "lisen", "a", {})
        self.assertIn("there is no kind 'lisen'; did you mean 'listen'?", str(error))
        for arguments in ((ROOT, "bogus", "a"), (ROOT, "dial", "a"), ("nobody", "dial", "a")):
            self.assertRaises(KeyError, delete, *arguments)
        self.write("managed.yaml", "dial: @")
        self.assertIn("managed.yaml:1:7", self.refused(put, ROOT, "dial", "a", {}))
        self.write("managed.yaml", "- a")
        self.assertIn("managed.yaml is no mapping", self.refused(put, ROOT, "dial", "a", {}))

    def test_oneFile(self) -> None:
        """
        A single file is not written.
        """
        store = FileStore(str(self.directory / "ugate.yaml"))
        self.assertFalse(store.isWritable)
        self.assertTrue(self.store.isWritable)
        self.assertIn("only people write", self.refused(store.put, ROOT, "dial", "a", {}))

    def test_whole(self) -> None:
        """
        If writing fails on the way, what was there is there, and nothing else.
        """
        self.store.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
        self.calls.clear()

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", full)
        said = self.refused(self.store.put, ROOT, "dial", "b", {"hops": "socks:b:1"})
        self.assertEqual("managed.yaml cannot be written: No space left on device", said)
        self.assertEqual(["managed.yaml", "ugate.yaml"], sorted(os.listdir(self.directory)))
        self.assertEqual(["a"], self.store.names(ROOT, "dial"))

    def test_wholeTenant(self) -> None:
        """
        So it is if a tenant cannot be taken out.
        """
        self.store.put(ROOT, "tenants", "alice", {})
        self.store.put("alice", "dial", "a", {"hops": "socks:a:1"})
        self.calls.clear()

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", full)
        said = self.refused(self.store.delete, ROOT, "tenants", "alice")
        self.assertIn("tenants.alice cannot be taken out: managed.yaml cannot be written: No space", said)
        self.assertEqual(["a"], list(readConfigs(self.folder())["alice"].dial))
        self.assertEqual(["alice"], os.listdir(self.directory / "tenants"))

    def test_mode(self) -> None:
        """
        A new file is its owner's; one that is there keeps its mode.
        """
        path = self.directory / "managed.yaml"
        for mode in (0o600, 0o640):
            self.store.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
            self.assertEqual(mode, path.stat().st_mode & 0o777)
            path.chmod(0o640)

    @given(st.dictionaries(st.text("abc: #-'", min_size=1, max_size=4), values, max_size=4))
    def test_anything(self, section: dict[str, object]) -> None:
        """
        Whatever is put is there, as it was, also when it is read from the file.
        """
        self.store.put(ROOT, "dial", "a", section)
        for store in (self.store, self.folder()):
            self.assertEqual(section, dict(store.section(ROOT, "dial", "a")))
