# -*- test-case-name: ugate.test.test_ca -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The folder of a CA: its keys, its record, and what it makes public.

There are two keys for SSH: who believes hosts by the one lets no users in by it, and each can be replaced
alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ugate.errors import UgateError
from ugate.tenancy.ca.sshcertificates import publicText
from ugate.tenancy.ca.tlscertificates import domainOf, makeRoot
from ugate.tenancy.identityfiles import isCertifiedBy, readChain, readFile, readKey
from ugate.tenancy.identityown import keyText, makeKey
from ugate.tenancy.statefolder import makeFolder, writeWhole

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ROOT_KEY: Final = "root.key"
ROOT: Final = "root.pem"
USER_KEY: Final = "ssh-user"
HOST_KEY: Final = "ssh-host"
RECORD: Final = "record.db"
CRL: Final = "crl.pem"
KRL: Final = "krl"

_OTHERS: Final = 0o077
_MAX_KEY: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Keys:
    """
    What a CA signs with.
    """

    root: Certificate
    """The certificate of the CA for TLS."""

    rootKey: Any = field(repr=False)
    """Its private key."""

    userKey: Any = field(repr=False)
    """The private key that certifies users of SSH."""

    hostKey: Any = field(repr=False)
    """The private key that certifies hosts of SSH."""

    @property
    def domain(self) -> str:
        """The trust domain."""
        return domainOf(self.root)


def makeAuthority(folder: str, name: str, domain: str, now: float) -> None:
    """
    Make the keys of a CA in a folder, which may be there if it is empty.

    @raise UgateError: they cannot be made, or there are some.
    @since: ugate NEXT
    """
    makeFolder(folder)
    if os.listdir(folder):
        raise UgateError(f"{folder}: there is something in it; wanted an empty folder, or a new one")
    os.chmod(folder, 0o700)
    key = makeKey("p256")
    root = makeRoot(key, name, domain, now)
    for file in (USER_KEY, HOST_KEY):
        made = makeKey("ed25519")
        writeWhole(os.path.join(folder, file), _sshText(made), isNew=True)
        public = publicText(made.public_key()) + f" {name.replace(' ', '-')}\n".encode()
        writeWhole(os.path.join(folder, f"{file}.pub"), public, isNew=True)
    writeWhole(os.path.join(folder, ROOT_KEY), keyText(key), isNew=True)
    # The last, so that with it there is all of it.
    writeWhole(os.path.join(folder, ROOT), pemOf(root), isNew=True)


def readAuthority(folder: str) -> Keys:
    """
    The keys of a CA.

    @raise UgateError: they cannot be used, or others may read them.
    @since: ugate NEXT
    """
    path = os.path.join(folder, ROOT)
    if not os.path.lexists(path):
        raise UgateError(f"{folder}: there is no CA; make one with: ucli ca init {folder}")
    if os.stat(folder).st_mode & _OTHERS:
        raise UgateError(f"{folder}: others may look into it; run: chmod 700 {folder}")
    root = readChain(path)[0]
    key = readKey(os.path.join(folder, ROOT_KEY))
    if not isCertifiedBy(key, root):
        raise UgateError(f"{path}: it is not of the key in {ROOT_KEY}; wanted both from one place")
    keys = Keys(root, key, *(_readSSH(os.path.join(folder, each)) for each in (USER_KEY, HOST_KEY)))
    keys.domain  # noqa: B018 (it is there)
    return keys


def _readSSH(path: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    data = readFile(path, _MAX_KEY, isSecret=True)
    try:
        return load_ssh_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No cause: who knows what it says.
        raise UgateError(
            f"{path}: no private key of SSH; wanted one of OpenSSH, without a password"
        ) from None


def _sshText(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return text


def pemOf(certificate: Certificate) -> bytes:
    """
    A certificate as it is in a file.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)
