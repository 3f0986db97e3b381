# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{sni:} between nginx and Envoy, which speak TLS to each other through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ugate.test.interop.asking import curl
from ugate.test.interop.domains import SERVER, TrustDomain
from ugate.test.interop.processes import HOST, LOOPBACK, InteropTestCase, freePort
from ugate.test.interop.targets import MEGABYTE, digestOf, webServer
from ugate.test.interop.test_sni import naming
from ugate.test.interop.tlspeers import Peer, envoyNaming, nginx, nginxNaming, nginxPlaces

NAMES = ("one.example", "two.example")
VERSIONS = ("TLSv1.2", "TLSv1.3")
SIZE = 3 * MEGABYTE + 17


class SniPeersTests(InteropTestCase):
    """
    nginx has two sites on one port behind the gateway; clients of theirs are before it.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.domain = TrustDomain(self.directory)
        self.web = webServer(self)
        proxy = naming(self, dict.fromkeys(NAMES, self.sites()))
        self.gateway = self.ugate(
            *("--route", f"*.example=socks:{HOST}:{proxy}"),
            listen=f"sni:tcp:0:{LOOPBACK}:names=one.example,two.example",
        )

    def sites(self) -> int:
        """
        Both sites, each with a certificate for its name alone.

        @return: the port.
        """
        port = freePort()
        servers = ""
        for name in NAMES:
            pem: Path = self.domain.pem(name, self.domain.member(name, names=(name,), purpose=SERVER))
            servers += (
                f"server {{ listen {HOST}:{port} ssl; server_name {name}; ssl_certificate {pem}; "
                f"ssl_certificate_key {pem}; ssl_protocols {VERSIONS[0]} {VERSIONS[1]};\n"
                f"location / {{ return 200 'this is {name}'; }} "
                f"location /bytes {{ proxy_pass http://{HOST}:{self.web.port}; }} }}\n"
            )
        return nginx(self, f"http {{ {nginxPlaces(self)} {servers} }}", port).port

    def clients(self, start: Callable[[str, str], Peer]) -> None:
        """
        Each site is found by its name and proves it, by each version of TLS, whole; one that the gateway does
        not list is not reached.

        @param start: makes a client from the name that it asks for, and the version.
        """
        for version in VERSIONS:
            for name in NAMES:
                peer = start(name, version)
                for path, digest in (
                    ("/", hashlib.sha256(f"this is {name}".encode()).hexdigest()),
                    (f"/bytes/{SIZE}", digestOf(SIZE)),
                ):
                    answer = curl(self, "-H", f"Host: {name}", f"http://{HOST}:{peer.port}{path}")
                    said = answer.errors, peer.child.said(), self.gateway.said()
                    self.assertEqual(200, answer.status, said)
                    self.assertEqual(digest, hashlib.sha256(answer.body).hexdigest())
                self.gateway.waitFor(f"-> {name}:443")
        peer = start("three.example", "TLSv1.3")
        answer = curl(self, "-H", "Host: one.example", f"http://{HOST}:{peer.port}/")
        self.assertNotEqual(200, answer.status)
        self.gateway.waitFor("TLS for three.example:443, which this listener does not list")

    def test_nginx(self) -> None:
        """
        nginx, for HTTP.
        """
        roots, to = self.domain.roots, self.gateway.port
        self.clients(lambda name, version: nginxNaming(self, roots, to, name, version))

    def test_nginxStream(self) -> None:
        """
        nginx, for streams.
        """
        roots, to = self.domain.roots, self.gateway.port
        self.clients(lambda name, version: nginxNaming(self, roots, to, name, version, True))

    def test_envoy(self) -> None:
        """
        Envoy, for streams.
        """
        roots, to = self.domain.roots, self.gateway.port
        self.clients(lambda name, version: envoyNaming(self, roots, to, name, version))
