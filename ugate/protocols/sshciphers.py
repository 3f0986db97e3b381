# -*- test-case-name: ugate.test.test_sshciphers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How packets of SSH are sealed and opened: one object for each direction, without a socket.
The primitives are cryptography's.
"""

from __future__ import annotations

import hmac
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305

from ugate.errors import ProtocolError

LENGTH = Struct(">L")
LONG = Struct(">Q")
ZEROS = bytes(64)
BEFORE_LOGIN = 35000
"""The largest packet that RFC 4253, section 6.1, asks everybody to take."""

LEAST = 16
"""Bytes that any packet has, and from which on its length is known."""

_BYTES = tuple(bytes((each,)) for each in range(256))


class PacketCipher(ABC):
    """
    The packets of one direction. It counts them, as most ciphers have the number in what they authenticate.

    @since: ugate NEXT
    """

    block = 16
    """What the length of a packet is a multiple of."""

    overhead = 0
    """How many bytes come behind the packet."""

    hidden = 0
    """How many bytes of the length count for the multiple: 4 if it is encrypted together with the rest."""

    largest = BEFORE_LOGIN
    """How long a packet may be that is opened."""

    sequence = 0
    """The number of the next packet."""

    def seal(self, payload: bytes) -> bytes:
        """
        Make a packet.
        """
        return b"".join(self.sealed(payload))

    def sealed(self, *payload: bytes | memoryview) -> Sequence[bytes]:
        """
        Make a packet of a payload that is in pieces.

        @return: the packet, in pieces, too: whoever sends it need not put them together.
        """
        size = 1 + sum(map(len, payload))
        padding = self.block - (self.hidden + size) % self.block
        if padding < 4:
            padding += self.block
        length = LENGTH.pack(size + padding)
        sealed = self._seal(length, b"".join((_BYTES[padding], *payload, os.urandom(padding))))
        self.sequence = (self.sequence + 1) & 0xFFFFFFFF
        return sealed

    def end(self, buffer: memoryview) -> int | None:
        """
        How many bytes the packet takes that what came begins with.

        @return: L{None} as long as that is not known.
        @raise ProtocolError: there are no such packets.
        """
        length = self._length(buffer)
        if length is None:
            return None
        if not 5 <= length <= self.largest or (self.hidden + length) % self.block:
            raise ProtocolError(f"bad packet length {length}, at most {self.largest}")
        return 4 + length + self.overhead

    def open(self, buffer: memoryview) -> tuple[memoryview, int] | None:
        """
        Take a packet from the beginning of what came.

        @return: its payload, and how many bytes it took; L{None} if it is not whole.
        @raise ProtocolError: nothing that comes after it can be trusted.
        """
        end = self.end(buffer)
        if end is None or len(buffer) < end:
            return None
        packet = self._open(buffer, end)
        self.sequence = (self.sequence + 1) & 0xFFFFFFFF
        padding, length = packet[0], len(packet)
        if not 4 <= padding < length - 1:
            raise ProtocolError("bad padding")
        return memoryview(packet)[1 : length - padding], end

    def _length(self, buffer: memoryview) -> int | None:
        return int(LENGTH.unpack_from(buffer)[0]) if len(buffer) >= 4 else None

    @abstractmethod
    def _seal(self, length: bytes, packet: bytes) -> Sequence[bytes]: ...

    @abstractmethod
    def _open(self, buffer: memoryview, end: int) -> bytes: ...


class NoCipher(PacketCipher):
    """
    What is spoken before there are keys.

    @since: ugate NEXT
    """

    block = 8
    hidden = 4

    def _seal(self, length: bytes, packet: bytes) -> Sequence[bytes]:
        return length, packet

    def _open(self, buffer: memoryview, end: int) -> bytes:
        return bytes(buffer[4:end])


class GCM(PacketCipher):
    """
    AES-GCM (RFC 5647, as OpenSSH names it): the length is in the clear, and authenticated.

    @since: ugate NEXT
    """

    overhead = 16

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = iv[:4]
        self._count = LONG.unpack(iv[4:12])[0]

    def _nonce(self) -> bytes:
        nonce = self._fixed + LONG.pack(self._count)
        self._count = (self._count + 1) & 0xFFFFFFFFFFFFFFFF
        return nonce

    def _seal(self, length: bytes, packet: bytes) -> Sequence[bytes]:
        return length, self._aead.encrypt(self._nonce(), packet, length)

    def _open(self, buffer: memoryview, end: int) -> bytes:
        try:
            return self._aead.decrypt(self._nonce(), buffer[4:end], buffer[:4])
        except InvalidTag as error:
            raise ProtocolError("bad MAC") from error


class ChaCha(PacketCipher):
    """
    chacha20-poly1305@openssh.com: the length is encrypted, too, with a key of its own.

    @since: ugate NEXT
    """

    block = 8
    overhead = 16

    def __init__(self, key: bytes) -> None:
        # What is added to the data is the same in both directions.
        self._main, self._lengths = (
            Cipher(algorithms.ChaCha20(each, bytes(16)), None).encryptor() for each in (key[:32], key[32:64])
        )
        self._known: int | None = None

    def _begin(self) -> Poly1305:
        """
        Begin the packet: the first block of its stream is the key of Poly1305, and what is inside begins in
        the second.
        """
        self._main.reset_nonce(bytes(8) + LONG.pack(self.sequence))
        return Poly1305(self._main.update(ZEROS)[:32])

    def _crypted(self, length: bytes) -> bytes:
        self._lengths.reset_nonce(bytes(8) + LONG.pack(self.sequence))
        return self._lengths.update(length)

    def _length(self, buffer: memoryview) -> int | None:
        if self._known is None and len(buffer) >= 4:
            self._known = LENGTH.unpack(self._crypted(bytes(buffer[:4])))[0]
        return self._known

    def _seal(self, length: bytes, packet: bytes) -> Sequence[bytes]:
        mac = self._begin()
        sealed = self._crypted(length), self._main.update(packet)
        for each in sealed:
            mac.update(each)
        return *sealed, mac.finalize()

    def _open(self, buffer: memoryview, end: int) -> bytes:
        self._known = None
        mac = self._begin()
        mac.update(buffer[: end - 16])
        try:
            mac.verify(bytes(buffer[end - 16 : end]))
        except InvalidSignature as error:
            raise ProtocolError("bad MAC") from error
        return self._main.update(buffer[4 : end - 16])


class Counted(PacketCipher):
    """
    AES-CTR, and a MAC of what was encrypted (EtM): the length is in the clear.

    @since: ugate NEXT
    """

    def __init__(self, key: bytes, iv: bytes, macKey: bytes, digest: str, seals: bool) -> None:
        """
        @param digest: the hash of the MAC, as hashlib names it.
        @param seals: whether this is the direction that we send in.
        """
        cipher = Cipher(algorithms.AES(key), modes.CTR(iv))
        self._cipher = cipher.encryptor() if seals else cipher.decryptor()
        self._macKey, self._digest = macKey, digest
        self.overhead = len(macKey)

    def _mac(self, *parts: bytes | memoryview) -> bytes:
        return hmac.digest(self._macKey, b"".join((LENGTH.pack(self.sequence), *parts)), self._digest)

    def _seal(self, length: bytes, packet: bytes) -> Sequence[bytes]:
        sealed = self._cipher.update(packet)
        return length, sealed, self._mac(length, sealed)

    def _open(self, buffer: memoryview, end: int) -> bytes:
        inner = end - self.overhead
        if not hmac.compare_digest(self._mac(buffer[:inner]), bytes(buffer[inner:end])):
            raise ProtocolError("bad MAC")
        return self._cipher.update(buffer[4:inner])


class CountedTogether(Counted):
    """
    AES-CTR, and a MAC of what is inside (RFC 4253): the length has to be decrypted before anything is
    known to be true.

    @since: ugate NEXT
    """

    hidden = 4
    _first = b""

    def _length(self, buffer: memoryview) -> int | None:
        if not self._first and len(buffer) >= 16:
            self._first = self._cipher.update(bytes(buffer[:16]))
        return int(LENGTH.unpack_from(self._first)[0]) if self._first else None

    def _seal(self, length: bytes, packet: bytes) -> Sequence[bytes]:
        plain = length + packet
        return self._cipher.update(plain), self._mac(plain)

    def _open(self, buffer: memoryview, end: int) -> bytes:
        inner = end - self.overhead
        plain = self._first + self._cipher.update(buffer[16:inner])
        self._first = b""
        if not hmac.compare_digest(self._mac(plain), bytes(buffer[inner:end])):
            raise ProtocolError("bad MAC")
        return plain[4:]


CHACHA = b"chacha20-poly1305@openssh.com"
AEADS = (b"aes128-gcm@openssh.com", b"aes256-gcm@openssh.com", CHACHA)
CIPHERS = (*AEADS, b"aes128-ctr", b"aes192-ctr", b"aes256-ctr")
MACS = (
    b"hmac-sha2-256-etm@openssh.com",
    b"hmac-sha2-512-etm@openssh.com",
    b"hmac-sha2-256",
    b"hmac-sha2-512",
)


def makeCipher(cipher: bytes, mac: bytes, iv: bytes, key: bytes, macKey: bytes, seals: bool) -> PacketCipher:
    """
    Make the cipher of one direction.

    @param cipher: one of L{CIPHERS}.
    @param mac: one of L{MACS}; it does not matter for L{AEADS}.
    @param iv: at least as long as is needed, as are C{key} and C{macKey}.
    """
    if cipher == CHACHA:
        return ChaCha(key[:64])
    size = int(cipher[3:6]) // 8
    if cipher in AEADS:
        return GCM(key[:size], iv)
    digest = "sha512" if b"512" in mac else "sha256"
    kind = Counted if b"-etm@" in mac else CountedTogether
    return kind(key[:size], iv[:16], macKey[: int(digest[3:]) // 8], digest, seals)
