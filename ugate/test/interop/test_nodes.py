# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Nodes that reach each other by name: processes of ugate, with curl and plain sockets at their ends.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from ugate.tenancy.keyids import hostOf
from ugate.test.docpages import listing
from ugate.test.interop.asking import Answer, connected, curl, socks5
from ugate.test.interop.datagrams import DatagramEcho, asked, client
from ugate.test.interop.meshes import newKey
from ugate.test.interop.processes import DEADLINE, HOST, Gateway, InteropTestCase, freePort, waitUntil
from ugate.test.interop.targets import StreamServer, readAll, readExactly, webServer

ALICE = "ALICEVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
BOB = "BOB4CVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
ADDRESSES = '["connect:192.0.2.2:15008", "connect:bob.example:15008"]'
"""What the recipe has in these places."""


class NodesTests(InteropTestCase):
    """
    The recipe, on one machine.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.keys = {name: newKey(self.directory / name) for name in ("alice", "bob", "mallory")}
        self.web = webServer(self)

    def node(self, name: str, config: str) -> Gateway:
        """
        Start it.
        """
        # Whoever copies bob's configuration has a name of its own.
        config = config.replace(BOB.lower(), self.keys[name].lower())
        config = config.replace(ALICE, self.keys["alice"]).replace(BOB, self.keys["bob"])
        config = config.replace(":tcp:15008", f":tcp:0:interface={HOST}").replace("tcp:1080:", "tcp:0:")
        return self.ugate("--state", str(self.directory / name), config=config)

    def bob(self, name: str = "bob", more: str = "") -> int:
        """
        Who serves.

        @return: the port of his mesh.
        """
        config = listing("bob.yaml").replace("127.0.0.1:8080", f"{HOST}:{self.web.port}")
        gateway = self.node(name, config.replace("serve:\n", f"serve:\n{more}"))
        self.served = gateway
        return gateway.ports["mesh"]

    def alice(self, *ports: int, name: str = "alice", more: str = "") -> Gateway:
        """
        Who asks.
        """
        addresses = json.dumps([f"connect:{HOST}:{port}" for port in ports])
        return self.node(name, listing("alice.yaml").replace(ADDRESSES, addresses) + more)

    def get(self, gateway: Gateway, host: str) -> Answer:
        """
        curl through a gateway.
        """
        return curl(self, "-x", gateway.url("socks5h"), f"http://{host}/facts")

    def test_byName(self) -> None:
        """
        By the name of the key and by alias; another port is refused, and so is a place behind bob.
        """
        alice = self.alice(self.bob())
        for host in (hostOf(self.keys["bob"]), "bob", "BOB"):
            answer = self.get(alice, host)
            self.assertEqual(answer.status, 200, (answer.errors, alice.said(), self.served.said()))
        self.assertEqual(self.get(alice, f"bob:{self.web.port}").status, 0)
        self.served.waitFor(f"serves nothing on port {self.web.port} of its own name")
        self.assertEqual(self.get(alice, f"{hostOf(self.keys['mallory'])}").status, 0)
        alice.waitFor("no node of that name is known here")

    def test_links(self) -> None:
        """
        By HTTP/2, streams to a node are carried, by whichever of its names.
        """
        config = listing("bob.yaml").replace("127.0.0.1:8080", f"{HOST}:{self.web.port}")
        config = config.replace("connect:mtls:", "h2connect:mtls:")
        bob = self.node("bob", config)
        port = bob.ports["mesh"]
        alice = listing("alice.yaml").replace(ADDRESSES, json.dumps([f"h2connect:{HOST}:{port}"]))
        gateway = self.node("alice", alice)
        for host in (hostOf(self.keys["bob"]), "bob", "BOB"):
            answer = self.get(gateway, host)
            self.assertEqual(answer.status, 200, (answer.errors, gateway.said(), bob.said()))

    def test_datagrams(self) -> None:
        """
        By HTTP/2, datagrams go to what bob serves for them, and to nothing else.
        """
        echo = DatagramEcho(self)
        config = listing("bob.yaml").replace("127.0.0.1:8080", f"{HOST}:{self.web.port}")
        config = config.replace("connect:mtls:", "h2connect:mtls:")
        config = config.replace("serve:\n", f'serve:\n  dns: {{port: 53, to: "udp:{HOST}:{echo.port}"}}\n')
        bob = self.node("bob", config)
        ways = json.dumps([f"h2connect:{HOST}:{bob.ports['mesh']}"])
        listen = "  {name}: {{endpoint: 'udp:0:to=bob\\:{port}'}}\n".format
        more = "listen:\n" + listen(name="dns", port=53) + listen(name="web", port=80)
        alice = self.node("alice", listing("alice.yaml").replace(ADDRESSES, ways).replace("listen:\n", more))
        for size in (1, 1400, 60000):
            self.assertEqual(size, len(asked(client(self, alice.ports["dns"]), bytes(size))), bob.said())
        client(self, alice.ports["web"]).send(b"x")
        bob.waitFor("serves nothing on port 80 of its own name for datagrams")
        alice.waitFor("refused")

    def test_outsider(self) -> None:
        """
        Who has bob's name and not his key gets no byte; who has neither name nor pin is not let in.
        """
        bob = self.bob()
        real = self.served
        copy = self.bob("mallory")
        alice = self.alice(copy)
        self.assertEqual(self.get(alice, "bob").status, 0)
        alice.waitFor(f"its key is {self.keys['mallory']}, and not that of this name")
        self.assertNotIn(" -> ", self.served.said())
        mallory = self.alice(bob, name="mallory")
        self.assertEqual(self.get(mallory, "bob").status, 0)
        real.waitFor(f"its key {self.keys['mallory']} is not pinned")

    def test_addresses(self) -> None:
        """
        One that refuses, and one that accepts and says nothing, are passed over, and avoided from then on;
        C{ucli nodes} shows it.
        """
        silent = StreamServer(self, readAll)
        port = freePort()
        http = f'\nhttp: {{main: {{endpoint: "tcp:{port}:interface={HOST}"}}}}\n'
        alice = self.alice(freePort(), silent.port, self.bob(), more=http)
        for _ in range(3):
            answer = self.get(alice, "bob")
            self.assertEqual(answer.status, 200, (answer.errors, alice.said()))
        self.assertEqual(len(silent.threads), 1)
        shown = self.shown(port)
        self.assertEqual([each["names"] for each in shown], [["bob"]] * 3)
        self.assertIn("connection refused", shown[0]["failure"])
        self.assertIn("timed out", shown[1]["failure"])
        self.assertEqual(shown[2]["failure"], "")
        ucli = str(Path(sys.executable).with_name("ucli"))
        done = self.finish([ucli, "--url", f"http://{HOST}:{port}", "nodes"])
        self.assertIn(self.keys["bob"], done.stdout.decode())

    def shown(self, port: int) -> list[dict[str, Any]]:
        """
        What C{ucli nodes} says.
        """
        ucli = str(Path(sys.executable).with_name("ucli"))
        done = self.finish([ucli, "--url", f"http://{HOST}:{port}", "--json", "nodes"])
        shown: list[dict[str, Any]] = json.loads(done.stdout)
        return shown

    def test_registered(self) -> None:
        """
        Bob tells a gate how he is reached, and takes it back in the end.  An address of this machine is shown
        there, but a node of the network leads nobody to it.
        """
        port = freePort()
        http = f'\nhttp: {{main: {{endpoint: "tcp:{port}:interface={HOST}"}}}}\n'
        gate = self.alice(1, more=f"{http}registrar: {{gate: {{keys: {self.keys['mallory']}}}}}\n")
        remote = f'remotes: {{gate: {{url: "http://{HOST}:{port}"}}}}\nregister: {{gate: {{addresses: '
        node = self.node("mallory", f"{listing('bob.yaml')}\n{remote}['connect::15999']}}}}\n")
        keyid = self.keys["mallory"]

        def found() -> list[dict[str, Any]]:
            return [each for each in self.shown(port) if each["keyid"] == keyid]

        (state,) = waitUntil(found, "the gate knows it")
        self.assertEqual((state["address"], state["source"]), (f"connect:{HOST}:15999", "registration"))
        self.assertTrue(0 < state["expires"] <= 900)
        self.assertEqual(self.get(gate, keyid).status, 0)
        gate.waitFor("a loopback address that the network gave us")
        node.process.terminate()
        node.wait()
        self.assertEqual(found(), [])

    def stream(self, gateway: Gateway, port: int) -> socket.socket:
        """
        A stream to bob.
        """
        connection = connected(gateway.port)
        self.addCleanup(connection.close)
        connection.settimeout(DEADLINE)
        self.assertEqual(socks5(connection, "bob", port), 0)
        return connection

    def test_serverFirst(self) -> None:
        """
        A server that speaks first is heard; the end of one direction passes, and then comes the answer.
        """
        heard = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"220 hello\r\n")
            data = readAll(connection)
            heard.append(data)
            connection.sendall(b"%d" % len(data))

        server = StreamServer(self, serve)
        alice = self.alice(self.bob(more=f'  mail: {{port: 25, to: "{HOST}:{server.port}"}}\n'))
        connection = self.stream(alice, 25)
        self.assertEqual(readExactly(connection, 11), b"220 hello\r\n")
        body = bytes(range(256)) * 4096
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(readAll(connection), b"%d" % len(body))
        server.ended()
        self.assertEqual(heard, [body])
