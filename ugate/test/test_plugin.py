# -*- test-case-name: ugate.test.test_plugin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for C{twisted/plugins/ugate_plugin.py}.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import getPlugins
from twisted.plugins import ugate_plugin
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.hops import KINDS
from ugate.endpoints.servers import SERVERS

OTHERS = frozenset(["tls", "haproxy", "tcp", "tcp6", "ssl", "unix", "stdio", "systemd", "tor", "onion"])
"""Prefixes that Twisted and txtorcon own."""


class PluginTests(SynchronousTestCase):
    """
    What Twisted finds.
    """

    def test_twistd(self) -> None:
        """
        C{twistd ugate} is there, once.
        """
        found: list[Any] = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "ugate"]
        self.assertEqual(
            [(maker.module, maker.description) for maker in found],
            [("ugate.tap", "A gateway between protocols.")],
        )

    def test_servers(self) -> None:
        """
        Each prefix of a server string is there, once, and none that others own.
        """
        prefixes = Counter(parser.prefix for parser in getPlugins(IStreamServerEndpointStringParser))
        self.assertEqual({prefixes[prefix] for prefix in SERVERS}, {1})
        self.assertEqual(OTHERS & SERVERS.keys(), set())

    def test_clients(self) -> None:
        """
        Each proxy is a client string, once, and none that others own.
        """
        prefixes = Counter(
            parser.prefix for parser in getPlugins(IStreamClientEndpointStringParserWithReactor)
        )
        proxies = {kind.name for kind in KINDS.values() if kind.addressed}
        self.assertEqual({prefixes[prefix] for prefix in proxies}, {1})
        self.assertEqual(OTHERS & KINDS.keys(), set())

    def test_instancesOnly(self) -> None:
        """
        The file holds instances and nothing that has to be maintained.
        """
        for statement in ast.parse(inspect.getsource(ugate_plugin)).body[1:]:
            self.assertIsInstance(statement, (ast.ImportFrom, ast.Assign))
