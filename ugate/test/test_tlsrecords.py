# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsrecords}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.tlsalerts import TLSLost
from ugate.protocols.tlsmemory import out
from ugate.protocols.tlsrecords import (
    _LARGE,
    _PATIENCE,
    _SMALL,
    ANSWERED,
    ANSWERS,
    MOST,
    MUCH,
    RECORD,
    Records,
)  # fmt: skip
from ugate.test.splicefakes import noise
from ugate.test.tlssocketfakes import shaken

VERSIONS = (0, SSL.OP_NO_TLSv1_3)
DATA = noise(8 * MUCH)


class Wire:
    """
    A socket that has something.
    """

    def __init__(self, data: bytes) -> None:
        self.left = memoryview(data)
        self.sizes: list[int] = []

    def recv_into(self, buffer: Any, size: int = 0) -> int:
        room = memoryview(buffer)
        count = min(len(room), size or len(room), len(self.left))
        self.sizes.append(len(room))
        room[:count] = self.left[:count]
        self.left = self.left[count:]
        return count


class RecordsTests(SynchronousTestCase):
    """
    L{Records}.
    """

    def pair(self, version: int = 0) -> tuple[SSL.Connection, Records]:
        """
        A peer, and our end.
        """
        client, server = shaken(version)
        return client, Records(server)

    def encrypted(self, peer: SSL.Connection, data: bytes) -> bytes:
        """
        What a peer sends, in records as long as they may be.
        """
        pieces = []
        for at in range(0, len(data), RECORD):
            peer.send(data[at : at + RECORD])
            pieces.append(out(peer))
        return b"".join(pieces)

    def received(self, records: Records, wire: Wire) -> bytes:
        """
        All that there is, in turns as a transport has them.
        """
        got = b""
        while wire.left:
            records.receive(wire)
            got += records.read()
            self.assertFalse(records.isMore)
        return got

    def test_everySplit(self) -> None:
        """
        Records that come in two parts, wherever they are split, are the same.
        """
        for version in VERSIONS:
            peer, records = self.pair(version)
            self.assertEqual(b"", bytes(records.read()))
            size = len(self.encrypted(peer, DATA[:16]))
            peer, records = self.pair(version)
            self.assertEqual(b"", bytes(records.read()))
            for at in range(1, size):
                data = self.encrypted(peer, DATA[:16])
                first = self.received(records, Wire(data[:at]))
                self.assertEqual((b"", DATA[:16]), (first, self.received(records, Wire(data[at:]))))

    @given(
        st.lists(st.integers(1, 3 * MUCH), min_size=1, max_size=8),
        st.lists(st.integers(1, MUCH), max_size=8),
        st.sampled_from(VERSIONS),
    )
    @settings(max_examples=30, deadline=None)
    def test_anySplit(self, sizes: list[int], parts: list[int], version: int) -> None:
        """
        Much, in pieces of any size, is decrypted to what was sent, though it is put where it came from.
        """
        peer, records = self.pair(version)
        self.assertEqual(b"", bytes(records.read()))
        for size in sizes:
            data, got = DATA[:size], b""
            sent = self.encrypted(peer, data)
            for part in parts:
                got += self.received(records, Wire(sent[:part]))
                sent = sent[part:]
            self.assertTrue(got + self.received(records, Wire(sent)) == data)

    @given(st.lists(st.integers(1, MUCH), min_size=1, max_size=8), st.sampled_from(VERSIONS))
    @settings(max_examples=30, deadline=None)
    def test_write(self, sizes: list[int], version: int) -> None:
        """
        What is written can be read by the peer, also if it is taken out together.
        """
        peer, records = self.pair(version)
        ahead = sent = 0
        for size in sizes:
            if ahead + size > MOST:
                peer.bio_write(records.out())
                ahead = 0
            records.write(memoryview(DATA)[sent : sent + size])
            ahead, sent = ahead + size, sent + size
        peer.bio_write(records.out())
        self.assertEqual(b"", bytes(records.out()))
        got = b""
        try:
            while True:
                got += peer.recv(RECORD)
        except SSL.WantReadError:
            pass
        self.assertTrue(got == DATA[:sent])

    def test_early(self) -> None:
        """
        What came before, however much, is given piece by piece; then all that comes is given at once.
        """
        peer, records = self.pair()
        early = DATA[: 2 * MUCH]
        records.connection.bio_write(self.encrypted(peer, early))
        got = b""
        while True:
            got += records.read()
            if not records.isMore:
                break
        self.assertTrue(got == early)
        self.assertEqual(b"late", self.received(records, Wire(self.encrypted(peer, b"late"))))

    def test_take(self) -> None:
        """
        What a socket has is behind what is put before it, and its end is told.
        """
        peer, records = self.pair()
        wire = Wire(DATA[:1000])
        self.assertEqual(900, records.take(wire, 900, 3, lambda size: b"%d" % size))
        self.assertEqual(100, records.take(wire, 900, 3, lambda size: b"%d" % size))
        self.assertEqual(0, records.take(wire, 900, 3, lambda size: b"none"))
        peer.bio_write(records.out())
        self.assertEqual(b"900" + DATA[:900], peer.recv(RECORD))
        self.assertEqual(b"100" + DATA[900:1000], peer.recv(RECORD))

    def test_room(self) -> None:
        """
        Much is received at once as long as much comes, and memory for it is given back a while after.
        """
        peer, records = self.pair()
        self.assertEqual(b"", bytes(records.read()))
        wire = Wire(self.encrypted(peer, DATA[: 3 * MUCH]))
        self.received(records, wire)
        self.assertEqual({MUCH}, set(wire.sizes[1:-1]))
        self.assertLess(wire.sizes[0], MUCH // 4)
        self.assertEqual(_LARGE, records._in._size)
        for _ in range(_PATIENCE - 1):
            self.assertEqual(b"x", self.received(records, wire := Wire(self.encrypted(peer, b"x"))))
        self.assertLess(wire.sizes[0], MUCH // 4)
        self.assertEqual(_LARGE, records._in._size)
        for _ in range(2):
            self.received(records, Wire(self.encrypted(peer, b"x")))
        self.assertEqual(_SMALL, records._in._size)

    def test_kept(self) -> None:
        """
        What was given stays what it is until more is received, also if much is sent meanwhile.
        """
        peer, records = self.pair()
        records.receive(Wire(self.encrypted(peer, DATA[:20000])))
        got = records.read()
        records.write(DATA[:MUCH])
        sealed = records.out()
        self.assertTrue(got == DATA[:20000])
        kept = sealed.tobytes()
        self.assertEqual(b"x", self.received(records, Wire(self.encrypted(peer, b"x"))))
        self.assertTrue(sealed == kept)

    def test_over(self) -> None:
        """
        The end that TLS has is one, behind all that came before it.
        """
        for version in VERSIONS:
            peer, records = self.pair(version)
            sent = self.encrypted(peer, b"last")
            peer.shutdown()
            records.receive(Wire(sent + out(peer)))
            self.assertEqual(b"last", bytes(records.read()))
            self.assertIsInstance(records.over, ConnectionDone)
            self.assertEqual(b"", bytes(records.read()))

    def test_broken(self) -> None:
        """
        What is no TLS, or was changed on its way, is told in words; what came before it is given.
        """
        peer, records = self.pair()
        changed = bytearray(self.encrypted(peer, b"good") + (bad := self.encrypted(peer, b"bad")))
        changed[-1] ^= 1
        records.receive(Wire(bytes(changed)))
        self.assertEqual(b"good", bytes(records.read()))
        self.assertIsInstance(records.over, TLSLost)
        self.assertRegex(str(records.over), "^TLS: [a-z ]+")
        self.assertTrue(bad)
        # What the peer is told of it goes, and no error is left for whoever uses OpenSSL next.
        self.assertTrue(records.answer())
        other, clean = self.pair()
        self.assertEqual(b"x", self.received(clean, Wire(self.encrypted(other, b"x"))))
        self.assertIsNone(clean.over)

    def test_fault(self) -> None:
        """
        What cannot be encrypted is told, if nobody knows yet that it is over.
        """
        _, records = self.pair()
        records.write(b"good")
        self.assertIsNone(records.fault)
        records.end()
        records.write(b"too late")
        self.assertIsInstance(records.fault, TLSLost)

    def test_answer(self) -> None:
        """
        OpenSSL may say so much of itself; then it is over.  Who sends much may have it say more.
        """
        peer, records = self.pair()
        below = records.connection._from_ssl
        for received in (0, 2 * ANSWERS * ANSWERED):
            if received:
                peer, records = self.pair()
                below = records.connection._from_ssl
                self.received(records, Wire(self.encrypted(peer, DATA[:received])))
            for _ in range(ANSWERS // 4096):
                records._lib.BIO_write(below, bytes(4096), 4096)
                self.assertEqual(4096, len(records.answer()))
                self.assertIsNone(records.over)
            records._lib.BIO_write(below, b"x", 1)
            records.answer()
            self.assertEqual(not received, isinstance(records.over, ConnectionLost))
