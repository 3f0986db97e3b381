# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Thousands of broken ClientHellos for C{mtls:} and C{sni:}, made of those of curl and openssl.
"""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ugate.test.hellofakes import records
from ugate.test.interop.asking import connected, curl
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, program, waitUntil
from ugate.test.interop.targets import Certificate, StreamServer, readAll, webServer
from ugate.test.interop.test_mtlspeers import NAME, DomainTestCase
from ugate.test.test_sni import mangled

MANGLED = 5_000
_GROWTH = 24 * 1024
_HEADER = 5
_LONGER = 140_000


def cutAnew(seed: int, whole: Sequence[bytes], count: int) -> Iterator[bytes]:
    """
    Broken ClientHellos: as they are, or with records of their own around what is broken, also such of
    one byte each; or longer than any may be.
    """
    source = random.Random(seed)
    for data in mangled(seed, count, whole):
        way = source.randrange(8)
        if way < 3:
            yield data
        elif way < 7:
            yield records(data[_HEADER:], source.choice((1, 1, 7, 200, 16384)))
        else:
            yield data + records(source.randbytes(source.randint(1, _LONGER)))


def answered(
    plain: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, call: Callable[[], object]
) -> object:
    """
    What a call of TLS over memory returns, once the other side has said all that it needs.
    """
    while True:
        try:
            return call()
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            incoming.write(plain.recv(65536))


class MangledTests(DomainTestCase):
    """
    A node with both kinds of listeners.
    """

    limit = 120.0

    def both(self) -> Gateway:
        """
        It, up.
        """
        tls = webServer(self, tls=Certificate(self.directory).context)
        folder = self.domain.istio("gate", self.server)
        names = f"names=localhost:port={tls.port}"
        return self.node(
            folder,
            "listen:\n"
            f'  mtls: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{self.web.port}"}}\n'
            f'  sni: "sni:tcp:0:{LOOPBACK}:{names}"\n'
            "policy: {private: allow, rules: [{who: '*:*', action: allow}]}\n",
        )

    def hellos(self) -> list[bytes]:
        """
        Those of programs that are there.
        """
        got: list[bytes] = []

        def serve(connection: socket.socket) -> None:
            got.append(connection.recv(65536))

        server = StreamServer(self, serve)
        at = f"localhost:{server.port}"
        for options in ("", "--tls-max 1.2", "--no-alpn"):
            curl(self, *options.split(), f"https://{at}/")
        for options in ("-tls1_2", "-tls1_3 -alpn h2", "-noservername"):
            self.finish([program("openssl"), "s_client", "-connect", at, *options.split()])
        server.ended()
        self.assertEqual(6, len(got))
        return got

    def good(self, gateway: Gateway) -> None:
        """
        Clients that may are served by both.
        """
        pem = self.domain.pem("good", self.domain.member("web"))
        for name, cert, roots in (
            ("mtls", ("--cert", str(pem)), self.domain.roots),
            ("sni", (), self.directory / "certificate.pem"),
        ):
            answer = curl(
                self, *cert, "--cacert", str(roots), f"https://localhost:{gateway.ports[name]}/bytes/10"
            )
            self.assertEqual(200, answer.status, (name, answer.errors))

    def calm(self, gateway: Gateway, most: int) -> None:
        """
        Wait until it has no more descriptors than that.
        """
        waitUntil(lambda: gateway.descriptors() <= most, "descriptors as before")

    def send(self, port: int, data: bytes) -> str:
        """
        What comes of it.
        """
        with connected(port) as client:
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                said = readAll(client)
            except TimeoutError:
                raise
            except OSError:
                return "reset"
        return "alert" if said[:1] == b"\x15" else "ended" if not said else "answer"

    def test_mangled(self) -> None:
        """
        Nothing is left of them, and the next clients are served.
        """
        gateway = self.both()
        hellos = self.hellos()
        self.good(gateway)
        for name, seed in (("mtls", 5), ("sni", 6)):
            port = gateway.ports[name]
            outcomes: list[str] = []
            before = 0
            for begin, count in ((100, MANGLED // 5), (seed, MANGLED - MANGLED // 5)):
                # What the first need to be cached is no growth.
                before = max(before, gateway.resident())
                descriptors = gateway.descriptors()
                with ThreadPoolExecutor(8) as threads:
                    outcomes += threads.map(partial(self.send, port), cutAnew(begin, hellos, count))
                self.calm(gateway, descriptors + 2)
            self.assertEqual(MANGLED, len(outcomes))
            self.assertGreater(outcomes.count("alert"), MANGLED // 4)
            self.assertLess(gateway.resident() - before, _GROWTH)
            self.good(gateway)

    def test_everySplit(self) -> None:
        """
        A ClientHello in two packets, cut at every byte, and the handshake goes on.
        """
        gateway = self.both()
        context = ssl.create_default_context(cafile=str(self.domain.roots))
        context.load_cert_chain(self.domain.pem("web", self.domain.member("web")))
        cut, size = 1, 2
        while cut < size:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
            self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
            hello = outgoing.read()
            with connected(gateway.ports["mtls"]) as plain:
                plain.sendall(hello[:cut])
                plain.sendall(hello[cut:])

                ask = partial(answered, plain, incoming, outgoing)
                ask(client.do_handshake)
                client.write(b"GET /bytes/1 HTTP/1.0\r\n\r\n")
                self.assertEqual(b"HTTP/1.1 200", ask(partial(client.read, 12)), cut)
            cut, size = cut + 1, len(hello)
