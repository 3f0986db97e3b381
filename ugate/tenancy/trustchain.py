# -*- test-case-name: ugate.test.test_trust -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whether a chain of certificates leads to a root, and what it says then.

What C{cryptography.x509.verification} has is for browsers: it wants names of hosts, and knows no Ed25519. So
the checks are here, each with a sentence of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.x509.oid import ExtendedKeyUsageOID

from ugate.tenancy.identityown import certifiedNames
from ugate.tenancy.trustfiles import normalName

MAX_CHAIN: Final = 10
"""How many certificates a peer may send."""

MAX_DEPTH: Final = 6
"""How many of them may be between it and a root."""

_MAX_SIGNATURES: Final = 64
_UNDERSTOOD: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
)
_HASHES: Final = (SHA256, SHA384, SHA512)
T = TypeVar("T", bound=x509.ExtensionType)
_SPIFFE: Final = "spiffe://"


class Unbelieved(Exception):
    """
    A certificate that is not believed.

    @ivar detail: what is wrong with it.
    @ivar nextStep: what to do about that.
    """

    def __init__(self, detail: str, nextStep: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.nextStep = nextStep


class NoPath(Unbelieved):
    """
    It leads to no root; it may be known otherwise.
    """


@dataclass(frozen=True, slots=True)
class When:
    """
    What time it is, as well as one knows.
    """

    now: float
    """In seconds since 1970."""

    skew: float = 0.0
    """By how much that may be wrong."""

    def check(self, certificate: x509.Certificate, whose: str = "its certificate") -> None:
        """
        @raise Unbelieved: that certificate is not good now.
        """
        now = datetime.fromtimestamp(self.now, timezone.utc)
        skew = timedelta(seconds=self.skew)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now + skew < begins:
            raise Unbelieved(
                f"{whose} is not good before {begins.isoformat()}",
                "check the clocks of both, or raise trust.skew",
            )
        if now - skew > ends:
            raise Unbelieved(
                f"{whose} ended at {ends.isoformat()}", "renew it there, or check the clock here"
            )


@dataclass(frozen=True, slots=True)
class Spiffe:
    """
    A SPIFFE id in the form that Istio and we give it.
    """

    text: str
    """All of it."""

    domain: str
    """The trust domain."""

    namespace: str
    """The namespace; empty if it is of another form."""


def spiffeIn(certificate: x509.Certificate) -> Spiffe | None:
    """
    The SPIFFE id of a certificate, if it has one.

    @raise Unbelieved: it has two, or one that cannot be read.
    """
    found = [name for name in certifiedNames(certificate) if name.lower().startswith(_SPIFFE)]
    if not found:
        return None
    if len(found) > 1:
        raise Unbelieved("it has more than one SPIFFE id", "have it certified again with one")
    domain, _, path = found[0][len(_SPIFFE) :].partition("/")
    if not domain or not found[0].isprintable() or any(each in found[0] for each in " ?#%@"):
        raise Unbelieved(
            f"{found[0][:100]!r} is no SPIFFE id", "wanted spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT"
        )
    parts = path.split("/")
    isOurs = len(parts) == 4 and parts[0] == "ns" and parts[2] == "sa" and all(parts)
    domain = domain.lower()
    # What is the same to who certifies is the same to rules.
    return Spiffe(f"{_SPIFFE}{domain}/{path}", domain, parts[1] if isOurs else "")


def isNamed(certificate: x509.Certificate, name: str) -> bool:
    """
    Whether a certificate has a name: of a host, an address or a SPIFFE id.
    """
    names = certifiedNames(certificate)
    if "://" in name:
        return name in names
    try:
        address = ip_address(name)
    except ValueError:
        wanted = normalName(name)
        above = f"*.{wanted.partition('.')[2]}"
        return any(normalName(each) in (wanted, above) for each in names if "://" not in each)
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value if names else ()
    return address in (found.get_values_for_type(x509.IPAddress) if found else ())


def checkPath(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], when: When, isClient: bool
) -> tuple[x509.Certificate, ...]:
    """
    Find the way from a certificate to a root.

    @param isClient: whether the peer is one; else it is a server.
    @return: the way, with both ends.
    @raise Unbelieved: there is none, or none that is good.
    """
    first: Unbelieved | None = None
    for path in _paths(chain, roots):
        try:
            _checkPath(path, when, isClient)
            return path
        except Unbelieved as error:
            first = first or error
    if first is not None:
        raise first
    last = chain[-1]
    by = last.issuer.rfc4514_string()[:200] or "nobody"
    raise NoPath(
        f"it is certified by {by}, which leads to none of our roots",
        "add that root to trust.roots if it is to be believed, or see who answers there",
    )


def _paths(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> Iterator[tuple[x509.Certificate, ...]]:
    left = _MAX_SIGNATURES
    if chain[0] in roots:
        yield (chain[0],)
    waiting: list[tuple[x509.Certificate, ...]] = [(chain[0],)]
    while waiting:
        path = waiting.pop()
        last = path[-1]
        for isRoot, above in (*((True, each) for each in roots), *((False, each) for each in chain[1:])):
            if above.subject != last.issuer or above in path:
                continue
            left -= 1
            if left < 0:
                return
            if not _isBy(last, above):
                continue
            if isRoot:
                yield (*path, above)
            elif len(path) <= MAX_DEPTH:
                waiting.append((*path, above))


def _isBy(certificate: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(above)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _checkPath(path: tuple[x509.Certificate, ...], when: When, isClient: bool) -> None:
    for depth, certificate in enumerate(path):
        whose = "its certificate" if not depth else f"the certificate of {_subject(certificate)}"
        when.check(certificate, whose)
        extensions = extensionsOf(certificate, whose)
        if depth:
            _checkAuthority(extensions, depth, whose)
        _checkPurpose(extensions, isClient, whose)
        if depth < len(path) - 1:
            algorithm = certificate.signature_hash_algorithm
            if algorithm is not None and not isinstance(algorithm, _HASHES):
                raise Unbelieved(
                    f"{whose} is signed with {algorithm.name}", "have it certified again, with SHA-256"
                )


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:200]


def extensionsOf(certificate: x509.Certificate, whose: str = "its certificate") -> x509.Extensions:
    """
    The extensions of a certificate.

    @raise Unbelieved: they cannot be read, or one that has to be understood is not.
    """
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension) as error:
        raise Unbelieved(f"{whose} cannot be read", "have it certified again") from error
    for each in extensions:
        isName = isinstance(each.value, x509.NameConstraints)
        if isName or (each.critical and not isinstance(each.value, _UNDERSTOOD)):
            what = "names are constrained" if isName else f"{each.oid.dotted_string} is critical"
            raise Unbelieved(
                f"{whose} has an extension that is not understood here: {what}",
                "have it certified without that",
            )
    return extensions


def _checkAuthority(extensions: x509.Extensions, depth: int, whose: str) -> None:
    """
    @raise Unbelieved: whoever this is may not certify others.
    """
    step = "that one may not certify others: see who certified the peer"
    basic = _find(extensions, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise Unbelieved(f"{whose} is not of a CA", step)
    if basic.path_length is not None and depth - 1 > basic.path_length:
        raise Unbelieved(f"{whose} allows only {basic.path_length} CAs below it", step)
    usage = _find(extensions, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise Unbelieved(f"{whose} is not for certifying", step)


def _checkPurpose(extensions: x509.Extensions, isClient: bool, whose: str) -> None:
    """
    @raise Unbelieved: it is for something else.
    """
    purposes = _find(extensions, x509.ExtendedKeyUsage)
    wanted = ExtendedKeyUsageOID.CLIENT_AUTH if isClient else ExtendedKeyUsageOID.SERVER_AUTH
    if (
        purposes is not None
        and wanted not in purposes
        and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes
    ):
        what = "clients" if isClient else "servers"
        raise Unbelieved(f"{whose} is not for {what}", f"have it certified again, for {what} too")


def _find(extensions: x509.Extensions, kind: type[T]) -> T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def checkAlone(certificate: x509.Certificate, when: When, isClient: bool) -> None:
    """
    What has to be right of a certificate also if its key is known.

    @raise Unbelieved: it is not.
    """
    when.check(certificate)
    _checkPurpose(extensionsOf(certificate), isClient, "its certificate")
