# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.discoverysection}.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from zope.interface.verify import verifyObject

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IModule
from ugate.modules.discovery import DiscoveryModule
from ugate.modules.discoverysection import DiscoverySection
from ugate.test.discoveryfakes import (
    Tenant,
)


class SectionTests(SynchronousTestCase):
    """
    L{DiscoverySection}.
    """

    read = partial(msgspec.convert, type=DiscoverySection)

    def test_nothing(self) -> None:
        """
        Nothing is announced unless it is said what.
        """
        section = self.read({})
        self.assertEqual(
            ((), (), ("ff02::5227", "224.0.0.250"), 5227, 120.0, 256, False), msgspec.structs.astuple(section)
        )

    def test_ways(self) -> None:
        """
        Transports with ports.
        """
        for good in ("connect:15008", "tls:443", "h2connect:65535", "x:1"):
            self.read({"announce": [good]})
        for bad in (
            "connect",
            "connect:",
            "connect:0",
            "connect:65536",
            "connect:1:2",
            "Connect:1",
            "tcp:01",
            ":1",
        ):
            self.assertRaises(msgspec.ValidationError, self.read, {"announce": [bad]})
        self.assertRaises(msgspec.ValidationError, self.read, {"announce": ["a:1"] * 9})

    def test_groups(self) -> None:
        """
        Only groups that stay on their link, one of a family.
        """
        for good in (["ff02::5227"], ["224.0.0.250"], ["224.0.0.1", "ff02::1"]):
            self.read({"groups": good})
        for bad in (
            [],
            ["239.1.1.1"],
            ["ff05::5227"],
            ["192.0.2.1"],
            ["fe80::1"],
            ["all"],
            ["224.0.0.250", "224.0.0.251"],
            ["ff02::1", "ff02::2"],
        ):
            self.assertRaises(msgspec.ValidationError, self.read, {"groups": bad})

    def test_numbers(self) -> None:
        """
        Each number has a least and a most.
        """
        for bad in (
            {"port": 0},
            {"port": 65536},
            {"interval": 0.5},
            {"interval": 3601},
            {"nodes": 0},
            {"nodes": 4097},
            {"interfaces": ["a b"]},
            {"interfaces": ["x" * 16]},
            {"other": 1},
        ):
            self.assertRaises(msgspec.ValidationError, self.read, bad)

    def test_module(self) -> None:
        """
        A section makes a service, which opens nothing yet.
        """
        module = DiscoveryModule()
        verifyObject(IModule, module)
        tenant: Any = Tenant(Clock())
        service: Any = module.makeService(tenant, "lan", DiscoverySection())
        self.assertEqual("root discovery lan", service.title)
        self.assertFalse(service.running)
