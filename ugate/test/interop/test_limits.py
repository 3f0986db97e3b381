# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Limits that are reached: descriptors, idle time, and streams that are cut in the middle.
"""

from __future__ import annotations

import shlex
import socket
import time
from contextlib import ExitStack

from ugate.test.interop.asking import connected, curl, readHead, socks5
from ugate.test.interop.processes import DEADLINE, HOST, Gateway, InteropTestCase, program, twistd, waitUntil
from ugate.test.interop.targets import BLOCK, StreamServer, echo, readAll, readExactly, webServer


def processorSeconds(gateway: Gateway) -> float:
    """
    How long a gateway has computed.
    """
    with open(f"/proc/{gateway.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


class LimitTests(InteropTestCase):
    """
    What happens at a limit, and after it.
    """

    def test_descriptors(self) -> None:
        """
        Out of descriptors it neither dies nor spins, and serves again when there are some.
        """
        server = StreamServer(self, echo)
        command = twistd("-n", "--pidfile=", "ugate", "--listen", f"main=auto:tcp:0:interface={HOST}")
        child = self.spawn([program("sh"), "-c", f"ulimit -n 64; exec {shlex.join(command)}"])
        port = int(child.waitFor("listening on").partition(f"listening on {HOST}:")[2].split()[0])
        gateway = Gateway(child.process, child.log, {"main": port})
        request = b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + server.port.to_bytes(2, "big")
        with ExitStack() as kept:
            for _ in range(100):
                client = kept.enter_context(socket.create_connection((HOST, port), DEADLINE))
                client.sendall(request)
            time.sleep(0.5)
            before = processorSeconds(gateway)
            time.sleep(1)
            self.assertLess(processorSeconds(gateway) - before, 0.5, "it spins")
            self.assertLess(len(child.said()), 1 << 20, "it floods its log")
        waitUntil(lambda: gateway.descriptors() < 20, "all descriptors are given back")
        with connected(port) as client:
            self.assertEqual(socks5(client, HOST, server.port), 0)
            client.sendall(b"hello")
            self.assertEqual(readExactly(client, 5), b"hello")

    def test_idle(self) -> None:
        """
        A stream without a byte for the idle time is cut; one with a byte now and then is not.
        """
        server = StreamServer(self, echo)
        gateway = self.ugate(config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{idle: 1.5}}\n')
        with connected(gateway.port) as quiet, connected(gateway.port) as lively:
            for client in (quiet, lively):
                self.assertEqual(socks5(client, HOST, server.port), 0)
            until = time.monotonic() + 3
            while time.monotonic() < until:
                lively.sendall(b".")
                self.assertEqual(readExactly(lively, 1), b".")
                time.sleep(0.3)
            self.assertRaises(ConnectionResetError, quiet.recv, 1)
        gateway.waitFor(" s, idle")

    def test_idleBulk(self) -> None:
        """
        The same for a stream that was bulk before, and was given back by its thread.
        """

        def serve(connection: socket.socket) -> None:
            connection.sendall(BLOCK * 8)
            connection.recv(1)

        server = StreamServer(self, serve)
        gateway = self.ugate(config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{idle: 1.5}}\n')
        with connected(gateway.port) as client:
            self.assertEqual(socks5(client, HOST, server.port), 0)
            self.assertTrue(readExactly(client, 8 << 20) == BLOCK * 8)
            self.assertRaises(ConnectionResetError, client.recv, 1)
        gateway.waitFor(" s, idle")


class ForwardedTests(InteropTestCase):
    """
    Targets of the forward proxy that end their responses in other ways.
    """

    def _answering(self, answer: bytes) -> StreamServer:
        def serve(connection: socket.socket) -> None:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            connection.sendall(answer)

        return StreamServer(self, serve)

    def test_untilClose(self) -> None:
        """
        A response that ends with the connection.
        """
        body = BLOCK[:500_000]
        server = self._answering(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + body)
        for option in ("--http1.1", "--http1.0"):
            answer = curl(self, option, "-x", self.ugate().url("http"), f"http://{HOST}:{server.port}/")
            self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
            self.assertTrue(answer.body == body)

    def test_cut(self) -> None:
        """
        A response that is cut is not passed on as a whole one.
        """
        proxy = self.ugate().url("http")
        for head in (b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n"):
            server = self._answering(b"HTTP/1.1 200 OK\r\n" + head + BLOCK[:500_000])
            answer = curl(self, "-x", proxy, f"http://{HOST}:{server.port}/")
            self.assertIn(answer.exit, (18, 56), "curl's codes for a part of a file")

    def test_nothing(self) -> None:
        """
        A target that closes without a word, and one that does not speak HTTP.
        """
        gateway = self.ugate()
        for words in (b"", b"220 mail.example ESMTP\r\n"):
            server = self._answering(words)
            answer = curl(self, "-x", gateway.url("http"), "-i", f"http://{HOST}:{server.port}/")
            self.assertEqual(answer.status, 502)
            self.assertIn(b"proxy-status: ugate; error=", answer.body.lower())

    def test_pipelined(self) -> None:
        """
        Requests that do not wait for the answer to the one before.
        """
        gateway = self.ugate()
        server = webServer(self)
        at = f"{HOST}:{server.port}"
        sizes = (10, 200_000, 0, 3)
        with connected(gateway.port) as client:
            client.sendall(
                b"".join(f"GET http://{at}/bytes/{n} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode() for n in sizes)
            )
            for size in sizes:
                status, fields = readHead(client)
                self.assertEqual((status, fields["content-length"]), (200, str(size)))
                self.assertTrue(readExactly(client, size) == BLOCK[:size])
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(readAll(client), b"")
