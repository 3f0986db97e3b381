# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The recipe of publishing with nothing but ssh.
"""

from __future__ import annotations

from typing import Any

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ugate.errors import Cause
from ugate.stream import StreamInfo, Target
from ugate.test.credentialfakes import write
from ugate.test.docpages import listing
from ugate.test.howtofakes import clientHello
from ugate.test.sshfakes import HOST, PEER
from ugate.test.sshpublishingfakes import Came, PublishingCase, privateFile
from ugate.testing import Conversation, Conversations


class PublishRecipeTests(PublishingCase):
    """
    The gate of the recipe, bob who publishes, and eve and others who come.
    """

    def setUp(self) -> None:
        super().setUp()
        text = listing("publish.yaml").replace("/etc/ugate/authorized_keys", self.keysFile())
        self.gate(**yaml.safe_load(text))
        self.bob = self.login()

    def jump(self, came: Came, host: str, port: int) -> Conversation:
        """
        What C{ssh -J} asks for.
        """
        conversation = Conversation()
        opened: Any = came.link.open(StreamInfo(HOST, PEER, Target(host, port)))
        opened.addCallbacks(lambda stream: stream.begin(conversation), conversation.failed)
        self.mesh.flush()
        return conversation

    def test_jump(self) -> None:
        """
        Everybody with a login may be a jump target, and get to those; others do not.
        """
        eve = self.login("eve")
        for came, name, other in ((self.bob, "bob", eve), (eve, "eve", self.bob)):
            self.assertIsNotNone(self.publish(came))
            self.assertTrue(self.jump(other, name, 22).isOpen)
        self.assertIs(Cause.DENIED, self.cause(self.jump(eve, "wiki.bob.example", 80)))
        refused = self.come(3128, b"CONNECT bob:22 HTTP/1.1\r\nHost: bob:22\r\n\r\n")
        self.assertIn(b" 403 ", refused.received)

    def test_site(self) -> None:
        """
        Bob's names, for everybody, in clear and in TLS; eve has none.
        """
        for port in (80, 443):
            self.assertIsNotNone(self.publish(self.bob, "wiki.bob.example", port))
        self.come(3128, b"GET http://wiki.bob.example/ HTTP/1.1\r\nHost: wiki.bob.example\r\n\r\n")
        self.assertIn(b"GET / HTTP/1.1", self.bob.last.received)
        self.come(443, clientHello("wiki.bob.example"))
        self.assertEqual(b"\x16", self.bob.last.received[:1])
        eve = self.login("eve")
        for name in ("wiki.eve.example", "wiki.bob.example"):
            self.assertIsNone(self.publish(eve, name, 80))

    def test_port(self) -> None:
        """
        A port of the gate, for everybody.
        """
        self.assertIsNotNone(self.publish(self.bob, port=8022))
        self.assertTrue(self.come(8022).isOpen)
        self.assertIsNone(self.publish(self.bob, "bob", 8022))

    def test_node(self) -> None:
        """
        Bob by ugate.
        """
        served = Conversations()
        for port in (22, 8080):
            self.mesh.serve("laptop", port, served, "127.0.0.1")
        key = self.tenant.identity.sshKey().public_key()
        line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        known = write(self.mktemp(), f"[gate]:2222 {line}\n", mode=0o644)
        text = listing("publish-node.yaml").replace("gate.corp.example", "gate")
        text = text.replace("/etc/ugate/known_hosts", f"{known}:key={privateFile(self.mktemp(), 'bob')}")
        self.mesh.gateway("laptop", **yaml.safe_load(text), node={"state": self.mktemp()})
        self.mesh.flush()
        self.assertTrue(self.jump(self.login("eve"), "bob", 22).isOpen)
        self.come(3128, b"GET http://wiki.bob.example/ HTTP/1.1\r\nHost: wiki.bob.example\r\n\r\n")
        self.assertIn(b"GET / HTTP/1.1", served.last.received)
        self.assertEqual(2, len(served.accepted))
