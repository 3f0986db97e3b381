# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.sections} and L{ugate.tenancy.config.stack}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.plugin import getPlugins

import ugate
from ugate.errors import StringError, UgateError
from ugate.interfaces import IConfigStore, IStoreModule
from ugate.tenancy.config.commandline import DEFAULT_LISTEN, CommandLineStore
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.lazystore import LazyStore
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.sections import KINDS, ONLY, ROOT, IDiagnosed, Section
from ugate.tenancy.config.stack import Stack, openStores
from ugate.tenancy.config.whatif import WhatIf
from ugate.tenancy.config.whole import readConfigs
from ugate.test.test_config_files import StoreCase, everything, told
from ugate.test.test_config_tenants import TenantCase
from ugate.testing.store import ValueStore


@implementer(IConfigStore)
class FakeStore:
    """
    A store of plain objects, such as a database is, which knows no places.
    """

    def __init__(self, kinds: dict[str, dict[str, dict[str, object]]]) -> None:
        self.kinds = kinds
        self.callbacks: list[Callable[[frozenset[str] | None], None]] = []

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        See L{IConfigStore.names}.
        """
        return list(self.kinds.get(kind, ()))

    def section(self, tenant: str, kind: str, name: str) -> Mapping[str, object]:
        """
        See L{IConfigStore.section}.
        """
        return self.kinds[kind][name]

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        See L{IConfigStore.changed}.
        """
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


class StackTests(StoreCase):
    """
    Stores on top of each other.
    """

    def test_interfaces(self) -> None:
        """
        All stores are what they say.
        """
        stores = FileStore(self.write("u.yaml", "")), CommandLineStore(), Stack([]), FakeStore({})
        for store in stores:
            verifyObject(IConfigStore, store)
        for store in stores[:3]:
            verifyObject(IDiagnosed, store)

    def test_laterWins(self) -> None:
        """
        By kind and name; where there is one section, by key; routes of later stores come first.
        """
        first = FakeStore(
            {
                "listen": {"a": {"endpoint": "1"}, "b": {"endpoint": "1", "open": True}},
                "node": {ONLY: {"idle": 1, "drain": 1}},
                "routes": {"x": {"match": "x"}, "y": {"match": "y"}},
            }
        )
        path = self.write("u.yaml", "listen: {b: '2', c: '2'}\nnode: {idle: 2}\n")
        stack = Stack([first, FileStore(path), CommandLineStore(routes=["z=direct"])])
        self.assertEqual(
            {
                "listen": {"a": {"endpoint": "1"}, "b": {"endpoint": "2"}, "c": {"endpoint": "2"}},
                "node": {ONLY: {"idle": 2, "drain": 1}},
                "routes": {
                    "--route 1": {"match": "z", "via": "direct"},
                    "x": {"match": "x"},
                    "y": {"match": "y"},
                },
            },
            everything(stack),
        )
        self.assertRaises(KeyError, stack.section, ROOT, "listen", "none")
        self.assertRaises(KeyError, stack.section, ROOT, "node", "none")

    def test_overWhatIsNoTable(self) -> None:
        """
        A section that is not of its form is over another as it is: its mistake is told later.
        """
        path = self.write("u.yaml", "policy: {users: x}")
        upper = FileStore(path).section(ROOT, "policy", ONLY)
        lower = Section(FileStore(self.write("v.yaml", "dial: {a: b}")).section(ROOT, "dial", "a").written)
        self.assertIs(upper, upper.over(lower))

    def test_places(self) -> None:
        """
        A section of a store that knows no places is said to be at its kind and name.
        """
        stack = Stack([FakeStore({"listen": {"a": {"endpoint": "1"}}})])
        self.assertEqual("listen a", str(stack.section(ROOT, "listen", "a").place))

    def test_changed(self) -> None:
        """
        A change of any store calls back, until that is stopped.
        """
        stores = FakeStore({}), FakeStore({})
        calls: list[frozenset[str] | None] = []
        stop = Stack(stores).changed(calls.append)
        for store in stores:
            store.callbacks[0](frozenset({ROOT}))
        stop()
        self.assertEqual(([{ROOT}] * 2, [], []), (calls, stores[0].callbacks, stores[1].callbacks))

    def test_mistakes(self) -> None:
        """
        What is wrong with any store is wrong with the stack.
        """
        stack = Stack([FakeStore({}), FileStore("/nonexistent"), CommandLineStore(["x"])])
        self.assertEqual(2, len(stack.mistakes()))
        self.assertFalse(stack.isWhole(ROOT, "dial"))

    def test_default(self) -> None:
        """
        With nothing that listens there is one listener on loopback.
        """
        listen = {"main": {"endpoint": DEFAULT_LISTEN.partition("=")[2]}}
        self.assertEqual({"listen": listen}, everything(openStores()))
        path = self.write("u.yaml", "dial: {a: b}")
        self.assertEqual(listen, everything(openStores([path], routes=["*=a"]))["listen"])

    def test_noDefault(self) -> None:
        """
        The default is there only if nothing else listens, or tries to.
        """
        path = self.write("u.yaml", "listen: {db: x}")
        self.assertEqual(["db"], openStores([path]).names(ROOT, "listen"))
        self.assertEqual(
            ["x", "a"], openStores([self.write("v.yaml", "listen: {x: y}")], ["a=b"]).names(ROOT, "listen")
        )
        self.assertEqual([], openStores(listen=["wrong"]).names(ROOT, "listen"))
        self.assertEqual([], openStores([self.write("w.yaml", "listen: @")]).names(ROOT, "listen"))

    def test_defaultComesAndGoes(self) -> None:
        """
        With a listener, or a tenant, that comes later, the default is not there any more.
        """
        path = self.write("u.yaml", "")
        stack = openStores([path])
        self.assertEqual(["main"], stack.names(ROOT, "listen"))
        for text in ("listen: {x: y}", "tenants: {alice: {}}"):
            self.write("u.yaml", text)
            stack.reload()
            self.assertNotIn("main", stack.names(ROOT, "listen"))
            self.assertRaises(KeyError, stack.section, ROOT, "listen", "main")
        self.assertEqual([], stack.names("alice", "listen"))

    def test_opened(self) -> None:
        """
        Files, databases and variables, and a file whose name looks like one of those.
        """
        self.patch(os, "environ", {**os.environ, "TRY__dial__c": "socks:c:1"})
        database = f"sqlite:{self.directory / 'u.db'}"
        texts = [self.write("u.yaml", "dial: {a: 'socks:a:1'}"), database, "env:TRY"]
        stack = openStores(texts, modules=getPlugins(IStoreModule))
        stack.put(ROOT, "dial", "b", {"hops": "socks:b:1"})
        self.assertEqual(["a", "b", "c"], stack.names(ROOT, "dial"))
        self.assertEqual([], told(stack))
        self.assertEqual({ROOT}, set(stack.tenants()))
        stack.stop()

    def test_ofAnotherPackage(self) -> None:
        """
        What a package has added is opened by its name, with the rest and the kinds.
        """
        asked: list[tuple[str, object]] = []

        @implementer(IStoreModule)
        class Vault:
            name = "vault"
            summary = "sections that are somewhere else"

            def open(self, rest: str, kinds: Mapping[str, object]) -> IConfigStore:
                asked.append((rest, kinds))
                return ValueStore(dial={"a": "socks:a:1"})

        vault = Vault()
        self.assertTrue(verifyObject(IStoreModule, vault))
        stack = openStores(["vault:a:b"], kinds=KINDS, modules=[vault])
        self.assertEqual((asked, ["a"]), ([("a:b", KINDS)], stack.names(ROOT, "dial")))

    def test_late(self) -> None:
        """
        A store that has to wait for its sections begins with none, and tells when it has them.
        """
        late = ValueStore()
        stack = Stack([late])
        self.assertEqual(0, len(readConfigs(stack)[ROOT].dial))
        told: list[object] = []
        stack.changed(told.append)
        late.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
        self.assertEqual([frozenset({ROOT})], told)
        self.assertEqual(["a"], list(readConfigs(stack)[ROOT].dial))

    def test_noSuchStore(self) -> None:
        """
        A store that nobody has is told with those that there are, and a path is a path.
        """
        error = self.assertRaises(
            StringError, openStores, ["sqlit:u.db"], modules=list(getPlugins(IStoreModule))
        )
        for part in ("sqlit:u.db", "no store is named 'sqlit'", "sqlite:", "env:", "did you mean"):
            self.assertIn(part, str(error))
        path = self.write("odd:u.yaml", "dial: {a: 'socks:a:1'}")
        self.assertEqual(["a"], openStores([path]).names(ROOT, "dial"))

    def test_found(self) -> None:
        """
        Twisted finds each of ours, once.
        """
        found = [module for module in getPlugins(IStoreModule) if isinstance(module, LazyStore)]
        self.assertEqual(["env", "path", "sqlite"], sorted(module.name for module in found))
        for module in found:
            self.assertTrue(verifyObject(IStoreModule, module))

    def test_lazy(self) -> None:
        """
        Without a path nothing that reads files is imported.
        """
        code = (
            "import sys; from ugate.tenancy.config.stack import openStores; "
            "from ugate.tenancy.config.whole import readConfig; readConfig(openStores()); "
            "print(*(name for name in sys.modules if name.startswith(('yaml', 'sqlite3', 'ugate.tenancy.'))))"
        )
        parent = str(Path(ugate.__file__).parent.parent)
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": parent},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        names = run.stdout.split()
        self.assertIn("ugate.tenancy.config.whole", names)
        for name in ("yaml", "sqlite3", "ugate.tenancy.config.files", "ugate.tenancy.config.yamltext"):
            self.assertNotIn(name, names)


class WritingTests(TenantCase):
    """
    Stacks that are written.
    """

    def setUp(self) -> None:
        super().setUp()
        self.lower = ValueStore(dial={"low": "socks:low:1"}, tenants={"alice": {"limits": {"up": 5}}})
        self.middle = ValueStore(dial={"mine": "socks:mine:1"})
        self.upper = CommandLineStore(["x=tcp:1"])
        self.top = FileStore(self.write("u.yaml", "dial: {top: 'socks:top:1'}\npolicy: {private: deny}"))
        self.stack = Stack([self.lower, self.middle, self.top, self.upper])

    def test_put(self) -> None:
        """
        It goes to the topmost store that can be written, also for a tenant of another one.
        """
        self.middle.put(ROOT, "tenants", "alice", {})
        self.stack.put("alice", "dial", "a", {"hops": "socks:a:1"})
        self.stack.put(ROOT, "tenants", "alice", {"hosts": ["a.example"]})
        self.assertEqual(["a"], self.middle.names("alice", "dial"))
        self.assertEqual(
            {"hosts": ["a.example"], "limits": {"up": 5}}, dict(self.stack.section(ROOT, "tenants", "alice"))
        )
        self.stack.put(ROOT, "policy", ONLY, {"users": "u"})
        self.assertEqual({"users": "u", "private": "deny"}, dict(self.stack.section(ROOT, "policy", ONLY)))
        self.stack.delete("alice", "dial", "a")
        self.assertEqual([], self.stack.names("alice", "dial"))

    def test_refused(self) -> None:
        """
        Nothing is put where it would not count, or for nobody; what others hold stays.
        """
        self.assertRaises(KeyError, self.stack.put, "nobody", "dial", "a", {})
        self.assertRaises(KeyError, self.stack.put, "alice/nobody", "dial", "a", {})
        for name, kind, section in (("top", "dial", {"hops": "x"}), (ONLY, "policy", {"private": "allow"})):
            error = self.assertRaises(UgateError, self.stack.put, ROOT, kind, name, section)
            self.assertIn("u.yaml:", str(error))
        for name in ("low", "top"):
            error = self.assertRaises(UgateError, self.stack.delete, ROOT, "dial", name)
            self.assertIn("take it out there", str(error))
        self.assertRaises(KeyError, self.stack.delete, ROOT, "dial", "none")
        error = self.assertRaises(UgateError, Stack([self.top, self.upper]).put, ROOT, "dial", "a", {})
        self.assertIn("no store can be written", str(error))

    def test_whatIf(self) -> None:
        """
        What would be is told without being so.
        """
        before = readConfigs(self.stack)
        whatIf = WhatIf(self.stack)
        whatIf.put(ROOT, "dial", "mine", {"hops": "socks:b:1"})
        whatIf.put(ROOT, "routes", ONLY, {"match": "*", "via": "mine"})
        whatIf.put("alice", "dial", "a", {"hops": 5, "bogus": 1})
        self.assertEqual({ROOT, "alice"}, whatIf.touched)
        error = self.assertRaises(ConfigError, readConfigs, whatIf, previous=before, changed=whatIf.touched)
        self.assertEqual(
            ["alice dial a: unknown key 'bogus' in dial.a; wanted hops, timeout or retries"],
            str(error).split("\n"),
        )
        whatIf.put("alice", "dial", "a", {"hops": "socks:a:1"})
        whatIf.delete(ROOT, "dial", "low")
        after = readConfigs(whatIf, previous=before, changed=whatIf.touched)
        self.assertEqual((["mine", "top"], ["a"]), (sorted(after[ROOT].dial), list(after["alice"].dial)))
        self.assertEqual([(("*",), ("mine",))], [(route.match, route.via) for route in after[ROOT].routes])
        self.assertRaises(KeyError, whatIf.section, ROOT, "dial", "low")
        alone = WhatIf(self.lower)
        alone.delete(ROOT, "tenants", "alice")
        self.assertEqual([ROOT], list(readConfigs(alone)))
        self.assertEqual(before, readConfigs(self.stack))
        whatIf.changed(lambda tenants: self.fail("it changed"))()

    def test_whatIfOthersHaveMore(self) -> None:
        """
        What would be of a section of which others have some keys is what comes to be.
        """
        self.write("conf/ugate.yaml", "policy: {private: deny}\ntenants: {alice: {hosts: a.example}}")
        folder = FileStore(str(self.directory / "conf"))
        for stack in (Stack([folder, self.upper]), Stack([self.lower, self.middle, self.top])):
            for kind, name, section in (
                ("policy", ONLY, {"close": True}),
                ("tenants", "alice", {"ranges": ["10.0.0.0/8"]}),
                ("tenants", "new", {"ranges": ["10.0.0.0/8"]}),
            ):
                whatIf = WhatIf(stack)
                whatIf.put(ROOT, kind, name, section)
                stack.put(ROOT, kind, name, section)
                self.assertEqual(
                    dict(stack.section(ROOT, kind, name)), dict(whatIf.section(ROOT, kind, name))
                )
            whatIf = WhatIf(stack)
            whatIf.delete(ROOT, "tenants", "new")
            stack.delete(ROOT, "tenants", "new")
            self.assertEqual(stack.names(ROOT, "tenants"), whatIf.names(ROOT, "tenants"))
            whatIf.delete(ROOT, "policy", ONLY)
            self.assertEqual({"private": "deny"}, dict(whatIf.section(ROOT, "policy", ONLY)))
