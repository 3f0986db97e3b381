# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.noderecords}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import encode

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import UgateError
from ugate.interfaces import MeshAddress
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityfiles import Keypair
from ugate.tenancy.keyids import keyidOf
from ugate.tenancy.noderecords import (
    _HEAD,
    _MAGIC,
    _SIGNED,
    LONGEST,
    MAX_SIZE,
    NodeRecord,
    RecordError,
    _flat,
    peek,
    read,
    sign,
)
from ugate.test.identityfakes import NOW, certified, p256

WAYS = (MeshAddress("connect", "", 15008), MeshAddress("tls", "fe80::1", 443))
NAMES = ("alice", "web.prod.example")


class Held:
    """
    Where the identity of a test comes from: memory.
    """

    def __init__(self, key: Any) -> None:
        self._key = key

    def signature(self) -> object:
        """
        It does not change.
        """
        return None

    def load(self) -> Keypair:
        """
        The key, and a certificate of it.
        """
        return Keypair(self._key, (certified(key=self._key).certificate,), ())

    def isDue(self, held: Keypair) -> bool:
        """
        Never.
        """
        return False


def identityOf(key: Any) -> Identity:
    """
    Somebody who has that key.
    """
    return Identity(Held(key), Clock(), now=lambda: NOW)


RSA = rsa.generate_private_key(65537, 2048)
KEYS = (p256(), Ed25519PrivateKey.generate(), RSA)


def signed(key: Any, head: Sequence[int], body: bytes, raw: bytes = b"", magic: bytes = _MAGIC) -> bytes:
    """
    A record that L{sign} would not make.

    @param head: the type of the key, the time, the sequence number and the lifetime.
    @param raw: what stands there for the key.
    """
    raw = raw or key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    text = _HEAD.pack(magic, *head, len(raw), len(body)) + raw + body
    flat = 1 if isinstance(key, ec.EllipticCurvePrivateKey) else 0
    return text + _flat(flat, identityOf(key).sign(_SIGNED + text))


class RecordTests(SynchronousTestCase):
    """
    L{sign} and L{read}.
    """

    def setUp(self) -> None:
        self.identity = identityOf(KEYS[0])

    def record(self, **more: Any) -> bytes:
        """
        A good record, unless told otherwise.
        """
        return sign(self.identity, WAYS, **{"issued": NOW, "lifetime": 360, "names": NAMES, **more})

    def refused(self, data: bytes, *texts: str, now: float = NOW, **more: Any) -> None:
        """
        It is not believed, and the reason has these texts.
        """
        error = self.assertRaises(RecordError, read, data, now, **more)
        for text in texts:
            self.assertIn(text, str(error))

    def test_whole(self) -> None:
        """
        What was signed is read, by each type of key.
        """
        for key in KEYS:
            identity = identityOf(key)
            data = sign(identity, WAYS, issued=NOW + 0.25, lifetime=360, sequence=7, names=NAMES)
            self.assertLess(len(data), 700)
            wanted = NodeRecord(identity.keyid, WAYS, NAMES, NOW + 0.25, 7, 360)
            self.assertEqual(wanted, read(data, NOW))
            self.assertEqual(NOW + 360.25, wanted.expires)

    def test_id(self) -> None:
        """
        Who a record is of is the same as whose certificate TLS shows.
        """
        for key in KEYS:
            identity = identityOf(key)
            data = sign(identity, WAYS, issued=NOW, lifetime=360)
            self.assertEqual(keyidOf(identity.certificate.public_key()), read(data, NOW).keyid)

    def test_padded(self) -> None:
        """
        It is as large as it is wanted to be, whatever is in it.
        """
        for key in KEYS:
            for length in range(1, 120):
                ways = [MeshAddress("connect", "x" * length, 1)]
                data = sign(identityOf(key), ways, issued=NOW, lifetime=360, block=256)
                self.assertIn(len(data), (256, 512, 768))
                self.assertEqual(tuple(ways), read(data, NOW).addresses)

    def test_heading(self) -> None:
        """
        What is known before anything is checked.
        """
        head = peek(self.record(sequence=3))
        self.assertEqual(
            (1, 65, NOW, 3, 360), (head.kind, len(head.key), head.issued, head.sequence, head.lifetime)
        )
        self.assertEqual(read(self.record(), NOW), read(data := self.record(), NOW, heading=peek(data)))

    def test_order(self) -> None:
        """
        A later one is greater, also at the same moment.
        """
        orders = [
            read(self.record(issued=at, sequence=number), NOW).order
            for at, number in ((NOW, 0), (NOW, 1), (NOW + 0.001, 0), (NOW + 1, 2**64 - 1))
        ]
        self.assertEqual(sorted(set(orders)), orders)

    def test_same(self) -> None:
        """
        The same, signed by a key whose signatures do not vary, is the same bytes.
        """
        identity = identityOf(KEYS[1])
        one, other = (sign(identity, WAYS, issued=NOW, lifetime=1) for _ in range(2))
        self.assertEqual(one, other)

    def test_cut(self) -> None:
        """
        A record that is cut off anywhere is refused, and so is one with a byte more.
        """
        for key in KEYS:
            data = sign(identityOf(key), WAYS, issued=NOW, lifetime=360, names=NAMES)
            for end in range(len(data)):
                self.refused(data[:end])
            self.refused(data + b"\0", "signature")
            start = peek(data).signatureAt
            self.refused(data[:start] + b"\0" * (len(data) - start), "signature")
            self.refused(data[:start] + b"\xff" * (len(data) - start), "signature")

    def test_flipped(self) -> None:
        """
        Each bit of it counts.
        """
        for key in KEYS[:2]:
            data = sign(identityOf(key), WAYS, issued=NOW, lifetime=360)
            for at in range(len(data)):
                for bit in (0, 7):
                    changed = bytearray(data)
                    changed[at] ^= 1 << bit
                    self.refused(bytes(changed))

    @given(st.binary(max_size=MAX_SIZE + 1))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever comes is refused, and nothing else happens.
        """
        self.assertRaises(RecordError, read, data, NOW)
        self.assertRaises(RecordError, read, _MAGIC + data, NOW)

    @given(st.binary(max_size=200))
    def test_anyBody(self, body: bytes) -> None:
        """
        Nor does anything else happen with a body that its key has signed.
        """
        try:
            read(signed(KEYS[0], (1, int(NOW * 1000), 0, 9), body), NOW)
        except RecordError:
            pass

    def test_times(self) -> None:
        """
        It is good for its time, and for as long before and after as clocks may differ.
        """
        data = self.record()
        for now in (NOW - 60, NOW, NOW + 360 + 60):
            read(data, now)
        self.refused(data, "from the future, by 61", now=NOW - 61)
        self.refused(data, "too old, by 61", now=NOW + 421)
        self.refused(data, "from the future", now=NOW - 6, skew=5)
        self.refused(data, "good for 360 seconds: wanted at most 300", longest=300)
        read(self.record(lifetime=0), NOW + 60)
        self.refused(self.record(lifetime=0), "too old", now=NOW + 61)

    def test_unmade(self) -> None:
        """
        What would be refused is not made.
        """
        way = WAYS[0]
        for more in (
            {"lifetime": LONGEST + 1},
            {"lifetime": -1},
            {"issued": -1.0},
            {"sequence": 2**64},
            {"names": ["x"] * 9},
            {"names": ["Alice"]},
            {"names": ["a b"]},
            {"names": [""]},
            {"names": ["x" * 254]},
            {"names": ["x" * 250 for _ in range(8)]},
        ):
            self.assertRaises(RecordError, self.record, **more)
        for ways in (
            [way] * 9,
            [MeshAddress("Connect", "", 1)],
            [MeshAddress("", "", 1)],
            [MeshAddress("connect", "fe80::1%eth0", 1)],
            [MeshAddress("connect", "a b", 1)],
            [MeshAddress("connect", "::g", 1)],
            [MeshAddress("connect", "x" * 254, 1)],
            [MeshAddress("connect", "", 0)],
            [MeshAddress("connect", "", 65536)],
        ):
            self.assertRaises(RecordError, sign, self.identity, ways, issued=NOW, lifetime=1)
        strange = certified(key=ec.generate_private_key(ec.SECP384R1()))
        self.identity._held = Keypair(strange.key, (strange.certificate,), ())
        self.assertRaises(UgateError, self.record)

    def test_bodies(self) -> None:
        """
        A body that a good key has signed is checked too.
        """
        good = (1, int(NOW * 1000), 0, 9)
        way = ["connect", "", 1]
        read(signed(KEYS[0], good, encode([[way], [], b""])), NOW)
        for body, text in (
            ([[way] * 9, [], b""], "length <= 8"),
            ([[], ["x"] * 9, b""], "length <= 8"),
            ([[way], []], "body"),
            ([[way], [], b"", b""], "body"),
            ([[way]], "body"),
            ([[["connect", ""]], [], b""], "body"),
            ([[["connect", "", 1.5]], [], b""], "body"),
            ([[["connect", "", 2**70 % 2**63]], [], b""], "port"),
            ([[["connect", "", 0]], [], b""], "port"),
            ([[["con nect", "", 1]], [], b""], "transport"),
            ([[["connect", "fe80::1%2", 1]], [], b""], "host"),
            ([[["connect", "a\nb", 1]], [], b""], "host"),
            ([[], ["\u00e4"], b""], "name"),
        ):
            self.refused(signed(KEYS[0], good, encode(body)), text)
        self.refused(signed(KEYS[0], good, encode([[way], [], b""]) + b"\xc0"), "body")
        self.refused(signed(KEYS[0], good, b"\x93\x90\x91\xa1\xff\xc4\x00"), "body")
        self.refused(signed(KEYS[0], good, b""), "body")

    def test_keys(self) -> None:
        """
        A key of another type, a weak or a huge one, or one that is written in another way, is refused.
        """
        good, body = (int(NOW * 1000), 0, 9), encode([[], [], b""])
        point = KEYS[0].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        compressed = KEYS[0].public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

        def der(key: Any) -> bytes:
            data: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return data

        for kind, raw in (
            (0, point),
            (4, point),
            (2, point),
            (1, compressed),
            (1, b"\4" + b"\1" * 64),
            (1, b"\6" + point[1:]),
            (2, b"\1" * 31),
            (3, der(KEYS[0])),
            (3, der(RSA)[:-1]),
            (3, der(RSA) + b"\0"),
            (3, der(rsa.generate_private_key(65537, 1024))),
            (3, b"\0" * 300),
        ):
            self.refused(signed(KEYS[0], (kind, *good), body, raw), "key")
        huge = rsa.RSAPublicNumbers(2**40 + 1, RSA.public_key().public_numbers().n).public_key()
        raw = huge.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.refused(signed(RSA, (3, *good), body, raw), "too large")
        long = rsa.RSAPublicNumbers(65537, (1 << 4200) + 1).public_key()
        raw = long.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.refused(signed(RSA, (3, *good), body, raw), "too large")

    def test_separate(self) -> None:
        """
        What the same key signed for something else is no record.
        """
        data = self.record()
        head = peek(data)
        text = data[: head.signatureAt]
        read(text + _flat(1, self.identity.sign(_SIGNED + text)), NOW)
        self.refused(text + self.identity.sign(_SIGNED + text), "signature")
        for other in (text, b"ugate" + text, b" " * 64 + _SIGNED + text):
            self.refused(text + _flat(1, self.identity.sign(other)), "signature")

    def test_others(self) -> None:
        """
        A record whose key is put in place of another is refused: nobody speaks for others.
        """
        theirs = identityOf(p256())
        data = self.record()
        raw = sign(theirs, WAYS, issued=NOW, lifetime=1)[_HEAD.size :][:65]
        self.refused(data[: _HEAD.size] + raw + data[_HEAD.size + 65 :], "signature")

    def test_large(self) -> None:
        """
        What does not fit into one datagram is no record.
        """
        self.refused(self.record() + b"x" * MAX_SIZE, "wanted at most 1200")
        self.refused(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" * 2, "version")
        self.refused(signed(KEYS[0], (1, int(NOW * 1000), 0, 9), b"", magic=b"ugR\2"), "version")
