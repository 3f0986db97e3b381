# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS by name through whole gateways: whose rules hold, and what no name opens.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.clienthello import Alert, alertRecord
from ugate.test.hellofakes import hello, sni
from ugate.testing import Conversation, Conversations, MemoryMesh, SplitWrites

ALLOW = {"rules": [{"action": "allow", "who": "open:*", "protocol": "sni"}]}
DENIED = alertRecord(Alert.ACCESS_DENIED)
UNRECOGNIZED = alertRecord(Alert.UNRECOGNIZED_NAME)


class MeshSniTests(SynchronousTestCase):
    """
    A listener for TLS by name that others reach.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.served: dict[str, Conversations] = {}
        for number, name in enumerate(("www.example", "a.alice.example", "alice.example")):
            self.mesh.host(name, f"93.184.216.{number + 10}")
            self.served[name] = Conversations()
            self.mesh.serve(name, 443, self.served[name])

    def gateway(self, names: str, policy: Any = ALLOW, **more: Any) -> None:
        self.mesh.gateway("gate", listen={"main": f"sni:tcp:443:names={names}"}, policy=policy, **more)

    def ask(self, name: str) -> Conversation:
        stream = self.mesh.client("other").connect("tcp:gate:443", hello(sni(name.encode())))
        self.mesh.flush()
        return stream

    def test_tenants(self) -> None:
        """
        Names that belong to a tenant are under its rules, however they are written; and those are not
        which only look alike.
        """
        self.gateway(
            "*.example",
            tenants={
                "alice": {
                    "hosts": ["*.alice.example"],
                    "policy": {"rules": [{"action": "deny", "target": "*", "reason": "not today"}]},
                }
            },
        )
        for name in ("a.alice.example", "outbound_.443_._.a.alice.example"):
            self.assertEqual(DENIED, self.ask(name).received, name)
        for name in ("alice.example", "outbound_.443_._.alice.example", "www.example"):
            self.assertTrue(self.ask(name).isOpen, name)
        self.assertEqual([1, 0, 2], [len(each.accepted) for each in self.served.values()])

    def test_noRule(self) -> None:
        """
        To be listed is not to be allowed.
        """
        self.gateway("*.example", policy={})
        self.assertEqual(DENIED, self.ask("www.example").received)

    def test_private(self) -> None:
        """
        A name that leads into a private network, or to the gateway itself, or nowhere.
        """
        self.mesh.names["trap.example"] = ("10.0.0.8",)
        self.mesh.names["loop.example"] = self.mesh.host("gate").addresses
        self.gateway("*.example", policy={**ALLOW, "private": "deny"})
        self.assertEqual(DENIED, self.ask("trap.example").received)
        self.assertEqual(DENIED, self.ask("loop.example").received)
        self.assertEqual(UNRECOGNIZED, self.ask("none.example").received)

    def test_split(self) -> None:
        """
        Whatever the network cuts.
        """
        self.gateway("www.example")
        self.mesh.client("other")
        self.mesh.apply(SplitWrites(), "other", "gate")
        self.assertTrue(self.ask("www.example").isOpen)
        self.assertEqual(hello(sni(b"www.example")), self.served["www.example"].last.received)

    def test_late(self) -> None:
        """
        A ClientHello that does not end is cut when its time is over.
        """
        self.gateway("www.example")
        stream = self.mesh.client("other").connect("tcp:gate:443", hello(sni(b"www.example"))[:-1])
        self.mesh.advance(9)
        self.assertTrue(stream.isOpen)
        self.mesh.advance(2)
        self.assertFalse(stream.isOpen)
