# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{twistd ugate}: its service.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService
from twisted.logger import capturedLogs, formatEvent

from ugate import limits, tap, welcome
from ugate.node import Node
from ugate.tap import cutBySignal, handleSignals, makeService, speaksOnStdio, usageOf
from ugate.tenancy.config.schema import Listener
from ugate.tenancy.config.schema import Node as Settings
from ugate.tenancy.config.whole import Config
from ugate.tenancy.usage import ForgottenUsage, UsageFile
from ugate.test.nodefakes import Ports
from ugate.test.tapfakes import TapCase


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
        collector leaves alone, and it looks more rarely at what is new.
        """
        greeted: list[Node] = []
        called: list[tuple[Any, ...]] = []
        self.patch(welcome, "greet", greeted.append)
        self.patch(self.reactor, "callWhenRunning", lambda *call: called.append(call))
        self.patch(gc, "freeze", lambda: called.append(("frozen",)))
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        node = self.make()
        self.assertEqual(called, [])
        node.startService()
        ((greet, who), frozen) = called
        self.assertEqual((greeted, frozen), ([], ("frozen",)))
        self.assertEqual(gc.get_threshold()[0], 10_000)
        greet(who)
        self.assertEqual(greeted, [node])

    def test_month(self) -> None:
        """
        That the bytes of a month would be forgotten is told at the start, if somebody's are limited.
        """
        self.patch(self.reactor, "callWhenRunning", lambda *call: None)
        self.patch(gc, "freeze", lambda: None)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        for limit, count in (("MONTH", 1), ("STREAMS", 0)):
            self.patch(os, "environ", {f"UGATE__TENANTS__ALICE__LIMITS__{limit}": "5"})
            node = self.make("--config", "env:UGATE")
            with capturedLogs() as events:
                node.startService()
            said = [formatEvent(event) or "" for event in events]
            self.assertEqual(count, sum("a restart forgets" in line for line in said), said)

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
                # As with that of Twisted, which runs until this turn is over.
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
        self.assertIsInstance(usageOf(self.reactor, Config()), ForgottenUsage)
        self.patch(os, "environ", {"STATE_DIRECTORY": "/var/lib/ugate:/other"})
        usage = usageOf(self.reactor, Config())
        assert isinstance(usage, UsageFile)
        self.assertEqual(usage.path, "/var/lib/ugate/usage.json")
        usage = usageOf(self.reactor, Config(node=Settings(state="/srv")))
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
        self.assertEqual(told, [(self.reactor, cut)])
