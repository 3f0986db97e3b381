# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.negotiate} and L{ugate.protocols.passing} under Twisted's TLS, as a program has it
that goes through a proxy and speaks TLS from end to end.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions, KeyPair
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from ugate.testing import Conversation, Conversations, MemoryMesh


class _Client(Factory):
    """
    One end to talk at.
    """

    noisy = False

    def __init__(self) -> None:
        self.made = Conversation()

    def buildProtocol(self, addr: object) -> Conversation:
        """
        The one.
        """
        return self.made


class InsideTests(SynchronousTestCase):
    """
    TLS inside of a SOCKS5 connection.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.mesh.gateway(
            "gate",
            listen={"main": {"endpoint": "socks:tcp:1080", "open": True}},
            policy={"rules": [{"action": "allow"}]},
        )
        certificate = KeyPair.generate().selfSignedCert(1, CN="db")
        reactor: Any = self.mesh.host("db").reactor
        self.served = Conversations()
        secret = TLSMemoryBIOFactory(certificate.options(), False, self.served, clock=reactor)
        self.mesh.serve("db", 443, secret)
        app = self.mesh.client("app")
        clock: Any = app.host.reactor
        client = _Client()
        factory = TLSMemoryBIOFactory(CertificateOptions(), True, client, clock=clock)
        self.successes: list[object] = []
        app.endpoint(r"socks:gate:1080:to=db\:443").connect(factory).addCallback(self.successes.append)
        self.mesh.flush()
        self.client = client.made
        self.transport: Any = self.client.transport

    def test_bytes(self) -> None:
        """
        They pass, both ways, and a clean end is one.
        """
        self.client.write(b"hello")
        self.served.last.write(b"welcome")
        self.mesh.flush()
        self.assertEqual((b"hello", b"welcome"), (self.served.last.received, self.client.received))
        self.served.last.close()
        self.mesh.flush()
        self.assertTrue(self.client.isClean)
        self.assertEqual([], self.mesh.connections())

    def test_endWithoutGoodbye(self) -> None:
        """
        A server that ends its connection and not its TLS ends ours, once.
        """
        wire: Any = self.served.last.transport
        wire.transport.loseWriteConnection()
        self.mesh.flush()
        self.assertIsNotNone(self.client.lost)
        self.assertFalse(self.client.isClean)
        self.assertEqual([], self.flushLoggedErrors())

    def test_options(self) -> None:
        """
        TLS says that it is a TCP transport, and so its options have to be there.
        """
        self.assertTrue(ITCPTransport.providedBy(self.transport))
        for name in ("TcpNoDelay", "TcpKeepAlive"):
            getattr(self.transport, f"set{name}")(True)
            self.assertIs(True, getattr(self.transport, f"get{name}")())
            getattr(self.transport, f"set{name}")(False)
            self.assertIs(False, getattr(self.transport, f"get{name}")())
