# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS by name, with curl and openssl as clients, and nginx and openssl as servers.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ugate.protocols.clienthello import Alert, alertRecord
from ugate.test.hellofakes import realHello
from ugate.test.interop.asking import connected, curl
from ugate.test.interop.processes import (
    HOST,
    LOOPBACK,
    Gateway,
    InteropTestCase,
    freePort,
    program,
    waitUntil,
)
from ugate.test.interop.targets import (
    BLOCK,
    MEGABYTE,
    Certificate,
    StreamServer,
    digestOf,
    readAll,
    readExactly,
    webServer,
)
from ugate.test.test_sni import mangled

NAMES = ("one.example", "two.example")
MANGLED = 10_000


def _pour(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: so is what was for it.
        sink.close()


def naming(test: InteropTestCase, ports: Mapping[str, int]) -> int:
    """
    A SOCKS5 proxy that knows names of its own.

    @param ports: where on this machine each name leads.
    @return: its port.
    """

    def serve(connection: socket.socket) -> None:
        readExactly(connection, 3)
        connection.sendall(b"\x05\x00")
        name = readExactly(connection, readExactly(connection, 5)[4]).decode()
        readExactly(connection, 2)
        if name not in ports:
            connection.sendall(b"\x05\x04\x00\x01" + bytes(6))
            return
        with socket.create_connection((HOST, ports[name])) as onward:
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=_pour, args=(onward, connection), daemon=True)
            back.start()
            _pour(connection, onward)
            back.join()

    return StreamServer(test, serve).port


class SniTests(InteropTestCase):
    """
    Clients and servers that speak TLS to each other, and to nobody between.
    """

    limit = 120.0

    def _certify(self, name: str) -> Path:
        """
        A certificate for a name, with its key beside.
        """
        path = self.directory / f"{name}.pem"
        done = self.finish(
            [
                *(program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
                *("-keyout", self.directory / f"{name}.key", "-out", path),
            ]
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return path

    def _nginx(self) -> int:
        """
        Two sites on one port, each with its own certificate.

        @return: the port.
        """
        port = freePort()
        sites = "".join(
            f"server {{ listen {HOST}:{port} ssl http2; server_name {name};\n"
            f"ssl_certificate {path}; ssl_certificate_key {path.with_suffix('.key')};\n"
            f"location / {{ return 200 'this is {name}'; }} }}\n"
            for name, path in ((name, self._certify(name)) for name in NAMES)
        )
        places = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self.write(
            "nginx.conf",
            f"daemon off; pid {self.directory}/nginx.pid; error_log stderr;\nevents {{}}\n"
            f"http {{ access_log off;\n{places}{sites}}}\n",
        )
        self.serve([program("nginx"), "-p", self.directory, "-c", config], port)
        return port

    def _gateway(self, port: int, more: str = "", names: str = "localhost") -> Gateway:
        """
        One where names stand for a port of this machine.
        """
        return self.ugate(listen=f"sni:tcp:0:{LOOPBACK}:names={names}:port={port}{more}")

    def _curl(self, gateway: Gateway, name: str, *options: str) -> tuple[int, bytes, str]:
        certificate = self.directory / f"{name}.pem"
        answer = curl(
            self,
            *("--connect-to", f"::{HOST}:{gateway.port}", *options),
            *(("--cacert", certificate) if certificate.exists() else ()),
            f"https://{name}/",
        )
        return answer.exit, answer.body, answer.errors

    def test_nginx(self) -> None:
        """
        curl gets the site that it asks for, and sees its certificate, whatever the protocol; by routes.
        """
        port = self._nginx()
        proxy = naming(self, dict.fromkeys(NAMES, port))
        gateway = self.ugate(
            *("--route", f"*.example=socks:{HOST}:{proxy}"),
            listen=f"sni:tcp:0:{LOOPBACK}:names=one.example,*.example:alpn=h2,http/1.1",
        )
        for name in NAMES:
            for options in ((), ("--http1.1",), ("--tls-max", "1.2")):
                said = self._curl(gateway, name, *options)
                self.assertEqual((0, f"this is {name}".encode()), said[:2], said[2])
        gateway.waitFor("-> two.example:443")
        code, _, errors = self._curl(gateway, "three.test")
        self.assertEqual(35, code)
        self.assertIn("unrecognized name", errors)
        gateway.waitFor(
            "TLS for three.test:443, which this listener does not list: add three.test to its names="
        )
        code, _, errors = self._curl(gateway, "one.example", "--no-alpn")
        self.assertEqual(35, code)
        self.assertIn("no application protocol", errors)
        # Listed, but not there.
        self.assertEqual(35, self._curl(gateway, "three.example")[0])

    def test_openssl(self) -> None:
        """
        s_client and s_server talk; and s_client understands why it is refused.
        """
        path = self._certify("localhost")
        port = freePort()
        openssl = program("openssl")
        keys = ["-cert", str(path), "-key", str(path.with_suffix(".key"))]
        self.serve([openssl, "s_server", "-accept", f"{HOST}:{port}", *keys, "-rev", "-quiet"], port)
        gateway = self._gateway(port)

        def ask(*options: str) -> tuple[bytes, bytes]:
            to = ["-connect", f"{HOST}:{gateway.port}", "-CAfile", str(path), "-verify_return_error"]
            done = self.finish([openssl, "s_client", *to, "-ign_eof", *options], b"stressed\nCLOSE\n")
            return done.stdout, done.stderr

        for version in ("-tls1_2", "-tls1_3"):
            out, errors = ask("-servername", "localhost", version)
            self.assertIn(b"desserts", out, errors)
            self.assertIn(b"Verification: OK", out)
        for options in (("-servername", "other"), ("-noservername",), ("-servername", "127.0.0.1")):
            out, errors = ask(*options)
            self.assertIn(b"alert number 112", errors, (options, out))
        gateway.waitFor("default=HOST\\:PORT")

    def test_noPolicy(self) -> None:
        """
        A port of others is open for what it lists, and a rule decides.
        """
        server = webServer(self, tls=Certificate(self.directory).context)
        names = f"sni:tcp:0:names=localhost:port={server.port}"
        for rules, code in (("[]", 35), ("[{action: allow, who: 'open:*', protocol: sni}]", 0)):
            gateway = self.ugate(config=f"listen: {{main: '{names}'}}\npolicy: {{rules: {rules}}}\n")
            options = ["--cacert", str(self.directory / "certificate.pem"), "--connect-to"]
            answer = curl(self, *options, f"::{HOST}:{gateway.port}", "https://localhost/bytes/10")
            self.assertEqual(code, answer.exit, answer.errors)
            if code:
                self.assertIn("access denied", answer.errors)
                gateway.waitFor('add to policy.rules: {action: allow, who: "open:anyone"')

    def test_bulk(self) -> None:
        """
        Many megabytes go through the kernel: by the process that moves bulk, and not by our memory.
        """
        size = 200 * MEGABYTE
        server = webServer(self, tls=Certificate(self.directory).context)
        gateway = self._gateway(server.port)
        before = gateway.resident()
        options = ["--cacert", str(self.directory / "certificate.pem"), "--connect-to"]
        answer = curl(self, *options, f"::{HOST}:{gateway.port}", f"https://localhost/bytes/{size}")
        self.assertEqual((0, 200), (answer.exit, answer.status), answer.errors)
        self.assertEqual(digestOf(size), hashlib.sha256(answer.body).hexdigest())
        self.assertLess(gateway.resident() - before, 16 * 1024)
        children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
        self.assertEqual(1, len(children), "bulk is moved by a process of its own")

    def test_halfClose(self) -> None:
        """
        The client ends after its ClientHello and some more, and the server answers then; or the other
        way round.
        """
        hello = realHello("localhost")
        first = StreamServer(self, lambda connection: connection.sendall(readAll(connection)[::-1]))
        gateway = self._gateway(first.port)
        for size in (0, 10, 3_000_000):
            data = hello + (BLOCK * 3)[:size]
            with connected(gateway.port) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                self.assertTrue(readAll(client) == data[::-1], size)
        first.ended()
        got = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"bye")
            connection.shutdown(socket.SHUT_WR)
            got.append(readAll(connection))

        second = StreamServer(self, serve)
        with connected(self._gateway(second.port).port) as client:
            client.sendall(hello)
            self.assertEqual(b"bye", readAll(client))
            client.sendall(BLOCK)
        second.ended()
        self.assertTrue(got == [hello + BLOCK])

    def test_everySplit(self) -> None:
        """
        A ClientHello in two packets, cut at every byte.
        """
        hello = realHello("localhost")
        server = StreamServer(self, lambda each: each.sendall(readExactly(each, len(hello))))
        gateway = self._gateway(server.port)
        for cut in range(1, len(hello)):
            with connected(gateway.port) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(hello[:cut])
                client.sendall(hello[cut:])
                self.assertEqual(hello, readExactly(client, len(hello)), cut)
        server.ended()

    def test_mangled(self) -> None:
        """
        After thousands of broken ClientHellos nothing is left of them, and the next client is served.
        """
        server = webServer(self, tls=Certificate(self.directory).context)
        proxy = naming(self, {"www.example": server.port, "db.corp": server.port, "localhost": server.port})
        gateway = self.ugate(
            *("--route", f"*=socks:{HOST}:{proxy}"),
            listen=f"sni:tcp:0:{LOOPBACK}:names=www.example,db.corp,localhost",
        )
        alert = alertRecord(Alert.INTERNAL_ERROR)[:6]

        def send(data: bytes) -> str:
            with connected(gateway.port) as client:
                try:
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    said = readAll(client)
                except TimeoutError:
                    raise
                except OSError:
                    return "reset"
            return "ended" if not said else "alert" if said[:6] == alert else "answer"

        self._served(gateway)
        before, size = gateway.descriptors(), gateway.resident()
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(send, mangled(4, MANGLED)))
        self.assertEqual(MANGLED, len(outcomes))
        self.assertGreater(outcomes.count("alert"), 100)
        waitUntil(lambda: gateway.descriptors() <= before + 2, "descriptors as before")
        self.assertLess(gateway.resident() - size, 24 * 1024)
        self._served(gateway)

    def _served(self, gateway: Gateway) -> None:
        context = ssl.create_default_context(cafile=str(self.directory / "certificate.pem"))
        with (
            connected(gateway.port) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"GET /bytes/5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))
