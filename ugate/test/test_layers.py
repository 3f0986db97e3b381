# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Every module imports only what its layer may; the sources are read, so lazy and typing-only imports count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import ugate

PLUGIN = "twisted.plugins.ugate_plugin"
REACTOR = "twisted.internet.reactor"
LOADERS = frozenset(
    {"import_module", "__import__", "namedAny", "namedModule", "namedObject", "requireModule"}
)
"""Functions that import what a string names."""

START = "ugate.tap"
"""The one module that may import the reactor: twistd hands none to what it starts."""


@dataclass(frozen=True, slots=True)
class Layer:
    """
    Some modules, and what they may import apart from one another.
    """

    name: str
    """What this layer is called in complaints, and by the layers that may import it."""

    members: tuple[str, ...]
    """Modules, and packages with all that is in them."""

    below: tuple[str, ...]
    """The names of the layers that a member may import."""


LAYERS = (
    Layer(
        "values", ("ugate._version", "ugate.interfaces", "ugate.errors", "ugate.keyid", "ugate.stream"), ()
    ),
    Layer("time", ("ugate.deadlines",), ("values",)),
    Layer("protocols", ("ugate.protocols",), ("values", "time")),
    Layer(
        "relay",
        (
            "ugate.relay",
            "ugate.joining",
            "ugate.pump",
            "ugate.poll",
            "ugate.accepting",
            "ugate.joined",
            "ugate.leg",
            "ugate.idling",
            "ugate.posting",
            "ugate.recency",
            "ugate.lending",
            "ugate.pace",
            "ugate.slots",
            "ugate.splice",
            "ugate.splicing",
            "ugate.splicingchild",
            "ugate.splicingprocess",
            "ugate.copyends",
            "ugate.copying",
            "ugate.framing",
            "ugate.framedends",
            "ugate.framedforward",
            "ugate.metering",
            "ugate.metered",
            "ugate.shares",
            "ugate.buffers",
        ),
        ("values", "time", "protocols"),
    ),
    # These two meet only in the interfaces.
    Layer("endpoints", ("ugate.endpoints",), ("values", "time", "protocols", "relay")),
    Layer("tenancy", ("ugate.tenancy",), ("values", "time", "protocols", "relay")),
    Layer(
        "gateway",
        ("ugate.gateway", "ugate.entry", "ugate.flows", "ugate.naming", "ugate.streams"),
        ("values", "time", "relay"),
    ),
    Layer(
        "assembly",
        (
            "ugate.modules",
            "ugate.node",
            "ugate.tenants",
            "ugate.tenantparts",
            "ugate.meshroutes",
            "ugate.resolverway",
            "ugate.explaining",
            "ugate.storewatch",
            "ugate.listenerstrings",
            "ugate.listeners",
            "ugate.services",
            "ugate.reactors",
            "ugate.journal",
            "ugate.reload",
            "ugate.logs",
            "ugate.tap",
            "ugate.cli",
            "ugate.testing",
            "ugate.checks",
            "ugate.draining",
            "ugate.hoppools",
            "ugate.limits",
            "ugate.welcome",
            "ugate.enrolment",
            "ugate.bodies",
            "ugate.caclient",
        ),
        ("values", "time", "protocols", "relay", "endpoints", "tenancy", "gateway"),
    ),
    Layer(
        "plugin",
        (PLUGIN,),
        ("values", "time", "protocols", "relay", "endpoints", "tenancy", "gateway", "assembly"),
    ),
)
"""
All of ugate but its tests. To add a module, name it in the lowest layer that may import what it needs; a new
layer names those below it. C{ugate} itself holds the version: it is in no layer, and all may import it.
"""


def isWithin(module: str, package: str) -> bool:
    """
    Is this module the other, or somewhere in it?
    """
    return module == package or module.startswith(package + ".")


def layerOf(module: str, layers: Iterable[Layer]) -> Layer | None:
    """
    Find the layer of a module.
    """
    for layer in layers:
        if any(isWithin(module, member) for member in layer.members):
            return layer
    return None


def importedNames(module: str, isPackage: bool, source: str) -> Iterator[tuple[int, str]]:
    """
    Find what a source imports, wherever in it and by whatever spelling.

    @param module: its dotted name.
    @param isPackage: whether it is an C{__init__.py}, for which one leading dot means itself.
    @return: lines, and dotted names; those of C{from X import Y} are C{X.Y}, be Y a module or not.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + isPackage]
                base = ".".join([*kept, *filter(None, [base])])
            for alias in node.names:
                yield node.lineno, base if alias.name == "*" else f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            first = node.args[0]
            if name in LOADERS and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def complaints(sources: Mapping[str, str], layers: Iterable[Layer] = LAYERS) -> list[str]:
    """
    Say what is wrong in the imports of some modules.

    @param sources: the source of each, by its dotted name, C{.__init__} kept for packages.
    @return: one sentence for each wrong import, and for each module that is in no layer.
    """
    found = []
    for key, source in sources.items():
        isPackage = key.endswith(".__init__")
        module = key.removesuffix(".__init__")
        mine = layerOf(module, layers)
        if mine is None and module != "ugate":
            found.append(f"{module} is in no layer: name it in LAYERS")
            continue
        for line, name in importedNames(module, isPackage, source):
            reason = objection(module, mine, name, layers)
            if reason is not None:
                found.append(f"{module}:{line} imports {name}: {reason}")
    return found


def objection(module: str, mine: Layer | None, name: str, layers: Iterable[Layer]) -> str | None:
    """
    Why may a module not import this?

    @param mine: the layer of the module; L{None} for the package C{ugate} itself.
    """
    if isWithin(name, REACTOR) and module != START:
        return "the reactor is an argument"
    if isWithin(name, "ugate.test"):
        return "only tests import tests"
    theirs = layerOf(name, layers)
    if theirs is None:
        # Not ours, or what ugate/__init__.py holds.
        return None
    if mine is None:
        return None if name.startswith("ugate._version") else "the package itself knows only its version"
    if theirs is mine or theirs.name in mine.below:
        return None
    return f"{mine.name} may import {', '.join(mine.below) or 'nothing of ugate'}, not {theirs.name}"


def ownSources() -> dict[str, str]:
    """
    Read ugate, without its tests, and the plugin file where it is beside ugate.
    """
    package = Path(ugate.__file__).parent
    paths = [path for path in package.rglob("*.py") if package / "test" not in path.parents]
    paths += package.parent.glob("twisted/plugins/ugate_plugin.py")
    return {
        ".".join(path.relative_to(package.parent).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in sorted(paths)
    }


class LayersTests(SynchronousTestCase):
    """
    The sources of ugate, as they are.
    """

    def test_importsGoDown(self) -> None:
        """
        No module imports what is above or beside its layer, nor the reactor, and each is in a layer.
        """
        sources = ownSources()
        self.assertIn("ugate.interfaces.streams", sources)
        self.assertEqual([], complaints(sources))

    def test_layersNameOneAnother(self) -> None:
        """
        A layer names only layers that stand before it, so there is no way round.
        """
        seen: set[str] = set()
        for layer in LAYERS:
            self.assertLessEqual(set(layer.below), seen, layer.name)
            seen.add(layer.name)

    def test_pluginsDirectoryIsNoPackage(self) -> None:
        """
        With an C{__init__.py} in C{twisted/} or C{twisted/plugins/}, ours would hide Twisted or its plugins.
        """
        checkout = Path(ugate.__file__).parent.parent
        if not (checkout / "setup.py").exists():
            raise SkipTest("ugate is installed: the directory is Twisted's")
        self.assertEqual([], sorted(checkout.glob("twisted/**/__init__.py")))


class ComplaintsTests(SynchronousTestCase):
    """
    What L{complaints} says of sources made up for it.
    """

    def assertComplains(self, module: str, source: str, text: str) -> None:
        """
        Exactly one complaint is made, and it has this in it.
        """
        found = complaints({module: source})
        self.assertEqual(1, len(found), found)
        self.assertIn(text, found[0])

    def test_downIsFine(self) -> None:
        """
        A module may import below its layer, its own layer, the package and what is not ugate's.
        """
        fine = {
            "ugate.__init__": "from ugate._version import __version__",
            "ugate.stream": "from ugate.interfaces import IStreamInfo",
            "ugate.relay": "from ugate.protocols.sockets import x\nfrom ugate import leg, __version__",
            "ugate.protocols.socks": "from ugate.protocols.negotiate import Step",
            "ugate.endpoints.wrap": "import ugate.protocols.socks\nfrom twisted.internet import endpoints",
            "ugate.tenancy.policy": "from ugate import stream",
            "ugate.gateway": "from ugate.relay import relay\nfrom ugate.interfaces import ITenant",
            "ugate.node": "from ugate import gateway, tenancy\nfrom ugate.endpoints import *",
            PLUGIN: "from ugate.endpoints.parsers import Socks\nfrom ugate.modules.listen import listen",
        }
        self.assertEqual([], complaints(fine))

    def test_up(self) -> None:
        """
        A layer may not import a higher one.
        """
        self.assertComplains(
            "ugate.errors", "import ugate.relay", "ugate.errors:1 imports ugate.relay: values"
        )
        self.assertComplains("ugate.relay", "from ugate import gateway", "not gateway")
        self.assertComplains("ugate.protocols.socks", "from ugate.relay import relay", "not relay")
        self.assertComplains("ugate.protocols.socks", "from ugate.endpoints.wrap import x", "not endpoints")
        self.assertComplains("ugate.endpoints.wrap", "from ugate.node import Node", "not assembly")
        self.assertComplains("ugate.tap", f"import {PLUGIN}", "not plugin")
        self.assertComplains("ugate.__init__", "from ugate.stream import StreamInfo", "only its version")

    def test_sideways(self) -> None:
        """
        Endpoints and tenancy do not know each other, and the gateway knows neither them nor a protocol.
        """
        self.assertComplains("ugate.endpoints.wrap", "from ugate.tenancy import tenant", "not tenancy")
        self.assertComplains("ugate.tenancy.tenant", "from ugate.endpoints import wrap", "not endpoints")
        self.assertComplains("ugate.gateway", "from ugate.endpoints import wrap", "not endpoints")
        self.assertComplains("ugate.gateway", "from ugate.tenancy.tenant import Tenant", "not tenancy")
        self.assertComplains("ugate.gateway", "from ugate.protocols.socks import Socks", "not protocols")

    def test_hidden(self) -> None:
        """
        An import counts in a function, for typing only, in a C{try}, relative, or by a string.
        """
        for source in (
            "def f():\n    from ugate.node import Node",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ugate.node import Node",
            "try:\n    import ugate.node as n\nexcept ImportError:\n    pass",
            "from . import node",
            "from .node import Node",
            "from importlib import import_module\nimport_module('ugate.node')",
            "import twisted.python.reflect as r\nr.namedAny('ugate.node.Node')",
        ):
            self.assertComplains("ugate.relay", source, "not assembly")
        self.assertComplains("ugate.endpoints.wrap", "from ..node import Node", "not assembly")
        self.assertComplains("ugate.endpoints.__init__", "from .. import node", "not assembly")
        self.assertEqual([], complaints({"ugate.endpoints.__init__": "from .node import Node"}))

    def test_reactor(self) -> None:
        """
        Nothing imports the reactor, by any spelling.
        """
        for source in (
            "from twisted.internet import defer, reactor",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
            "def f():\n    from twisted.internet import reactor as r",
            "__import__('twisted.internet.reactor')",
        ):
            self.assertComplains("ugate.node", source, "the reactor is an argument")
            self.assertEqual([], complaints({START: source}))
        self.assertEqual([], complaints({"ugate.node": "from twisted.internet import task, reactors"}))

    def test_tests(self) -> None:
        """
        Nothing imports the tests, and C{ugate.testing} is not one of them.
        """
        self.assertComplains("ugate.testing", "from ugate.test.test_layers import Layer", "only tests")
        self.assertComplains("ugate.node", "from ugate import test", "only tests")
        self.assertEqual([], complaints({"ugate.node": "from ugate.testing import Mesh"}))

    def test_noLayer(self) -> None:
        """
        A module that nobody gave a place is reported; to begin like the name of a member is not enough.
        """
        self.assertComplains("ugate.stray", "", "ugate.stray is in no layer")
        self.assertComplains("ugate.nodes", "", "ugate.nodes is in no layer")

    def test_layersAreAnArgument(self) -> None:
        """
        The table decides.
        """
        layers = (Layer("low", ("a",), ()), Layer("high", ("b",), ("low",)))
        self.assertEqual([], complaints({"b.c": "import a.d"}, layers))
        self.assertEqual(1, len(complaints({"a": "import b.c"}, layers)))
