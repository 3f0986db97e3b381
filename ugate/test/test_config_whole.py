# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.whole}.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.config.commandline import CommandLineStore
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.schema import Dial, Listener, Node, Policy
from ugate.tenancy.config.sections import ONLY
from ugate.tenancy.config.stack import Stack
from ugate.tenancy.config.whole import Config, Route, readConfig
from ugate.test.test_config_stores import FakeStore

GOOD = """\
listen:
  main: auto:tcp:1080:interface=127.0.0.1
  db: {endpoint: "tcp:5432:interface=127.0.0.1", to: "db.internal:5432"}
dial:
  office: socks:proxy.corp:1080
  slow: {hops: "socks:a:1 -> connect:b:2", timeout: 60, retries: 0}
routes:
  - {match: "*.corp", via: office}
  - {match: "10.0.0.0/8", via: direct}
  - {match: ["*:25", "*:465"], via: deny, reason: "no mail from here"}
  - {match: "*", via: [slow, direct, "socks:c:3"]}
policy: {users: /etc/ugate/users, private: deny}
node: {connect: 5, flows: quiet}
"""

TEN = """\
lisen:
  main: auot:tcp:1080
  main: auto:tcp:1081
  db: {endpoint: "tcp:1", to: nowhere, opne: yes}
dial:
  office: {hops: "socks:a:1", timeout: ten}
  direct: socks:b:2
routes:
  - {match: *.corp, via: office}
  - {match: "*", via: offce}
  - {match: "", via: [office, deny]}
policy: {private: alow}
node: {connect: -1, streams: "10"}
"""


def checkEndpoint(text: str) -> None:
    """
    A checker that knows two endpoints.
    """
    if text.partition(":")[0] not in ("auto", "tcp"):
        raise StringError(f"{text.partition(':')[0]!r} is no endpoint; wanted auto or tcp")


def checkHops(text: str) -> None:
    """
    A checker that knows SOCKS.
    """
    if not text.startswith("socks:"):
        raise ValueError(f"{text!r} is no hop")


class WholeCase(SynchronousTestCase):
    """
    Tests with a file.
    """

    def store(self, text: str) -> FileStore:
        """
        A store of a file with this text.
        """
        self.path = self.mktemp()
        Path(self.path).write_text(text, encoding="utf-8")
        return FileStore(self.path)

    def messages(self, text: str) -> list[str]:
        """
        What is wrong with a file, without its path.
        """
        checks = {"endpoint": checkEndpoint, "hops": checkHops}
        error = self.assertRaises(ConfigError, readConfig, self.store(text), checks)
        return [str(mistake).removeprefix(f"{self.path}:") for mistake in error.mistakes]


class ReadConfigTests(WholeCase):
    """
    From a store to a configuration.
    """

    def test_good(self) -> None:
        """
        A configuration with all that there is.
        """
        config = readConfig(self.store(GOOD), {"endpoint": checkEndpoint, "hops": checkHops})
        expected = Config(
            listen={
                "main": Listener("auto:tcp:1080:interface=127.0.0.1"),
                "db": Listener("tcp:5432:interface=127.0.0.1", "db.internal:5432"),
            },
            dial={
                "office": Dial("socks:proxy.corp:1080"),
                "slow": Dial("socks:a:1 -> connect:b:2", timeout=60.0, retries=0),
            },
            routes=(
                Route(("*.corp",), ("office",)),
                Route(("10.0.0.0/8",), ("direct",)),
                Route(("*:25", "*:465"), ("deny",), "no mail from here"),
                Route(("*",), ("slow", "direct", "socks:c:3")),
            ),
            policy=Policy(users="/etc/ugate/users", private="deny"),
            node=Node(connect=5.0, flows="quiet"),
        )
        self.assertEqual(expected, config)

    def test_defaults(self) -> None:
        """
        An empty file is the defaults, which is what a config is without anything.
        """
        self.assertEqual(Config(), readConfig(self.store("")))

    def test_frozen(self) -> None:
        """
        Nothing in a configuration can be changed.
        """
        config = readConfig(self.store(GOOD))
        self.assertRaises(AttributeError, setattr, config, "routes", ())
        self.assertRaises(AttributeError, setattr, config.node, "idle", 1)
        with self.assertRaises(TypeError):
            config.listen["x"] = Listener("x")  # type: ignore[index]

    def test_origins(self) -> None:
        """
        Each section is known by where it is written; two equal ones from elsewhere are equal.
        """
        config = readConfig(Stack([self.store(GOOD), CommandLineStore(["x=auto:tcp:1"], ["*=direct"])]))
        self.assertEqual(f"{self.path}:2:3", config.origins["listen", "main"])
        self.assertEqual("--listen 'x=auto:tcp:1'", config.origins["listen", "x"])
        self.assertEqual("--route '*=direct'", config.origins["routes", "0"])
        self.assertEqual(f"{self.path}:8:5", config.origins["routes", "1"])
        self.assertEqual(f"{self.path}:12:9", config.origins["policy", ONLY])

    def test_tenMistakes(self) -> None:
        """
        Every mistake in a file is told, with its line and column, a bad pattern without quotes among them.
        """
        begins = [
            "1:1: unknown key 'lisen' at the top; wanted listen, dial, routes, policy, identity, trust, "
            "nodes, serve, node or tenants; did",
            "2:9: listen.main: 'auot' is no endpoint; wanted auto or tcp",
            "3:3: the key 'main' is on line 2 too",
            "4:31: listen.db.to: 'nowhere': wanted HOST:PORT",
            "4:40: unknown key 'opne' in listen.db; wanted endpoint, to or open; did you mean 'open'?",
            "6:40: dial.office.timeout is 'ten'; wanted a number of seconds above 0, at most 3600",
            "7:3: dial.direct: 'direct' has a meaning of its own",
            "9:13: a value cannot begin with * without quotes",
            "10:23: routes.via: no dial section is named 'offce'",
            "11:13: routes.match is the text ''",
            "11:31: routes.via has 'deny' beside other ways",
            "12:19: policy.private is 'alow'; wanted allow or deny; did you mean 'allow'?",
            "13:17: node.connect is -1; wanted a number of seconds above 0",
            "13:30: node.streams is the text '10'; wanted a whole number from 1 to 10000000, without quotes",
        ]
        messages = self.messages(TEN)
        self.assertEqual(len(begins), len(messages), messages)
        for begin, message in zip(begins, messages, strict=True):
            self.assertTrue(message.startswith(begin), message)

    def test_report(self) -> None:
        """
        The error shows each line with carets under what is wrong.
        """
        error = self.assertRaises(ConfigError, readConfig, self.store("node:\n  idle: soon\n"))
        line = f"{self.path}:2:9: node.idle is 'soon'; wanted a number of seconds above 0, at most 2592000"
        self.assertEqual(f"{line}\n    idle: soon\n          ^^^^", str(error))

    def test_commandLine(self) -> None:
        """
        Mistakes in values of the command line are shown in the option.
        """
        store = CommandLineStore(["main=auot:tcp:1"], ["*.corp=connect:a:1"])
        checks = {"endpoint": checkEndpoint, "hops": checkHops}
        error = self.assertRaises(ConfigError, readConfig, store, checks)
        self.assertEqual(
            [
                "--listen 'main=auot:tcp:1': listen.main: 'auot' is no endpoint; wanted auto or tcp",
                "  main=auot:tcp:1",
                "       ^^^^^^^^^^",
                "--route '*.corp=connect:a:1': routes.via: 'connect:a:1' is no hop",
                "  *.corp=connect:a:1",
                "         ^^^^^^^^^^^",
            ],
            str(error).split("\n"),
        )

    def test_names(self) -> None:
        """
        A name is a word that can be written without quotes.
        """
        for name in ("a b", "1a", "", "a:b", "é", "a" * 65):
            messages = self.messages(f'listen: {{"{name}": "tcp:1"}}')
            self.assertTrue(messages[0].startswith(f"1:10: {name!r} is no name for listen; wanted a letter"))
        self.assertEqual(1, len(readConfig(self.store("listen: {on: 'tcp:1'}")).listen))

    def test_references(self) -> None:
        """
        A route may name dial sections, of any store, and nothing else that is a name.
        """
        self.assertEqual(1, len(self.messages("routes: [{match: a, via: [offce]}]")))
        dial = FakeStore({"dial": {"offce": {"hops": "socks:a:1"}}})
        readConfig(Stack([dial, self.store("routes: [{match: a, via: [offce]}]")]))
        suggestion = self.messages("dial: {office: 'socks:a:1'}\nroutes: [{match: a, via: offce}]")[0]
        self.assertTrue(suggestion.endswith("; did you mean 'office'?"), suggestion)
        suggestion = self.messages("routes: [{match: a, via: dierct}]")[0]
        self.assertTrue(suggestion.endswith("; did you mean 'direct'?"), suggestion)

    def test_noFollowUps(self) -> None:
        """
        Where the names of dial sections could not be read, or one is itself wrong, routes are not blamed.
        """
        route = "routes: [{match: a, via: office}]\n"
        for dial in ("dial: @", "dail: {office: 'socks:a:1'}", "dial:\n  office: @", "dial: {office: 5}"):
            self.assertEqual(1, len(self.messages(f"{route}{dial}\n")), dial)

    def test_checkers(self) -> None:
        """
        Every kind of text reaches its checker, and texts that need none do not.
        """
        seen: list[tuple[str, str]] = []

        def recorder(kind: str) -> object:
            return lambda text: seen.append((kind, text))

        kinds = ("endpoint", "hops", "match", "target", "users")
        readConfig(self.store(GOOD), {kind: recorder(kind) for kind in kinds})  # type: ignore[misc]
        self.assertEqual(
            [
                ("endpoint", "auto:tcp:1080:interface=127.0.0.1"),
                ("endpoint", "tcp:5432:interface=127.0.0.1"),
                ("target", "db.internal:5432"),
                ("hops", "socks:proxy.corp:1080"),
                ("hops", "socks:a:1 -> connect:b:2"),
                ("match", "*.corp"),
                ("match", "10.0.0.0/8"),
                ("match", "*:25"),
                ("match", "*:465"),
                ("match", "*"),
                ("hops", "socks:c:3"),
                ("users", "/etc/ugate/users"),
            ],
            seen,
        )

    def test_otherStores(self) -> None:
        """
        Mistakes in a store that knows no places name the kind and the section.
        """
        store = FakeStore({"listen": {"a": {"endpoint": 5}}, "node": {ONLY: {"idle": "x"}}})
        error = self.assertRaises(ConfigError, readConfig, store, {"endpoint": checkEndpoint})
        self.assertEqual(
            [
                "listen a: listen.a.endpoint: '5' is no endpoint; wanted auto or tcp",
                "node: node.idle is the text 'x'; wanted a number of seconds above 0, at most 2592000",
            ],
            str(error).split("\n"),
        )

    @given(
        st.integers(0, len(GOOD)),
        st.text(st.sampled_from(":*&-{}[],'\"\n\t @0x") | st.characters(codec="utf-8"), max_size=4),
        st.integers(0, 12),
    )
    def test_changedText(self, at: int, put: str, cut: int) -> None:
        """
        A good file with something changed is read, or has mistakes at places that can be shown.
        """
        try:
            readConfig(
                self.store(GOOD[:at] + put + GOOD[at + cut :]),
                {"endpoint": checkEndpoint, "hops": checkHops},
            )
        except ConfigError as error:
            for mistake in error.mistakes:
                self.assertTrue(mistake.place.excerpt(), mistake)

    def test_otherTenant(self) -> None:
        """
        A tenant for whom there is nothing has the defaults.
        """
        self.assertEqual(Config(), readConfig(self.store(GOOD), tenant="alice"))
