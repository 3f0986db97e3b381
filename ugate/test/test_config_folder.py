# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.folder} and L{ugate.tenancy.config.index}: tenants with files of their own.
"""

from __future__ import annotations

import os
import shutil

from hypothesis import given
from hypothesis import strategies as st

from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.sections import MAX_DEPTH, ROOT
from ugate.tenancy.config.whole import Config, readConfigs
from ugate.test.test_config_files import told
from ugate.test.test_config_tenants import TenantCase


class FolderTests(TenantCase):
    """
    Tenants with files of their own.
    """

    def test_files(self) -> None:
        """
        A file or a folder of each tenant, and so on below.
        """
        self.write("ugate.yaml", "tenants: {alice: {hosts: a.example}}")
        self.write("tenants/alice.yaml", "listen: {x: 'tcp:1'}")
        self.write("tenants/alice/10.json", '{"dial": {"d": "socks:a:1"}}')
        self.write("tenants/alice/tenants/dev.yml", "listen: {y: 'tcp:2'}")
        self.write("tenants/bob/10.yaml", "tenants: {c: {hosts: []}}")
        self.write("tenants/.hidden.yaml", "@")
        self.write("tenants/README", "@")
        store = self.folder()
        configs = readConfigs(store)
        self.assertEqual([ROOT, "alice", "alice/dev", "bob", "bob/c"], list(configs))
        self.assertEqual(("a.example",), configs[ROOT].tenants["alice"].hosts)
        self.assertEqual((["x"], ["d"]), (list(configs["alice"].listen), list(configs["alice"].dial)))
        self.assertEqual(f"{self.directory}/tenants/bob", str(configs[ROOT].given["bob"].place))
        self.assertEqual({}, store.tenants())

    def test_notItsOwn(self) -> None:
        """
        A tenant cannot give itself what only its parent can.
        """
        self.write("tenants/alice.yaml", "limits: {up: 5}\nnode: {idle: 1}\nhosts: a\n")
        self.assertEqual(
            [
                "tenants/alice.yaml:1:1: limits is not for a tenant to say itself; wanted"
                " tenants.alice.limits of its parent",
                "tenants/alice.yaml:2:1: node holds for the whole process; wanted it at the top of a file of"
                " the root",
                "tenants/alice.yaml:3:1: hosts is not for a tenant to say itself; wanted tenants.alice.hosts"
                " of its parent",
            ],
            self.wrong(self.folder()),
        )

    def test_names(self) -> None:
        """
        Files and folders have names of tenants, and are not too deep.
        """
        self.write("tenants/1x.yaml", "")
        self.write("tenants/root/a.yaml", "")
        self.write("/".join(f"tenants/t{level}" for level in range(MAX_DEPTH + 1)) + "/a.yaml", "")
        shape = "is no name for a tenant; wanted a letter or _, then letters, digits, _ - or ., at most 64"
        deep = "/".join(f"tenants/t{level}" for level in range(MAX_DEPTH + 1))
        self.assertEqual(
            [
                f"tenants/1x.yaml: '1x' {shape}",
                f"tenants/root: 'root' {shape}",
                f"{deep}: more than {MAX_DEPTH} tenants in each other",
            ],
            self.wrong(self.folder()),
        )

    def test_changed(self) -> None:
        """
        It is told whose sections changed, and no others.
        """
        calls: list[frozenset[str] | None] = []
        self.write("ugate.yaml", "node: {idle: 1}")
        path = self.write("tenants/alice.yaml", "dial: {a: 'socks:a:1'}")
        self.write("tenants/bob.yaml", "tenants: {c: {policy: {private: deny}}}")
        store = self.folder()
        store.changed(calls.append)
        self.write("tenants/alice.yaml", "dial: {b: 'socks:a:1'}")
        self.assertTrue(store.update([path]))
        self.write("tenants/bob.yaml", "tenants: {c: {policy: {private: allow}}}")
        store.reload()
        self.write("tenants/eve.yaml", "")
        store.reload()
        os.unlink(path)
        store.reload()
        self.assertFalse(store.reload())
        self.assertEqual([{"alice"}, {"bob", "bob/c"}, {"eve", ROOT}, {"alice", ROOT}], calls)
        self.assertEqual(["bob", "eve"], store.names(ROOT, "tenants"))

    def test_keptWhileUnreadable(self) -> None:
        """
        What cannot be read now is told, and is what it was until it can.
        """
        path = self.write("tenants/alice.yaml", "dial: {a: 'socks:a:1'}")
        store = self.folder()
        os.unlink(path)
        os.mkdir(path)
        self.assertTrue(store.reload())
        (mistake,) = told(store)
        self.assertIn(f"{path}: Is a directory; wanted", mistake)
        self.assertEqual(["a"], store.names("alice", "dial"))
        self.assertRaises(ConfigError, readConfigs, store)
        os.rmdir(path)
        self.write("tenants/alice.yaml", "dial: {b: 'socks:a:1'}")
        self.assertTrue(store.reload())
        self.assertEqual(([], ["b"]), (told(store), store.names("alice", "dial")))

    def test_keptWhileUnlisted(self) -> None:
        """
        And so with a directory within it.
        """
        self.write("u.yaml", "dial: {a: 'socks:a:1'}")
        self.write("tenants/alice/a.yaml", "dial: {b: 'socks:a:1'}")
        self.write("tenants/bob.yaml", "")
        store = self.folder()
        scandir = os.scandir

        def failing(path: str) -> object:
            if path.endswith("alice"):
                raise OSError(5, "Input/output error")
            return scandir(path)

        self.patch(os, "scandir", failing)
        self.write("tenants/bob.yaml", "dial: {c: 'socks:a:1'}")
        self.assertTrue(store.reload())
        (mistake,) = told(store)
        self.assertIn("tenants/alice: Input/output error; wanted", mistake)
        self.assertEqual((["b"], ["c"]), (store.names("alice", "dial"), store.names("bob", "dial")))
        self.assertEqual({"alice", "bob"}, set(store.names(ROOT, "tenants")))
        self.patch(os, "scandir", scandir)
        self.assertTrue(store.reload())
        self.assertEqual([], told(store))

    def test_number(self) -> None:
        """
        All files together are not too many.
        """
        for name in ("u.yaml", "tenants/a.yaml", "tenants/b.yaml", "tenants/c/a.yaml"):
            self.write(name, "")
        path = str(self.directory)
        self.assertEqual([], told(FileStore(path, limit=4)))
        for limit in (1, 2, 3):
            self.assertEqual(
                [f"{path}: more than {limit} files; wanted fewer"], told(FileStore(path, limit=limit))
            )

    def test_keptWhileGone(self) -> None:
        """
        So it is with a whole directory: a volume that is not mounted, or an empty one in its place.
        """
        self.write("ugate.yaml", "dial: {a: 'socks:a:1'}")
        self.write("tenants/alice.yaml", "dial: {b: 'socks:a:1'}")
        store = self.folder()
        away = self.directory.parent / "away"
        for put in (lambda: None, self.directory.mkdir, lambda: self.directory.write_text("node: {}")):
            os.rename(self.directory, away)
            put()
            self.assertTrue(store.reload())
            self.assertEqual(1, len(told(store)), told(store))
            self.assertEqual((["a"], ["b"]), (store.names(ROOT, "dial"), store.names("alice", "dial")))
            self.assertEqual(["alice"], store.names(ROOT, "tenants"))
            if self.directory.is_dir():
                self.directory.rmdir()
            self.directory.unlink(missing_ok=True)
            os.rename(away, self.directory)
            self.assertTrue(store.reload())
            self.assertEqual([], told(store))


PATHS = [
    "a.yaml",
    "b.yaml",
    "tenants/x.yaml",
    "tenants/x/a.yaml",
    "tenants/x/tenants/z.yaml",
    "tenants/y/a.yaml",
    "tenants/1.yaml",
]
TEXTS = [
    "",
    "dial: {d: 'socks:a:1'}",
    "dial: {d: 'socks:b:1'}",
    "routes: [{match: a, via: d}]",
    "tenants: {x: {hosts: x.example}, y: {dial: {d: 'socks:c:1'}}}",
    "tenants: {x: {hosts: y.example, tenants: {z: {hosts: y.example}}}}",
    "tenants: {z: {hosts: x.example}}",
    "dial: {d: 'socks:a:1'",
    "limits: {up: 5}",
]


class RandomTests(TenantCase):
    """
    Whatever happens to files, in whatever order.
    """

    def outcome(
        self, store: FileStore, previous: dict[str, Config] | None, changed: set[str] | None
    ) -> object:
        """
        What is read, or all that is wrong.
        """
        try:
            return readConfigs(store, previous=previous, changed=changed)
        except ConfigError as error:
            return sorted(map(str, error.mistakes))

    @given(
        st.lists(
            st.tuples(st.sampled_from(PATHS), st.sampled_from([None, *TEXTS]), st.booleans()), max_size=12
        )
    )
    def test_asIfNew(self, steps: list[tuple[str, str | None, bool]]) -> None:
        """
        After each change it is as if all were read for the first time.
        """
        shutil.rmtree(self.directory)
        self.write("0.yaml", "")
        store = self.folder()
        good: dict[str, Config] = readConfigs(store)
        changed: set[str] = set()
        store.changed(lambda tenants: changed.update(tenants or ()))
        for path, text, isNamed in steps:
            if text is not None:
                self.write(path, text)
            elif (self.directory / path).exists():
                (self.directory / path).unlink()
            store.update([str(self.directory / path)] if isNamed else None)
            fresh = self.outcome(self.folder(), None, None)
            self.assertEqual(fresh, self.outcome(store, good, changed))
            if isinstance(fresh, dict):
                good = readConfigs(store, previous=good, changed=changed)
                changed.clear()
