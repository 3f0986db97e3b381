# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{twistd ugate}: its options and its service.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.logger import capturedLogs, formatEvent
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ugate import limits, tap, welcome
from ugate.node import Node
from ugate.tap import Options, cutBySignal, handleSignals, makeService, speaksOnStdio, usageOf
from ugate.tenancy.config.schema import Listener
from ugate.tenancy.config.schema import Node as Settings
from ugate.tenancy.config.whole import Config
from ugate.tenancy.usage import Usage, UsageFile
from ugate.test.nodefakes import Ports

TEN = """\
listen:
  main: nonsense:tcp:1080
  other: [auto, tcp]
  third:
    endpoint: tcp:80
    too: db:5432
dial:
  office: socks:proxy
  direct: socks:a:1080
routes:
  - match: 10.0.0.0/99
    via: office
  - match: "*"
    via: offise
policy:
  users: /nowhere/passwords
  private: maybe
node:
  idle: soon
"""


class TapCase(SynchronousTestCase):
    """
    Options, and what they print.
    """

    def setUp(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        real: Any = reactor
        self.before = (set(real.getReaders()), set(real.getWriters()), real.getDelayedCalls())
        self.addCleanup(self._nothingOpened)

    def _nothingOpened(self) -> None:
        real: Any = reactor
        after = (set(real.getReaders()), set(real.getWriters()), real.getDelayedCalls())
        self.assertEqual(after, self.before)

    def write(self, text: str, name: str = "ugate.yaml") -> str:
        """
        A configuration file.
        """
        folder = str(self.mktemp())
        os.makedirs(folder)
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def parse(self, *arguments: str) -> Options:
        """
        Read a command line.
        """
        options = Options()
        options.parseOptions(arguments)
        return options

    def config(self, *arguments: str) -> Config:
        """
        The configuration of a command line.
        """
        config: Config = self.parse(*arguments)["read"]
        return config

    def ends(self, *arguments: str) -> int:
        """
        The exit status of a command line that starts nothing.
        """
        ended = self.assertRaises(SystemExit, self.parse, *arguments)
        assert isinstance(ended.code, int)
        return ended.code


class OptionsTests(TapCase):
    """
    L{Options}.
    """

    def test_nothing(self) -> None:
        """
        Without any option there is one listener, on this machine.
        """
        config = self.config()
        self.assertEqual(config.listen, {"main": Listener("auto:tcp:1080:interface=127.0.0.1")})
        self.assertEqual((config.dial, config.routes), ({}, ()))
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), ("", ""))

    def test_state(self) -> None:
        """
        C{--state} wins over C{node.state}, and what else a file has of the node stays; from where ugate is
        started it is the same folder all the time.
        """
        path = self.write("node: {idle: 5, state: /elsewhere}\n")
        node = self.config("--config", path, "--state", "here").node
        self.assertEqual((os.path.abspath("here"), 5.0), (node.state, node.idle))
        self.assertEqual("/elsewhere", self.config("--config", path).node.state)

    def test_listenAndRoute(self) -> None:
        """
        Both may be repeated, and their order is kept.
        """
        config = self.config(
            "--listen",
            "a=socks:tcp:1:interface=127.0.0.1",
            "--listen=b=connect:unix:/run/b",
            "--route",
            "*.corp=socks:proxy:1080",
            "--route",
            "*=direct",
        )
        self.assertEqual(list(config.listen), ["a", "b"])
        self.assertEqual(
            [(route.match, route.via) for route in config.routes],
            [(("*.corp",), ("socks:proxy:1080",)), (("*",), ("direct",))],
        )

    def test_config(self) -> None:
        """
        Files too; the command line is on top of them.
        """
        one = self.write("listen: {main: socks:tcp:1:interface=127.0.0.1}\nnode: {idle: 5}\n")
        two = self.write("listen: {main: socks:tcp:2:interface=127.0.0.1}\n")
        self.assertEqual(
            self.config("--config", one).listen["main"].endpoint, "socks:tcp:1:interface=127.0.0.1"
        )
        both = self.config("--config", one, "--config", two, "--listen", "more=socks:unix:/run/x")
        self.assertEqual(both.listen["main"].endpoint, "socks:tcp:2:interface=127.0.0.1")
        self.assertEqual((list(both.listen), both.node.idle), (["main", "more"], 5.0))

    def test_unknown(self) -> None:
        """
        What it does not know it does not take.
        """
        for arguments in (("--nonsense",), ("nonsense",), ("--listen",)):
            self.assertRaises(usage.UsageError, self.parse, *arguments)

    def test_help(self) -> None:
        """
        Each option says what it is for, and what it takes looks like.
        """
        said = str(Options())
        for words in ("--listen", "--route", "--config", "--check", "--explain", "HOST:PORT", "*.corp"):
            self.assertIn(words, said)


class CheckTests(TapCase):
    """
    C{--check} and C{--explain}, and mistakes.
    """

    def test_check(self) -> None:
        """
        The normal form is printed, and can be read again.
        """
        self.assertEqual(self.ends("--check", "--route", "*.corp=socks:proxy:1080"), 0)
        printed = self.out.getvalue()
        self.assertIn("endpoint: auto:tcp:1080:interface=127.0.0.1", printed)
        self.assertIn("drain: 30", printed)
        self.assertEqual(self.err.getvalue(), "")
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(self.ends("--check", "--config", self.write(printed)), 0)
        self.assertEqual(self.out.getvalue(), printed)

    def test_tenMistakes(self) -> None:
        """
        All mistakes are told at once, each with its place; nothing else is printed.
        """
        path = self.write(TEN)
        self.assertEqual(self.ends("--config", path), 1)
        self.assertEqual(self.out.getvalue(), "")
        places = [line for line in self.err.getvalue().split("\n") if line.startswith(f"{path}:")]
        found = [tuple(line.removeprefix(f"{path}:").split(":")[:2]) for line in places]
        self.assertEqual([line for line, _ in found], ["2", "3", "6", "8", "9", "11", "14", "16", "17", "19"])
        for words in (
            "nonsense",
            "listen.other",
            "did you mean 'to'?",
            "dial.office",
            "another name",
            "10.0.0.0/99",
            "did you mean 'office'?",
            "/nowhere/passwords",
            "allow",
            "node.idle",
        ):
            self.assertIn(words, self.err.getvalue())

    def test_mistakesOfOptions(self) -> None:
        """
        Those of the command line are told in the same way.
        """
        self.assertEqual(self.ends("--listen", "tcp:80", "--route", "nonsense", "--check"), 1)
        said = self.err.getvalue()
        self.assertIn("--listen", said)
        self.assertIn("NAME=STRING", said)
        self.assertIn("PATTERN=HOPS", said)
        self.assertEqual(self.out.getvalue(), "")

    def test_openRelay(self) -> None:
        """
        What would be refused at the start is refused by the check, each at its place.
        """
        path = self.write("listen:\n  one: auto:tcp:1080\n  two: tcp:80\n")
        self.assertEqual(self.ends("--config", path, "--check"), 1)
        one, two, _ = self.err.getvalue().split("\n")
        self.assertTrue(one.startswith(f"{path}:2:3: listener one (auto:tcp:1080) would carry"), one)
        self.assertTrue(two.startswith(f"{path}:3:3: listener two (tcp:80) cannot know"), two)

    def test_circle(self) -> None:
        """
        Hops that need each other are told at their place.
        """
        path = self.write("dial:\n  a: b -> socks:x:1\n  b: a -> socks:y:1\n")
        self.assertEqual(self.ends("--config", path), 1)
        said = self.err.getvalue()
        self.assertTrue(said.startswith(f"{path}:3:3: dial.b: it needs itself: a -> b -> a"), said)

    def test_unknownHop(self) -> None:
        """
        So is a name that no hop has, inside of a way.
        """
        path = self.write("dial:\n  a: socks:x:1\nroutes:\n  - {match: '*', via: b -> socks:y:1}\n")
        self.assertEqual(self.ends("--config", path), 1)
        said = self.err.getvalue()
        self.assertTrue(said.startswith(f"{path}:4:"), said)
        self.assertIn("no hop is named 'b'", said)

    def test_noFile(self) -> None:
        """
        A file that is not there.
        """
        path = str(self.mktemp())
        self.assertEqual(self.ends("--config", path), 1)
        self.assertIn(path, self.err.getvalue())

    def test_explain(self) -> None:
        """
        Who may, which rule, which hops.
        """
        self.assertEqual(self.ends("--explain", "db.corp:5432", "--route", "*.corp=socks:proxy:1080"), 0)
        lines = self.out.getvalue().split("\n")
        self.assertEqual(lines[0], "policy: operator (local) may, since no rule says otherwise")
        self.assertEqual(lines[1], "route 1 of 2: *.corp via socks:proxy:1080")
        self.assertIn("proxy:1080", lines[2])
        self.assertEqual(self.err.getvalue(), "")

    def test_explainTenant(self) -> None:
        """
        For a tenant: what comes in by its listener.
        """
        path = self.write(
            "tenants:\n  alice:\n    hosts: ['*.alice.example']\n"
            "    policy: {rules: [{action: deny, target: '*:25', reason: no mail}]}\n"
        )
        self.assertEqual(self.ends("--config", path, "--explain", "9.9.9.9:25", "--tenant", "alice"), 0)
        lines = self.out.getvalue().split("\n")
        self.assertEqual(lines[0], "tenant: alice")
        self.assertIn("may not, by rule 1 of 1", lines[1])
        self.assertIn("no mail", lines[2])
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(self.ends("--config", path, "--explain", "x.alice.example:80"), 0)
        self.assertTrue(self.out.getvalue().startswith("tenant: alice\n"))
        self.assertEqual(self.ends("--config", path, "--explain", "x:1", "--tenant", "alise"), 1)
        self.assertIn("there is no tenant 'alise'; did you mean 'alice'?", self.err.getvalue())

    def test_explainListed(self) -> None:
        """
        For each listener that lists its targets: whether it lists this one, and what would become
        of the stream of anybody.
        """
        path = self.write(
            "listen:\n  web: sni:tcp:443:names=www.example,*.corp\n"
            "  here: sni:tcp:8443:interface=127.0.0.1:names=www.example\n"
            "policy: {rules: [{action: allow, who: 'open:*', protocol: sni, target: 'www.example:443'}]}\n"
        )
        self.assertEqual(self.ends("--config", path, "--explain", "www.example:443"), 0)
        lines = self.out.getvalue().split("\n")
        self.assertIn("listener web: its names= list www.example:443, by www.example", lines)
        self.assertIn("listener here: its names= list www.example:443, by www.example", lines)
        at = lines.index("listener web: its names= list www.example:443, by www.example")
        self.assertEqual("  TLS passes through unopened", lines[at + 1])
        self.assertIn("  policy: anyone (open) may, by rule 1 of 1", lines[at + 2])
        self.assertIn("  route 1 of 1", lines[at + 3])
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(self.ends("--config", path, "--explain", "a.corp:443"), 0)
        text = self.out.getvalue()
        self.assertIn("listener here: its names= do not list a.corp:443\n", text)
        self.assertIn("  policy: anyone (open) may not", text)
        self.assertIn('add to policy.rules: {action: allow, who: "open:anyone", target: "a.corp:443"}', text)

    def test_explainForbidden(self) -> None:
        """
        What the egress rules forbid is told, too.
        """
        self.assertEqual(self.ends("--explain", "169.254.169.254:80"), 0)
        self.assertIn("the metadata service of a cloud", self.out.getvalue())

    def test_explainWhat(self) -> None:
        """
        A target is a host and a port.
        """
        self.assertEqual(self.ends("--explain", "db.corp"), 1)
        self.assertIn("wanted HOST:PORT", self.err.getvalue())

    def test_both(self) -> None:
        """
        Both questions are answered.
        """
        self.assertEqual(self.ends("--explain", "a:1", "--check"), 0)
        self.assertIn("route 1 of 1", self.out.getvalue())
        self.assertIn("listen:", self.out.getvalue())


class ServiceTests(TapCase):
    """
    L{makeService}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.raised: list[int] = []
        self.patch(limits, "raiseDescriptorLimit", self.raised.append)

    def make(self, *arguments: str) -> Node:
        """
        The service of a command line.
        """
        service = makeService(self.parse(*arguments))
        assert isinstance(service, Node)
        return service

    def test_node(self) -> None:
        """
        It is a node with that configuration, for which there are descriptors, and which
        opens nothing before it starts.
        """
        node = self.make("--listen", "a=socks:unix:/run/nowhere/x")
        self.assertTrue(IService.providedBy(node))
        self.assertEqual((list(node.config.listen), node.ports, self.raised), (["a"], {}, [10_000]))
        self.assertIs(sys.stdout, self.out)

    def test_started(self) -> None:
        """
        When it has started, and the reactor runs, it greets; what is there then the
        collector leaves alone.
        """
        greeted: list[Node] = []
        called: list[tuple[Any, ...]] = []
        self.patch(welcome, "greet", greeted.append)
        self.patch(reactor, "callWhenRunning", lambda *call: called.append(call))
        self.patch(gc, "freeze", lambda: called.append(("frozen",)))
        node = self.make()
        self.assertEqual(called, [])
        node.startService()
        ((greet, who), frozen) = called
        self.assertEqual((greeted, frozen), ([], ("frozen",)))
        greet(who)
        self.assertEqual(greeted, [node])

    def test_stdio(self) -> None:
        """
        With a stream on standard output the log goes elsewhere.
        """
        self.make("--listen", "a=socks:stdio:")
        self.assertIs(sys.stdout, self.err)

    def test_speaksOnStdio(self) -> None:
        """
        Wherever it is in the string.
        """
        ports = Ports()
        for text, speaks in (
            ("socks:stdio:", True),
            ("forward:stdio:to=a\\:1", True),
            ("socks:tcp:1080", False),
            ("socks:unix:/run/stdio", False),
        ):
            self.assertEqual(speaksOnStdio(ports, Config({"a": Listener(text)})), speaks, text)

    def test_secondSignal(self) -> None:
        """
        While it waits for streams, another signal cuts them, in the reactor's thread; and
        it says that this is so.
        """
        handlers: dict[int, Callable[[int, object], None]] = {}
        self.patch(signal, "signal", handlers.__setitem__)
        calls: list[object] = []

        class Reactor:
            def callFromThread(self, call: Callable[[], None]) -> None:
                calls.append(call)

        def cut() -> None:
            raise AssertionError("not in a signal handler")

        with capturedLogs() as events:
            cutBySignal(Reactor(), cut)
        self.assertEqual(set(handlers), {signal.SIGINT, signal.SIGTERM})
        self.assertEqual(calls, [])
        for number, handler in handlers.items():
            handler(number, None)
        self.assertEqual(calls, [cut, cut])
        self.assertIn("another Ctrl-C or SIGTERM", formatEvent(events[-1]))

    def test_signals(self) -> None:
        """
        SIGHUP reloads; SIGTERM stops, once, and is then no reason for the end of the process.
        """
        handlers: dict[int, Callable[[int, object], None]] = {}
        self.patch(signal, "signal", handlers.__setitem__)
        calls: list[Any] = []

        class Reactor:
            running = True

            def callFromThread(self, call: Callable[..., None], *args: Any) -> None:
                calls.append((call, args))

            def stop(self) -> None:
                self.running = False
                calls.append("stop")

        class Reloads:
            stdio = False

            def reload(self, trigger: str) -> None:
                calls.append(trigger)

        handleSignals(Reactor(), Reloads(), lambda: True)
        self.assertEqual(set(handlers), {signal.SIGHUP, signal.SIGTERM})
        for number in (signal.SIGHUP, signal.SIGTERM):
            handlers[number](number, None)
        self.assertEqual(len(calls), 2)
        for call, args in list(calls):
            call(*args)
            call(*args)
        self.assertEqual(calls[2:], ["SIGHUP", "SIGHUP", "stop"])

    def test_hangup(self) -> None:
        """
        Without the terminal that it was started on it stops; and a stream on standard input ends by
        that signal, as ever.
        """
        handlers: dict[int, Callable[[int, object], None]] = {}
        self.patch(signal, "signal", handlers.__setitem__)
        calls: list[Any] = []

        class Reactor:
            running = True
            callFromThread = staticmethod(lambda call, *args: call(*args))
            stop = staticmethod(lambda: calls.append("stop"))

        class Some:
            stdio = False
            reload = staticmethod(calls.append)

        terminal = [True, True, False]
        handleSignals(Reactor(), Some(), lambda: terminal.pop(0))
        for _ in range(2):
            handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.assertEqual(calls, ["SIGHUP", "stop"])
        handlers.clear()
        Some.stdio = True
        handleSignals(Reactor(), Some(), lambda: False)
        self.assertEqual(set(handlers), {signal.SIGTERM})

    def test_usage(self) -> None:
        """
        The bytes of the month are kept where the configuration says, or systemd; else nowhere.
        """
        self.patch(os, "environ", {})
        self.assertIs(type(usageOf(reactor, Config())), Usage)
        self.patch(os, "environ", {"STATE_DIRECTORY": "/var/lib/ugate:/other"})
        usage = usageOf(reactor, Config())
        assert isinstance(usage, UsageFile)
        self.assertEqual(usage.path, "/var/lib/ugate/usage.json")
        usage = usageOf(reactor, Config(node=Settings(state="/srv")))
        assert isinstance(usage, UsageFile)
        self.assertEqual(usage.path, "/srv/usage.json")

    def test_json(self) -> None:
        """
        With logs for programs there is a service around the node, if twistd is there.
        """
        path = self.write("node: {log: json}\n")
        options = self.parse("--config", path)
        self.assertIsInstance(makeService(options), Node)
        parent: Any = {"nodaemon": True}
        options.parent = parent
        service: Any = makeService(options)
        self.assertEqual([type(each) for each in service], [Node])

    def test_signalsAreTheNodes(self) -> None:
        """
        The node of the service is told so when it begins to wait.
        """
        told: list[tuple[object, object]] = []
        self.patch(tap, "cutBySignal", lambda *arguments: told.append(arguments))
        node = self.make()

        def cut() -> None:
            """
            Stands for that of a drain.
            """

        node._draining(cut)
        self.assertEqual(told, [(reactor, cut)])
