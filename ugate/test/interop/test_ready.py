# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A node without an address: processes of ugate, with curl and plain sockets at their ends.
"""

from __future__ import annotations

import hashlib
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import hostOf, keyidOf
from ugate.test.docpages import listing
from ugate.test.interop.asking import Answer, connected, curl
from ugate.test.interop.processes import DEADLINE, HOST, Gateway, InteropTestCase, freePort
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, digestOf, readAll, webServer

BOB = "BOB4CVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
KEEPS = "the gate keeps our connections"
SIZE = 64 * MEGABYTE


class ReadyTests(InteropTestCase):
    """
    The recipe, on one machine.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.keys = {name: self.key(name) for name in ("gate", "bob", "mallory")}
        self.web = webServer(self)
        self.ready = freePort()
        self.started = self.gate()

    def key(self, name: str) -> str:
        """
        Make the key of a node, and its certificate for clients.
        """
        folder = self.directory / name
        folder.mkdir(0o700)
        certificate = Own(str(folder), Identity()).load().certificate
        (self.directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return keyidOf(certificate.public_key())

    def gate(self) -> Gateway:
        """
        Start the gate.
        """
        config = listing("ready-gate.yaml").replace(BOB, self.keys["bob"])
        config = config.replace("tcp:443", f"tcp:0:interface={HOST}")
        config = config.replace("tcp:15007", f"tcp:{self.ready}:interface={HOST}")
        return self.ugate("--state", str(self.directory / "gate"), config=config)

    def node(self, name: str = "bob", port: int = 0, more: str = "") -> Gateway:
        """
        Start a node.

        @param port: what it serves.
        """
        config = listing("ready-node.yaml").replace("gate.example:15007", f"{HOST}:{self.ready}{more}")
        config = config.replace("127.0.0.1:8080", f"{HOST}:{port or self.web.port}")
        return self.ugate("--state", str(self.directory / name), config=config)

    def get(self, path: str = "facts", *options: str, name: str = "bob") -> Answer:
        """
        Ask the node by its name.
        """
        host = hostOf(self.keys[name])
        return curl(
            self,
            *("--connect-to", f"::{HOST}:{self.started.ports['tls']}", *options),
            *("--cacert", str(self.directory / f"{name}.pem"), f"https://{host}/{path}"),
        )

    def holds(self, gateway: Gateway, word: bytes) -> bool:
        """
        Whether it is in the memory of a process.
        """
        folder = Path(f"/proc/{gateway.pid}")
        with (folder / "mem").open("rb", 0) as memory:
            for line in (folder / "maps").read_text().splitlines():
                where, mode, *_ = line.split()
                begin, end = (int(each, 16) for each in where.split("-"))
                if mode.startswith("rw") and "[v" not in line:
                    memory.seek(begin)
                    if word in memory.read(end - begin):
                        return True
        return False

    def test_byName(self) -> None:
        """
        A client sees the certificate of the node; the log of the gate has nothing of what was said.
        """
        bob = self.node()
        bob.waitFor(KEEPS)
        answer = self.get("secretpath")
        self.assertEqual(answer.status, 200, (answer.errors, self.started.said(), bob.said()))
        self.assertNotIn("secretpath", self.started.said())
        self.assertFalse(self.holds(self.started, b"secretpath"))
        self.assertTrue(self.holds(bob, hostOf(self.keys["bob"]).encode()))
        self.assertEqual(self.get(name="mallory").exit, 35)
        self.started.waitFor("no node of that name is known here")

    def test_many(self) -> None:
        """
        More clients at once than connections are ready.
        """
        bob = self.node()
        bob.waitFor(KEEPS)
        context = ssl.create_default_context(cafile=str(self.directory / "bob.pem"))

        def ask(number: int) -> bytes:
            with connected(self.started.ports["tls"]) as plain:
                plain.settimeout(DEADLINE)
                with context.wrap_socket(plain, server_hostname=hostOf(self.keys["bob"])) as client:
                    client.sendall(b"GET /bytes/%d HTTP/1.1\r\nConnection: close\r\n\r\n" % number)
                    return readAll(client).partition(b"\r\n\r\n")[2]

        with ThreadPoolExecutor(100) as pool:
            sizes = [len(each) for each in pool.map(ask, range(100))]
        self.assertEqual(sizes, list(range(100)), (self.started.said(), bob.said()))

    def test_bulk(self) -> None:
        """
        Much goes through in both directions, unchanged.
        """
        self.node().waitFor(KEEPS)
        answer = self.get(f"bytes/{SIZE}")
        self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digestOf(SIZE))
        body = self.directory / "body"
        body.write_bytes(BLOCK * (SIZE // MEGABYTE))
        answer = self.get("put", "-T", str(body))
        self.assertEqual(answer.json()["sha256"], digestOf(SIZE))

    def test_halfClose(self) -> None:
        """
        What a client has ended is answered still.
        """
        server = StreamServer(self, lambda connection: connection.sendall(b"%d" % len(readAll(connection))))
        self.node(port=server.port).waitFor(KEEPS)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(self.directory / "bob.pem"))
        context.set_verify(SSL.VERIFY_PEER)
        plain = connected(self.started.ports["tls"])
        self.addCleanup(plain.close)
        plain.settimeout(None)
        client = SSL.Connection(context, plain)
        client.set_tlsext_host_name(hostOf(self.keys["bob"]).encode())
        client.set_connect_state()
        client.sendall(b"x" * 100_000)
        client.shutdown()
        self.assertEqual(client.recv(100), b"100000")

    def test_outsiders(self) -> None:
        """
        Who is not believed is told so, and keeps no connection; who has another's configuration is another.
        """
        mallory = self.node("mallory")
        mallory.waitFor("is not pinned")
        self.assertEqual(self.get(name="mallory").exit, 35)

    def test_otherGate(self) -> None:
        """
        A node goes to the gate that it was told, and proves nothing to another.
        """
        bob = self.node(more=f":gate={self.keys['mallory']}")
        bob.waitFor(f"it says that it is {self.keys['gate']}, and not {self.keys['mallory']}")
        self.assertEqual(self.get().exit, 35)

    def test_killed(self) -> None:
        """
        With the node gone clients are refused; it comes back, and so it does when the gate was gone.
        """
        bob = self.node()
        bob.waitFor(KEEPS)
        bob.kill()
        self.assertEqual(self.get().exit, 35)
        self.started.waitFor("keeps no connection here")
        bob = self.node()
        bob.waitFor(KEEPS)
        self.assertEqual(self.get().status, 200)
        self.started.kill()
        bob.waitFor("it is tried again")
        self.started = self.gate()
        answer = self.get("facts", "--retry", "10", "--retry-all-errors", "--retry-delay", "1")
        self.assertEqual(answer.status, 200, (answer.errors, bob.said()))
