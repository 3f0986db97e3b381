# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.reactors}.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from zope.interface import alsoProvides

from ugate.interfaces import INeedsAsyncio
from ugate.modules.lazy import LazyModule
from ugate.test.reloadfakes import MAIN, Hello, HelloModule, ReloadCase, config

CHOOSE = """\
import sys
from ugate.modules.lazy import LazyModule
from ugate.reactors import chooseReactor, reactorTrouble

class Store:
    def names(self, tenant, kind):
        return SECTIONS.get((tenant, kind), [])

SECTIONS = {sections}
module = LazyModule("speaker", "nowhere:Nothing", asyncio=True)
{before}
chooseReactor(Store(), [LazyModule("hello", "nowhere:Nothing"), module])
print("asyncio" in sys.modules)
from ugate.tap import Options
reactor = Options().reactor
print(type(reactor).__name__, reactorTrouble(reactor, module))
"""

DEEP = {
    ("root", "tenants"): ["alice", "bob"],
    ("bob", "tenants"): ["son"],
    ("bob/son", "speaker"): ["main"],
}


class ChooseTests(ReloadCase):
    """
    What a node runs on.
    """

    def choose(self, sections: Any, before: str = "") -> str:
        """
        Choose in a process of its own.
        """
        text = CHOOSE.format(sections=sections, before=before)
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, timeout=60, text=True, check=True
        )
        self.assertEqual("", done.stderr)
        return done.stdout

    def test_wanted(self) -> None:
        """
        A section of any tenant, however deep, has asyncio's reactor installed.
        """
        self.assertEqual("True\nAsyncioSelectorReactor \n", self.choose(DEEP))

    def test_notWanted(self) -> None:
        """
        Where there is the module and no section, asyncio is not even imported.
        """
        imported, kind = self.choose({("root", "hello"): ["main"]}).splitlines()
        self.assertEqual("False", imported)
        self.assertTrue(kind.startswith("EPollReactor it needs the reactor of asyncio"), kind)

    def test_forced(self) -> None:
        """
        The reactor that there is stays.
        """
        said = self.choose(DEEP, "from ugate.tap import Options; Options().reactor")
        self.assertIn("\nEPollReactor it needs", said)

    def test_reload(self) -> None:
        """
        A section that comes while the node runs on another reactor is refused in a sentence, and all stays.
        """
        module = HelloModule()
        alsoProvides(module, INeedsAsyncio)
        node = self.run_(config({"main": MAIN}), modules=[module])
        reason = self.bad(node, config({"main": MAIN}, modules={("hello", "a"): Hello("hi")}))
        self.assertEqual(
            f"hello.a: it needs the reactor of asyncio, and the node runs on {type(self.reactor).__name__};"
            " start the node anew with this section, without --reactor or with --reactor=asyncio",
            reason,
        )
        self.assertEqual({}, dict(node.modules))

    def test_lazy(self) -> None:
        """
        Other modules do not mind.
        """
        from ugate.reactors import reactorTrouble

        self.assertEqual("", reactorTrouble(self.reactor, LazyModule("hello", "nowhere:Nothing")))
