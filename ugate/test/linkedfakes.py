# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gate, and nodes without an address that keep links to it, in a network in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import keyidOf
from ugate.testing import Conversation, Conversations, MemoryMesh

NAMES = ("gate", "bob", "eve", "alice")


class LinkedCase(SynchronousTestCase):
    """
    Hosts with keys: C{gate}, whose table of nodes gives bob a name; bob and eve, whom it believes; and alice.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.keys: dict[str, str] = {}
        self.states: dict[str, str] = {}
        for name in NAMES:
            self.states[name] = self.mktemp()
            self.keys[name] = keyidOf(Own(self.states[name], Identity()).load().certificate.public_key())

    def gate(self, endpoint: str = "reverse:mtls:tcp:15009", host: str = "gate", **more: Any) -> Any:
        """
        Who has an address.
        """
        sections = {
            "listen": {"socks": "socks:tcp:1080:interface=127.0.0.1", "in": endpoint},
            "node": {"state": self.states[host], "drain": 1},
            "trust": {"pins": [self.keys["bob"], self.keys["eve"]]},
            "nodes": {"bob": {"keyid": self.keys["bob"], "names": ["bob.corp"]}},
            **more,
        }
        return self.mesh.gateway(host, **sections)

    def node(self, name: str = "bob", more: str = "", host: str = "", **sections: Any) -> Conversations:
        """
        Who has none: what it serves is whatever comes.
        """
        served = Conversations()
        host = host or name
        self.mesh.serve(host, 8080, served, "127.0.0.1")
        who = "" if ":name=" in more else f":name={self.keys['gate']}"
        wanted = {
            "listen": {"in": f"linked:gate:15009{who}{more}"},
            "node": {"state": self.states[name], "drain": 1},
            "serve": {"web": {"port": 80, "to": "127.0.0.1:8080"}},
            **sections,
        }
        self.mesh.gateway(host, **wanted)
        self.mesh.flush()
        return served

    def ask(self, host: str = "bob.corp", hello: bytes = b"", port: int = 80) -> Conversation:
        """
        Somebody asks the gate for a node.
        """
        stream = self.mesh.client("gate").connect(rf"socks:127.0.0.1:1080:to={host}\:{port}", hello)
        self.mesh.flush()
        return stream

    def links(self, name: str = "bob") -> int:
        """
        How many a node has there.
        """
        gate: Any = self.mesh.gateways["gate"]
        return len(gate.tenant.mesh.registry.sessionsOf(self.keys[name]))
