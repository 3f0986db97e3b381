# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The end of a gateway: what is under way may finish, within a time.
"""

from __future__ import annotations

import signal
import socket
import time

from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, accepts, waitUntil
from ugate.test.interop.targets import BLOCK, StreamServer, readAll, readExactly, trickle
from ugate.test.interop.test_refusals import silentTarget

ENDED = (0, -signal.SIGTERM)
"""twistd drains, and then ends by the signal that asked for it."""


class ShutdownTests(InteropTestCase):
    """
    SIGTERM.
    """

    def _gateway(self, drain: float) -> Gateway:
        return self.ugate(
            config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{drain: {drain}}}\n'
        )

    def _open(self, gateway: Gateway, server: StreamServer) -> socket.socket:
        client = connected(gateway.port)
        self.addCleanup(client.close)
        self.assertEqual(socks5(client, HOST, server.port), 0)
        return client

    def test_idle(self) -> None:
        """
        Nothing is under way: it ends at once.
        """
        gateway = self._gateway(30)
        gateway.process.terminate()
        self.assertIn(gateway.wait(3), ENDED)

    def test_atOnce(self) -> None:
        """
        A signal as soon as the lines are printed, from a supervisor that has changed its mind.
        """
        for _ in range(5):
            gateway = self.ugate()
            gateway.process.terminate()
            self.assertIn(gateway.wait(3), ENDED)
            self.assertIn("Server Shut Down", gateway.said())

    def test_drains(self) -> None:
        """
        Streams that are up finish; the listener is closed at once.
        """
        server = StreamServer(self, trickle(30, 0.05))
        gateway = self._gateway(30)
        client = self._open(gateway, server)
        first = readExactly(client, 1000)
        gateway.process.terminate()
        waitUntil(lambda: not accepts(gateway.port), "the listener is closed", 1.0)
        self.assertIsNone(gateway.process.poll())
        self.assertTrue(first + readAll(client) == BLOCK[:30_000])
        client.close()
        self.assertIn(gateway.wait(3), ENDED)
        self.assertIn("30000 received", gateway.said())
        server.ended()

    def test_pending(self) -> None:
        """
        A stream whose target is still being dialed counts too.
        """
        silent = silentTarget(self)
        gateway = self.ugate(
            config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{drain: 30, connect: 1}}\n'
        )
        with connected(gateway.port) as client:
            client.sendall(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + silent.to_bytes(2, "big"))
            self.assertEqual(readExactly(client, 2), b"\x05\x00")
            gateway.process.terminate()
            self.assertEqual(readExactly(client, 2), b"\x05\x06")
        self.assertIn(gateway.wait(3), ENDED)

    def test_deadline(self) -> None:
        """
        What does not end in time is cut, so that nobody takes it for a whole.
        """
        server = StreamServer(self, trickle(1000, 0.05))
        gateway = self._gateway(1)
        client = self._open(gateway, server)
        readExactly(client, 1000)
        began = time.monotonic()
        gateway.process.terminate()
        self.assertRaises(ConnectionResetError, readAll, client)
        self.assertIn(gateway.wait(3), ENDED)
        self.assertGreater(time.monotonic() - began, 0.8)
        self.assertLess(time.monotonic() - began, 4)
        self.assertRegex(gateway.said(), r"socks5 operator: 0 sent, \d+ received, [\d.]+ s, shutdown")

    def test_again(self) -> None:
        """
        A second signal cuts what is still under way, at once.
        """
        server = StreamServer(self, trickle(1000, 0.05))
        gateway = self._gateway(60)
        client = self._open(gateway, server)
        readExactly(client, 1000)
        gateway.process.terminate()
        waitUntil(lambda: not accepts(gateway.port), "the listener is closed", 1.0)
        gateway.process.terminate()
        self.assertRaises(ConnectionResetError, readAll, client)
        self.assertIn(gateway.wait(3), ENDED)

    def test_bulkDeadline(self) -> None:
        """
        The same for streams whose bytes a thread moves.
        """

        def pour(connection: socket.socket) -> None:
            try:
                while True:
                    connection.sendall(BLOCK)
            except ConnectionError:
                pass

        server = StreamServer(self, pour)
        gateway = self._gateway(0.5)
        client = self._open(gateway, server)
        readExactly(client, 5 << 20)
        gateway.process.terminate()
        began = time.monotonic()

        def drink() -> None:
            while client.recv(1 << 20):
                self.assertLess(time.monotonic() - began, 5)

        self.assertRaises(ConnectionResetError, drink)
        self.assertIn(gateway.wait(3), ENDED)
        server.ended()

    def test_interrupt(self) -> None:
        """
        Ctrl-C does the same.
        """
        gateway = self._gateway(30)
        gateway.process.send_signal(signal.SIGINT)
        self.assertIn(gateway.wait(3), (0, -signal.SIGINT))
        self.assertIn("Server Shut Down", gateway.said())
