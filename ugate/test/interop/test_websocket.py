# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{websocket:} with the clients of others, behind nginx and HAProxy, and in a browser.
"""

from __future__ import annotations

import importlib
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SkipTest

from ugate.tenancy.passwordhashes import PasswordHash
from ugate.test.docpages import listing
from ugate.test.interop.peers import haproxy
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, freePort, program, waitUntil
from ugate.test.interop.targets import StreamServer, echo, readAll
from ugate.test.interop.test_h2connect import TunnelTestCase
from ugate.test.tlsfakes import Issuer

BULK = random.Random(7).randbytes(6 << 20)
MESSAGE = 1 << 20
"""Bytes of a message that all clients take."""


def library(name: str, package: str) -> Any:
    """
    A client of others.

    @raise SkipTest: it is not here.
    """
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise SkipTest(f"no {name} here: pip install {package}") from e


class WebSocketTestCase(TunnelTestCase):
    """
    A gateway that serves WebSocket, and what may stand before it.
    """

    def gate(self, more: str = "", *arguments: str) -> Gateway:
        """
        It serves.
        """
        return self.ugate(*arguments, listen=f"websocket:tcp:0:{LOOPBACK}{more}")

    def through(self, hop: str, target: int) -> Gateway:
        """
        A gateway that sends all by a hop.
        """
        listen = f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{target}"
        return self.ugate("--route", f"*={hop}", listen=listen)

    def nginx(self, port: int, identity: Path | None = None) -> int:
        """
        A web server that passes WebSocket on, as our documentation has it.

        @param identity: the file of its key and certificates, if it speaks TLS and HTTP/2.
        @return: its port.
        """
        own = freePort()
        places = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        tls = "" if identity is None else " ssl http2"
        keys = "" if identity is None else f"ssl_certificate {identity}; ssl_certificate_key {identity};\n"
        config = self.write(
            f"nginx-{own}.conf",
            f"daemon off; pid {self.directory}/nginx.pid; error_log stderr;\nevents {{}}\n"
            f"http {{ access_log off;\n{places}server {{ listen {HOST}:{own}{tls};\n{keys}"
            + listing("websocket-nginx.conf").replace("127.0.0.1:8080", f"{HOST}:{port}")
            + "} }\n",
        )
        self.serve([program("nginx", "nginx-light"), "-p", self.directory, "-c", config], own)
        return own

    def haproxy(self, port: int, identity: Path | None = None) -> int:
        """
        A load balancer that passes it on.

        @param identity: the file of its key and certificates, if it speaks TLS and HTTP/2.
        @return: its port.
        """
        own = freePort()
        tls = "" if identity is None else f" ssl crt {identity} alpn h2,http/1.1"
        haproxy(
            self,
            f"frontend in\n  mode http\n  bind {HOST}:{own}{tls}\n  default_backend gate\n"
            f"backend gate\n  mode http\n  timeout tunnel 60s\n  server gate {HOST}:{port}\n",
        )
        waitUntil(lambda: self._isUp(own), "HAProxy")
        return own

    def _isUp(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0


class OurHopTests(WebSocketTestCase):
    """
    Both sides are ours.
    """

    limit = 120.0

    def test_direct(self) -> None:
        """
        Bulk, halves, and a server that speaks first.
        """
        server = self.server()
        gate = self.through(f"websocket:{HOST}:{self.gate().port}", server.port)
        for _ in range(2):
            self.assertCarries(gate.port)
        server.ended()

    def test_webServers(self) -> None:
        """
        The same behind nginx and behind HAProxy: no byte and no half is lost.
        """
        for before in (self.nginx, self.haproxy):
            server = self.server()
            port = before(self.gate(":path=/tunnel").port)
            gate = self.through(f"websocket:{HOST}:{port}:path=/tunnel", server.port)
            for _ in range(2):
                self.assertCarries(gate.port)
            server.ended()

    def test_mutual(self) -> None:
        """
        The same in TLS with the certificates of both sides: the login is the certificate.
        """
        root = Issuer("root")
        sections = []
        for name in ("gate", "side"):
            folder = self.directory / name
            root.write(folder, f"{name}.corp", f"spiffe://corp/{name}")
            sections.append(f"identity: {{dir: {folder}}}\n")
        gate = self.ugate(
            config=f"{sections[0]}listen: {{main: 'websocket:mtls:tcp:0:alpn=http/1.1'}}\n"
            "policy: {rules: [{who: 'certificate:spiffe://corp/side', action: allow}]}\n"
        )
        server = self.server()
        place = f"{HOST}:{gate.port}"
        side = self.ugate(
            config=f"{sections[1]}listen: {{main: 'forward:tcp:0:{LOOPBACK}:to={HOST}\\:{server.port}'}}\n"
            f"routes: [{{match: '*', via: 'mtls:{place}:name=gate.corp -> websocket:{place}'}}]\n"
        )
        for _ in range(2):
            self.assertCarries(side.port)
        gate.waitFor("websocket spiffe://corp/side")
        server.ended()

    def test_cut(self) -> None:
        """
        A reset behind all of that is no end.
        """

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"half of")
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        for before in (lambda port: port, self.nginx, self.haproxy):
            server = StreamServer(self, serve)
            port = before(self.gate(":path=/tunnel").port)
            connection = self.connect(self.through(f"websocket:{HOST}:{port}:path=/tunnel", server.port).port)
            connection.sendall(b"x")
            with self.assertRaises(ConnectionError):
                readAll(connection)

    def test_refused(self) -> None:
        """
        Why there is no way through is said in the log of who asked, also behind a web server.
        """
        for before in (lambda port: port, self.nginx, self.haproxy):
            port = before(self.gate(":path=/tunnel").port)
            said = self.refusedBy(self.through(f"websocket:{HOST}:{port}:path=/tunnel", freePort()))
            self.assertIn("connection refused", said)
            self.assertIn("502", said)

    def test_login(self) -> None:
        """
        Behind a web server nobody is of this machine, and has to log in.
        """
        users = self.write("users", f"alice:{PasswordHash.ofPassword(b'secret', ln=10)}\n")
        password = self.write("password", "secret")
        gate = self.ugate(
            config=f"listen: {{main: 'websocket:tcp:0:{LOOPBACK}:path=/tunnel:proxied=yes'}}\n"
            f"policy: {{users: {users}, rules: [{{action: allow}}]}}\n"
        )
        port = self.nginx(gate.port)
        server = self.server()
        hop = f"websocket:{HOST}:{port}:path=/tunnel"
        self.assertCarries(self.through(f"{hop}:user=alice:passwordFile={password}", server.port).port)
        gate.waitFor("websocket alice")
        self.assertIn("401", self.refusedBy(self.through(hop, server.port)))


class ClientTests(WebSocketTestCase):
    """
    The clients of others.
    """

    def url(self, gate: Gateway | int, target: int, path: str = "/") -> str:
        """
        A tunnel.
        """
        port = gate if isinstance(gate, int) else gate.port
        return f"ws://{HOST}:{port}{path}?target={HOST}:{target}"

    def test_websockets(self) -> None:
        """
        The package websockets: bulk, its end, and ours, which it answers at once.
        """
        client = library("websockets.sync.client", "websockets")
        got: list[bytes] = []
        ends = StreamServer(self, lambda connection: got.append(readAll(connection)))
        starts = StreamServer(self, lambda connection: connection.sendall(BULK))
        gate = self.gate()
        for port in (gate.port, self.nginx(self.gate(":path=/tunnel").port)):
            path = "/" if port == gate.port else "/tunnel"
            with client.connect(self.url(port, ends.port, path), compression="deflate") as up:
                for at in range(0, len(BULK), MESSAGE):
                    up.send(BULK[at : at + MESSAGE])
                up.ping().wait(10)
            ends.ended()
            self.assertTrue(got.pop() == BULK)
            with client.connect(self.url(port, starts.port, path)) as down:
                self.assertTrue(b"".join(down) == BULK)
            self.assertEqual(1000, down.close_code)

    def test_websocketClient(self) -> None:
        """
        The package websocket-client.
        """
        client = library("websocket", "websocket-client")
        target = StreamServer(self, echo)
        up = client.create_connection(self.url(self.gate(), target.port), timeout=10)
        up.send_binary(BULK[:MESSAGE])
        got = b""
        while len(got) < MESSAGE:
            got += up.recv()
        self.assertTrue(got == BULK[:MESSAGE])
        up.close()
        target.ended()
        with self.assertRaises(client.WebSocketBadStatusException) as caught:
            client.create_connection(self.url(self.gate(), freePort()), timeout=10)
        self.assertEqual(502, caught.exception.status_code)

    def test_text(self) -> None:
        """
        Texts are refused in words.
        """
        client = library("websockets.sync.client", "websockets")
        closed = library("websockets.exceptions", "websockets").ConnectionClosedError
        target = StreamServer(self, echo)
        with client.connect(self.url(self.gate(), target.port)) as up:
            up.send("hello")
            with self.assertRaises(closed):
                up.recv()
            self.assertEqual((1003, True), (up.close_code, "binary" in up.close_reason))


PAGE = """<!doctype html><script>
const here = new URLSearchParams(location.search);
const told = text => fetch("/told?" + new URLSearchParams({text}));
async function all() {
    // A connection in HTTP/2 that is up is what a browser opens more on.
    if (here.get("first")) await fetch(here.get("first"), {mode: "no-cors", credentials: "include"});
    const socket = new WebSocket(here.get("url"));
    const data = new Uint8Array(300000).map((_, at) => at * 7);
    let got = [];
    socket.binaryType = "arraybuffer";
    socket.onerror = () => told("error");
    socket.onopen = () => socket.send(data);
    socket.onmessage = event => {
        got.push(...new Uint8Array(event.data));
        if (got.length == data.length) {
            told(got.every((byte, at) => byte == data[at]) ? "the same" : "something else");
            socket.close();
        }
    };
    socket.onclose = event => told("closed " + event.code + " " + event.wasClean);
}
all();
</script>"""


class BrowserTests(WebSocketTestCase):
    """
    Chromium.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        self.site = StreamServer(self, self._page)
        self.target = StreamServer(self, echo)

    def _page(self, connection: socket.socket) -> None:
        head = connection.recv(65536)
        while head and b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        path = head.split(b" ")[1].decode() if head else ""
        self.told += parse_qs(urlsplit(path).query).get("text", [])
        body = b"" if path.startswith("/told") else PAGE.encode()
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (len(body), body)
        )

    def browse(self, query: str, done: Callable[[], bool]) -> list[str]:
        """
        Show the page until it has said something.
        """
        self.told.clear()
        browser = self.spawn(
            [
                program("chromium"),
                *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
                "--ignore-certificate-errors",
                f"--user-data-dir={self.directory}/profile",
                f"http://localhost:{self.site.port}/?{query}",
            ]
        )
        waitUntil(done, "what the page says", 40)
        browser.end()
        # Each is told by a request of its own, and these may overtake one another.
        return sorted(self.told)

    def test_origin(self) -> None:
        """
        A page gets its tunnel if its site is listed, and nothing if it is not.
        """
        origin = rf":origins=http\://localhost\:{self.site.port}"
        for more, wanted in (
            (origin, ["closed 1000 true", "the same"]),
            ("", ["closed 1006 false", "error"]),
        ):
            gate = self.gate(more)
            url = f"ws://{HOST}:{gate.port}/?target={HOST}:{self.target.port}"
            self.assertEqual(
                wanted, self.browse("url=" + url.replace("&", "%26"), lambda: len(self.told) == 2)
            )
        gate.waitFor("origins=")

    def test_http2(self) -> None:
        """
        On a connection in HTTP/2 that the browser has already.
        """
        folder = self.directory / "identity"
        Issuer("root").write(folder, "localhost")
        origin = rf"origins=http\://localhost\:{self.site.port}"
        gate = self.ugate(
            config=f"identity: {{dir: {folder}}}\n"
            f"listen: {{main: 'h2connect:mtls:tcp:0:{LOOPBACK}:anonymous=yes:websocket=/tunnel:{origin}'}}\n"
        )
        place = f"localhost:{gate.port}"
        query = f"first=https://{place}/&url=wss://{place}/tunnel?target={HOST}:{self.target.port}"
        self.assertEqual(["closed 1000 true", "the same"], self.browse(query, lambda: len(self.told) == 2))
        gate.waitFor(f"-> {HOST}:{self.target.port} websocket")
