# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{sni:} between programs of others, which prove to each other who they are and know nothing of what is
between them.
"""

from __future__ import annotations

from collections.abc import Callable

from ugate.test.interop.processes import HOST, LOOPBACK, Gateway
from ugate.test.interop.test_mtlspeers import NAME, SIZE, VERSIONS, DomainTestCase
from ugate.test.interop.test_sni import naming
from ugate.test.interop.tlspeers import (
    Credentials,
    Peer,
    envoyClient,
    envoyServer,
    haproxyClient,
    nginxClient,
    nginxServer,
    nginxStreamClient,
)


class BetweenTests(DomainTestCase):
    """
    Each client with each server.
    """

    limit = 100.0

    def between(self, server: Peer) -> Gateway:
        """
        A gateway that leads one name to that server.
        """
        proxy = naming(self, {NAME: server.port})
        return self.ugate(
            *("--route", f"*.example=socks:{HOST}:{proxy}"),
            listen=f"sni:tcp:0:{LOOPBACK}:names={NAME}",
        )

    def clients(self, start: Callable[[Credentials, str], Peer]) -> None:
        """
        All of them get there, by each version of TLS.

        @param start: makes a server that wants certificates of the trust domain.
        """
        own = self.own(self.domain.member("web"), "web")
        for version in VERSIONS:
            server = start(self.own(self.server, "gate"), version)
            gateway = self.between(server)
            for client in (
                envoyClient(self, own, gateway.port, self.gate, version),
                nginxClient(self, own, gateway.port, NAME, version),
                nginxStreamClient(self, own, gateway.port, NAME, version),
                haproxyClient(self, own, gateway.port, NAME, version),
            ):
                answer = self.fetch(f"http://{HOST}:{client.port}/bytes/{SIZE}")
                said = (answer.errors, client.child.said(), gateway.said(), server.child.said())
                self.assertEqual(200, answer.status, said)
            gateway.waitFor(f"-> {NAME}:443")

    def test_nginx(self) -> None:
        """
        nginx is the server.
        """
        self.clients(lambda own, version: nginxServer(self, own, self.web.port, version))

    def test_envoy(self) -> None:
        """
        Envoy is, which wants the SPIFFE id of the client.
        """
        wanted = self.domain.spiffe("web")
        self.clients(lambda own, version: envoyServer(self, own, self.web.port, wanted, version))

    def test_unlisted(self) -> None:
        """
        Who asks for another name is told so, in the words of its program.
        """
        gateway = self.between(nginxServer(self, self.own(self.server, "gate"), self.web.port, "TLSv1.3"))
        own = self.own(self.domain.member("web"), "web")
        client = nginxClient(self, own, gateway.port, "else.example", "TLSv1.3")
        self.assertEqual(502, self.fetch(f"http://{HOST}:{client.port}/bytes/{SIZE}").status)
        gateway.waitFor("TLS for else.example:443, which this listener does not list")
        self.assertIn("unrecognized name", client.child.said())
