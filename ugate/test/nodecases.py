# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of nodes that reach each other have in common: alice and bob, in a network in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Refused
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import keyidOf, vip6Of
from ugate.testing import Conversation, Conversations, MemoryMesh

SOCKS = "socks:tcp:1080:interface=127.0.0.1"
MESH = "connect:mtls:tcp:15008"
ALLOW = {"rules": [{"action": "allow"}]}


class NodesCase(SynchronousTestCase):
    """
    Alice, and bob, who serves a page at port 80 of his name.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.folders: dict[str, str] = {}
        self.keys = {name: self.key(name) for name in ("alice", "bob", "mallory")}
        self.web = Conversations()
        self.mesh.serve("bob", 8080, self.web, "127.0.0.1")

    def key(self, name: str) -> str:
        """
        Make the key of a node.

        @return: its KEYID.
        """
        folder = Path(self.mktemp())
        folder.mkdir(0o700)
        self.folders[name] = str(folder)
        return keyidOf(Own(str(folder), Identity()).load().certificate.public_key())

    def vip6(self, name: str) -> str:
        """
        The address that follows from a key.
        """
        return vip6Of(Own(self.folders[name], Identity()).load().certificate.public_key())

    def node(self, name: str, **sections: Any) -> Any:
        """
        Start a gateway with that key.
        """
        sections["node"] = {"state": self.folders[name], **sections.get("node", {})}
        return self.mesh.gateway(name, **sections)

    def bob(self, **sections: Any) -> Any:
        """
        Who lets alice in.
        """
        return self.node(
            "bob",
            **{
                "listen": {"mesh": MESH},
                "trust": {"pins": [self.keys["alice"]]},
                "serve": {"web": {"port": 80, "to": "127.0.0.1:8080"}},
                "policy": {"rules": [{"action": "allow", "who": f"certificate:{self.keys['alice']}"}]},
                **sections,
            },
        )

    def alice(self, *addresses: str, **sections: Any) -> Any:
        """
        Who knows bob.
        """
        known = {"keyid": self.keys["bob"], "addresses": addresses or ("connect:bob:15008",)}
        return self.node(
            "alice", **{"listen": {"main": SOCKS}, "policy": ALLOW, "nodes": {"bob": known}, **sections}
        )

    def store(self, host: str) -> Any:
        """
        What a gateway is configured by.
        """
        return self.mesh.gateways[host].store

    def ask(self, target: str, host: str = "alice", hello: bytes = b"question") -> Conversation:
        """
        A program of alice opens a stream.
        """
        escaped = target.replace(":", r"\:")
        stream = self.mesh.client(host).connect(rf"socks:127.0.0.1:1080:to={escaped}", hello)
        self.mesh.flush()
        return stream

    def refused(self, target: str, host: str = "alice") -> Refused:
        """
        It is refused.
        """
        stream = self.ask(target, host)
        assert stream.failure is not None and isinstance(stream.failure.value, Refused), target
        return stream.failure.value
