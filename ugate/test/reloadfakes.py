# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of reloads share: a node whose configuration the test holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from zope.interface import implementer

from twisted.application.service import Service
from twisted.internet.address import IPv4Address
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.plugin import IPlugin

from ugate.errors import StringError, UgateError
from ugate.interfaces import IConfigStore, IModule, ITenant, IWatching
from ugate.node import Node
from ugate.reload import Outcome
from ugate.tenancy.config.schema import Delegation, Dial, Listener, Policy, PolicyRule
from ugate.tenancy.config.schema import Node as Settings
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.config.whole import Config, Route
from ugate.test.nodefakes import ALL, NodeCase

MAIN = "auto:tcp:1080:interface=127.0.0.1"
PUBLIC = b"\x05\x01\x00\x01\x09\x09\x09\x09\x00\x50"
"""To 9.9.9.9:80, which is in no private range."""

OTHER = "auto:tcp:1081:interface=127.0.0.1"


def config(
    listen: Mapping[str, str | Listener] | None = None,
    dial: Mapping[str, str | Dial] | None = None,
    routes: tuple[Route, ...] = (),
    tenants: Mapping[str, Delegation] | None = None,
    rules: tuple[PolicyRule, ...] = ALL,
    modules: Mapping[tuple[str, str], Struct] | None = None,
    users: str | None = None,
    close: bool = False,
    private: Any = "allow",
    **node: Any,
) -> Config:
    """
    The configuration of one tenant.
    """
    listeners = {
        name: each if isinstance(each, Listener) else Listener(each) for name, each in (listen or {}).items()
    }
    dials = {name: each if isinstance(each, Dial) else Dial(each) for name, each in (dial or {}).items()}
    return Config(
        listeners,
        dials,
        routes,
        Policy(users=users, private=private, rules=rules, close=close),
        Settings(**node),
        tenants=dict(tenants or {}),
        modules=dict(modules or {}),
    )


class Hello(Struct, frozen=True):
    """
    The section of a module.
    """

    greeting: str = "hello"


class HelloService(Service):
    """
    A module that runs.
    """

    def __init__(self, tenant: ITenant, name: str, section: Any) -> None:
        self.tenant = tenant
        self.name = name
        self.section = section
        self.ended: Any = None

    def startService(self) -> None:
        if self.section.greeting == "crash":
            raise ZeroDivisionError("it crashes")
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Any:
        super().stopService()  # type: ignore[no-untyped-call]
        return self.ended


@implementer(IPlugin, IModule)
class HelloModule:
    """
    A module.
    """

    name = "hello"
    schema = Hello
    summary = "Says hello."

    def makeService(self, tenant: ITenant, name: str, section: Any) -> Any:
        if section.greeting == "bad":
            raise StringError("no such greeting")
        return HelloService(tenant, name, section)


@implementer(IConfigStore, IWatching)
class Store:
    """
    A store that says what the test wants it to say.
    """

    callback: Callable[[frozenset[str] | None], None] | None = None
    watched = False
    looked = 0
    found: frozenset[str] | None = None

    def names(self, tenant: str, kind: str) -> list[str]:
        return []

    def section(self, tenant: str, kind: str, name: str) -> Mapping[str, object]:
        raise KeyError(name)

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        self.callback = callback
        return self._stop

    def _stop(self) -> None:
        self.callback = None

    def start(self, reactor: Any) -> None:
        self.watched = True

    def stop(self) -> None:
        self.watched = False

    def reload(self) -> None:
        self.looked += 1
        if self.callback is not None and self.found is not None:
            self.callback(self.found)


class ReloadCase(NodeCase):
    """
    Nodes whose configuration changes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.configs: dict[str, Config] = {}
        self.wrong: UgateError | None = None
        self.asked: list[frozenset[str] | None] = []
        self.events: list[LogEvent] = []

    def read(self, previous: Mapping[str, Config], changed: frozenset[str] | None) -> Mapping[str, Config]:
        """
        What the configuration is now.
        """
        self.asked.append(changed)
        if self.wrong is not None:
            raise self.wrong
        return dict(self.configs)

    def run_(self, root: Config, **options: Any) -> Node:
        """
        A node that runs.

        @param options: the configurations of tenants, with __ for the slash; and those of the node.
        """
        self.configs = {ROOT: root}
        for name in [each for each in options if isinstance(options[each], Config)]:
            self.configs[name.replace("__", "/")] = options.pop(name)
        node = Node(self.reactor, dict(self.configs), threads=0, read=self.read, **options)
        node.privilegedStartService()
        node.startService()
        return node

    def reload(self, node: Node, root: Config | None = None, **tenants: Config | None) -> Outcome:
        """
        Another configuration.

        @param tenants: what changed; L{None} for those that are gone.
        """
        if root is not None:
            self.configs[ROOT] = root
        for name, each in tenants.items():
            path = name.replace("__", "/")
            if each is None:
                del self.configs[path]
            else:
                self.configs[path] = each
        with capturedLogs() as events:
            outcome: Outcome = self.successResultOf(node.reload("test"))
        self.events = list(events)
        return outcome

    def said(self) -> list[str]:
        """
        What the last reload wrote to the log.
        """
        return [
            str(formatEvent(event))
            for event in self.events
            if event["log_namespace"].startswith("ugate") and event["log_level"].name != "debug"
        ]

    def good(self, node: Node, root: Config | None = None, **tenants: Config | None) -> tuple[str, ...]:
        """
        Another configuration, which applies.

        @return: what is different.
        """
        outcome = self.reload(node, root, **tenants)
        self.assertEqual((outcome.good, outcome.error), (True, ""))
        return outcome.changed

    def bad(self, node: Node, root: Config | None = None, **tenants: Config | None) -> str:
        """
        Another configuration, which does not apply.

        @return: why not.
        """
        before = node.configs
        outcome = self.reload(node, root, **tenants)
        self.assertFalse(outcome.good)
        self.assertIs(node.configs, before)
        self.configs = dict(before)
        return outcome.error

    def factory(self, node: Node, name: str = "main") -> Any:
        """
        What builds the protocols of a listener now.
        """
        port: Any = node.ports[name]
        return port.place.port.factory

    def info(self, target: str) -> Any:
        """
        A stream to a target.
        """
        from ugate.test.dialfakes import streamTo

        return streamTo(target)


HERE = IPv4Address("TCP", "127.0.0.1", 0)


ALICE = {"alice": Delegation()}

DIRECT = (Route(("*",), ("direct",)),)

DENY = (Route(("*",), ("deny",)),)
