# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlssocket}.
"""

from __future__ import annotations

import socket
from typing import Any

from OpenSSL import SSL

from ugate.protocols.sockets import Truncated
from ugate.protocols.tlsmemory import out
from ugate.protocols.tlssocket import RECORD, ROOM, Room, TLSSocket
from ugate.test.socketfakes import SocketTestCase, tcpPair
from ugate.test.tlssocketfakes import shaken

VERSIONS = (0, SSL.OP_NO_TLSv1_3)


class TLSSocketTests(SocketTestCase):
    """
    OpenSSL, from memory to a socket.
    """

    def setUp(self) -> None:
        super().setUp()
        self.open: list[Any] = []

    def stop(self) -> None:
        for each in self.open:
            each.close()

    def begin(
        self, version: int = 0, before: bytes = b"", ahead: bytes = b"", buffers: int = 0
    ) -> tuple[SSL.Connection, socket.socket, TLSSocket]:
        """
        A client, its socket, and our end.

        @param before: what the server has been given as long as it was in memory.
        """
        self.client, server = shaken(version)
        far, near = tcpPair(buffers)
        near.setblocking(False)
        if before:
            server.bio_write(before)
            self.assertRaises(SSL.WantReadError, server.recv, 1)
        ours = TLSSocket(near, server, ahead)
        ours.use(Room())
        self.open += [far, ours]
        return self.client, far, ours

    def said(self, data: bytes) -> bytes:
        """
        What the client would send.
        """
        self.client.send(data)
        return out(self.client)

    def heard(self, far: socket.socket, count: int) -> bytes:
        """
        What the client makes of what comes.
        """
        got = b""
        while len(got) < count:
            got += self.some(far)
        return got

    def some(self, far: socket.socket) -> bytes:
        """
        What the client makes of what comes next: nothing, if that is no whole record.
        """
        far.settimeout(10)
        self.client.bio_write(far.recv(65536))
        got = b""
        try:
            while True:
                got += self.client.recv(65536)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            return got

    def test_split(self) -> None:
        """
        Wherever the bytes are split between memory and socket, nothing is lost.
        """
        self.client, _ = shaken()
        size = len(self.said(b"question"))
        for version in VERSIONS:
            for at in range(1, size):
                self.client, server = shaken(version)
                record = self.said(b"question")
                far, near = tcpPair()
                near.setblocking(False)
                server.bio_write(record[:at])
                self.assertRaises(SSL.WantReadError, server.recv, 100)
                ours = TLSSocket(near, server)
                ours.use(Room())
                far.sendall(record[at:] + self.said(b" more"))
                got = bytes(ours.recv(RECORD))
                got += b"" if len(got) > 8 else bytes(ours.recv(RECORD))
                self.assertEqual(got, b"question more")
                ours.send(b"answer")
                self.assertEqual(self.heard(far, 6), b"answer")
                far.close()
                ours.close()

    def test_ahead(self) -> None:
        """
        What was encrypted before goes first.
        """
        client, server = shaken()
        far, near = tcpPair()
        server.send(b"one ")
        ours = TLSSocket(near, server, out(server))
        server.send(b"two")
        self.client = client
        self.open += [far, ours]
        self.assertEqual(self.heard(far, 7), b"one two")
        self.assertFalse(ours.owes)

    def test_owes(self) -> None:
        """
        What goes first may have to wait; nothing overtakes it.
        """
        client, server = shaken()
        far, near = tcpPair(4096)
        near.setblocking(False)
        whole = b"a" * 16000
        ahead = []
        for _ in range(40):
            server.send(whole)
            ahead.append(out(server))
        ours = TLSSocket(near, server, b"".join(ahead))
        self.client = client
        self.open += [far, ours]
        self.assertTrue(ours.owes)
        for call in (ours.settle, lambda: ours.send(b"b"), lambda: ours.shutdown(socket.SHUT_WR)):
            self.assertRaises(BlockingIOError, call)
        got = b""
        while ours.owes:
            got += self.some(far)
            try:
                ours.settle()
            except BlockingIOError:
                pass
        ours.send(b"b")
        got += self.heard(far, 40 * len(whole) + 1 - len(got))
        self.assertEqual(got, whole * 40 + b"b")

    def test_recv(self) -> None:
        """
        As much is received as was asked for, in whole records: nothing stays where no epoll sees it.
        """
        for version in VERSIONS:
            _, far, ours = self.begin(version)
            self.assertRaises(BlockingIOError, ours.recv, 1)
            data = bytes(range(256)) * 256
            far.sendall(b"".join(self.said(data[at : at + RECORD]) for at in range(0, len(data), RECORD)))
            self.assertEqual(bytes(ours.recv(1)), data[:RECORD])
            self.assertEqual(bytes(ours.recv(2 * RECORD)), data[RECORD : 3 * RECORD])
            self.assertEqual(bytes(ours.recv(100 * ROOM)), data[3 * RECORD :])
            self.assertRaises(BlockingIOError, ours.recv, ROOM)

    def test_most(self) -> None:
        """
        No more is received at once than there is room for.
        """
        _, far, ours = self.begin()
        record = bytes(RECORD)
        far.sendall(b"".join(self.said(record) for _ in range(ROOM // RECORD + 1)))
        self.assertEqual(len(ours.recv(100 * ROOM)), ROOM)

    def test_end(self) -> None:
        """
        The end that TLS has is one; also behind data, and then the socket says that there is something to
        read.
        """
        for version in VERSIONS:
            _, far, ours = self.begin(version)
            data = self.said(bytes(RECORD))
            self.client.shutdown()
            far.sendall(data + out(self.client))
            self.assertEqual(len(ours.recv(ROOM)), RECORD)
            self.assertEqual(self.reactor.turn(10, {ours.fileno(): 1}), {ours.fileno(): 1})
            self.assertEqual(ours.recv(ROOM), b"")
            self.assertEqual(ours.recv(ROOM), b"")

    def test_truncated(self) -> None:
        """
        An end that only the connection below has is an error, and so is what is no TLS.
        """
        for sent, word in (
            (b"", "without saying so"),
            (b"\x17\x03\x03\x00\x20" + bytes(32), "mac"),
            (b"hello" * 9, ""),
        ):
            _, far, ours = self.begin()
            far.sendall(sent)
            far.shutdown(socket.SHUT_WR)
            error = self.assertRaises(OSError, ours.recv, ROOM)
            self.assertNotIsInstance(error, BlockingIOError)
            self.assertEqual(not sent, isinstance(error, Truncated))
            self.assertIn(word, str(error).lower())

    def test_reset(self) -> None:
        """
        A connection that is reset says so.
        """
        _, far, ours = self.begin()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        self.assertRaises(ConnectionResetError, ours.recv, ROOM)

    def test_full(self) -> None:
        """
        What could not be sent is given again, and arrives once; so does the end behind it.
        """
        for version in VERSIONS:
            _, far, ours = self.begin(version, buffers=4096)
            data = bytes(range(256)) * 4096
            sent, got, full = 0, b"", 0
            while sent < len(data):
                try:
                    sent += ours.send(data[sent : sent + 100000])
                except BlockingIOError:
                    full += 1
                    got += self.some(far)
            while True:
                try:
                    ours.shutdown(socket.SHUT_WR)
                    break
                except BlockingIOError:
                    got += self.some(far)
            got += self.heard(far, len(data) - len(got))
            self.assertEqual(got, data)
            self.assertTrue(full)
            self.assertRaises(OSError, ours.send, b"more")

    def test_halfClose(self) -> None:
        """
        Who has ended still receives, and the connection below stays open.
        """
        for version in VERSIONS:
            client, far, ours = self.begin(version)
            ours.shutdown(socket.SHUT_WR)
            client.bio_write(far.recv(65536))
            self.assertRaises(SSL.ZeroReturnError, client.recv, 1)
            far.sendall(self.said(b"still here"))
            self.assertEqual(bytes(ours.recv(ROOM)), b"still here")

    def test_wantsRoom(self) -> None:
        """
        Only what has to be sent is waited for with that, and only as long as it is so.
        """
        _, far, ours = self.begin()
        self.assertRaises(BlockingIOError, ours.recv, ROOM)
        self.assertFalse(ours.wantsRoom)
        ours.wantsRoom = True
        far.sendall(self.said(b"question"))
        self.assertEqual(bytes(ours.recv(ROOM)), b"question")
        self.assertFalse(ours.wantsRoom)

    def test_errorsOfOthers(self) -> None:
        """
        What somebody else has left in OpenSSL's list of errors is not ours.
        """
        _, _, ours = self.begin()
        inside: Any = ours._lib
        inside.ERR_put_error(20, 0, 100, b"", 0)
        self.assertRaises(BlockingIOError, ours.recv, ROOM)

    def test_othersErrors_afterOurs(self) -> None:
        """
        Nor is what was ours left there for somebody else, who would break over it.
        """
        _, far, ours = self.begin()
        far.sendall(b"this is not TLS")
        self.assertRaises(OSError, ours.recv, ROOM)
        inside: Any = ours._lib
        self.assertEqual(inside.ERR_peek_error(), 0)
