# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Clients of C{mtls:} that are slow, or do what nobody does who means well.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from contextlib import ExitStack
from pathlib import Path

from ugate.endpoints.negotiated import PENDING
from ugate.protocols.h2frames import PING, PREFACE, SETTINGS, frameHead
from ugate.protocols.tlsrecords import ANSWERS
from ugate.test.hellofakes import realHello
from ugate.test.identityfakes import authority
from ugate.test.interop.asking import connected, curl
from ugate.test.interop.processes import HOST, LOOPBACK, accepts, freePort, program, waitUntil
from ugate.test.interop.rawtls import TLS12, TLS13, BrokenOff, RawTLS
from ugate.test.interop.targets import readAll
from ugate.test.interop.test_mtlspeers import NAME, DomainTestCase

UPDATES = 100
_ANSWER = 27
"""Bytes of new keys."""

_ASKED = b"GET /bytes/10 HTTP/1.0\r\n\r\n"


class Client:
    """
    A client over memory, whose bytes somebody else sends.

    @ivar hello: its first flight.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._client = context.wrap_bio(self._incoming, self._outgoing, server_hostname=NAME)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._client.do_handshake()
        self.hello = self._outgoing.read()

    def second(self, connection: socket.socket) -> bytes:
        """
        Its second flight, when it has heard the server.
        """
        while True:
            self._incoming.write(connection.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                self._client.do_handshake()
                return self._outgoing.read()

    def read(self, data: bytes) -> None:
        """
        What the server says then.
        """
        self._incoming.write(data)
        self._client.read(1)


class HostileTests(DomainTestCase):
    """
    A listener that gives little time.
    """

    limit = 90.0
    handshake = 2

    def setUp(self) -> None:
        super().setUp()
        self.listening(self.web.port)

    def listening(self, port: int) -> None:
        """
        Lead to that port.
        """
        self.gateway = self.node(
            self.domain.istio("gate", self.server),
            f"node: {{handshake: {self.handshake}}}\n"
            f'listen: {{main: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{port}"}}}}\n'
            "policy: {private: allow, rules: [{who: 'certificate:*', action: allow}]}\n",
        )
        self.pem: Path = self.domain.pem("web", self.domain.member("web"))

    def good(self) -> None:
        """
        Who means well is served.
        """
        more = ("--cert", str(self.pem), "--cacert", str(self.domain.roots))
        answer = curl(self, *more, f"https://localhost:{self.gateway.port}/bytes/10")
        self.assertEqual(200, answer.status, answer.errors)

    def raw(self, version: int = TLS13, pem: Path | None = None) -> RawTLS:
        """
        A client that can do what it should not.
        """
        return RawTLS(self.gateway.port, pem or self.pem, version)

    def client(self) -> Client:
        """
        One that is asked for each of its flights.
        """
        context = ssl.create_default_context(cafile=str(self.domain.roots))
        context.load_cert_chain(self.pem)
        return Client(context)

    def test_stalled(self) -> None:
        """
        One that stops in any of its flights is cut when its time is over, and nothing is left of it.
        """
        self.good()
        before = self.gateway.descriptors()
        hostile = self.client()
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(self.gateway.port)) for _ in range(4)]
            _, partly, wholly, nearly = clients
            partly.sendall(hostile.hello[:100])
            for client in (wholly, nearly):
                client.sendall(hostile.hello)
            nearly.sendall(hostile.second(nearly)[:-10])
            for client in clients:
                self.assertRaises(ConnectionResetError, readAll, client)
        over = "no end of the handshake"
        waitUntil(lambda: self.gateway.said().count(over) == len(clients), over)
        waitUntil(lambda: self.gateway.descriptors() <= before, "descriptors as before")
        self.good()

    def test_garbage(self) -> None:
        """
        Noise in place of the second flight is answered by an alert.
        """
        for noise, alert, log in (
            (b"\x17\x03\x03\x00\x20" + bytes(32), "bad record mac", "decryption failed or bad record mac"),
            (b"\x16\x03\x03\x00\x04\x63\x00\x00\x00", "unexpected message", "bad record type"),
            (b"GET / HTTP/1.0\r\n\r\n", "unexpected message", "bad record type"),
        ):
            hostile = self.client()
            with connected(self.gateway.port) as client:
                client.sendall(hostile.hello)
                hostile.second(client)
                client.sendall(noise)
                said = readAll(client)
                at = client.getsockname()[1]
            error = self.assertRaises(ssl.SSLError, hostile.read, said)
            self.assertIn(f"alert {alert}", str(error))
            self.gateway.waitFor(f"{HOST}:{at}: TLS at peer: {log}")
        self.good()

    def test_halfOpen(self) -> None:
        """
        More than may be in the middle of their handshakes: the oldest are cut, and who means well is served.
        """
        self.good()
        before = self.gateway.descriptors()
        hello = realHello("localhost")
        with ExitStack() as stack:
            clients = []
            for _ in range(PENDING + 100):
                client = stack.enter_context(connected(self.gateway.port))
                client.sendall(hello)
                clients.append(client)
            self.good()
            # There is room for that one.
            self.assertRaises(ConnectionResetError, readAll, clients[0])
            self.assertLess(self.gateway.descriptors(), before + PENDING + 20)
            waitUntil(lambda: self.gateway.descriptors() <= before, "descriptors as before")
        self.good()

    def test_newKeys(self) -> None:
        """
        There is no other handshake inside of the first; new keys may come again and again, also if ours are
        asked for.
        """
        with self.raw(TLS12) as client:
            client.connect()
            error = self.assertRaises(BrokenOff, client.renegotiate)
            self.assertIn("no renegotiation", str(error))
        with self.raw() as client:
            client.connect()
            for number in range(UPDATES):
                client.updateKey(number % 2 == 0)
            client.write(_ASKED)
            self.assertEqual(b"HTTP/1.1 200", client.readExactly(12))
        self.good()

    def test_newKeysOfALink(self) -> None:
        """
        The same of a link of many streams; but who has all of them answered, over and over, is cut.
        """
        self.gateway = self.node(
            self.domain.istio("gate", self.server),
            f'listen: {{main: {{endpoint: "h2connect:mtls:tcp:0:{LOOPBACK}"}}}}\n'
            "policy: {private: allow, rules: [{who: 'certificate:*', action: allow}]}\n",
        )
        with self.raw() as client:
            client.connect()
            client.write(PREFACE + frameHead(0, SETTINGS, 0, 0))
            for number in range(UPDATES):
                client.updateKey(number % 2 == 0)
            ping = frameHead(8, PING, 0, 0) + b"whoisit?"
            client.write(ping)
            said = b""
            while ping[9:] not in said:
                said += client.read(65536)
            asked = 0
            with contextlib.suppress(BrokenOff):
                while asked < ANSWERS:
                    client.updateKey(True)
                    asked += 1
        self.assertGreater(asked, ANSWERS // _ANSWER // 2)
        self.assertLess(asked, ANSWERS)

    def test_earlyData(self) -> None:
        """
        What is sent before the handshake is not taken, and the handshake goes on without it.
        """
        port = freePort()
        session, early = self.directory / "session", self.write("early", _ASKED.decode())
        openssl = program("openssl")
        own: list[str | Path] = ["-cert", self.pem, "-key", self.pem, "-cert_chain", self.pem]
        command = [openssl, "s_server", "-accept", f"{HOST}:{port}", *own]
        # Both end with their input.
        server = self.spawn([*command, "-early_data", "-max_early_data", "16384"], stdin=subprocess.PIPE)
        waitUntil(lambda: accepts(port), "the server")
        client = [openssl, "s_client", "-tls1_3", *own]
        asking = self.spawn(
            [*client, "-connect", f"{HOST}:{port}", "-sess_out", session], stdin=subprocess.PIPE
        )
        waitUntil(lambda: session.exists() and "END SSL" in session.read_text(), "a session")
        for child in (asking, server):
            child.end()
        client += ["-connect", f"{HOST}:{self.gateway.port}", "-sess_in", session, "-early_data", early]
        done = self.finish([*client, "-ign_eof"], _ASKED)
        self.assertIn(b"Early data was rejected", done.stdout)
        self.assertIn(b"New, TLSv1.3", done.stdout)
        self.assertEqual(1, done.stdout.count(b"HTTP/1.1 200"))

    def test_certificates(self) -> None:
        """
        A client that would compress its certificate does not, as we do not ask for that; and one that has
        more of them than anybody needs is told so.
        """
        command: list[str | Path] = [program("gnutls-cli", "gnutls-bin"), "--compress-cert", "zlib"]
        command += ["--x509cafile", self.domain.roots, "--x509certfile", self.pem, "--x509keyfile", self.pem]
        done = self.finish([*command, "-p", str(self.gateway.port), "localhost"], _ASKED)
        self.assertIn(b"HTTP/1.1 200", done.stdout, done.stderr)
        other = self.directory / "huge.pem"
        many = b"".join(authority(f"{number}", **self.domain.dates).pem() for number in range(400))
        other.write_bytes(self.pem.read_bytes() + many)
        for version in (TLS12, TLS13):
            with self.raw(version, other) as client:
                error = self.assertRaises(BrokenOff, self._all, client)
            self.assertIn("illegal parameter", str(error))
        self.gateway.waitFor("excessive message size")
        self.good()

    def _all(self, client: RawTLS) -> None:
        client.connect()
        client.read(1)
