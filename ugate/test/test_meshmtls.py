# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Gateways that know each other by certificates, in a network in memory: with the identities and the trust of
tenants, as the configuration has them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ListenRefused
from ugate.test.tlsfakes import Issuer, Logged
from ugate.testing import Conversation, Conversations, MemoryMesh

SPIFFE = "spiffe://cluster.local/ns/default/sa/"
ALLOW = {"rules": [{"action": "allow"}]}


class MeshTests(SynchronousTestCase):
    """
    A gate with a tenant, and those who come to it.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.ours, self.alices = Issuer("ours"), Issuer("alices")
        self.served = Conversations()
        self.mesh.serve("web", 80, self.served)

    def folder(self, issuer: Issuer, *names: str) -> dict[str, str]:
        """
        An identity, with the roots that it came with.
        """
        folder = Path(self.mktemp())
        issuer.write(folder, *names)
        return {"dir": str(folder)}

    def gate(self, endpoint: str = "mtls:tcp:443", **more: Any) -> None:
        """
        A gateway that leads to the web server, for us; and for alice, whose names and roots are her own.
        """
        alice = {
            "hosts": ["*.alice.example"],
            "ranges": ["10.0.0.0/8"],
            "identity": self.folder(self.alices, "www.alice.example"),
            "policy": {"rules": [{"action": "allow", "who": f"certificate:{SPIFFE}carol"}]},
        }
        self.mesh.gateway(
            "gate",
            listen={"main": {"endpoint": endpoint, "to": "web:80"}},
            identity=self.folder(self.ours, "gate.example"),
            policy={"rules": [{"action": "allow", "who": f"certificate:{SPIFFE}bob"}]},
            tenants={"alice": alice},
            **more,
        )

    def come(self, host: str, issuer: Issuer, name: str, roots: Issuer) -> Conversation:
        """
        Somebody opens a stream by a gateway of their own, to the gate under one of its names.
        """
        trusted = Path(self.mktemp())
        trusted.write_bytes(roots.pem())
        self.mesh.gateway(
            host,
            listen={"main": "socks:tcp:1080:interface=127.0.0.1"},
            routes=[{"match": "*", "via": f"mtls:gate:443:name={name}"}],
            policy=ALLOW,
            identity=self.folder(issuer, host, SPIFFE + host),
            trust={"roots": str(trusted)},
        )
        stream = self.mesh.client(host).connect(r"socks:127.0.0.1:1080:to=any.where\:1", b"question")
        self.mesh.flush()
        return stream

    def test_tenant(self) -> None:
        """
        The name in SNI chooses whose certificate is shown, and whose trust and rules hold.
        """
        self.gate()
        stream = self.come("bob", self.ours, "gate.example", self.ours)
        self.assertEqual(self.served.last.received, b"question")
        self.served.last.write(b"answer")
        self.mesh.flush()
        self.assertEqual(stream.received, b"answer")
        with Logged() as logged:
            self.come("carol", self.alices, "www.alice.example", self.alices)
        self.assertEqual(len(self.served.accepted), 2, logged.lines)
        with Logged() as logged:
            self.come("dora", self.ours, "www.alice.example", self.alices)
            self.come("erin", self.alices, "gate.example", self.ours)
            self.come("fred", self.alices, "www.alice.example", self.alices)
        self.assertEqual(len(self.served.accepted), 2)
        said = "\n".join(logged.lines)
        self.assertEqual(said.count("leads to none of our roots"), 2, said)
        self.assertIn("none of the 1 rules", said)

    def test_halfClose(self) -> None:
        """
        The end of one direction goes through both gateways; the answer comes back, and then the other end.
        """
        self.gate()
        stream = self.come("bob", self.ours, "gate.example", self.ours)
        stream.halfClose()
        self.mesh.flush()
        self.assertTrue(self.served.last.isEnded)
        self.assertFalse(stream.isEnded)
        self.served.last.write(b"answer")
        self.served.last.halfClose()
        self.mesh.flush()
        self.assertEqual((stream.received, stream.isClean), (b"answer", True))
        self.assertNotIn(":443", "".join(self.mesh.connections()))

    def test_start(self) -> None:
        """
        A certificate is a login; where it need not be there, another is wanted, or the word of the operator.
        """
        error = self.assertRaises(ListenRefused, self.gate, "mtls:tcp:443:anonymous=yes")
        self.assertIn("would carry the streams of anybody", str(error))
