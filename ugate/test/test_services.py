# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a node serves under its own name: bytes and datagrams.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.direct import Direct
from ugate.endpoints.services import Services
from ugate.endpoints.udp import DatagramEndpoint
from ugate.errors import Denied
from ugate.stream import TCP, UDP, Target
from ugate.tenancy.config.meshschema import Service
from ugate.test.datagramfakes import flowTo
from ugate.test.dialfakes import streamTo


class ServicesTests(SynchronousTestCase):
    """
    L{Services}.
    """

    def setUp(self) -> None:
        clock: Any = Clock()
        both = {(TCP, 53): ("tcpdns", Target("127.0.0.1", 5300)), (UDP, 53): ("dns", Target("::1", 53, UDP))}
        self.services = Services(Direct(clock), {**both, (UDP, 443): ("quic", Target("127.0.0.1", 443, UDP))})

    def test_each(self) -> None:
        """
        A port may be one place for bytes and another one for datagrams.
        """
        self.assertEqual(str(self.services.endpointFor(streamTo("bob:53"))), "tcp:127.0.0.1:5300")
        endpoint = self.services.endpointFor(flowTo("bob", 53))
        self.assertIsInstance(endpoint, DatagramEndpoint)
        self.assertEqual(str(endpoint), "udp:[::1]:53")
        self.assertEqual(self.services.explain(flowTo("bob", 443))[0], "by serve.quic:")

    def test_none(self) -> None:
        """
        What is served for one is not for the other, and the refusal says how it would be.
        """
        denied = self.assertRaises(Denied, self.services.endpointFor, streamTo("bob:443"))
        self.assertIn("to: HOST:PORT", denied.nextStep)
        denied = self.assertRaises(Denied, self.services.endpointFor, flowTo("bob", 80))
        self.assertIn("on port 80 of its own name for datagrams", denied.detail)
        self.assertIn("to: udp:HOST:PORT", denied.nextStep)

    def test_section(self) -> None:
        """
        As it is written.
        """
        for text, port, at, network in (
            ("127.0.0.1:80", None, 80, TCP),
            ("udp:[::1]:53", None, 53, UDP),
            ("udp:10.0.0.1:5353", 53, 53, UDP),
        ):
            service = Service(text, port)
            self.assertEqual((service.at, service.target.network), (at, network))
