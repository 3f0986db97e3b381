# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The recipes that are programs run, in a network in memory.
"""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from types import ModuleType

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.web.client import URI

from ugate.errors import Cause
from ugate.test.docpages import LISTINGS, listing
from ugate.test.howtofakes import OK, HowtoTests


class ProgramTests(HowtoTests):
    """
    The recipes that are programs.
    """

    def program(self, name: str) -> ModuleType:
        """
        A listing, as a module.
        """
        spec = spec_from_file_location(f"listing_{name}", LISTINGS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_compile(self) -> None:
        """
        There is no program that these tests do not know.
        """
        found = {path.stem for path in LISTINGS.glob("*.py")}
        self.assertEqual({"fetch", "anyhost", "answer", "chains", "test_example", "test_links"}, found)

    def _fetch(self, name: str, way: str, url: str) -> str:
        """
        What a program prints that fetches a page.
        """
        out = StringIO()
        main = self.program(name).main
        with redirect_stdout(out):
            done = Deferred.fromCoroutine(main(self.mesh.host("app").reactor, way, url))
            self.mesh.flush()
            self.site.last.write(OK)
            self.mesh.flush()
        self.assertIsNone(self.successResultOf(done))
        return out.getvalue()

    def test_fetch(self) -> None:
        """
        C{fetch.py} goes straight, through a proxy, and through a chain of them, by its string alone.
        """
        self.site = self.service("example.com", 80)
        self.proxy("a", "socks:tcp:1080")
        proxy = self.proxy("b", "connect:tcp:3128")
        for string in (
            "tcp:example.com:80",
            r"socks:a:1080:to=example.com\:80",
            "socks:a:1080 -> connect:b:3128 -> tcp:example.com:80",
        ):
            self.assertEqual("200 hello\n", self._fetch("fetch", string, "http://example.com/"), string)
        self.assertEqual(proxy, self.whoAsked(self.site))

    def test_anyHost(self) -> None:
        """
        C{anyhost.py} asks the proxy for the host of each URL.
        """
        self.site = self.service("example.com", 8080)
        proxy = self.proxy("a", "socks:tcp:1080")
        self.assertEqual("200 hello\n", self._fetch("anyhost", "socks:a:1080", "http://example.com:8080/"))
        self.assertEqual(proxy, self.whoAsked(self.site))

    def test_anyHostTLS(self) -> None:
        """
        With C{https} there is TLS over it.
        """
        through = self.program("anyhost").Through(MemoryReactorClock(), "socks:a:1080")
        plain = through.endpointForURI(URI.fromBytes(b"http://example.org/"))
        secret = through.endpointForURI(URI.fromBytes(b"https://example.org/"))
        self.assertIs(type(plain), type(secret._wrappedEndpoint))

    def test_answer(self) -> None:
        """
        C{answer.py} is a proxy that tells where one wanted to go, and knows no mail.
        """
        reactor = self.mesh.host("here").reactor
        running = Deferred.fromCoroutine(self.program("answer").main(reactor, "auto:tcp:1080"))
        self.mesh.flush()
        other = self.mesh.client("other")
        for prefix, name in (("socks", "socks5"), ("socks4", "socks4"), ("connect", "connect")):
            stream = other.connect(rf"{prefix}:here:1080:to=www.example\:80")
            self.mesh.flush()
            self.assertEqual(f"{name} to www.example:80\n".encode(), stream.received)
            self.assertTrue(stream.isClean)
        self.assertIs(Cause.DENIED, self.refused(r"socks:here:1080:to=www.example\:25", other).cause)
        self.assertNoResult(running)

    def test_chains(self) -> None:
        """
        C{chains.py} prints what is beside it.
        """
        out = StringIO()
        with redirect_stdout(out):
            self.program("chains")
        shown = re.findall(r"^# (.*)$", listing("chains.py"), re.MULTILINE)
        self.assertEqual(shown, out.getvalue().splitlines())
