# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A node that dials in: processes of ugate as the recipe has them, with curl and plain sockets at their ends.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

from ugate.tenancy.keyids import hostOf
from ugate.test.docpages import listing
from ugate.test.interop.asking import Answer, connected, curl, socks5
from ugate.test.interop.meshes import newKey
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, accepts, freePort, waitUntil
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, digestOf, readAll, webServer

THERE = "we are reached there by our key"
SIZE = 200 * MEGABYTE


class LinkedCase(InteropTestCase):
    """
    The recipe, on one machine.
    """

    limit = 300.0

    def setUp(self) -> None:
        super().setUp()
        self.keys = {name: newKey(self.directory / name) for name in ("gate", "bob", "eve", "mallory")}
        self.web = webServer(self)
        self.dialed = freePort()
        self.started = self.gate()

    def gate(self, more: str = "", rule: str = "") -> Gateway:
        """
        Start the gate, which believes bob and eve.

        @param more: more of the section for bob.
        @param rule: one more rule.
        """
        config = listing("dialin-gate.yaml")
        config = re.sub("pins: BOB[A-Z2-7]{49}", f"pins: [{self.keys['bob']}, {self.keys['eve']}]", config)
        config = re.sub("BOB[A-Z2-7]{49}", self.keys["bob"], config)
        config = config.replace("    names: [bob.corp.example]\n", f"    names: [bob.corp.example]\n{more}")
        config += f"    - {rule}\n" if rule else ""
        config = config.replace("tcp:1080:", "tcp:0:").replace("proxy:", "main:")
        config = config.replace("tcp:15009", f"tcp:{self.dialed}:interface={HOST}")
        return self.ugate("--state", str(self.directory / "gate"), config=config)

    def node(self, name: str = "bob", port: int = 0, more: str = "", serve: str = "") -> Gateway:
        """
        Start a node.

        @param port: what it serves.
        @param more: more of the string of its listener.
        @param serve: one more line of its services.
        """
        config = listing("dialin-node.yaml").replace("gate.example:15009", f"{HOST}:{self.dialed}")
        config = re.sub("names=bob.corp.example", f"names=bob.corp.example{more}", config)
        config = re.sub("GATE[A-Z2-7]{48}", self.keys["gate"], config)
        config = config.replace("127.0.0.1:8080", f"{HOST}:{port or self.web.port}")
        config = config.replace("serve:\n", f"serve:\n  {serve}\n") if serve else config
        return self.ugate("--state", str(self.directory / name), config=config)

    def get(self, path: str = "facts", *options: str, host: str = "bob.corp.example") -> Answer:
        """
        curl through the gate.
        """
        return curl(self, "-x", self.started.url("socks5h"), *options, f"http://{host}/{path}")


class LinkedTests(LinkedCase):
    """
    What is reached, and who is not.
    """

    def test_byName(self) -> None:
        """
        By its names and that of its key; what it does not serve is refused.
        """
        bob = self.node()
        bob.waitFor(THERE)
        for host in ("bob.corp.example", "BOB", self.keys["bob"].lower(), hostOf(self.keys["bob"])):
            answer = self.get(host=host)
            self.assertEqual(answer.status, 200, (answer.errors, self.started.said(), bob.said()))
        self.assertEqual(self.get(host=f"bob:{self.web.port}").status, 0)
        bob.waitFor(f"serves nothing on port {self.web.port}")

    def test_bulk(self) -> None:
        """
        Much goes through in both directions, unchanged.
        """
        bob = self.node()
        bob.waitFor(THERE)
        answer = self.get(f"bytes/{SIZE}")
        self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digestOf(SIZE), answer.errors)
        body = self.directory / "body"
        body.write_bytes(BLOCK * (SIZE // MEGABYTE))
        answer = self.get("put", "-T", str(body))
        self.assertEqual(answer.json()["sha256"], digestOf(SIZE), (answer.errors, bob.said()))

    def test_many(self) -> None:
        """
        Many streams at once, which end one direction first, on the two links that the recipe has.
        """
        server = StreamServer(self, lambda connection: connection.sendall(b"%d" % len(readAll(connection))))
        self.node(port=server.port).waitFor(THERE)

        def ask(number: int) -> int:
            with connected(self.started.port) as client:
                client.settimeout(self.limit / 4)
                self.assertEqual(0, socks5(client, "bob", 80), self.started.said())
                client.sendall(b"x" * number * 1000)
                client.shutdown(1)
                return int(readAll(client))

        with ThreadPoolExecutor(50) as pool:
            sizes = list(pool.map(ask, range(100)))
        self.assertEqual(sizes, [number * 1000 for number in range(100)])
        server.ended()

    def test_gateKilled(self) -> None:
        """
        When the gate was gone, the node comes back to it.
        """
        bob = self.node()
        bob.waitFor(THERE)
        self.assertEqual(self.get().status, 200)
        self.started.kill()
        bob.waitFor("no link: ")
        self.started = self.gate()
        self.started.waitFor("has dialed in", 60)
        answer = self.get()
        self.assertEqual(answer.status, 200, (answer.errors, bob.said()))

    def test_nodeKilled(self) -> None:
        """
        With a node killed its name is not there, and a client is refused and told why; it comes back.
        """
        bob = self.node()
        bob.waitFor(THERE)
        self.assertEqual(self.get().status, 200)
        bob.kill()
        for host in ("bob.corp.example", hostOf(self.keys["bob"])):
            with connected(self.started.port) as client:
                self.assertEqual(4, socks5(client, host, 80), self.started.said())
        self.started.waitFor("no link to here")
        self.node().waitFor(THERE)
        self.assertEqual(self.get().status, 200)

    def test_outsiders(self) -> None:
        """
        Who is not believed gets no link; who is, and asks for a name of others, is refused and told so;
        bob gets his streams as before.
        """
        mallory = self.node("mallory")
        self.started.waitFor(f"its key {self.keys['mallory']} is not pinned")
        eve = self.node("eve")
        said = eve.waitFor("the name bob.corp.example is not given to its key")
        self.assertNotIn(THERE, said)
        self.assertEqual(self.get(host=hostOf(self.keys["eve"])).status, 0)
        self.assertEqual(self.get().status, 0)
        bob = self.node()
        bob.waitFor(THERE)
        self.assertEqual(self.get().status, 200)
        for each in (mallory, eve):
            self.assertNotIn(" -> ", each.said())

    def test_published(self) -> None:
        """
        A port of the gate, and a name that the node has chosen, lead to it; the port is closed with it gone,
        and a port that it may not have is refused.
        """
        port = freePort()
        self.started.end()
        more = f"    hosts: '*.bob.example'\n    ports: {port}\n"
        self.started = self.gate(more, f'{{action: allow, who: "open:*", target: "*:{port}"}}')
        serve = f'site: {{port: {port}, to: "{HOST}:{self.web.port}"}}'
        bob = self.node(more=f",wiki.bob.example:ports={port}", serve=serve)
        bob.waitFor(f"by our key, and bob, bob.corp.example, wiki.bob.example, port {port}")
        answer = curl(self, f"http://{HOST}:{port}/bytes/{MEGABYTE}")
        self.assertEqual(digestOf(MEGABYTE), hashlib.sha256(answer.body).hexdigest(), self.started.said())
        self.assertEqual(200, self.get(host="wiki.bob.example").status)
        bob.end()
        waitUntil(lambda: not accepts(port), "the port is closed")
        greedy = self.node(more=f":ports={port + 1}")
        greedy.waitFor(f"port {port + 1} is not given to its key")
