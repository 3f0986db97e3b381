# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of tenants in files: L{ugate.tenancy.config.gather}, L{ugate.tenancy.config.folder},
L{ugate.tenancy.config.delegated} and L{ugate.tenancy.config.whole.readConfigs}.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.delegated import covers, parseHost, parseRange
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.kinds import kindsOf
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.schema import Delegation, Limits, Listener, Policy, PolicyRule
from ugate.tenancy.config.sections import MAX_DEPTH, ROOT, childPath, depth, isWithin, parentPath
from ugate.tenancy.config.whole import Config, delegationOf, readConfig, readConfigs
from ugate.test.test_config_files import StoreCase
from ugate.test.test_config_kinds import Greeter, Module

INLINE = """\
listen: {main: "auto:tcp:1080"}
tenants:
  alice:
    hosts: ["*.alice.example", alice.example]
    ranges: 10.1.0.0/16
    limits: {streams: 100, up: 10M, month: 1.5Gi}
    policy:
      close: yes
      rules:
      - {action: allow, who: bob, target: ["*.corp:443", 10.0.0.0/8]}
      - {action: deny, tenant: [alice, "alice/*"], protocol: socks, reason: no}
    tenants:
      dev: {hosts: dev.alice.example, ranges: [10.1.2.0/24], listen: {x: "tcp:1"}}
  bob:
"""


class TenantCase(StoreCase):
    """
    Tests with files of tenants.
    """

    def write(self, name: str, data: str | bytes) -> str:
        """
        Write a file, and the directories to it.
        """
        (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
        return super().write(name, data)

    def folder(self) -> FileStore:
        """
        A store of all files.
        """
        return FileStore(str(self.directory))

    def wrong(self, store: IConfigStore) -> list[str]:
        """
        What is wrong, without the directory.
        """
        error = self.assertRaises(ConfigError, readConfigs, store)
        return [str(mistake).replace(f"{self.directory}/", "") for mistake in error.mistakes]


class PathTests(TenantCase):
    """
    Paths of tenants.
    """

    def test_paths(self) -> None:
        """
        Down, up, and whether one is below another.
        """
        for path, name, child in ((ROOT, "alice", "alice"), ("alice", "dev", "alice/dev")):
            self.assertEqual((child, path), (childPath(path, name), parentPath(child)))
        self.assertIsNone(parentPath(ROOT))
        self.assertEqual([0, 1, 3], [depth(path) for path in (ROOT, "a", "a/b/c")])
        for path, ancestor, answer in (
            ("alice", ROOT, True),
            (ROOT, ROOT, True),
            ("alice", "alice", True),
            ("alice/dev", "alice", True),
            ("alicia", "alice", False),
            (ROOT, "alice", False),
            ("alice", "alice/dev", False),
        ):
            self.assertIs(answer, isWithin(path, ancestor), (path, ancestor))


class InlineTests(TenantCase):
    """
    Tenants within a file.
    """

    def test_read(self) -> None:
        """
        What a tenant has of its parent is of the parent; all else is its own.
        """
        configs = readConfigs(FileStore(self.write("u.yaml", INLINE)))
        self.assertEqual([ROOT, "alice", "alice/dev", "bob"], list(configs))
        alice = Delegation(
            ("*.alice.example", "alice.example"),
            ("10.1.0.0/16",),
            Limits(streams=100, up=10_000_000, month=3 << 29),
        )
        self.assertEqual({"alice": alice, "bob": Delegation()}, configs[ROOT].tenants)
        rules = (
            PolicyRule("allow", who=("bob",), target=("*.corp:443", "10.0.0.0/8")),
            PolicyRule("deny", tenant=("alice", "alice/*"), protocol=("socks",), reason="no"),
        )
        self.assertEqual(Policy(close=True, rules=rules), configs["alice"].policy)
        self.assertEqual({"x": Listener("tcp:1")}, configs["alice/dev"].listen)
        self.assertEqual(Config(), configs["bob"])
        self.assertEqual(alice, delegationOf(configs, "alice"))
        self.assertEqual(Delegation(), delegationOf(configs, ROOT))

    def test_mistakes(self) -> None:
        """
        Each mistake of a tenant is told at its place, and what is a tenant's own is not the node's.
        """
        text = (
            "tenants:\n  alice:\n    limts: {up: 1}\n    node: {idle: 5}\n    listen: {a: {to: 5}}\n"
            "  1x: {}\n  root: {dial: {a: b}}\n  bob: 5\n  eve: {limits: {up: 10X}}\n"
        )
        self.assertEqual(
            [
                "u.yaml:3:5: unknown key 'limts' in tenants.alice; wanted hosts, ranges, limits, listen,"
                " dial, routes, policy, identity, trust, nodes, serve or tenants; did you mean 'limits'?",
                "u.yaml:4:5: tenants.alice.node holds for the whole process; wanted it at the top of a file"
                " of the root",
                "u.yaml:5:17: listen.a lacks 'endpoint'; wanted an endpoint string, as in"
                " auto:tcp:1080:interface=127.0.0.1",
                "u.yaml:5:22: listen.a.to: '5': wanted HOST:PORT with a port from 1 to 65535",
                "u.yaml:6:3: '1x' is no name for tenants; wanted a letter or _, then letters, digits, _ - or"
                " ., at most 64",
                "u.yaml:7:3: tenants.root: 'root' is the node itself; wanted another name",
                "u.yaml:8:8: tenants.bob is 5; wanted a mapping with hosts, ranges or limits",
                "u.yaml:9:22: tenants.eve.limits.up is '10X'; wanted a whole number of bytes a second from 1"
                " to 1000000000000000000, maybe with K, M, G, T, P or Ki, Mi, ... after it",
            ],
            self.wrong(FileStore(self.write("u.yaml", text))),
        )

    def test_depth(self) -> None:
        """
        Tenants of tenants, as deep as one likes, up to a limit.
        """

        def nested(levels: int) -> str:
            text = "listen: {x: 'tcp:1'}"
            for level in range(levels):
                text = f"tenants: {{t{level}: {{{text}}}}}"
            return text

        configs = readConfigs(FileStore(self.write("u.yaml", nested(MAX_DEPTH))))
        self.assertEqual(MAX_DEPTH, depth(list(configs)[-1]))
        (mistake,) = self.wrong(FileStore(self.write("u.yaml", nested(MAX_DEPTH + 1))))
        self.assertIn(f"more than {MAX_DEPTH} tenants in each other", mistake)

    def test_twoFiles(self) -> None:
        """
        Two files may speak of one tenant, but not of one key.
        """
        self.write("a.yaml", "tenants: {alice: {hosts: a.example, listen: {x: 'tcp:1'}}}")
        self.write("b.yaml", "tenants:\n  alice: {ranges: 10.0.0.0/8, listen: {y: 'tcp:2'}}\n")
        configs = readConfigs(self.folder())
        self.assertEqual(Delegation(("a.example",), ("10.0.0.0/8",)), configs[ROOT].tenants["alice"])
        self.assertEqual(["x", "y"], sorted(configs["alice"].listen))
        self.write("c.yaml", "tenants:\n  alice:\n    hosts: b.example\n    listen: {x: 'tcp:3'}\n")
        self.assertEqual(
            [
                "c.yaml:3:5: tenants.alice.hosts is at a.yaml:1:19 too; wanted each name once",
                "c.yaml:4:14: listen.x is at a.yaml:1:46 too; wanted each name once",
            ],
            self.wrong(self.folder()),
        )

    def test_modules(self) -> None:
        """
        Sections of modules, with secrets that are not there to be seen.
        """
        kinds = kindsOf([Module("hello")])
        secret = self.write("secret", "hunter2\n")
        text = (
            f"hello: {{a: {{token: {{file: {secret}}}}}}}\ntenants: {{alice: {{hello: {{b: {{text: hi}}}}}}}}"
        )
        configs = readConfigs(FileStore(self.write("u.yaml", text), kinds), kinds=kinds)
        greeter = configs[ROOT].modules["hello", "a"]
        assert isinstance(greeter, Greeter) and greeter.token is not None
        self.assertEqual(b"hunter2", greeter.token.read())
        self.assertNotIn("hunter2", repr(configs))
        self.assertEqual({("hello", "b"): Greeter("hi")}, configs["alice"].modules)
        self.assertEqual(
            configs["alice"],
            readConfig(FileStore(str(self.directory / "u.yaml"), kinds), None, "alice", kinds),
        )


class DelegationTests(TenantCase):
    """
    What a parent may give.
    """

    def test_within(self) -> None:
        """
        A tenant gives no more than it has; the root has all.
        """
        text = (
            "tenants:\n"
            "  alice:\n"
            "    hosts: '*.alice.example'\n"
            "    ranges: 10.1.0.0/16\n"
            "    tenants:\n"
            "      a: {hosts: [dev.alice.example, alice.example], ranges: [10.1.5.0/24, 10.2.0.0/16]}\n"
            "      b: {hosts: '*.x.alice.example', ranges: 'fd00::/8'}\n"
            "  bob: {tenants: {c: {hosts: c.example}}}\n"
        )
        self.assertEqual(
            [
                "u.yaml:6:38: tenants.a.hosts: 'alice.example' is not within the hosts of alice; wanted"
                " within *.alice.example",
                "u.yaml:6:76: tenants.a.ranges: '10.2.0.0/16' is not within the ranges of alice; wanted"
                " within 10.1.0.0/16",
                "u.yaml:7:47: tenants.b.ranges: 'fd00::/8' is not within the ranges of alice; wanted"
                " within 10.1.0.0/16",
                "u.yaml:8:30: tenants.c.hosts: 'c.example' is not within the hosts of bob; wanted within"
                " none, for it has none",
            ],
            self.wrong(FileStore(self.write("u.yaml", text))),
        )

    def test_overlap(self) -> None:
        """
        No name is of two tenants of one parent.
        """
        text = (
            "tenants:\n"
            "  a: {hosts: ['*.a.example', A.example]}\n"
            "  b: {hosts: [x.y.a.example, b.example]}\n"
            "  c: {hosts: '*.y.a.example'}\n"
            "  d: {hosts: a.example.}\n"
            "  e: {hosts: [e.example, e.example, '*.e.example', f.e.example]}\n"
        )
        self.assertEqual(
            [
                "u.yaml:3:15: tenants.b.hosts: 'x.y.a.example' is within what c has, at u.yaml:4:14;"
                " wanted names that no other tenant has",
                "u.yaml:3:15: tenants.b.hosts: 'x.y.a.example' is within what a has, at u.yaml:2:14;"
                " wanted names that no other tenant has",
                "u.yaml:4:14: tenants.c.hosts: '*.y.a.example' is within what a has, at u.yaml:2:14;"
                " wanted names that no other tenant has",
                "u.yaml:5:14: tenants.d.hosts: 'a.example' is within what a has, at u.yaml:2:14;"
                " wanted names that no other tenant has",
            ],
            self.wrong(FileStore(self.write("u.yaml", text))),
        )

    def test_texts(self) -> None:
        """
        A name is a name, and a range a range.
        """
        for text in ("*", "a:80", "10.0.0.1", "a..b", "*.x:1-2"):
            self.assertRaises(ValueError, parseHost, text)
        for text in ("a.example", "10.0.0.1/8", "10.0.0.0/8:80", "*"):
            self.assertRaises(ValueError, parseRange, text)

    @given(
        st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join),
        st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join),
        st.booleans(),
        st.booleans(),
    )
    def test_covers(self, wide: str, narrow: str, isWide: bool, isNarrow: bool) -> None:
        """
        One name covers another if all that the other means, of all names there are, it means too.
        """

        def meant(text: str, isSuffix: bool) -> set[str]:
            names: Iterable[str] = ["a", "b"]
            for _ in range(5):
                names = {*names, *(f"{first}.{name}" for first in "ab" for name in names)}
            return {name for name in names if (name.endswith(f".{text}") if isSuffix else name == text)}

        one, other = (f"{'*.' * is_}{text}" for text, is_ in ((wide, isWide), (narrow, isNarrow)))
        self.assertIs(
            meant(wide, isWide) >= meant(narrow, isNarrow), covers(parseHost(one), parseHost(other))
        )
