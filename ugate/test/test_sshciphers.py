# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshciphers}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.sshciphers import AEADS, CIPHERS, MACS, NoCipher, PacketCipher, makeCipher

KEY = bytes(range(128))
ALL = [(cipher, mac) for cipher in CIPHERS for mac in (MACS[:1] if cipher in AEADS else MACS)]


def pair(cipher: bytes, mac: bytes) -> tuple[PacketCipher, PacketCipher]:
    """
    Who seals, and who opens.
    """
    return makeCipher(cipher, mac, KEY, KEY, KEY, True), makeCipher(cipher, mac, KEY, KEY, KEY, False)


class CipherTests(SynchronousTestCase):
    """
    Each cipher with each MAC.
    """

    def test_everySplit(self) -> None:
        """
        A packet is opened when its last byte is there, and not before.
        """
        for cipher, mac in ALL:
            seals, opens = pair(cipher, mac)
            for payload in (b"a", b"hello" * 7):
                sealed = seals.seal(payload)
                for size in range(len(sealed)):
                    self.assertIsNone(opens.open(memoryview(sealed[:size])), (cipher, mac, size))
                self.assertEqual((payload, len(sealed)), opens.open(memoryview(sealed + b"more")))

    def test_everyBit(self) -> None:
        """
        No byte of a packet can be changed; that of its length may also make it end later, or too late.
        """
        for cipher, mac in ALL:
            sealed = pair(cipher, mac)[0].seal(b"hello")
            for at in range(len(sealed)):
                wrong = bytearray(sealed)
                wrong[at] ^= 1
                opens = pair(cipher, mac)[1]
                try:
                    self.assertIsNone(opens.open(memoryview(bytes(wrong))), (cipher, mac, at))
                    self.assertLess(at, 4)
                except ProtocolError:
                    pass

    def test_order(self) -> None:
        """
        A packet counts once, and in its place.
        """
        for cipher, mac in ALL:
            seals, opens = pair(cipher, mac)
            one, two = seals.seal(b"one"), seals.seal(b"two")
            self.assertRaises(ProtocolError, pair(cipher, mac)[1].open, memoryview(two + bytes(40000)))
            opens.open(memoryview(one))
            self.assertRaises(ProtocolError, opens.open, memoryview(one + bytes(40000)))

    def test_tooLong(self) -> None:
        """
        A packet that is longer than allowed is refused when its length is known.
        """
        for cipher, mac in ALL:
            seals, opens = pair(cipher, mac)
            sealed = seals.seal(b"x" * 35001)
            self.assertRaises(ProtocolError, opens.open, memoryview(sealed[:16]))

    def test_gcmVector(self) -> None:
        """
        AES-GCM has the length as what is authenticated, and counts in the last eight bytes of the nonce: test
        case 4 of McGrew and Viega does not fit SSH, so the primitive is asked for the same.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        seals = pair(b"aes128-gcm@openssh.com", b"")[0]
        for count in range(2):
            sealed = seals.seal(b"hello")
            nonce = KEY[:4] + (int.from_bytes(KEY[4:12], "big") + count).to_bytes(8, "big")
            plain = AESGCM(KEY[:16]).decrypt(nonce, sealed[4:], sealed[:4])
            self.assertEqual((10, b"hello"), (plain[0], plain[1:6]))

    @given(st.binary(max_size=200))
    def test_garbage(self, data: bytes) -> None:
        """
        What is no packet is refused, or waited for; nothing else is raised.
        """
        for cipher, mac in ALL:
            try:
                self.assertIsNone(pair(cipher, mac)[1].open(memoryview(data)))
            except ProtocolError:
                pass
        try:
            NoCipher().open(memoryview(data))
        except ProtocolError:
            pass
