# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Four nodes: a gate, bob and alice, who have links to it and no ports for others, and carol, whom it does not
know.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from ugate.tenancy.keyids import hostOf
from ugate.test.interop.asking import connected, curl
from ugate.test.interop.meshes import MeshTestCase
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, freePort
from ugate.test.interop.targets import (
    MEGABYTE,
    Certificate,
    StreamServer,
    digestOf,
    readAll,
    readExactly,
    webServer,
)

NAMES = ("gate", "bob", "alice", "carol")
SIZE = 20 * MEGABYTE


def contract(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: answer a line by one of JSON, send back all else, and end when it has
    ended.
    """
    data = connection.recv(65536)
    hello, _, rest = data.partition(b"\n")
    connection.sendall(json.dumps({"hello": hello.decode()}).encode() + b"\n" + rest)
    while data := connection.recv(65536):
        connection.sendall(data)


class FourNodesTests(MeshTestCase):
    """
    Ports of the gate lead to a server of its own, to bob and to alice; one of alice leads to the gate; and
    a port for TLS leads to bob by his name.

    @ivar gate: the gate.
    """

    def setUp(self) -> None:
        super().setUp()
        for name in NAMES:
            self.key(name)
        self.web = webServer(self)
        self.dialed = freePort()
        self.echo = StreamServer(self, contract)
        self.certificate = Certificate(self.directory)
        self.site = webServer(self, "bob", tls=self.certificate.context)
        self.gate = self.start("gate", self.forwarding())
        self.sides = {name: self.start(name, self.side(name)) for name in ("bob", "alice")}
        for each in self.sides.values():
            each.waitFor("we are reached there by our key")

    def start(self, name: str, config: str) -> Gateway:
        """
        Start a node.
        """
        return self.ugate("--state", str(self.directory / name), config=config)

    def to(self, name: str, port: int) -> str:
        """
        A port that leads to a node, by its KEYID.
        """
        return f"forward:tcp:0:{LOOPBACK}:to={hostOf(self.keys[name])}\\:{port}"

    def forwarding(self) -> str:
        """
        The configuration of the gate.
        """
        listen = {
            "own": f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{self.web.port}",
            "bob": self.to("bob", 80),
            "alice": self.to("alice", 80),
            "tls": f"sni:tcp:0:{LOOPBACK}:names=bob.example",
            "mesh": f"h2connect:mtls:tcp:0:{LOOPBACK}",
            "nodes": f"reverse:mtls:tcp:{self.dialed}:{LOOPBACK}",
        }
        members = [self.keys[name] for name in ("alice", "bob")]
        rules = [{"action": "allow", "who": f"certificate:{each}"} for each in members]
        config = {
            "listen": listen,
            "trust": {"pins": members},
            "nodes": {"bob": {"keyid": self.keys["bob"], "names": ["bob.example"]}},
            "serve": {"web": {"port": 80, "to": f"{HOST}:{self.web.port}"}},
            "policy": {"rules": [*rules, {"action": "allow", "who": ["local:*", "open:*"]}]},
        }
        return json.dumps(config)

    def side(self, name: str) -> str:
        """
        The configuration of bob or alice: they keep a link to the gate, and ask it as well.
        """
        config = {
            "listen": {
                "gate": f"linked:{HOST}:{self.dialed}:name={self.keys['gate']}",
                "main": f"auto:tcp:0:{LOOPBACK}",
                "web": self.to("gate", 80),
                "echo": f"forward:tcp:0:{LOOPBACK}:to={hostOf(self.keys['bob'])}\\:80",
            },
            "serve": {
                "echo": {"port": 80, "to": f"{HOST}:{self.echo.port}"},
                "site": {"port": 443, "to": f"{HOST}:{self.site.port}"},
            },
            "routes": [
                {
                    "match": "*.default.cluster.local",
                    "via": f"h2connect:{HOST}:{self.gate.ports['mesh']}:name={self.keys['gate']}",
                }
            ],
            "policy": {
                "rules": [
                    {"action": "allow", "who": f"certificate:{self.keys['gate']}"},
                    {"action": "allow", "who": "local:*"},
                ]
            },
        }
        return json.dumps(config)

    def spoken(self, port: int, number: int = 0) -> None:
        """
        The server behind a port answers a line, sends back what comes later, and ends after that.
        """
        with connected(port) as connection:
            connection.settimeout(self.limit / 4)
            connection.sendall(b"hello %d\n" % number)
            answer = b""
            while not answer.endswith(b"\n"):
                answer += readExactly(connection, 1)
            self.assertEqual({"hello": f"hello {number}"}, json.loads(answer))
            connection.sendall(b"more" * 1000)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(b"more" * 1000, readAll(connection))

    def test_ports(self) -> None:
        """
        Ports of the gate: bulk of its own server, and the echo of bob and of alice, who have dialed in.
        """
        for port in (self.gate.ports["own"], self.sides["alice"].ports["web"]):
            answer = curl(self, f"http://{HOST}:{port}/bytes/{SIZE}")
            self.assertEqual(digestOf(SIZE), hashlib.sha256(answer.body).hexdigest(), self.gate.said())
        for name in ("bob", "alice"):
            self.spoken(self.gate.ports[name])
            self.sides[name].waitFor(f"{hostOf(self.keys[name])}:80 via serve h2connect {self.keys['gate']}")

    def test_throughTheGate(self) -> None:
        """
        Alice reaches bob, who has no address, by the gate, to which she has a link of her own: once, ten
        times in turn, and ten at once.
        """
        port = self.sides["alice"].ports["echo"]
        for number in range(11):
            self.spoken(port, number)
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda number: self.spoken(port, number), range(10)))
        self.echo.ended()
        self.assertEqual(21, len(self.echo.threads))
        self.gate.waitFor(f"{hostOf(self.keys['bob'])}:80 via mesh h2connect {self.keys['alice']}")

    def test_sniAndReverse(self) -> None:
        """
        TLS in bob's name goes to him by the link that he has made, and ends in his server: the client sees
        the certificate of that one.
        """
        port = self.gate.ports["tls"]
        context = ssl.create_default_context(cafile=str(self.certificate.path))
        context.check_hostname = False
        with context.wrap_socket(connected(port), server_hostname="bob.example") as client:
            client.sendall(b"GET /facts HTTP/1.1\r\nConnection: close\r\n\r\n")
            self.assertIn(b'"server": "bob"', readAll(client))
        there = ("--connect-to", f"::{HOST}:{port}", "--insecure")
        answer = curl(self, *there, f"https://bob.example/bytes/{SIZE}")
        self.assertEqual(
            digestOf(SIZE), hashlib.sha256(answer.body).hexdigest(), (answer.errors, self.gate.said())
        )
        self.assertEqual(35, curl(self, *there, "https://alice.example/").exit)

    def test_outsider(self) -> None:
        """
        Carol, whom the gate does not know, gets no stream to bob and takes no name.
        """
        carol = self.start("carol", self.side("carol"))
        self.gate.waitFor(f"its key {self.keys['carol']} is not pinned")
        with connected(carol.ports["echo"]) as connection:
            connection.settimeout(self.limit / 4)
            try:
                self.assertEqual(b"", connection.recv(1))
            except ConnectionResetError:
                pass
        self.assertEqual([], self.echo.threads)
