# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{h2connect:} with Envoy, nghttp and itself on the other side.
"""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from pathlib import Path

from ugate.test.interop.envoys import envoyClient, envoyServer
from ugate.test.interop.processes import (
    DEADLINE,
    HOST,
    LOOPBACK,
    Gateway,
    InteropTestCase,
    freePort,
    needDescriptors,
    program,
    waitUntil,
)
from ugate.test.interop.targets import StreamServer, echo, readAll, readExactly
from ugate.test.tlsfakes import FakeIdentity, Issuer

BULK = random.Random(9).randbytes(24 << 20)
NAMES = "spiffe://cluster.local/ns/default/sa/"


class TunnelTestCase(InteropTestCase):
    """
    What is asked of each way through.
    """

    def connect(self, port: int) -> socket.socket:
        """
        A connection.
        """
        connection = socket.create_connection((HOST, port), DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def assertCarries(self, port: int) -> None:
        """
        It is a way to a server that does as L{tunnelled} does: bulk both ways at once, with every byte in its
        place; an end, and an answer after it; and a server that speaks first.
        """
        connection = self.connect(port)
        self.assertEqual(b"220 ready\n", readExactly(connection, 10))
        sending = threading.Thread(target=self._pour, args=(connection,))
        sending.start()
        got = readAll(connection)
        sending.join(DEADLINE)
        wanted = hashlib.sha256(BULK)
        self.assertEqual(len(BULK) + 32, len(got))
        self.assertEqual(wanted.digest(), hashlib.sha256(got[:-32]).digest())
        self.assertEqual(wanted.digest(), got[-32:])

    def _pour(self, connection: socket.socket) -> None:
        connection.sendall(BULK)
        connection.shutdown(socket.SHUT_WR)

    def server(self) -> StreamServer:
        """
        What is at the end.
        """
        return StreamServer(self, tunnelled)

    def serving(self, **more: str) -> Gateway:
        """
        A gateway that is asked in clear text.
        """
        return self.ugate(listen=f"h2connect:tcp:0:{LOOPBACK}", **more)  # type: ignore[arg-type]

    def using(self, port: int, target: int, *arguments: str) -> Gateway:
        """
        A gateway that sends all through another one.
        """
        return self.ugate(
            "--route",
            f"*=h2connect:{HOST}:{port}:h2c=yes",
            *arguments,
            listen=f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{target}",
        )

    def refusedBy(self, gateway: Gateway) -> str:
        """
        What is in the log of a gateway when there is no way through.
        """
        connection = self.connect(gateway.port)
        try:
            self.assertEqual(b"", connection.recv(1))
        except ConnectionResetError:
            pass
        return gateway.waitFor("refused:")


def tunnelled(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: greet, send back all that comes, and when it has ended what it was.
    """
    connection.sendall(b"220 ready\n")
    seen = hashlib.sha256()
    while data := connection.recv(1 << 18):
        seen.update(data)
        connection.sendall(data)
    connection.sendall(seen.digest())


class EnvoyTests(TunnelTestCase):
    """
    Envoy, in clear text.
    """

    def test_client(self) -> None:
        """
        It uses our gateway.
        """
        server = self.server()
        gateway = self.serving()
        port = envoyClient(self, gateway.port, f"{HOST}:{server.port}")
        for _ in range(2):
            self.assertCarries(port)
        server.ended()

    def test_clientIsRefused(self) -> None:
        """
        What it asks for is not there: it is told so, and goes on.
        """
        gateway = self.serving()
        port = envoyClient(self, gateway.port, f"{HOST}:{freePort()}")
        for _ in range(3):
            with self.assertRaises((ConnectionError, EOFError)):
                readExactly(self.connect(port), 1)
        waitUntil(lambda: gateway.said().count(": connection refused;") >= 3, "three refusals in the log")

    def test_server(self) -> None:
        """
        We use it.
        """
        server = self.server()
        port, _ = envoyServer(self, server.port)
        gateway = self.using(port, server.port)
        for _ in range(2):
            self.assertCarries(gateway.port)
        server.ended()

    def test_serverRefuses(self) -> None:
        """
        Its target is not there: its status and its words are the reason.
        """
        port, _ = envoyServer(self, freePort())
        said = self.refusedBy(self.using(port, 9))
        self.assertIn(f"remote at h2connect:{HOST}:{port}", said)
        self.assertIn("503", said)

    def test_serverIsKilled(self) -> None:
        """
        Streams die with it, and others are refused.
        """
        server = StreamServer(self, echo)
        port, envoy = envoyServer(self, server.port)
        gateway = self.using(port, server.port)
        connection = self.connect(gateway.port)
        connection.sendall(b"hello")
        self.assertEqual(b"hello", readExactly(connection, 5))
        envoy.kill()
        with self.assertRaises((ConnectionError, EOFError)):
            readExactly(connection, 1)
        self.assertIn(f"h2connect:{HOST}:{port}", self.refusedBy(gateway))


class HboneTests(TunnelTestCase):
    """
    Envoy as Istio has it: TLS with SPIFFE certificates on both sides.
    """

    def setUp(self) -> None:
        super().setUp()
        self.root = Issuer("root")
        self.roots = self.write("roots.pem", self.root.pem().decode())

    def files(self, identity: FakeIdentity, name: str) -> Path:
        """
        An identity in one file.
        """
        return self.write(f"{name}.pem", identity.pem().decode())

    def section(self, name: str) -> str:
        """
        An identity, as our configuration has it.
        """
        folder = self.directory / name
        self.root.write(folder, f"{name}.corp", NAMES + name)
        return f"identity: {{dir: {folder}}}\n"

    def test_client(self) -> None:
        """
        Our gateway knows who it is, and what it claims.
        """
        server = self.server()
        rules = f"policy: {{rules: [{{who: 'certificate:{NAMES}envoy', action: allow}}]}}\n"
        gateway = self.ugate(
            config=self.section("gate") + rules + 'listen: {main: "h2connect:mtls:tcp:0"}\n', listen=""
        )
        for name, may in (("envoy", True), ("other", False)):
            files = self.files(self.root.identity(f"{name}.corp", NAMES + name), name)
            port = envoyClient(
                self,
                gateway.port,
                f"{HOST}:{server.port}",
                (files, self.roots),
                {"baggage": "k8s.pod.name=a"},
            )
            if may:
                self.assertCarries(port)
            else:
                with self.assertRaises((ConnectionError, EOFError)):
                    readExactly(self.connect(port), 1)
        said = gateway.waitFor("denied by policy")
        self.assertIn(f"{NAMES}envoy", said)

    def test_server(self) -> None:
        """
        We use it, if it is who it has to be.
        """
        server = self.server()
        files = self.files(self.root.identity("envoy.corp", NAMES + "envoy"), "envoy")
        port, _ = envoyServer(self, server.port, (files, self.roots))
        config = (
            self.section("gate")
            + f"listen: {{main: 'forward:tcp:0:{LOOPBACK}:to={HOST}\\:{server.port}'}}\n"
            + "routes: [{match: '*', via: 'h2connect:"
            + f"{HOST}:{port}:name=%s'}}]\n"
        )
        self.assertCarries(self.ugate(config=config % (NAMES + "envoy").replace(":", "\\:"), listen="").port)
        gateway = self.ugate(config=config % (NAMES + "else").replace(":", "\\:"), listen="")
        self.assertIn("it is not of that name", self.refusedBy(gateway))


class OwnTests(TunnelTestCase):
    """
    Two gateways of ours, and programs that speak HTTP/2 and no CONNECT.
    """

    def test_both(self) -> None:
        """
        One behind the other.
        """
        server = self.server()
        serving = self.serving()
        gateway = self.using(serving.port, server.port)
        for _ in range(2):
            self.assertCarries(gateway.port)
        server.ended()

    def test_nghttp(self) -> None:
        """
        A request that is no CONNECT is answered, and so is the next on the same connection.
        """
        gateway = self.serving()
        url = f"http://{HOST}:{gateway.port}/"
        done = self.finish([program("nghttp", "nghttp2-client"), "-v", url, url + "again"])
        said = done.stdout.decode(errors="replace")
        self.assertEqual(0, done.returncode, said)
        self.assertEqual(2, said.count(":status: 405"), said)
        self.assertIn("This port carries streams: CONNECT HOST:PORT", said)

    def test_h2load(self) -> None:
        """
        Thousands of such requests from a few connections.
        """
        gateway = self.serving()
        command = [program("h2load", "nghttp2-client"), "-n", "2000", "-c", "4", "-m", "50"]
        done = self.finish([*command, f"http://{HOST}:{gateway.port}/"])
        said = done.stdout.decode(errors="replace")
        self.assertIn("2000 done, 0 succeeded, 2000 failed, 0 errored, 0 timeout", said)
        self.assertIn("2000 4xx", said)

    def test_curl(self) -> None:
        """
        The same by curl, which has an HTTP/2 of its own way to begin.
        """
        gateway = self.serving()
        command = [program("curl"), "-sS", "--http2-prior-knowledge", "-w", "%{http_code}"]
        done = self.finish([*command, f"http://{HOST}:{gateway.port}/"])
        self.assertIn(b"405", done.stdout)

    def test_notHttp2(self) -> None:
        """
        A browser's HTTP/1.1 is ended at once, and said to be what it is.
        """
        gateway = self.serving()
        connection = self.connect(gateway.port)
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIn(b"does not begin as HTTP/2 does", readAll(connection))

    def test_thousandStreams(self) -> None:
        """
        A thousand at once, on one link, and the one that is never read holds up none.
        """
        needDescriptors(4096)
        server = StreamServer(self, echo)
        serving = self.serving()
        gateway = self.using(serving.port, server.port)
        stuck = self.connect(gateway.port)
        stuck.settimeout(1.0)
        with self.assertRaises(TimeoutError):
            while True:
                stuck.sendall(bytes(1 << 20))
        others = [self.connect(gateway.port) for _ in range(998)]
        for number, each in enumerate(others):
            each.sendall(b"%08d" % number)
        for number, each in enumerate(others):
            self.assertEqual(b"%08d" % number, readExactly(each, 8))
        quick = self.connect(gateway.port)
        self._pourAndRead(quick)
        self.assertLess(serving.descriptors(), 1100)

    def _pourAndRead(self, connection: socket.socket) -> None:
        sending = threading.Thread(target=self._pour, args=(connection,))
        sending.start()
        self.assertEqual(hashlib.sha256(BULK).digest(), hashlib.sha256(readAll(connection)).digest())
        sending.join(DEADLINE)

    def test_peerIsKilled(self) -> None:
        """
        A gateway that is killed takes its streams with it; one in its place is used.
        """
        server = StreamServer(self, echo)
        port = freePort()
        first = self.ugate(listen=f"h2connect:tcp:{port}:{LOOPBACK}")
        gateway = self.using(port, server.port)
        connection = self.connect(gateway.port)
        connection.sendall(b"one")
        self.assertEqual(b"one", readExactly(connection, 3))
        first.kill()
        with self.assertRaises((ConnectionError, EOFError)):
            readExactly(connection, 1)
        self.ugate(listen=f"h2connect:tcp:{port}:{LOOPBACK}")
        waitUntil(lambda: self._answers(gateway.port), "the new gateway is used")

    def _answers(self, port: int) -> bool:
        connection = self.connect(port)
        try:
            connection.sendall(b"two")
            return readExactly(connection, 3) == b"two"
        except (ConnectionError, EOFError):
            return False
