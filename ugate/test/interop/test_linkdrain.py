# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The end of a process that has links: their streams end well, and both sides say that no more begin.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time

from ugate.test.interop.processes import Gateway, accepts, waitUntil
from ugate.test.interop.targets import MEGABYTE, readAll, readExactly
from ugate.test.interop.test_h2connect import BULK, TunnelTestCase
from ugate.test.interop.test_linked import THERE, LinkedCase

ENDED = (0, -signal.SIGTERM)


class LinkDrainTests(TunnelTestCase):
    """
    Two gateways with HTTP/2 between them, of which one is told to stop while there is a stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.target = self.server()
        self.far = self.serving()
        self.near = self.using(self.far.port, self.target.port)

    def ends(self, stopped: Gateway) -> None:
        """
        A stream in the middle of which one of them is told to stop is whole, and then that one ends at once.
        """
        connection = self.connect(self.near.port)
        self.assertEqual(b"220 ready\n", readExactly(connection, 10))
        connection.sendall(BULK[:MEGABYTE])
        got = readExactly(connection, MEGABYTE)
        stopped.process.terminate()
        waitUntil(lambda: not accepts(stopped.port), "the listener is closed")
        sending = threading.Thread(target=self._finish, args=(connection,))
        sending.start()
        # The end of it waits for who is slow.
        time.sleep(0.5)
        self.assertIsNone(stopped.process.poll())
        got += readAll(connection)
        sending.join(60)
        self.assertEqual(hashlib.sha256(BULK).digest(), got[-32:])
        self.assertEqual(len(BULK) + 32, len(got))
        connection.close()
        began = time.monotonic()
        self.assertIn(stopped.wait(), ENDED)
        # Far less than the 30 seconds that streams would have had.
        self.assertLess(time.monotonic() - began, 10)
        self.assertNotIn("streams cut", stopped.said())

    def _finish(self, connection: object) -> None:
        connection.sendall(BULK[MEGABYTE:])  # type: ignore[attr-defined]
        connection.shutdown(1)  # type: ignore[attr-defined]

    def test_dialed(self) -> None:
        """
        The one that has dialed.
        """
        self.ends(self.near)

    def test_accepted(self) -> None:
        """
        The one that has accepted.
        """
        self.ends(self.far)


class LinkedDrainTests(LinkedCase):
    """
    A node that dials in, and its gate.
    """

    def ends(self, stopped: Gateway, bob: Gateway) -> None:
        """
        What is being fetched comes as a whole.
        """
        bob.waitFor(THERE)
        size = 48 * MEGABYTE
        told = threading.Timer(0.3, stopped.process.terminate)
        told.start()
        answer = self.get(f"bytes/{size}", "--limit-rate", "32M")
        told.join()
        self.assertEqual(size, len(answer.body), (answer.errors, stopped.said()))
        self.assertIn(stopped.wait(), ENDED)
        self.assertNotIn("streams cut", stopped.said())

    def test_node(self) -> None:
        """
        The node is told to stop.
        """
        bob = self.node()
        self.ends(bob, bob)

    def test_gate(self) -> None:
        """
        The gate is told to stop.
        """
        bob = self.node()
        self.ends(self.started, bob)
