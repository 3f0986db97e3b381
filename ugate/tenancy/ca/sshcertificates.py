# -*- test-case-name: ugate.test.test_cassh -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a CA signs for SSH (OpenSSH, PROTOCOL.certkeys), and its list of what is revoked (PROTOCOL.krl).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from ugate.tenancy.ca.requests import Wanted
from ugate.tenancy.ca.schema import SSH_USER, CaRule

KRL_MAGIC: Final = b"SSHKRL\n\0"
_VERSION: Final = 1
_CERTIFICATES: Final = 1
_SERIALS: Final = 0x20
_TITLES: Final = 0x23

PERMITS: Final = ("agent-forwarding", "port-forwarding", "pty")
"""What users of SSH may do whom no rule limits."""


def publicText(key: Any) -> bytes:
    """
    A public key as it is in a file C{.pub}.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text: bytes = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return text


def makeSSHCertificate(
    key: Any, wanted: Wanted, title: str, begins: float, ends: float, serial: int, rule: CaRule | None
) -> str:
    """
    Certify a key of SSH.

    @param key: the private key of the CA.
    @param rule: says what a user may do.
    @return: the line of a file C{-cert.pub}.
    """
    from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType

    isUser = wanted.kind == SSH_USER
    builder = (
        SSHCertificateBuilder()
        .public_key(wanted.key)
        .serial(serial)
        .type(SSHCertificateType.USER if isUser else SSHCertificateType.HOST)
        .key_id(title.encode())
        .valid_principals([name.encode() for name in wanted.names])
        .valid_after(int(begins))
        .valid_before(int(ends))
    )
    if isUser:
        for permit in PERMITS if rule is None else rule.permits:
            builder = builder.add_extension(f"permit-{permit}".encode(), b"")
        if rule is not None and rule.source:
            builder = builder.add_critical_option(b"source-address", ",".join(rule.source).encode())
        if rule is not None and rule.command:
            builder = builder.add_critical_option(b"force-command", rule.command.encode())
    return builder.sign(key).public_bytes().decode()


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def makeKRL(
    authorities: Iterable[tuple[Any, Iterable[int]]], titles: Iterable[str], now: float, comment: str
) -> bytes:
    """
    The list of certificates of SSH that are revoked.

    @param authorities: the public keys of CAs, each with the serial numbers of what it revoked.
    @param titles: what is certified no more: key ids, of any of them.
    """
    head = struct.pack(">IQQQ", _VERSION, int(now * 1000), int(now), 0)
    parts = [KRL_MAGIC, head, _string(b""), _string(comment.encode())]
    names = b"".join(_string(title.encode()) for title in titles)
    for key, serials in authorities:
        sections = b""
        numbers = b"".join(struct.pack(">Q", serial) for serial in sorted(serials))
        for kind, data in ((_SERIALS, numbers), (_TITLES, names)):
            if data:
                sections += bytes([kind]) + _string(data)
        if sections:
            body = _string(_blob(key)) + _string(b"") + sections
            parts.append(bytes([_CERTIFICATES]) + _string(body))
    return b"".join(parts)


def _blob(key: Any) -> bytes:
    from binascii import a2b_base64

    return a2b_base64(publicText(key).split(b" ")[1])
