# -*- test-case-name: ugate.test.interop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the streams of tests lead to: an HTTP server with and without TLS, and servers of a few lines each, in
threads of the test.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twisted.trial.unittest import SynchronousTestCase

from ugate.test.interop.processes import DEADLINE, HOST

MEGABYTE = 1 << 20
BLOCK = random.Random(4).randbytes(MEGABYTE)
"""What bodies are made of."""

_QUICK = 0.02


def digestOf(size: int) -> str:
    """
    The SHA-256 of as many bytes of repeated blocks.
    """
    digest = hashlib.sha256()
    for _ in range(size // MEGABYTE):
        digest.update(BLOCK)
    digest.update(BLOCK[: size % MEGABYTE])
    return digest.hexdigest()


class _Requests(BaseHTTPRequestHandler):
    """
    C{GET /bytes/N}, C{GET /chunked/N}, C{GET /who}; PUT and POST are told what they sent; an upgrade to
    C{echo}.
    """

    protocol_version = "HTTP/1.1"
    timeout = DEADLINE
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """
        Give what the path says.
        """
        if self.headers.get("Upgrade") == "echo":
            self._echo()
            return
        _, what, *rest = self.path.split("/")
        if what == "bytes":
            self._bytes(int(rest[0]))
        elif what == "chunked":
            self._chunked(int(rest[0]))
        else:
            self._told({})

    def do_PUT(self) -> None:
        """
        Take a body, whatever says where it ends.
        """
        digest, size = hashlib.sha256(), 0
        for chunk in self._body():
            digest.update(chunk)
            size += len(chunk)
        self._told({"size": size, "sha256": digest.hexdigest()})

    do_POST = do_PUT

    def do_HEAD(self) -> None:
        """
        Give the head of what C{GET} gives.
        """
        self.send_response(200)
        self.send_header("Content-Length", self.path.rpartition("/")[2])
        self.end_headers()

    def _body(self) -> Any:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            left = int(self.headers.get("Content-Length", 0))
            while left:
                chunk = self.rfile.read(min(left, MEGABYTE))
                if not chunk:
                    raise ConnectionError("a body that is cut")
                left -= len(chunk)
                yield chunk
            return
        while True:
            size = int(self.rfile.readline(), 16)
            chunk = self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return
            yield chunk

    def _told(self, facts: dict[str, object]) -> None:
        server = self.server
        assert isinstance(server, WebServer)
        facts.update(
            method=self.command,
            path=self.path,
            server=server.name,
            peer=self.client_address[1],
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _bytes(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for _ in range(size // MEGABYTE):
            self.wfile.write(BLOCK)
        self.wfile.write(BLOCK[: size % MEGABYTE])

    def _chunked(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while size:
            count = min(size, 50_000)
            self.wfile.write(b"%x\r\n%b\r\n" % (count, BLOCK[:count]))
            size -= count
        self.wfile.write(b"0\r\n\r\n")

    def _echo(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "echo")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        while data := self.rfile.read1(65536):
            self.wfile.write(data.upper())
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """
        Say nothing.
        """


class WebServer(ThreadingHTTPServer):
    """
    An HTTP server with a name, on a free port.
    """

    daemon_threads = True
    request_queue_size = 256
    families: ClassVar = {False: socket.AF_INET, True: socket.AF_INET6}

    def __init__(self, name: str, host: str, tls: ssl.SSLContext | None) -> None:
        self.name = name
        self.address_family = self.families[":" in host]
        super().__init__((host, 0), _Requests)
        if tls is not None:
            # Shaken hands in the thread of the connection, not where it is accepted.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self.server_address[1]
        return port

    def handle_error(self, request: Any, client_address: Any) -> None:
        """
        A client that went away is no matter of this server.
        """


class Certificate:
    """
    A certificate for this machine that signs itself.
    """

    def __init__(self, directory: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in (HOST, "::1")]
        now = datetime.now(timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), False)
            .add_extension(x509.BasicConstraints(True, None), True)
            .sign(key, hashes.SHA256())
        )
        self.path = directory / "certificate.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = directory / "key.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.path, private)


def webServer(
    test: SynchronousTestCase, name: str = "web", host: str = HOST, tls: ssl.SSLContext | None = None
) -> WebServer:
    """
    Start an HTTP server that ends with the test.
    """
    server = WebServer(name, host, tls)
    _thread(test, server)
    return server


def _thread(test: SynchronousTestCase, server: BaseServer) -> None:
    thread = threading.Thread(target=server.serve_forever, args=(_QUICK,), daemon=True)
    thread.start()
    test.addCleanup(server.server_close)
    test.addCleanup(server.shutdown)


class StreamServer:
    """
    Runs a function for each connection, in a thread of its own.

    @ivar port: where it listens.
    @ivar failures: what went wrong in the function.
    """

    def __init__(self, test: SynchronousTestCase, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self._listening = socket.create_server((HOST, 0), backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self.failures: list[Exception] = []
        self.threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()
        test.addCleanup(self.close)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._one, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        connection.settimeout(DEADLINE)
        with connection:
            try:
                self._serve(connection)
            except Exception as error:
                self.failures.append(error)

    def close(self) -> None:
        """
        Accept no more.
        """
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def ended(self) -> None:
        """
        Wait until each connection has ended, and raise what went wrong in one.
        """
        for thread in self.threads:
            thread.join(DEADLINE)
            if thread.is_alive():
                raise AssertionError("a connection to the target is still open")
        if self.failures:
            raise self.failures[0]


def readAll(connection: socket.socket) -> bytes:
    """
    All that comes until the other side ends.
    """
    parts = []
    while data := connection.recv(MEGABYTE):
        parts.append(data)
    return b"".join(parts)


def readExactly(connection: socket.socket, size: int) -> bytes:
    """
    As many bytes.
    """
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError(f"{len(data)} of {size} bytes: {data[:200]!r}")
        data += more
    return data


def echo(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: send back what comes.
    """
    while data := connection.recv(65536):
        connection.sendall(data)


def trickle(count: int, pause: float, size: int = 1000) -> Callable[[socket.socket], None]:
    """
    A function for L{StreamServer}: send C{count} pieces of a block, with a pause after each.
    """

    def serve(connection: socket.socket) -> None:
        for number in range(count):
            connection.sendall(BLOCK[number * size : (number + 1) * size])
            time.sleep(pause)

    return serve
