# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{mtls:} with nginx, Envoy, HAProxy and stunnel on the other side, on either end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ugate.test.identityfakes import Holder
from ugate.test.interop.asking import Answer, curl
from ugate.test.interop.domains import TrustDomain
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, InteropTestCase
from ugate.test.interop.targets import MEGABYTE, WebServer, digestOf, webServer
from ugate.test.interop.tlspeers import (
    Credentials,
    Peer,
    envoyClient,
    envoyServer,
    haproxyClient,
    haproxyServer,
    nginxClient,
    nginxServer,
    nginxStreamClient,
    nginxStreamServer,
    stunnel,
)

VERSIONS = ("TLSv1.2", "TLSv1.3")
NAME = "gate.corp.example"
SIZE = 3 * MEGABYTE + 17


class DomainTestCase(InteropTestCase):
    """
    A trust domain, and a web server in the clear.
    """

    def setUp(self) -> None:
        super().setUp()
        self.domain = TrustDomain(self.directory)
        self.gate = self.domain.spiffe("gate", "edge")
        self.server = self.domain.member("gate", "edge", names=(self.gate, NAME, "localhost"))
        self.web: WebServer = webServer(self)

    def own(self, holder: Holder, name: str = "peer") -> Credentials:
        """
        What a program of others needs.
        """
        return Credentials(self.domain.pem(name, holder), self.domain.roots)

    def node(self, folder: Path, config: str) -> Gateway:
        """
        A gateway of this trust domain.
        """
        trust = f"{{domain: {self.domain.name}, namespaces: [shop, edge]}}"
        return self.ugate(config=f"identity: {{dir: {folder}}}\ntrust: {trust}\n{config}")

    def fetch(self, *options: str) -> Answer:
        """
        Get what has many bytes.
        """
        answer = curl(self, *options)
        if answer.status == 200:
            self.assertEqual(digestOf(SIZE), hashlib.sha256(answer.body).hexdigest())
        return answer


class ServerTests(DomainTestCase):
    """
    A listener, whose clients are programs of others.
    """

    def setUp(self) -> None:
        super().setUp()
        folder = self.domain.istio("gate", self.server)
        account = self.domain.spiffe("web")
        self.gateway = self.node(
            folder,
            f'listen: {{main: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{self.web.port}"}}}}\n'
            f"policy: {{rules: [{{who: 'certificate:{account}', action: allow}}]}}\n",
        )

    def clients(self, start: Callable[[Credentials, int, str], Peer]) -> None:
        """
        One that may gets there, by each version of TLS; one of another namespace is refused.

        @param start: makes such a client from what it has, where to, and the version.
        """
        for version in VERSIONS:
            peer = start(self.own(self.domain.member("web")), self.gateway.port, version)
            answer = self.fetch(f"http://{HOST}:{peer.port}/bytes/{SIZE}")
            self.assertEqual(200, answer.status, (answer.errors, peer.child.said(), self.gateway.said()))
            self.gateway.waitFor(f"mtls {self.domain.spiffe('web')}: ")
        peer = start(self.own(self.domain.member("web", "other"), "other"), self.gateway.port, "TLSv1.3")
        answer = self.fetch(f"http://{HOST}:{peer.port}/bytes/{SIZE}")
        self.assertNotEqual(200, answer.status)
        self.gateway.waitFor("it is of the namespace 'other', wanted shop, edge")

    def test_nginx(self) -> None:
        """
        nginx, for HTTP.
        """
        self.clients(lambda own, to, version: nginxClient(self, own, to, NAME, version))

    def test_nginxStream(self) -> None:
        """
        nginx, for streams.
        """
        self.clients(lambda own, to, version: nginxStreamClient(self, own, to, NAME, version))

    def test_envoy(self) -> None:
        """
        Envoy, which wants a SPIFFE id of us; and does not go on when we have another one.
        """
        self.clients(lambda own, to, version: envoyClient(self, own, to, self.gate, version))
        own = self.own(self.domain.member("web"))
        peer = envoyClient(self, own, self.gateway.port, self.domain.spiffe("else"), "TLSv1.3")
        self.assertEqual(0, self.fetch(f"http://{HOST}:{peer.port}/bytes/{SIZE}").status)
        self.gateway.waitFor("it does not believe us")

    def test_haproxy(self) -> None:
        """
        HAProxy.
        """
        self.clients(lambda own, to, version: haproxyClient(self, own, to, NAME, version))

    def test_stunnel(self) -> None:
        """
        stunnel.
        """
        self.clients(lambda own, to, version: stunnel(self, own, to, True, NAME, version))


class HopTests(DomainTestCase):
    """
    A hop, whose servers are programs of others.
    """

    def through(self, peers: Sequence[Peer], names: Sequence[str]) -> Gateway:
        """
        A gateway that leads C{0-0.test} to the first peer by the first name, and so on.
        """
        client = self.domain.istio("web", self.domain.member("web"))
        hops = (
            (f"{number}-{at}.test", f"mtls:{HOST}:{peer.port}:name={name}")
            for number, peer in enumerate(peers)
            for at, name in enumerate(each.replace(":", "\\:") for each in names)
        )
        routes = ", ".join(f"{{match: {target}, via: '{hop}'}}" for target, hop in hops)
        return self.node(client, f'listen: {{main: "socks:tcp:0:{LOOPBACK}"}}\nroutes: [{routes}]\n')

    def servers(self, start: Callable[[Credentials, int, str], Peer]) -> None:
        """
        One that is who it should be is reached, by each version of TLS and each of its names; one that is
        somebody else is not.

        @param start: makes such a server from what it has, where it leads, and the version.
        """
        names = (self.domain.spiffe("else", "edge"), "else.example")
        another = self.domain.member("else", "edge", names=names)
        peers = [start(self.own(self.server), self.web.port, version) for version in VERSIONS]
        peers.append(start(self.own(another, "else"), self.web.port, "TLSv1.3"))
        gateway = self.through(peers, (NAME, self.gate))
        proxy = ("-x", gateway.url("socks5h"))
        for target in ("0-0", "0-1", "1-0", "1-1"):
            answer = self.fetch(*proxy, f"http://{target}.test/bytes/{SIZE}")
            self.assertEqual(200, answer.status, (answer.errors, gateway.said()))
        for target in ("2-0", "2-1"):
            answer = self.fetch(*proxy, f"http://{target}.test/bytes/{SIZE}")
            self.assertEqual((97, 0), (answer.exit, answer.status))
        said = gateway.waitFor("-> 2-1.test:80 socks5 operator: refused: TLS at mtls:")
        self.assertEqual(2, said.count(f"it is not of that name; its names are else.example, {names[0]}"))

    def test_nginx(self) -> None:
        """
        nginx, for HTTP.
        """
        self.servers(lambda own, to, version: nginxServer(self, own, to, version))

    def test_nginxStream(self) -> None:
        """
        nginx, for streams.
        """
        self.servers(lambda own, to, version: nginxStreamServer(self, own, to, version))

    def test_envoy(self) -> None:
        """
        Envoy, which wants our SPIFFE id.
        """
        wanted = self.domain.spiffe("web")
        self.servers(lambda own, to, version: envoyServer(self, own, to, wanted, version))

    def test_haproxy(self) -> None:
        """
        HAProxy.
        """
        self.servers(lambda own, to, version: haproxyServer(self, own, to, version))

    def test_stunnel(self) -> None:
        """
        stunnel.
        """
        self.servers(lambda own, to, version: stunnel(self, own, to, False, "", version))

    def test_notWanted(self) -> None:
        """
        A server that does not believe us: how soon one knows depends on the version.
        """
        wanted = self.domain.spiffe("else")
        own = self.own(self.server)
        peers = [envoyServer(self, own, self.web.port, wanted, version) for version in VERSIONS]
        gateway = self.through(peers, (NAME,))
        for number in range(len(peers)):
            target = f"{number}-0.test"
            answer = self.fetch("-x", gateway.url("socks5h"), f"http://{target}/bytes/{SIZE}")
            self.assertEqual(0, answer.status)
            print(gateway.waitFor(f"-> {target}"), answer)
