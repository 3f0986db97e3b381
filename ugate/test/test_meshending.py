# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS that ends by name in whole gateways: whose certificate answers, and whose routes lead on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL

from twisted.trial.unittest import SynchronousTestCase

from ugate.test.mtlsfakes import Talk
from ugate.test.tlsfakes import Issuer, Logged
from ugate.testing import Conversations, MemoryMesh, SplitWrites

ALLOW = {"rules": [{"action": "allow", "who": "open:*", "protocol": "sni"}]}
ENDS = "sni:tcp:443:ends=www.example,*.alice.example"


class MeshEndingTests(SynchronousTestCase):
    """
    A listener that others reach, and a tenant with names of its own.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.ours, self.alices = Issuer("ours"), Issuer("alices")
        self.web, self.shop = Conversations(), Conversations()
        self.mesh.serve("web", 80, self.web)
        self.mesh.serve("shop", 80, self.shop)

    def servers(self, issuer: Issuer, *names: str) -> dict[str, str]:
        """
        The section of an identity with a certificate for that.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "all.pem"
        path.touch(0o600)
        path.write_bytes(issuer.identity(*names).pem())
        return {"servers": str(folder)}

    def gate(self, **more: Any) -> None:
        """
        A gateway whose site leads to C{web}, and that of alice to C{shop}.
        """
        alice = {
            "hosts": ["*.alice.example"],
            "ranges": ["10.0.0.0/8"],
            "identity": self.servers(self.alices, "www.alice.example"),
            "routes": [{"match": "www.alice.example", "via": "forward:shop:80"}],
            "policy": ALLOW,
        }
        sections = {
            "listen": {"main": ENDS},
            "identity": self.servers(self.ours, "www.example", "*.alice.example"),
            "routes": [{"match": "www.example", "via": "forward:web:80"}],
            "policy": ALLOW,
            "tenants": {"alice": alice},
        }
        self.mesh.gateway("gate", **{**sections, **more})

    def talk(self, name: str) -> Talk:
        """
        A client that asks for a name, and says hello.
        """
        talk = Talk(
            self.mesh, self.mesh.client("other").connect("tcp:gate:443"), SSL.Context(SSL.TLS_METHOD), name
        )
        return talk if talk.error else talk.send(b"hello")

    def issuer(self, talk: Talk) -> str:
        """
        Who certifies what a client sees.
        """
        certificate: Any = talk.connection.get_peer_certificate(as_cryptography=True)
        return str(certificate.issuer.rfc4514_string())

    def test_tenants(self) -> None:
        """
        A name of a tenant ends with its certificate and no other, and goes on by its routes.
        """
        self.gate()
        for name, served, issuer in (
            ("www.example", self.web, "CN=ours"),
            ("www.alice.example", self.shop, "CN=alices"),
        ):
            talk = self.talk(name)
            self.assertEqual((issuer, b"hello"), (self.issuer(talk), served.last.received))
            served.last.write(b"welcome")
            self.mesh.flush()
            self.assertEqual(b"welcome", talk.send().received)
        # Ours would have it, but it is alice's name.
        with Logged() as logged:
            self.assertIn("unrecognized name", self.talk("shop.alice.example").error)
        self.assertIn("no certificate of alice has that name", logged.lines[0])

    def test_noRoute(self) -> None:
        """
        Without a route nothing goes on in clear, unless somebody says so.
        """
        self.gate(routes=[])
        with Logged() as logged:
            talk = self.talk("www.example")
        self.assertFalse(talk.stream.isOpen)
        self.assertIn("TLS ended here, and no route says where it goes on in clear", logged.lines[-1])
        self.assertEqual([], self.web.accepted)

    def test_noRule(self) -> None:
        """
        To be ended is not to be allowed.
        """
        self.gate(policy={})
        self.assertFalse(self.talk("www.example").stream.isOpen)
        self.assertEqual([], self.web.accepted)

    def test_split(self) -> None:
        """
        Whatever the network cuts.
        """
        self.gate()
        self.mesh.client("other")
        self.mesh.apply(SplitWrites(), "other", "gate")
        self.talk("www.example")
        self.assertEqual(b"hello", self.web.last.received)

    def test_halfClose(self) -> None:
        """
        A client that has said all still gets its answer.
        """
        self.gate()
        talk = self.talk("www.example")
        talk.connection.shutdown()
        talk.send()
        self.assertTrue(self.web.last.isEnded)
        self.web.last.write(b"answer")
        self.web.last.close()
        self.mesh.flush()
        self.assertEqual(b"answer", talk.send().received)
        self.assertFalse(talk.error)
