# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Certificates that are renewed under load: nobody is refused for it, and nothing that is up is cut.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from ugate.test.identityfakes import Holder
from ugate.test.interop.loads import Load, LoadTestCase
from ugate.test.interop.processes import waitUntil
from ugate.test.interop.test_mtlspeers import NAME

RENEWALS = 20
SEEN = 5
"""After each of so many renewals, it is waited for that it is seen."""


class RenewalTests(LoadTestCase):
    """
    A gate whose files are a secret of Kubernetes, and a gateway beside the programs with files one by one.
    """

    limit = 100.0

    def setUp(self) -> None:
        super().setUp()
        gate, side = self.configs()
        names = (self.gate, NAME)
        gateFolder = self.domain.kubernetes("gate", self.domain.member("gate", "edge", names=names))
        self.gateway = self.node(gateFolder, gate)
        self.sideFolder = self.domain.istio("side", self.domain.member("web0"))
        self.side = self.node(self.sideFolder, side(self.gateway.port))
        client = self.domain.pem("client", self.domain.member("client"))
        self.context = ssl.create_default_context(cafile=str(self.domain.roots))
        self.context.load_cert_chain(client)

    def replace(self, name: str, data: bytes) -> None:
        """
        One file of the gateway beside the programs, as a whole.
        """
        other: Path = self.sideFolder / f".{name}"
        other.touch(0o600)
        other.write_bytes(data)
        os.replace(other, self.sideFolder / name)

    def half(self, holder: Holder) -> None:
        """
        The key is there, and its certificate is not yet.
        """
        folder = self.domain.istio("next", holder)
        self.replace("key.pem", (folder / "key.pem").read_bytes())

    def whole(self) -> None:
        """
        It is.
        """
        self.replace("cert-chain.pem", (self.directory / "next" / "cert-chain.pem").read_bytes())

    def test_renewed(self) -> None:
        """
        Both are renewed twenty times.
        """
        self.underLoad(RENEWALS, self.renew)
        self.assertNotIn("refused", self.gateway.said())

    def renew(self, number: int, loads: list[Load]) -> None:
        """
        Once more.
        """
        account = self.domain.spiffe(f"web{number}")
        gate = self.domain.member("gate", "edge", names=(self.gate, NAME))
        self.domain.kubernetes("gate", gate)
        self.half(self.domain.member(f"web{number}"))
        told = "stays what it was: "
        if number % SEEN == 0:
            before = self.side.said().count(told)
            waitUntil(lambda: self.side.said().count(told) > before, "that half a pair is told")
        loads[0].more(5)
        self.whole()
        loads[1].more(5)
        if number % SEEN == 0:
            expected = gate.certificate.public_bytes(Encoding.DER)
            waitUntil(lambda: expected in self.seen, "the new certificate of the gate", 10)
            waitUntil(lambda: f"mtls {account}: " in self.gateway.said(), "that of the other", 10)
