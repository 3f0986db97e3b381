# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What another configuration does to the modules of a node.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory

from ugate.test.nodefakes import inUse
from ugate.test.reloadfakes import (
    MAIN,
    OTHER,
    Hello,
    HelloModule,
    HelloService,
    ReloadCase,
    config,
)


class ModuleTests(ReloadCase):
    """
    Modules are services of the node.
    """

    def node(self, **greetings: str) -> Any:
        """
        A node with such modules.
        """
        return self.run_(self.having(**greetings), modules=[HelloModule()])

    def having(self, **greetings: str) -> Any:
        """
        A configuration with such modules.
        """
        return config(
            {"main": MAIN}, modules={("hello", name): Hello(each) for name, each in greetings.items()}
        )

    def test_start(self) -> None:
        """
        They run with the node, and end with it.
        """
        node = self.node(a="hi", b="ho")
        a = node.modules["root", "hello", "a"]
        self.assertEqual((a.running, a.name, a.section, a.tenant), (1, "a", Hello("hi"), node.tenant))
        self.successResultOf(node.stopService())
        self.assertEqual([each.running for each in node.modules.values()], [0, 0])

    def test_difference(self) -> None:
        """
        What is as it was runs on; what is different is replaced, what is gone is stopped.
        """
        node = self.node(a="hi", b="ho", c="hu")
        a, b, c = (node.modules["root", "hello", name] for name in "abc")
        self.assertEqual(
            set(self.good(node, self.having(a="hi", b="HO", d="hey"))), {"hello b", "hello c", "hello d"}
        )
        self.assertIs(node.modules["root", "hello", "a"], a)
        self.assertEqual([each.running for each in (a, b, c)], [1, 0, 0])
        self.assertEqual({name for _, _, name in node.modules}, set("abd"))
        self.assertTrue(all(each.running for each in node.modules.values()))
        self.assertEqual(len(node.services), 3)

    def test_bad(self) -> None:
        """
        One that cannot be, or cannot start, leaves all as it was.
        """
        node = self.node(a="hi")
        (a,) = node.modules.values()
        self.assertEqual(self.bad(node, self.having(a="hi", b="bad")), "hello.b: no such greeting")
        self.assertEqual(self.bad(node, self.having(a="ho", b="crash")), "hello.b cannot start: it crashes")
        self.assertEqual((list(node.modules.values()), a.running, len(node.services)), ([a], 1, 1))

    def test_port(self) -> None:
        """
        The port of a module that is replaced goes on with the new one, if all is good.
        """
        made: list[Any] = []

        class Serving(HelloService):
            def startService(self) -> None:
                super().startService()
                made.append(self.tenant.reactor.listenTCP(80, Factory(), interface="127.0.0.1"))

            def stopService(self) -> Any:
                made[0].stopListening()
                return super().stopService()

        class ServingModule(HelloModule):
            def makeService(self, tenant: Any, name: str, section: Any) -> Any:
                return Serving(tenant, name, section)

        node = self.run_(self.having(a="hi"), modules=[ServingModule()])
        port = self.reactor.ports[-1]
        self.assertIs(port.factory, made[0].factory)
        self.reactor.taken = inUse(1081)
        self.bad(node, config({"main": OTHER}, modules={("hello", "a"): Hello("ho")}))
        self.assertIs(port.factory, made[0].factory)
        self.good(node, self.having(a="ho"))
        self.assertIs(port.factory, made[-1].factory)
        self.assertEqual((port.listening, len(self.reactor.ports)), (True, 2))

    def test_noModule(self) -> None:
        """
        A kind that no module is of.
        """
        node = self.run_(config())
        self.assertIn("there is no module of that kind", self.bad(node, self.having(a="hi")))

    def test_cannotStart(self) -> None:
        """
        At the start such a one ends it.
        """
        for greeting in ("bad", "crash"):
            stopped = self.assertRaises(SystemExit, self.node, a=greeting)
            self.assertIn("ugate: hello.a", str(stopped.code))
