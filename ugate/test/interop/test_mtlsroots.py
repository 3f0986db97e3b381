# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Roots that are exchanged under load: a new one is added, all are certified by it, and the old one is taken
out.  Nobody is refused for it who should be believed, and nothing that is up is cut.
"""

from __future__ import annotations

import os
import ssl

from cryptography.hazmat.primitives.serialization import Encoding

from ugate.test.identityfakes import authority
from ugate.test.interop.domains import TrustDomain
from ugate.test.interop.loads import Load, LoadTestCase
from ugate.test.interop.processes import waitUntil
from ugate.test.interop.test_mtlspeers import NAME

EXCHANGES = 4


class RootsTests(LoadTestCase):
    """
    A gate, and a gateway beside the programs, which believe the roots in one file.
    """

    limit = 150.0

    def setUp(self) -> None:
        super().setUp()
        self.domains = [self.domain]
        self.roots = self.directory / "roots.pem"
        self.believe(self.domain)
        self.context = self.client(self.domain)
        trust = f"{{roots: {self.roots}, domain: {self.domain.name}, namespaces: [shop, edge]}}"
        self.renew(self.domain, 0)
        gate, side = self.configs()
        self.gateway = self.ugate(
            config=f"identity: {{dir: {self.directory / 'gate'}}}\ntrust: {trust}\n{gate}"
        )
        self.side = self.ugate(
            config=f"identity: {{dir: {self.directory / 'side'}}}\ntrust: {trust}\n{side(self.gateway.port)}"
        )

    def believe(self, *domains: TrustDomain) -> None:
        """
        Exchange the file of roots, as a whole.
        """
        other = self.directory / ".roots"
        other.write_bytes(b"".join(each.root.pem() for each in domains))
        os.replace(other, self.roots)

    def renew(self, domain: TrustDomain, number: int) -> None:
        """
        Certify both nodes by another root.
        """
        gate = domain.member("gate", "edge", names=(self.gate, NAME))
        domain.kubernetes("gate", gate)
        domain.kubernetes("side", domain.member(f"web{number}"))
        self.expected = gate.certificate.public_bytes(Encoding.DER)

    def client(self, domain: TrustDomain) -> ssl.SSLContext:
        """
        Somebody whom a root certifies, and who believes all roots.
        """
        pem = domain.pem(f"client-{len(self.domains)}", domain.member("client"))
        everybody = b"".join(each.root.pem() for each in self.domains).decode()
        context = ssl.create_default_context(cadata=everybody)
        context.load_cert_chain(pem)
        return context

    def isLetIn(self, context: ssl.SSLContext) -> bool:
        """
        Whether somebody is believed.
        """
        try:
            self.straight(context)
        except (OSError, AssertionError):
            return False
        return True

    def test_exchanged(self) -> None:
        """
        Four times.
        """
        self.underLoad(EXCHANGES, self.exchange)

    def exchange(self, number: int, loads: list[Load]) -> None:
        """
        One root for another.
        """
        before, old = self.domains[-1], self.context
        # OpenSSL, as a client, cannot tell roots apart that have the same name.
        root = authority(f"root {number}", **self.domain.dates)
        domain = TrustDomain(self.directory, self.domain.name, root)
        self.domains.append(domain)
        new = self.client(domain)
        self.assertFalse(self.isLetIn(new))
        self.believe(before, domain)
        waitUntil(lambda: self.isLetIn(new), "that the new root is believed")
        self.assertTrue(self.isLetIn(old))
        self.context = new
        loads[1].more(5)
        self.renew(domain, number)
        account = self.domain.spiffe(f"web{number}")
        waitUntil(lambda: f"mtls {account}: " in self.gateway.said(), "who is certified anew at the gate")
        waitUntil(lambda: self.expected in self.seen, "that the gate is certified anew")
        for each in loads[:3]:
            # What began with the old certificates is over.
            each.more(5)
        self.believe(domain)
        waitUntil(lambda: not self.isLetIn(old), "that the old root is believed no more")
        self.assertTrue(self.isLetIn(new))
        for each in loads:
            each.more(5)
