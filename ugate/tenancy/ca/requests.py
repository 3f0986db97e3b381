# -*- test-case-name: ugate.test.test_carequests -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is asked of a CA: read from a PKCS #10 request or from a key of SSH, and checked as far as
that alone says.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from ugate.errors import StringError
from ugate.protocols.sshsignatures import keyFromBlob
from ugate.tenancy.ca.errors import BadRequest
from ugate.tenancy.ca.schema import KINDS, SSH_USER, TLS
from ugate.tenancy.keyids import keyidOf, namesOf

if TYPE_CHECKING:
    from cryptography.x509 import CertificateSigningRequest

MAX_REQUEST: Final = 64 * 1024
"""How many bytes a request for a certificate may have."""

MAX_NAMES: Final = 32
"""How many names one certificate may have."""

MAX_TEXT: Final = 255
"""How many characters a name of SSH, or what a certificate of SSH is called, may have."""

SPIFFE: Final = "spiffe://"

_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_SSH_KINDS: Final = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What somebody wants to have certified.
    """

    kind: str
    """C{tls}, C{ssh-host} or C{ssh-user}."""

    key: Any = field(repr=False)
    """The public key, of cryptography."""

    keyid: str
    """What it is known by: its KEYID, or for SSH alone its fingerprint."""

    names: tuple[str, ...]
    """The names to have: of hosts and URIs; or principals of SSH."""

    life: float | None = None
    """For how many seconds, if that is said."""

    title: str = ""
    """What a certificate of SSH is called, if that is said."""

    host: bool = False
    """Whether a certificate of the same key as a host of SSH is wanted too, if it may be had."""


def unreadable() -> tuple[type[Exception], ...]:
    """
    What cryptography raises, at whatever is asked of something that is broken.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.x509 import (
        AttributeNotFound,
        DuplicateExtension,
        InvalidVersion,
        UnsupportedGeneralNameType,
    )

    broken = (DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType, AttributeNotFound)
    return (*broken, ValueError, TypeError, LookupError, UnsupportedAlgorithm, InvalidSignature)


def checkHost(name: str) -> str:
    """
    A name of a host, in lower case.

    @raise BadRequest: it is none that is certified.
    """
    text = name.rstrip(".").lower()
    if len(text) > 253 or _HOST.fullmatch(text) is None:
        raise BadRequest(f"{name[:80]!a} is no name of a host; wanted letters, digits and dots, without *")
    try:
        ip_address(text)
    except ValueError:
        return text
    raise BadRequest(f"{text} is an address; wanted names of hosts")


def checkNames(names: Iterable[str]) -> tuple[str, ...]:
    """
    Names of hosts and URIs, each once.

    @raise BadRequest: one cannot be, or there are too many.
    """
    found: dict[str, None] = {}
    for name in names:
        if "://" in name:
            if len(name) > MAX_TEXT * 2 or not name.isprintable() or not name.isascii() or " " in name:
                raise BadRequest(f"{name[:80]!a} is no URI; wanted spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT")
            found[name] = None
        else:
            found[checkHost(name)] = None
    if len(found) > MAX_NAMES:
        raise BadRequest(f"{len(found)} names; wanted at most {MAX_NAMES}")
    if sum("://" in name for name in found) > 1:
        raise BadRequest("more than one URI; wanted one SPIFFE id")
    return tuple(found)


def readCSR(
    data: bytes, domain: str, *, names: Iterable[str] = (), life: float | None = None, host: bool = False
) -> Wanted:
    """
    Read a request in PEM or DER, whose sender has proven to have the key.

    @param domain: the trust domain of who asks for no names.
    @param names: what is wanted instead of the names in it.
    @raise BadRequest: it cannot be read, is not signed by its key, or wants what nobody gets.
    @since: ugate NEXT
    """
    from cryptography import x509

    if len(data) > MAX_REQUEST:
        raise BadRequest(f"a request of {len(data)} bytes; wanted at most {MAX_REQUEST}")
    load = x509.load_pem_x509_csr if b"-----BEGIN" in data else x509.load_der_x509_csr
    try:
        csr = load(data)
        key: Any = csr.public_key()
        keyid = keyidOf(key)
        isSigned = csr.is_signature_valid
        wished = _wishes(csr)
    except StringError as error:
        raise BadRequest(str(error)) from error
    except unreadable() as error:
        raise BadRequest("no request for a certificate can be read; wanted PKCS #10 in PEM") from error
    if not isSigned:
        raise BadRequest("the request is not signed by the key in it; make it with the private key")
    given = checkNames(tuple(names) or wished)
    if not given:
        given = namesOf(keyid, "default", "default", domain)
    return Wanted(TLS, key, keyid, given, _life(life), host=host)


def _wishes(csr: CertificateSigningRequest) -> tuple[str, ...]:
    """
    The names in a request.
    """
    from cryptography import x509

    names: list[str] = []
    for each in csr.extensions:
        if isinstance(each.value, x509.BasicConstraints) and each.value.ca:
            raise BadRequest("it wants to be a CA itself; wanted a request without that")
        if isinstance(each.value, x509.SubjectAlternativeName):
            for name in each.value:
                if not isinstance(name, (x509.DNSName, x509.UniformResourceIdentifier)):
                    raise BadRequest(
                        f"it wants a name of the type {type(name).__name__}; wanted names of hosts, and URIs"
                    )
                names.append(name.value)
    return tuple(names)


def readSSHKey(
    text: str, kind: str, names: Iterable[str], *, title: str = "", life: float | None = None
) -> Wanted:
    """
    Read what is in a file C{.pub} of OpenSSH.

    @param names: the principals that are wanted.
    @raise BadRequest: it is no key that is certified, or the names cannot be.
    @since: ugate NEXT
    """
    if kind not in KINDS or kind == TLS:
        raise BadRequest(f"the kind {kind[:40]!r}; wanted ssh-user or ssh-host")
    parts = text.split()
    if len(text) > MAX_REQUEST or len(parts) < 2 or parts[0] not in _SSH_KINDS:
        raise BadRequest(f"no key of SSH; wanted the text of a .pub file: {', '.join(_SSH_KINDS)}")
    try:
        blob = b64decode(parts[1].encode("ascii"), validate=True)
        key = keyFromBlob(parts[0].encode("ascii"), blob)
    except (Base64Error, UnicodeEncodeError, StringError) as error:
        raise BadRequest(f"the key of SSH cannot be read: {error}") from error
    try:
        keyid = keyidOf(key)
    except StringError:
        keyid = "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")
    given = tuple(dict.fromkeys(names))
    if not given:
        raise BadRequest("no principals; a certificate without any would be for all: say which")
    if len(given) > MAX_NAMES:
        raise BadRequest(f"{len(given)} principals; wanted at most {MAX_NAMES}")
    given = tuple(map(_checkUser, given)) if kind == SSH_USER else tuple(map(checkHost, given))
    if title:
        _checkUser(title)
    return Wanted(kind, key, keyid, given, _life(life), title)


def _checkUser(text: str) -> str:
    if not 0 < len(text) <= MAX_TEXT or not text.isprintable() or "," in text or text != text.strip():
        raise BadRequest(
            f"{text[:80]!a} cannot be a name of SSH; wanted 1 to {MAX_TEXT} characters, no comma"
        )
    return text


def _life(life: float | None) -> float | None:
    if life is not None and not life >= 1:
        raise BadRequest(f"a life of {life} seconds; wanted at least 1")
    return life
