# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.lazy}.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from msgspec import Struct
from zope.interface.verify import verifyObject

from twisted.application.service import IService, Service
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IModule, INeedsAsyncio
from ugate.modules.lazy import LazyModule


class Greeting(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A section.
    """

    text: str = "hello"


class Greeter:
    """
    What is imported late.
    """

    made = 0
    schema = Greeting

    def __init__(self) -> None:
        Greeter.made += 1

    def makeService(self, tenant: Any, name: str, section: Greeting) -> Service:
        """
        A service that shows what it was made of.
        """
        made: Any = Service()
        made.of = tenant, name, section
        return made  # type: ignore[no-any-return]


class LazyTests(SynchronousTestCase):
    """
    L{LazyModule}.
    """

    def test_asyncio(self) -> None:
        """
        It says that it needs asyncio, before it is imported.
        """
        self.assertTrue(INeedsAsyncio.providedBy(LazyModule("hello", "nowhere:Nothing", asyncio=True)))
        self.assertFalse(INeedsAsyncio.providedBy(LazyModule("hello", "nowhere:Nothing")))

    def test_once(self) -> None:
        """
        Nothing is imported until the schema or a service is wanted, and then once.
        """
        Greeter.made = 0
        module = LazyModule("hello", f"{__name__}:Greeter", "says hello")
        self.assertEqual(("hello", "says hello", 0), (module.name, module.summary, Greeter.made))
        verifyObject(IModule, module)
        self.assertIs(Greeting, module.schema)
        tenant: Any = object()
        service: Any = module.makeService(tenant, "greeter", Greeting("hi"))
        verifyObject(IService, service)
        self.assertEqual((tenant, "greeter", Greeting("hi")), service.of)
        self.assertEqual(1, Greeter.made)

    def test_schema(self) -> None:
        """
        The schema may be elsewhere; then nothing else is imported for it.
        """
        module = LazyModule("gone", "ugate.nowhere:Gone", "", f"{__name__}:Greeting")
        self.assertIs(Greeting, module.schema)

    def test_own(self) -> None:
        """
        The schemas of ugate's own modules are those that the modules have.
        """
        found: list[Any] = [each for each in getPlugins(IModule) if isinstance(each, LazyModule)]
        names = {"admin", "ca", "capture", "discovery", "dns", "http", "register", "registrar", "remotes"}
        self.assertEqual(names, {each.name for each in found})
        for each in found:
            self.assertIs(each._module().schema, each.schema)
            self.assertEqual((each.name, each.summary), (each._module().name, each._module().summary))

    def test_nowhere(self) -> None:
        """
        What cannot be imported fails when it is wanted; its name and its place are known before.
        """
        module = LazyModule("gone", "ugate.nowhere:Gone")
        self.assertEqual("LazyModule('gone', 'ugate.nowhere:Gone')", repr(module))
        self.assertRaises(ImportError, lambda: module.schema)

    def test_found(self) -> None:
        """
        Twisted finds the modules of ugate, each once, with something to say of each.
        """
        found: list[Any] = [each for each in getPlugins(IModule) if isinstance(each, LazyModule)]
        names = [each.name for each in found]
        self.assertEqual(sorted(set(names)), sorted(names))
        self.assertEqual([], [each for each in found if not each.summary])

    def test_light(self) -> None:
        """
        To find them, and what is in their sections, imports nothing of what they need.
        """
        code = (
            "import sys; from twisted.plugin import getPlugins; from ugate.interfaces import IModule;"
            "[each.schema for each in getPlugins(IModule)];"
            "print([m for m in ('twisted.web.server', 'twisted.web.resource', 'prometheus_client',"
            " 'ugate.modules.http') if m in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(("[]\n", ""), (done.stdout, done.stderr))
