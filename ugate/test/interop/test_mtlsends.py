# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How streams in TLS end: what is cut looks so on the other side, and what has ended has ended.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

from OpenSSL import SSL

from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK
from ugate.test.interop.rawtls import TLS12, TLS13, BrokenOff, RawTLS
from ugate.test.interop.targets import BLOCK, StreamServer, readExactly
from ugate.test.interop.test_mtlspeers import NAME, DomainTestCase

VERSIONS = (TLS12, TLS13)
SIZE = 300_000
DATA = BLOCK[:SIZE]
FEW = BLOCK[:10_000]
"""What a cut does not overtake."""


def reset(connection: socket.socket) -> None:
    """
    Cut it.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def ending(connection: socket.socket) -> str:
    """
    How it ends, if nothing comes before.
    """
    try:
        return "data" if connection.recv(1) else "ended"
    except ConnectionResetError:
        return "cut"


class ListenerTests(DomainTestCase):
    """
    Clients of a listener, whose other side is in the clear.
    """

    def setUp(self) -> None:
        super().setUp()
        self.listening = socket.create_server((HOST, 0))
        self.listening.settimeout(DEADLINE)
        self.addCleanup(self.listening.close)
        to = f"{HOST}:{self.listening.getsockname()[1]}"
        self.gateway = self.node(
            self.domain.istio("gate", self.server),
            f'listen: {{main: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{to}"}}}}\n'
            "policy: {private: allow, rules: [{who: 'certificate:*', action: allow}]}\n",
        )
        self.pem = self.domain.pem("web", self.domain.member("web"))

    def accepted(self) -> socket.socket:
        """
        The other side of a stream.
        """
        connection, _ = self.listening.accept()
        connection.settimeout(DEADLINE)
        return connection

    def test_cut(self) -> None:
        """
        A client whose connection ends without a word of TLS about it: all that it said gets there, and then a
        reset.
        """
        for version in VERSIONS:
            with RawTLS(self.gateway.port, self.pem, version) as client:
                client.connect()
                client.write(DATA)
                with self.accepted() as target:
                    self.assertTrue(readExactly(target, SIZE) == DATA)
                    client.socket.shutdown(socket.SHUT_WR)
                    self.assertEqual("cut", ending(target), version)
            with RawTLS(self.gateway.port, self.pem, version) as client:
                client.connect()
                client.write(b"x")
                with self.accepted() as target:
                    readExactly(target, 1)
                    reset(client.socket)
                    self.assertEqual("cut", ending(target), version)
        # An end that somebody on the way makes up is one, too.
        for version, size in ((TLS12, 2), (TLS12, 26), (TLS13, 2), (TLS13, 19)):
            with RawTLS(self.gateway.port, self.pem, version) as client:
                client.connect()
                client.write(b"x")
                with self.accepted() as target:
                    readExactly(target, 1)
                    client.socket.sendall(b"\x15\x03\x03" + struct.pack(">H", size) + bytes(size))
                    self.assertEqual("cut", ending(target), version)

    def test_ended(self) -> None:
        """
        One that ends its direction properly, whether that of the connection below ends with it or not, gets
        its answer and a proper end.
        """
        for version in VERSIONS:
            for isBelow in (False, True):
                with RawTLS(self.gateway.port, self.pem, version) as client:
                    client.connect()
                    client.write(DATA)
                    client.shutdown()
                    if isBelow:
                        client.socket.shutdown(socket.SHUT_WR)
                    with self.accepted() as target:
                        self.assertTrue(readExactly(target, SIZE) == DATA)
                        self.assertEqual("ended", ending(target))
                        target.sendall(DATA)
                    self.assertTrue(client.readExactly(SIZE) == DATA)
                    self.assertEqual(b"", client.read(1))
        # A target that ends has the client told so in TLS, and one that cuts has not.
        for version in VERSIONS:
            for isCut in (False, True):
                with RawTLS(self.gateway.port, self.pem, version) as client:
                    client.connect()
                    client.write(b"x")
                    target = self.accepted()
                    readExactly(target, 1)
                    target.sendall(b"y")
                    self.assertEqual(b"y", client.read(1))
                    if isCut:
                        reset(target)
                        self.assertRaises(BrokenOff, client.read, 1)
                    else:
                        target.close()
                        self.assertEqual(b"", client.read(1))


class HopTests(DomainTestCase):
    """
    Servers of a hop, whose other side is in the clear.
    """

    def through(self, serve: Callable[[SSL.Connection, socket.socket], None]) -> socket.socket:
        """
        A stream to a server that does that with its connection of TLS, and that below.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        pem = str(self.domain.pem("server", self.server))
        context.use_certificate_chain_file(pem)
        context.use_privatekey_file(pem)

        def one(below: socket.socket) -> None:
            below.setblocking(True)
            connection = SSL.Connection(context, below)
            connection.set_accept_state()
            connection.do_handshake()
            serve(connection, below)

        self.target = StreamServer(self, one)
        gateway = self.node(
            self.domain.istio("web", self.domain.member("web")),
            f'listen: {{main: "socks:tcp:0:{LOOPBACK}"}}\n'
            f"routes: [{{match: '*', via: 'mtls:{HOST}:{self.target.port}:name={NAME}'}}]\n",
        )
        client = connected(gateway.port)
        self.assertEqual(0, socks5(client, "any.where", 1))
        return client

    def test_cut(self) -> None:
        """
        What a server said before it was cut gets there, and then a reset.
        """

        def serve(connection: SSL.Connection, below: socket.socket) -> None:
            connection.sendall(FEW)
            below.shutdown(socket.SHUT_WR)
            below.recv(1)

        with self.through(serve) as client:
            self.assertTrue(readExactly(client, len(FEW)) == FEW)
            self.assertEqual("cut", ending(client))
        self.target.ended()

    def test_ended(self) -> None:
        """
        A server that has said all may go on listening.
        """
        got = []

        def serve(connection: SSL.Connection, below: socket.socket) -> None:
            connection.sendall(DATA)
            connection.shutdown()
            data = b""
            while len(data) < SIZE:
                data += connection.recv(65536)
            got.append(data)
            try:
                connection.recv(1)
            except SSL.ZeroReturnError:
                got.append(b"ended")

        with self.through(serve) as client:
            self.assertTrue(readExactly(client, SIZE) == DATA)
            self.assertEqual("ended", ending(client))
            client.sendall(DATA)
            client.shutdown(socket.SHUT_WR)
            self.target.ended()
        self.assertTrue(got == [DATA, b"ended"])

    def test_client(self) -> None:
        """
        A client that is cut has the server see no proper end.
        """
        seen = []
        isThere = threading.Event()

        def serve(connection: SSL.Connection, below: socket.socket) -> None:
            connection.recv(1)
            isThere.set()
            try:
                connection.recv(1)
            except SSL.Error as error:
                seen.append(type(error))

        with self.through(serve) as client:
            client.sendall(b"x")
            self.assertTrue(isThere.wait(DEADLINE))
            reset(client)
        self.target.ended()
        self.assertEqual([SSL.SysCallError], seen)
