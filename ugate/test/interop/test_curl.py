# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
curl through every protocol that a listener takes.
"""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SkipTest

from ugate.test.interop.asking import Answer, connected, curl, readHead
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, hasIPv6
from ugate.test.interop.targets import (
    BLOCK,
    MEGABYTE,
    Certificate,
    WebServer,
    digestOf,
    readExactly,
    webServer,
)

SCHEMES = ("socks4", "socks4a", "socks5", "socks5h", "http")


class MatrixTests(InteropTestCase):
    """
    A megabyte through each scheme, from HTTP and HTTPS servers that are named in each way.
    """

    def _fetch(self, gateway: Gateway, scheme: str, url: str, *more: str) -> None:
        answer = curl(self, "-x", gateway.url(scheme), *more, f"{url}/bytes/{MEGABYTE}")
        self.assertEqual((answer.exit, answer.status), (0, 200), f"{scheme} {url}: {answer.errors}")
        self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digestOf(MEGABYTE), f"{scheme} {url}")

    def _matrix(self, hosts: list[str], listen: str, schemes: tuple[str, ...]) -> None:
        gateway = self.ugate()
        certificate = Certificate(self.directory)
        for tls in (None, certificate.context):
            server = webServer(self, host=listen, tls=tls)
            protocol = "http" if tls is None else "https"
            for scheme in schemes:
                for host in hosts:
                    url = f"{protocol}://{host}:{server.port}"
                    self._fetch(gateway, scheme, url, "--cacert", str(certificate.path))

    def test_ipv4(self) -> None:
        """
        An IPv4 address, and a name.
        """
        self._matrix([HOST, "localhost"], HOST, SCHEMES)

    def test_ipv6(self) -> None:
        """
        An IPv6 address, where the protocol has a way to say one.
        """
        if not hasIPv6():
            raise SkipTest("this machine has no ::1")
        self._matrix(["[::1]"], "::1", ("socks4a", "socks5", "socks5h", "http"))

    def test_tunnel(self) -> None:
        """
        An http URL through C{CONNECT}.
        """
        self._fetch(self.ugate(), "http", f"http://{HOST}:{webServer(self).port}", "-p")

    def test_overIPv6(self) -> None:
        """
        A listener on C{::1}.
        """
        if not hasIPv6():
            raise SkipTest("this machine has no ::1")
        gateway = self.ugate(listen="auto:tcp6:0:interface=\\:\\:1")
        server = webServer(self)
        for scheme in ("socks5h", "http"):
            proxy = f"{scheme}://[::1]:{gateway.port}"
            answer = curl(self, "-x", proxy, f"http://{HOST}:{server.port}/who")
            self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)

    def test_oneProtocol(self) -> None:
        """
        Listeners for one protocol alone.
        """
        server = webServer(self)
        listeners = {"socks": "socks5h", "socks4": "socks4a", "connect": "http"}
        options = [
            option for name in listeners for option in ("--listen", f"{name}={name}:tcp:0:interface={HOST}")
        ]
        gateway = self.ugate(*options, listen="")
        for name, scheme in listeners.items():
            proxy = f"{scheme}://{HOST}:{gateway.ports[name]}"
            answer = curl(self, "-x", proxy, f"http://{HOST}:{server.port}/bytes/1000")
            self.assertEqual((answer.exit, answer.body), (0, BLOCK[:1000]), answer.errors)


class ForwardProxyTests(InteropTestCase):
    """
    What only the forward proxy has to understand: requests and their bodies.
    """

    def setUp(self) -> None:
        super().setUp()
        self.gateway = self.ugate()
        self.server = webServer(self)

    def _curl(self, *arguments: str, data: bytes = b"") -> Answer:
        answer = curl(self, "-x", self.gateway.url("http"), *arguments, data=data)
        self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
        return answer

    def _url(self, path: str, server: WebServer | None = None) -> str:
        return f"http://{HOST}:{(server or self.server).port}{path}"

    def test_chunkedResponse(self) -> None:
        """
        A response in chunks.
        """
        answer = self._curl(self._url("/chunked/800000"))
        expected = (BLOCK[:50000] * 16)[:800000]
        self.assertEqual(hashlib.sha256(answer.body).digest(), hashlib.sha256(expected).digest())

    def test_uploads(self) -> None:
        """
        PUT and POST, of a known length and in chunks, with and without C{Expect}.
        """
        body = BLOCK * 3
        for method in ("PUT", "POST"):
            for framing in ("Content-Length: " + str(len(body)), "Transfer-Encoding: chunked"):
                for expect in ("Expect: 100-continue", "Expect:"):
                    headers = ["-H", framing, "-H", expect]
                    answer = self._curl(
                        "-X", method, *headers, "--data-binary", "@-", self._url("/"), data=body
                    )
                    told = answer.json()
                    self.assertEqual(told["size"], len(body), f"{method} {framing} {expect}")
                    self.assertEqual(told["sha256"], hashlib.sha256(body).hexdigest())
                    self.assertEqual(told["method"], method)

    def test_uploadsByStream(self) -> None:
        """
        Uploads through C{CONNECT} and SOCKS, whose bytes are not looked at.
        """
        body = BLOCK * 3
        for scheme, more in (("http", ["-p"]), ("socks5h", []), ("socks4a", [])):
            arguments = ["-x", self.gateway.url(scheme), *more, "-T", "-", self._url("/")]
            told = curl(self, *arguments, data=body).json()
            self.assertEqual(told["sha256"], hashlib.sha256(body).hexdigest(), scheme)

    def test_headers(self) -> None:
        """
        The target gets no field that is for the proxy, and the path alone.
        """
        told = self._curl(
            "-H", "Proxy-Connection: keep-alive", "-H", "X-Mine: 1", self._url("/who?a=b")
        ).json()
        self.assertEqual(told["path"], "/who?a=b")
        self.assertEqual(told["headers"]["x-mine"], "1")
        self.assertEqual(told["headers"]["host"], f"{HOST}:{self.server.port}")
        self.assertNotIn("proxy-connection", told["headers"])

    def test_keepAlive(self) -> None:
        """
        Requests to two targets on one connection to the proxy, which keeps that to a target for the next one.
        """
        other = webServer(self, "other")
        with connected(self.gateway.port) as client:
            seen = []
            for server in (self.server, self.server, other, self.server):
                at = f"{HOST}:{server.port}"
                client.sendall(f"GET http://{at}/who HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
                status, fields = readHead(client)
                body = readExactly(client, int(fields["content-length"])).decode()
                self.assertEqual(status, 200)
                seen.append(
                    (f'"server": "{server.name}"' in body, body.partition('"peer": ')[2].split(",")[0])
                )
        self.assertEqual([right for right, _ in seen], [True] * 4)
        self.assertEqual(seen[0][1], seen[1][1])

    def test_upgrade(self) -> None:
        """
        After an upgrade there are only bytes, both ways.
        """
        at = f"{HOST}:{self.server.port}"
        with connected(self.gateway.port) as client:
            client.sendall(
                f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n"
                "Connection: Upgrade\r\nUpgrade: echo\r\n\r\n".encode()
            )
            status, fields = readHead(client)
            self.assertEqual((status, fields["upgrade"]), (101, "echo"))
            for word in (b"first", b"second \x00\xff", b"x" * 100_000):
                client.sendall(word)
                self.assertEqual(readExactly(client, len(word)), word.upper())

    def test_head(self) -> None:
        """
        A response to HEAD has a length and no body; the connection serves the next request.
        """
        at = f"{HOST}:{self.server.port}"
        with connected(self.gateway.port) as client:
            for method, body in (("HEAD", b""), ("GET", BLOCK[:1000])):
                client.sendall(f"{method} http://{at}/bytes/1000 HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
                status, fields = readHead(client)
                self.assertEqual((status, fields["content-length"]), (200, "1000"))
                self.assertEqual(readExactly(client, len(body)), body)

    def test_continue(self) -> None:
        """
        A client that waits with its body is told by the target to go on.
        """
        at = f"{HOST}:{self.server.port}"
        with connected(self.gateway.port) as client:
            client.sendall(
                f"PUT http://{at}/ HTTP/1.1\r\nHost: {at}\r\n"
                "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            self.assertEqual(readHead(client)[0], 100)
            client.sendall(b"hello")
            status, fields = readHead(client)
            self.assertEqual(status, 200)
            self.assertIn(b'"size": 5', readExactly(client, int(fields["content-length"])))


class CertificateTests(InteropTestCase):
    """
    A TLS stream that passes through is the target's own.
    """

    def test_notTrusted(self) -> None:
        """
        The client sees the certificate of the target, and does not trust it unless told to.
        """
        gateway = self.ugate()
        certificate = Certificate(self.directory)
        server = webServer(self, tls=certificate.context)
        url = f"https://localhost:{server.port}/who"
        for scheme in ("socks5h", "http"):
            proxy = gateway.url(scheme)
            self.assertEqual(curl(self, "-x", proxy, url).exit, 60)
            answer = curl(self, "-x", proxy, "-k", url)
            self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
