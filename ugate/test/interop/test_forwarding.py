# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Three gateways with HTTP/2 in between: the one in the middle forwards frames.
"""

from __future__ import annotations

import hashlib
import random
import re
import socket
import struct
import threading

from ugate.test.interop.processes import (
    DEADLINE,
    HOST,
    LOOPBACK,
    Gateway,
    InteropTestCase,
    freePort,
    waitUntil,
)
from ugate.test.interop.targets import StreamServer, echo, readAll, readExactly
from ugate.test.tlsfakes import Issuer

BULK = random.Random(11).randbytes(12 << 20)
NAMES = "spiffe://corp/ns/default/sa/"
WARM = 24 << 20
"""Bytes after which windows have grown."""

HELD = 1 << 20
"""Bytes of one stream that may be between two gateways, the socket not counted that nobody reads."""


class ForwardingTests(InteropTestCase):
    """
    A client, three gateways, and a server.
    """

    limit = 240.0

    def chain(self, target: int) -> list[Gateway]:
        """
        The gateways, the one first that clients talk to.
        """
        last = self.ugate(listen=f"h2connect:tcp:0:{LOOPBACK}")
        route = "*=h2connect:{}:{}:h2c=yes"
        middle = self.ugate("--route", route.format(HOST, last.port), listen=f"h2connect:tcp:0:{LOOPBACK}")
        first = self.ugate(
            "--route",
            route.format(HOST, middle.port),
            listen=f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{target}",
        )
        return [first, middle, last]

    def connect(self, port: int) -> socket.socket:
        """
        A connection.
        """
        connection = socket.create_connection((HOST, port), DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def pourAndRead(self, connection: socket.socket) -> None:
        """
        Send much and end, while all of it comes back.
        """

        def pour() -> None:
            connection.sendall(BULK)
            connection.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=pour)
        sending.start()
        self.assertEqual(hashlib.sha256(BULK).digest(), hashlib.sha256(readAll(connection)).digest())
        sending.join(DEADLINE)

    def counts(self, gateway: Gateway, end: str) -> tuple[int, int]:
        """
        The bytes of the one stream that ended in some way, in the log of a gateway.
        """
        wanted = re.compile(rf"(\d+) sent, (\d+) received, [\d.]+ s, {end}")
        waitUntil(lambda: wanted.search(gateway.said()), f"the end of a stream in {gateway.said()}")
        found = wanted.findall(gateway.said())
        self.assertEqual(1, len(found), gateway.said())
        sent, received = found[0]
        return int(sent), int(received)

    def test_bulk(self) -> None:
        """
        Bulk both ways, and an end before the answer has ended: each gateway has one line of it, with every
        byte.
        """
        server = StreamServer(self, echo)
        gateways = self.chain(server.port)
        self.pourAndRead(self.connect(gateways[0].port))
        server.ended()
        for gateway in gateways:
            self.assertEqual((len(BULK), len(BULK)), self.counts(gateway, "done"))

    def test_refused(self) -> None:
        """
        What the last one says of a target that is not there is told by the first, in its words.
        """
        gateways = self.chain(freePort())
        with self.assertRaises((ConnectionError, EOFError)):
            readExactly(self.connect(gateways[0].port), 1)
        for gateway in gateways:
            self.assertIn("connection refused", gateway.waitFor("refused:"))

    def test_stalled(self) -> None:
        """
        One of a hundred streams is read no more: little of it stays in the middle, the others go on, and when
        it is cut all three say so.
        """
        over = threading.Event()
        self.addCleanup(over.set)

        def serve(connection: socket.socket) -> None:
            if connection.recv(1) == b"S":
                readExactly(connection, WARM)
                connection.sendall(b"enough")
                over.wait(self.limit)
            else:
                connection.sendall(b"+")
                echo(connection)

        first, middle, last = self.chain(StreamServer(self, serve).port)
        stuck = self.connect(first.port)
        stuck.sendall(b"S" + bytes(WARM))
        self.assertEqual(b"enough", readExactly(stuck, 6))
        stuck.settimeout(2.0)
        with self.assertRaises(TimeoutError):
            while True:
                stuck.sendall(bytes(1 << 20))
        others = [self.connect(first.port) for _ in range(98)]
        for number, each in enumerate(others):
            each.sendall(b"%08d" % number)
        for number, each in enumerate(others):
            self.assertEqual(b"+" + (b"%08d" % number)[1:], readExactly(each, 8))
        quick = self.connect(first.port)
        quick.sendall(b"-")
        self.assertEqual(b"+", readExactly(quick, 1))
        self.pourAndRead(quick)
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stuck.close()
        over.set()
        sent = [self.counts(each, "(?!done)")[0] for each in (first, middle, last)]
        self.assertGreaterEqual(sent[0], sent[1])
        self.assertLess(sent[0] - sent[1], HELD)


class SecureTests(ForwardingTests):
    """
    The same with mutual TLS between them, so that it is done in Python.
    """

    def chain(self, target: int) -> list[Gateway]:
        issuer = Issuer("root")

        def gateway(name: str, listen: str, via: str = "") -> Gateway:
            folder = self.directory / name
            issuer.write(folder, f"{name}.corp", NAMES + name)
            text = f"identity: {{dir: {folder}}}\nlisten: {{main: '{listen}'}}\n"
            if via:
                text += f"routes: [{{match: '*', via: '{via}'}}]\n"
            if name != "first":
                text += f"policy: {{rules: [{{who: 'certificate:{NAMES}*', action: allow}}]}}\n"
            return self.ugate(config=text, listen="")

        def hop(port: int, name: str) -> str:
            wanted = (NAMES + name).replace(":", "\\:")
            return f"h2connect:{HOST}:{port}:name={wanted}"

        mesh = f"h2connect:mtls:tcp:0:{LOOPBACK}"
        last = gateway("last", mesh)
        middle = gateway("middle", mesh, hop(last.port, "last"))
        listen = f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{target}"
        first = gateway("first", listen, hop(middle.port, "middle"))
        return [first, middle, last]
