# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpforward}.
"""

from __future__ import annotations

import os
import subprocess
import sys

from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory, IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import Auth, IPending
from ugate.protocols.httpchannel import HttpForward
from ugate.protocols.httpforward import HttpForwardFactory
from ugate.stream import Target
from ugate.test.httpfakes import CLIENT, HTTP, FakeClient, FakeGateway, FakeStream


class FactoryTests(SynchronousTestCase):
    """
    What stands in front of a gateway.
    """

    def setUp(self) -> None:
        self.gateway = FakeGateway()
        self.clock = Clock()
        self.factory = HttpForwardFactory(self.gateway, self.clock)

    def test_interfaces(self) -> None:
        """
        It is a factory, and so are its parts what they say.
        """
        verifyObject(IProtocolFactory, self.factory)
        verifyObject(IPending, FakeClient())
        protocol = self.factory.buildProtocol(HTTP)
        for interface in IProtocol, IPushProducer, IHalfCloseableProtocol:
            verifyObject(interface, protocol)

    def test_http(self) -> None:
        """
        A client that makes requests gets a protocol of its own.
        """
        self.assertIsInstance(self.factory.buildProtocol(HTTP), HttpForward)
        self.assertEqual(self.gateway.streams, [])

    def test_others(self) -> None:
        """
        All others go straight to the gateway.
        """
        for protocol in "connect", "http-origin", "socks5", "":
            info = HTTP.but(protocol=protocol, target=Target("a", 1))
            built = self.factory.buildProtocol(info)
            assert isinstance(built, FakeStream)
            self.assertEqual(built.info, info)

    def test_plain(self) -> None:
        """
        So does a connection of which nothing is known.
        """
        factory = HttpForwardFactory(_Any(), self.clock)
        self.assertEqual(factory.buildProtocol(CLIENT), None)

    def test_start(self) -> None:
        """
        The gateway hears when a port begins and ends.
        """
        self.factory.doStart()
        self.assertEqual(self.gateway.started, 1)
        self.factory.doStop()
        self.assertEqual(self.gateway.started, 0)

    def test_timeouts(self) -> None:
        """
        The deadlines can be set.
        """
        factory = HttpForwardFactory(self.gateway, self.clock, Auth.NONE, None, 5, 3)
        for first, seconds in (b"", 5), (b"GET ", 3):
            client = FakeClient()
            protocol = factory.buildProtocol(HTTP)
            assert protocol is not None
            protocol.makeConnection(client)
            protocol.dataReceived(first)
            self.clock.advance(seconds - 0.1)
            self.assertFalse(client.disconnecting or client.writeEnded)
            self.clock.advance(0.1)
            self.assertTrue(client.disconnecting or client.writeEnded)

    def test_light(self) -> None:
        """
        Who only listens does not pay for h11.
        """
        modules = "httpconnect", "httpconnectclient", "httpforward"
        code = "".join(f"import ugate.protocols.{name}\n" for name in modules)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        code += "import sys\nassert 'h11' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, env=env)


class _Any(FakeGateway):
    """
    Builds nothing, for whatever address.
    """

    def buildProtocol(self, addr: object) -> None:
        """
        Nothing.
        """
        return None
