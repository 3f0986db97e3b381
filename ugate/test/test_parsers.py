# -*- test-case-name: ugate.test.test_parsers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.parsers}, through Twisted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    UNIXServerEndpoint,
    clientFromString,
    serverFromString,
)
from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.endpoints.parsers import HopParser, ServerParser
from ugate.endpoints.servers import SERVERS
from ugate.errors import StringError
from ugate.test.dialfakes import Net, Recorders

WORDS = st.text("abc:=\\[]->1 ", max_size=12)


class ServerParserTests(SynchronousTestCase):
    """
    Server strings.
    """

    def parse(self, text: str) -> Any:
        """
        The endpoint of a string.
        """
        return serverFromString(Net(), text)

    def assertBad(self, text: str, *said: str) -> None:
        """
        The string is refused in words that hold each of C{said}.
        """
        error = str(self.assertRaises(StringError, self.parse, text))
        for each in said:
            self.assertIn(each, error)

    def test_interfaces(self) -> None:
        """
        What is promised is there.
        """
        parser = ServerParser("socks")
        self.assertTrue(verifyObject(IPlugin, parser))
        self.assertTrue(verifyObject(IStreamServerEndpointStringParser, parser))

    def test_wraps(self) -> None:
        """
        The rest of the string is the listener below, with its keywords.
        """
        for prefix in SERVERS.keys() - {"forward", "sni"}:
            endpoint = self.parse(f"{prefix}:tcp:1080:interface=127.0.0.1:backlog=9")
            self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
            below = endpoint.inner
            self.assertIsInstance(below, TCP4ServerEndpoint)
            self.assertEqual((below._port, below._interface, below._backlog), (1080, "127.0.0.1", 9))

    def test_escapes(self) -> None:
        """
        What is escaped for Twisted stays what it is, at any depth.
        """
        for text in ("socks:unix:/tmp/a\\:b\\=c\\\\", "auto:proxyproto:unix:/tmp/a\\:b\\=c\\\\"):
            endpoint = self.parse(text)
            while isinstance(endpoint, NegotiatedServerEndpoint):
                endpoint = endpoint.inner
            self.assertIsInstance(endpoint, UNIXServerEndpoint)
            self.assertEqual(endpoint._address, "/tmp/a:b=c\\")

    def test_listens(self) -> None:
        """
        The reactor that was handed in listens.
        """
        net = Net()
        endpoint = serverFromString(net, "auto:tcp:1080:interface=127.0.0.1")
        self.successResultOf(endpoint.listen(Recorders()))
        self.assertEqual(net.tcpServers[0][0], 1080)

    def test_nested(self) -> None:
        """
        Prefixes stand in front of one another; the time for handshakes holds for
        each of them, other keywords for the first that knows them.
        """
        endpoint = self.parse("auto:proxyproto:tcp:1080:handshake=3:silent=mail\\:25:wait=2")
        self.assertEqual((endpoint.deadline, endpoint.patience), (3.0, 2.0))
        self.assertEqual((endpoint.inner.deadline, endpoint.inner.patience), (3.0, None))
        self.assertIsInstance(endpoint.inner.inner, TCP4ServerEndpoint)

    def test_otherPrefixes(self) -> None:
        """
        Twisted's own wrappers stand below ours, and ours below them.
        """
        self.assertIsInstance(self.parse("socks:haproxy:tcp:1080"), NegotiatedServerEndpoint)
        self.assertIsInstance(self.parse("haproxy:socks:tcp:1080")._wrappedEndpoint, NegotiatedServerEndpoint)

    def test_errors(self) -> None:
        """
        The error names the prefix and what is wrong with the rest.
        """
        self.assertBad("socks", "socks: on what? write socks:tcp:PORT")
        self.assertBad("socks:", "socks: on what?")
        self.assertBad("socks:=", "socks:=", "cannot read")
        self.assertBad("socks:tcp:1080:reactor=x:self=y", "reactor")
        self.assertBad("socks:nosuch:1", "socks:nosuch:1", "nosuch")
        self.assertBad("socks:tcp:x", "socks:tcp:x", "'x'")
        self.assertBad("socks:tcp:1080:color=red", "color", "socks itself takes answers=, handshake=")
        self.assertBad("socks:tcp:1080:tls=web\\:443", "tls")
        self.assertBad("socks:tcp:1080:handshake=0", "socks: handshake=0: wanted seconds")
        self.assertBad("auto:tcp:1080:tls=web:443", "auto: tls=: 'web'")
        self.assertBad("auto:socks:tcp:x", "socks:tcp:x")
        self.assertBad("auto:tcp", "auto:tcp")

    @given(st.sampled_from(sorted(SERVERS)), st.lists(WORDS, max_size=5), st.booleans())
    def test_anything(self, prefix: str, words: list[str], tcp: bool) -> None:
        """
        A string that Twisted can take apart is read, or refused with our own error.
        """
        parser = ServerParser(prefix)
        parts = (["tcp", "1080"] if tcp else []) + [word for word in words if "=" not in word]
        pairs = [word.split("=", 1) for word in words if "=" in word]
        keywords = dict(pairs)
        try:
            parser.parseStreamServer(Net(), *parts, **keywords)
        except StringError:
            pass


class HopParserTests(SynchronousTestCase):
    """
    Client strings.
    """

    def test_interfaces(self) -> None:
        """
        What is promised is there.
        """
        parser = HopParser("socks")
        self.assertTrue(verifyObject(IPlugin, parser))
        self.assertTrue(verifyObject(IStreamClientEndpointStringParserWithReactor, parser))

    def test_hop(self) -> None:
        """
        A hop with C{to=} is a client endpoint.
        """
        for text, chain in (
            ("socks:127.0.0.1:1080:to=db\\:5432", "socks:127.0.0.1:1080 -> tcp:db:5432"),
            ("socks4:[::1]:1080:to=[\\:\\:1]\\:5432", "socks4:[::1]:1080 -> tcp:[::1]:5432"),
            ("connect:gw:3128:via=socks\\:a\\:1:to=db\\:5432", "socks:a:1 -> connect:gw:3128 -> tcp:db:5432"),
            ("connect:gw:3128 -> socks:a:1 -> tcp:db:5432", "connect:gw:3128 -> socks:a:1 -> tcp:db:5432"),
        ):
            self.assertEqual(str(clientFromString(Net(), text)), chain)

    def test_connects(self) -> None:
        """
        The reactor that was handed in connects.
        """
        net = Net()
        clientFromString(net, "socks:127.0.0.1:1080:to=db\\:5432").connect(Recorders())
        self.assertEqual(net.dialed, ["127.0.0.1:1080"])

    def test_errors(self) -> None:
        """
        The error says what is wrong.
        """
        for text, said in (
            ("socks:127.0.0.1:1080", "to=HOST\\:PORT"),
            ("socks:127.0.0.1", "too few parts"),
            ("connect:gw:3128:to=db\\:1:color=red", "no keyword color="),
            ("socks:a:1:user=x -> connect:b:2", "clientFromChain"),
        ):
            error = self.assertRaises(StringError, clientFromString, Net(), text)
            self.assertIn(said, str(error))

    @given(st.lists(WORDS, max_size=6), st.dictionaries(WORDS, WORDS, max_size=4))
    def test_anything(self, parts: list[str], keywords: dict[str, str]) -> None:
        """
        Whatever Twisted takes apart is read, or refused with our own error.
        """
        try:
            HopParser("socks").parseStreamClient(Net(), *parts, **keywords)
        except StringError:
            pass


class LoadTests(SynchronousTestCase):
    """
    What every Twisted program has to load.
    """

    def test_light(self) -> None:
        """
        The parsers load no protocol, no TLS and no dialer before they are used.
        """
        script = (
            "import sys, ugate.endpoints.parsers as _\n"
            "print(*sorted(m for m in sys.modules if m.startswith(('ugate', 'h11'))), sep=',')"
        )
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environ
        )
        self.assertEqual(
            done.stdout.strip(),
            "ugate,ugate._version,ugate.endpoints,ugate.endpoints.parsers,ugate.endpoints.quoting,ugate.errors",
        )
