# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Every class that says that it provides an interface does provide it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

from zope.interface import Interface, implementedBy, implementer
from zope.interface.verify import verifyClass, verifyObject

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

import ugate
from ugate.gateway import Inbound
from ugate.leg import Leg
from ugate.test.providers import BY_CLASS, PROVIDERS, gateway


def declared(cls: type) -> tuple[Any, ...]:
    """
    The interfaces that a class itself says that it provides.
    """
    spec: Any = implementedBy
    interfaces: tuple[Any, ...] = spec(cls).declared
    return interfaces


def providers() -> Iterator[tuple[str, type]]:
    """
    The classes of the package that say so of themselves, but for those of its tests.
    """
    for module in walk_packages(ugate.__path__, "ugate."):
        if module.name.startswith("ugate.test."):
            continue
        for name, value in vars(import_module(module.name)).items():
            if isinstance(value, type) and value.__module__ == module.name and declared(value):
                yield f"{module.name}.{name}", value


class ProviderTests(SynchronousTestCase):
    """
    All of ugate's classes.
    """

    def test_eachHasALine(self) -> None:
        """
        No provider is forgotten, and none is listed that is gone.
        """
        there = {name for name, _ in providers()}
        self.assertEqual(there - PROVIDERS.keys(), set(), "without a line in PROVIDERS")
        self.assertEqual(PROVIDERS.keys() - there, set(), "with a line in PROVIDERS, but gone")

    def test_each(self) -> None:
        """
        Each provides what it says, as an object if one is easily made, else by its class.
        """
        for name, cls in providers():
            make = PROVIDERS[name]
            made = BY_CLASS if make is None else make()
            self.assertTrue(made is None or type(made) is cls, name)
            for interface in declared(cls):
                good = verifyClass(interface, cls) if made is None else verifyObject(interface, made)
                self.assertTrue(good, name)

    def test_protocolsOfAStream(self) -> None:
        """
        What stands on a transport can be told of half a close.
        """
        inbound = Inbound(gateway())
        transport = StringTransport()
        inbound.transport = transport
        for interface in list(implementedBy(Leg)):  # type: ignore[no-untyped-call]
            self.assertTrue(verifyObject(interface, inbound), interface)


class DeclaredTests(SynchronousTestCase):
    """
    L{declared}.
    """

    def test_own(self) -> None:
        """
        What a class takes from another one is not its own.
        """

        class IThing(Interface):
            pass

        @implementer(IThing)
        class Thing:
            pass

        class Other(Thing):
            pass

        self.assertEqual((declared(Thing), declared(Other), declared(int)), ((IThing,), (), ()))
