# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The recipes whose nodes have certificates do what they say, in a network in memory.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from OpenSSL import SSL

from ugate.errors import Cause
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import hostOf, keyidOf
from ugate.test.docpages import CERTS, listing
from ugate.test.howtofakes import HowtoTests, clientHello
from ugate.test.mtlsfakes import Talk
from ugate.test.tlsfakes import Issuer
from ugate.testing import Conversations


class MutualTests(HowtoTests):
    """
    The recipes whose nodes have certificates.
    """

    def certified(self, issuer: Issuer, *names: str) -> str:
        """
        A folder with a key, its certificate and the root, as Istio mounts it.
        """
        folder = Path(self.mktemp())
        issuer.write(folder, *names)
        return str(folder)

    def test_mutual(self) -> None:
        """
        Who has the right certificate gets where the rule leads; nobody else does, and no other gate will do.
        """
        self.certifiedWays("mutual.yaml", "sidecar.yaml")

    def test_hbone(self) -> None:
        """
        The same when all streams share one connection, which they do.
        """
        self.certifiedWays("hbone-gate.yaml", "hbone-side.yaml")
        links = [each for each in self.mesh.connections("gate.corp.example") if ":15008" in each]
        self.assertEqual(2, len(links), links)

    def certifiedWays(self, there: str, here: str) -> None:
        """
        A gate, and those who come to it.
        """
        self.service("db.corp.example", 5432)
        root, other = Issuer("root"), Issuer("other")
        spiffe = "spiffe://corp.example/ns/"
        gate = self.certified(root, "gate.corp.example", f"{spiffe}edge/sa/gate")
        self.mesh.gateway("gate.corp.example", **yaml.safe_load(listing(there).replace(CERTS, gate)))
        asked = r"socks:127.0.0.1:1080:to=db.corp.example\:"
        for host, issuer, account, may in (
            ("web", root, "shop/sa/web", True),
            ("mail", root, "shop/sa/mail", False),
            ("stranger", other, "shop/sa/web", False),
        ):
            client = self.mesh.client(host)
            folder = self.certified(issuer, host, spiffe + account)
            text = listing(here).replace(CERTS, folder)
            self.mesh.gateway(host, **yaml.safe_load(text))
            if may:
                self.ask(asked + "5432", client)
                self.refused(asked + "22", client)
            else:
                self.refused(asked + "5432", client)

    def test_mesh(self) -> None:
        """
        Alice reaches what bob serves by his name and by that of his key, and nothing else; nobody else does.
        """
        web = Conversations()
        self.mesh.serve("bob.example", 8080, web, "127.0.0.1")
        keys: dict[str, str] = {}
        nodes: dict[str, Any] = {}
        for name in ("alice", "bob", "mallory"):
            folder = self.mktemp()
            keys[name] = keyidOf(Own(folder, Identity()).load().certificate.public_key())
            nodes[name] = {"node": {"state": folder}}
        known = dict.fromkeys(re.findall("[A-Z2-7]{52}", listing("alice.yaml") + listing("bob.yaml")))
        for name, host in (("bob", "bob.example"), ("alice", "alice"), ("mallory", "mallory")):
            text = listing("bob.yaml" if name == "bob" else "alice.yaml")
            for written, each in zip(known, ("bob", "alice"), strict=True):
                text = text.replace(written, keys[each]).replace(written.lower(), keys[each].lower())
            self.mesh.gateway(host, **yaml.safe_load(text), **nodes[name])
        alice, mallory = self.mesh.client("alice"), self.mesh.client("mallory")
        for number, host in enumerate(("bob", hostOf(keys["bob"])), 1):
            self.ask(rf"socks:127.0.0.1:1080:to={host}\:80", alice)
            self.assertEqual(number, len(web.accepted))
        self.refused(r"connect:127.0.0.1:1080:to=bob\:8080", alice)
        self.refused(r"socks:127.0.0.1:1080:to=bob\:80", mallory)

    def test_private(self) -> None:
        """
        Clients of a gate reach bob's web server by TLS that ends at bob, and nobody in his place.
        """
        web = Conversations()
        self.mesh.serve("bob", 8080, web, "127.0.0.1")
        folders = {name: self.mktemp() for name in ("gate.example", "bob", "mallory")}
        certificates = {name: Own(each, Identity()).load().certificate for name, each in folders.items()}
        keys = {name: keyidOf(each.public_key()) for name, each in certificates.items()}
        for name, folder in folders.items():
            text = listing("ready-gate.yaml" if name == "gate.example" else "ready-node.yaml")
            text = re.sub("[A-Z2-7]{52}", keys["bob"], text)
            self.mesh.gateway(name, **yaml.safe_load(text), node={"state": folder})
        self.mesh.advance(1)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
        client = self.mesh.client("client")
        name = hostOf(keys["bob"])
        talk = Talk(self.mesh, client.connect("tcp:gate.example:443"), context, name)
        talk.send(b"question")
        self.assertEqual(b"question", web.last.received)
        shown = talk.connection.get_peer_certificate()
        assert shown is not None
        self.assertEqual(certificates["bob"], shown.to_cryptography())
        self.assertEqual(1, len(web.accepted))
        other = client.connect("tcp:gate.example:443", clientHello(hostOf(keys["mallory"])))
        self.mesh.flush()
        self.assertEqual(1, len(web.accepted))
        self.assertEqual(alertRecord(Alert.UNRECOGNIZED_NAME), other.received)

    def test_behind(self) -> None:
        """
        A header is wanted, and a password too, although the listener is on loopback.
        """
        self.service("www.example", 80)
        self.gateway("behind.yaml")
        hop = "socks:127.0.0.1:1081"
        target = "tcp:www.example:80"
        login = "user=alice:passwordEnv=WORD"
        self.ask(f"direct:proxyproto=v2 -> {hop}:{login} -> {target}")
        refused = self.refused(f"direct:proxyproto=v1 -> {hop} -> {target}")
        self.assertIs(Cause.AUTHENTICATION, refused.cause)
        self.assertIs(Cause.PEER_CLOSED, self.refused(f"{hop}:{login} -> {target}").cause)

    def test_dialin(self) -> None:
        """
        Clients of a gate reach what bob serves by his names, and nothing else; mallory is nobody there.
        """
        web = Conversations()
        self.mesh.serve("bob", 8080, web, "127.0.0.1")
        folders = {name: self.mktemp() for name in ("gate.example", "bob", "mallory")}
        keys = {
            name: keyidOf(Own(each, Identity()).load().certificate.public_key())
            for name, each in folders.items()
        }
        for name, folder in folders.items():
            text = listing("dialin-gate.yaml" if name == "gate.example" else "dialin-node.yaml")
            text = re.sub("GATE[A-Z2-7]{48}", keys["gate.example"], text)
            text = re.sub("BOB[A-Z2-7]{49}", keys["bob"], text)
            self.mesh.gateway(name, **yaml.safe_load(text), node={"state": folder})
        self.mesh.advance(1)
        gate = self.mesh.client("gate.example")
        for number, host in enumerate(("bob", "bob.corp.example", keys["bob"].lower()), 1):
            self.ask(rf"socks:127.0.0.1:1080:to={host}\:80", gate)
            self.assertEqual(number, len(web.accepted))
        self.refused(r"socks:127.0.0.1:1080:to=bob\:8080", gate)
        self.refused(rf"socks:127.0.0.1:1080:to={keys['mallory']}\:80", gate)
