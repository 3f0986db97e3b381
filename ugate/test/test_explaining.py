# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.explaining}: what it says of listeners for TLS by name.
"""

from __future__ import annotations

from pathlib import Path

from ugate.explaining import explainListed
from ugate.stream import Target
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.config.schema import Delegation
from ugate.test.identityfakes import certified
from ugate.test.reloadfakes import ReloadCase, config
from ugate.test.test_config_identity import but

WEB = "sni:tcp:443:ends=*.example,pass.corp:names=db.corp,pass.example"


class ExplainListedTests(ReloadCase):
    """
    L{explainListed}.
    """

    def servers(self, name: str) -> Identity:
        """
        An identity with a certificate for a name.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        certified([name]).write(folder, "tls.key", "tls.crt")
        return Identity(servers=str(folder))

    def explained(self, target: str) -> str:
        """
        What it says of a target.
        """
        listeners = self.node.configs["root"].listen
        return "\n".join(explainListed(self.node.tenant, Target.fromText(target), listeners))

    def test_each(self) -> None:
        """
        Which listener lists it, in which list, by which entry; whether TLS ends here, with which
        certificate of which tenant; and then what its rules and routes say.
        """
        root = config(
            {"web": WEB, "plain": "auto:unix:/run/x", "other": "sni:unix:/run/y:names=db.corp"},
            tenants={"alice": Delegation(hosts=("*.alice.example", "www.alice.example"))},
            state=self.mktemp(),
        )
        self.node = self.run_(
            but(root, identity=self.servers("www.example")),
            alice=but(config(), identity=self.servers("*.alice.example")),
        )
        said = self.explained("www.example:443")
        self.assertIn("listener web: its ends= list www.example:443, by *.example\n", said)
        self.assertIn("  TLS ends here, and it goes on in clear; with the certificate ", said)
        self.assertIn("tls.crt, for www.example, good until", said)
        self.assertIn("\n  route 1 of 1: * via direct", said)
        self.assertIn("TLS ended here, and no route says where it goes on in clear", said)
        self.assertIn("listener other: its names= do not list www.example:443", said)
        self.assertNotIn("listener plain", said)
        said = self.explained("www.alice.example:443")
        self.assertIn("tls.crt, for *.alice.example, good until", said)
        self.assertIn("\n  tenant: alice\n", said)
        said = self.explained("none.example:443")
        self.assertIn("only with a certificate of root for that name, and none is known: put one into", said)
        for target in ("db.corp:443", "pass.example:443"):
            said = self.explained(target)
            self.assertIn(f"listener web: its names= list {target}", said)
            self.assertIn("\n  TLS passes through unopened\n", said)
        self.assertIn("neither its names= nor its ends= list else.corp:443", self.explained("else.corp:443"))

    def test_broken(self) -> None:
        """
        An identity that cannot be used any more is told.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        certified(["www.example"]).write(folder, "tls.key", "tls.crt")
        self.node = self.run_(but(config({"web": WEB}), identity=Identity(dir=str(folder))))
        (folder / "tls.crt").unlink()
        vars(self.node.tenant).pop("identity", None)
        self.assertIn("TLS cannot end here: ", self.explained("www.example:443"))
