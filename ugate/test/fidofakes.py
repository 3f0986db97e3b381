# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A FIDO token in software, as keys of OpenSSH are in one (its PROTOCOL.u2f), and an agent that has it.
"""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import sha256
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ugate.protocols.sshcertificate import certifiedName
from ugate.protocols.sshsignatures import FIDO
from ugate.test.credentialfakes import sshString

TOUCHED, VERIFIED = 1, 4
_APPLICATION = b"ssh:test"
_POINT = Encoding.X962, PublicFormat.UncompressedPoint


def mpint(number: int) -> bytes:
    """
    A number as SSH sends it.
    """
    return sshString(number.to_bytes(number.bit_length() // 8 + 1, "big"))


class Token:
    """
    A key in it.

    @ivar flags: what it says of its owner.
    """

    flags = TOUCHED

    def __init__(self, isCurve: bool = False) -> None:
        """
        @param isCurve: whether it is of P-256, and not Ed25519.
        """
        self.kind = FIDO[isCurve]
        self._count = 0
        self._key: Any
        if isCurve:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self.parts = sshString(b"nistp256") + sshString(self._key.public_key().public_bytes(*_POINT))
        else:
            self._key = Ed25519PrivateKey.generate()
            self.parts = sshString(self._key.public_key().public_bytes_raw())
        self.parts += sshString(_APPLICATION)

    @property
    def blob(self) -> bytes:
        """
        The key as SSH sends it.
        """
        return sshString(self.kind) + self.parts

    @property
    def line(self) -> str:
        """
        The key as C{ssh-keygen} writes it, without a name.
        """
        return f"{self.kind.decode()} {b64encode(self.blob).decode()}"

    def sign(self, data: bytes) -> bytes:
        """
        A signature as SSH sends it.
        """
        self._count += 1
        said = bytes((self.flags,)) + self._count.to_bytes(4, "big")
        signed = sha256(_APPLICATION).digest() + said + sha256(data).digest()
        if isinstance(self._key, Ed25519PrivateKey):
            raw = self._key.sign(signed)
        else:
            numbers = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
            raw = b"".join(map(mpint, numbers))
        return sshString(self.kind) + sshString(raw) + said

    def certify(
        self, ca: Ed25519PrivateKey, begins: float, critical: Any = (), extensions: Any = ()
    ) -> bytes:
        """
        A certificate for bob, as SSH sends it; for a minute.
        """
        authority = sshString(b"ssh-ed25519") + sshString(ca.public_key().public_bytes_raw())
        times = b"".join(int(each).to_bytes(8, "big") for each in (begins, begins + 60))
        options = [
            b"".join(sshString(each) + sshString(b"") for each in some) for some in (critical, extensions)
        ]
        signed = (
            sshString(certifiedName(self.kind))
            + sshString(os.urandom(32))
            + self.parts
            + bytes(8)
            + (1).to_bytes(4, "big")
            + sshString(b"bob's token")
            + sshString(sshString(b"bob"))
            + times
            + b"".join(map(sshString, (*options, b"", authority)))
        )
        return signed + sshString(sshString(b"ssh-ed25519") + sshString(ca.sign(signed)))


class Agent(ThreadingUnixStreamServer):
    """
    An agent of SSH that has tokens.
    """

    daemon_threads = True

    def __init__(self, path: str, tokens: dict[bytes, Token]) -> None:
        """
        @param tokens: by what is shown: a key, or a certificate.
        """
        self.tokens = tokens
        super().__init__(path, _Asked)


class _Asked(StreamRequestHandler):
    def handle(self) -> None:
        while size := self.rfile.read(4):
            data = self.rfile.read(int.from_bytes(size, "big"))
            self.wfile.write(sshString(self._answer(data)))

    def _answer(self, data: bytes) -> bytes:
        server: Any = self.server
        if data[0] == 11:
            keys = b"".join(sshString(blob) + sshString(b"a token") for blob in server.tokens)
            return b"\x0c" + len(server.tokens).to_bytes(4, "big") + keys
        if data[0] == 13:
            size = int.from_bytes(data[1:5], "big")
            blob, rest = data[5 : 5 + size], data[5 + size :]
            signed = rest[4 : 4 + int.from_bytes(rest[:4], "big")]
            return b"\x0e" + sshString(server.tokens[blob].sign(signed))
        return b"\x05"
