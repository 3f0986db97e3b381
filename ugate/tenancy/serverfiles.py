# -*- test-case-name: ugate.test.test_serverfiles -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A folder of certificates for servers, as HAProxy, certbot, lego and Kubernetes lay it out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ugate.errors import StringError, UgateError
from ugate.protocols.servernames import isHostName
from ugate.tenancy.identityfiles import MAX_FILE, Keypair, readFile
from ugate.tenancy.identityown import certifiedNames

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MOST: Final = 1000
"""How many certificates of a folder count."""

_PAIRS: Final = (("fullchain.pem", "privkey.pem"), ("cert-chain.pem", "key.pem"), ("cert.pem", "key.pem"))
"""Files of a certificate and of its key whose names do not begin the same."""

_BESIDE: Final = frozenset(("ca.crt", "ca.pem", "chain.pem", "root-cert.pem"))
"""What may lie beside: certificates without a key of ours."""

_MARK: Final = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
_RSA_BITS: Final = 2048
_LONGEST: Final = 10
"""Certificates in a row, at most: peers take no more."""


@dataclass(frozen=True, slots=True)
class Pair:
    """
    The files of one certificate.

    @since: ugate NEXT
    """

    key: str
    """The path of the private key."""

    chain: str
    """The path of the certificate, and of those above: maybe the same."""

    def __str__(self) -> str:
        return self.chain


def pairsIn(folder: str) -> tuple[list[Pair], list[str]]:
    """
    What certificates there are in a folder, and in the folders in it.

    @return: them, and what is wrong, a sentence each.
    @raise UgateError: it cannot be read.
    @since: ugate NEXT
    """
    pairs: list[Pair] = []
    wrong: list[str] = []
    names, folders = _listed(folder)
    for each, inside in ((folder, names), *((path, None) for path in folders)):
        try:
            found = _paired(each, _listed(each)[0] if inside is None else inside)
            for one in found:
                (pairs if isinstance(one, Pair) else wrong).append(one)  # type: ignore[arg-type]
        except UgateError as error:
            wrong.append(str(error))
    if len(pairs) > MOST:
        wrong.append(f"{folder}: {len(pairs)} certificates, of which the first {MOST} count; wanted no more")
    return pairs[:MOST], wrong


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """
    The names of its files, and the paths of its folders; what begins with a dot does not count, and what
    could write lines of the log.
    """
    names, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.isprintable():
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    names.append(entry.name)
    except OSError as error:
        raise UgateError(f"{folder}: {error.strerror or error}; wanted a folder that can be read") from error
    return sorted(names), sorted(folders)


def _paired(folder: str, names: list[str]) -> Iterator[Pair | str]:
    files = set(names)
    taken: set[str] = set()
    for chain, key in _PAIRS:
        if {chain, key} <= files and key not in taken:
            taken |= {chain, key, "cert.pem"}
            yield Pair(os.path.join(folder, key), os.path.join(folder, chain))
    for name in names:
        path = os.path.join(folder, name)
        stem, _, kind = name.rpartition(".")
        if name in taken or name in _BESIDE or stem.endswith(".issuer"):
            continue
        if kind == "pem":
            yield Pair(path, path)
        elif kind == "crt":
            key = f"{stem}.key"
            if key in files:
                yield Pair(os.path.join(folder, key), path)
            else:
                yield f"{path}: there is no {key} beside it; wanted both"
        elif kind == "key" and f"{stem}.crt" not in files:
            yield f"{path}: there is no {stem}.crt beside it; wanted both"


def checkServers(folder: str) -> None:
    """
    A check for C{identity.servers}: whether there is such a folder.  What is in it may change at any
    time, and is looked at when it is used.

    @raise StringError: there is none, and why.
    """
    try:
        _listed(folder)
    except UgateError as error:
        raise StringError(str(error)) from error


def readPair(pair: Pair) -> tuple[Keypair, tuple[str, ...]]:
    """
    A certificate of a server.

    @return: it, and the names that it has: hosts in small letters, some with C{*.} in front.
    @raise UgateError: it cannot be used; the message says the file, the line and why.
    @since: ugate NEXT
    """
    keyBlocks = _blocks(pair.key, readFile(pair.key, MAX_FILE, isSecret=True))
    chainBlocks = keyBlocks
    if pair.chain != pair.key:
        chainBlocks = _blocks(pair.chain, readFile(pair.chain, MAX_FILE))
    key = _key(pair.key, keyBlocks)
    found = [block for block in chainBlocks if block.label == "CERTIFICATE"]
    if not found:
        raise UgateError(f"{pair.chain}: there is no certificate in it; wanted that of the server first")
    if len(found) > _LONGEST:
        where = f"{pair.chain}:{found[_LONGEST].line}"
        raise UgateError(f"{where}: over {_LONGEST} certificates; wanted the server's and those above it")
    chain = tuple(_certificate(pair.chain, block) for block in found)
    where = f"{pair.chain}:{found[0].line}"
    if not _isOf(key, chain[0]):
        raise UgateError(
            f"{where}: this certificate is not of the key in {pair.key}; wanted that of the server first"
        )
    names = _names(chain[0])
    if not names:
        raise UgateError(f"{where}: this certificate has no name of a host; wanted one with a subjectAltName")
    return Keypair(key, chain), names


@dataclass(frozen=True, slots=True)
class _Block:
    """
    One thing in a PEM file.
    """

    label: str
    line: int
    data: bytes


def _blocks(path: str, data: bytes) -> list[_Block]:
    blocks: list[_Block] = []
    lines: list[bytes] = []
    label, began = "", 0
    for number, line in enumerate(data.split(b"\n"), 1):
        mark = _MARK.fullmatch(line.strip())
        if mark is None:
            if label:
                lines.append(line)
            continue
        kind = mark[2].decode()
        if (mark[1] == b"BEGIN") is bool(label) or (label and kind != label):
            expected = f"END {label}" if label else "a BEGIN before it"
            raise UgateError(f"{path}:{number}: {mark[1].decode()} {kind} stands there; wanted {expected}")
        lines.append(line)
        if label:
            blocks.append(_Block(label, began, b"\n".join(lines) + b"\n"))
            label, lines = "", []
        else:
            label, began = kind, number
    if label:
        raise UgateError(f"{path}:{began}: this {label} has no end; wanted the whole file")
    return blocks


def _key(path: str, blocks: list[_Block]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = [block for block in blocks if block.label.endswith("PRIVATE KEY")]
    if len(found) != 1:
        raise UgateError(f"{path}: {len(found) or 'no'} private keys in it; wanted one, with its certificate")
    block = found[0]
    try:
        key: Any = load_pem_private_key(block.data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No cause: who knows what it says.
        raise UgateError(
            f"{path}:{block.line}: this private key cannot be read; wanted one in PEM, without a password"
        ) from None
    isGood = isinstance(key, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey))
    if isinstance(key, rsa.RSAPrivateKey):
        isGood = key.key_size >= _RSA_BITS
    if not isGood:
        raise UgateError(
            f"{path}:{block.line}: a key of another type; wanted ECDSA, Ed25519 or RSA of {_RSA_BITS} bits"
        )
    return key


def _certificate(path: str, block: _Block) -> Certificate:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        certificate = load_pem_x509_certificate(block.data)
        # What is broken in these is found only when they are asked for.
        assert certificate.extensions is not None and certificate.public_key() is not None
    except Exception as error:
        said = str(error).partition(". See ")[0]
        raise UgateError(f"{path}:{block.line}: this certificate cannot be read: {said}") from error
    return certificate


def _isOf(key: Any, certificate: Certificate) -> bool:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ours: bytes = key.public_key().public_bytes(*form)
    return ours == certificate.public_key().public_bytes(*form)


def _names(certificate: Certificate) -> tuple[str, ...]:
    found = (each.lower().removesuffix(".") for each in certifiedNames(certificate))
    return tuple(dict.fromkeys(each for each in found if isHostName(each.removeprefix("*."))))
