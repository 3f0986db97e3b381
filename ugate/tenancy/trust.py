# -*- test-case-name: ugate.test.test_trust,ugate.test.test_trustkeys -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose certificates a tenant believes: by who certified them, by their keys, or since they were first met.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType
from zope.interface import implementer

from twisted.logger import Logger

from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.interfaces import ITrust
from ugate.stream import ROOT, Principal
from ugate.tenancy.config.identityschema import Trust as Section
from ugate.tenancy.identity import METHOD, Identity
from ugate.tenancy.identityown import certifiedNames, isSelfSigned
from ugate.tenancy.keyids import keyidIn, keyidOf
from ugate.tenancy.trustchain import (
    MAX_CHAIN,
    NoPath,
    Unbelieved,
    When,
    checkAlone,
    checkPath,
    extensionsOf,
    isNamed,
    spiffeIn,
)
from ugate.tenancy.trustfiles import KnownFile, Revoked
from ugate.tenancy.trustsources import Sources

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

T = TypeVar("T")

_UNREADABLE: Final = (
    *(ValueError, TypeError, LookupError, UnsupportedAlgorithm),
    *(DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType),
)
"""What cryptography raises, at whatever is asked of a certificate that is broken."""


@implementer(ITrust)
class Trust:
    """
    Whom a tenant believes.  It stays the same object when its section changes.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        section: Section,
        path: str = ROOT,
        own: Callable[[], Identity] | None = None,
        now: Callable[[], float] = time.time,
        crl: str | None = None,
    ) -> None:
        """
        @param path: the tenant.
        @param own: who it is itself, if that comes with roots: they hold if the section names none.
        @param now: the time of day.
        @param crl: the list of revocations that comes with that, once it is there; it holds if the section
            names none.
        @raise UgateError: a file cannot be used.
        """
        self.path = path
        self._now = now
        self._use(section, own, Sources(section, crl))

    def change(
        self, section: Section, own: Callable[[], Identity] | None = None, crl: str | None = None
    ) -> Callable[[], None]:
        """
        Believe others.

        @return: what takes that back.
        @raise UgateError: a file cannot be used; then all stays as it is.
        """
        before = self.section, self.own, self._files
        self._use(section, own, Sources(section, crl))
        return lambda: self._use(*before)

    def _use(self, section: Section, own: Callable[[], Identity] | None, files: Sources) -> None:
        self.section, self.own, self._files = section, own, files
        self._pins = frozenset(each.upper() for each in section.pins)

    def check(self, chain: Sequence[Certificate], name: str | None) -> Principal:
        """
        See L{ITrust}.
        """
        who = self._asked(chain, name, lambda: self._who(chain, name))
        return Principal(who, METHOD, self.path, _keyidOf(chain[0]) or "")

    def checkKnown(self, chain: Sequence[Certificate]) -> None:
        """
        See L{ITrust}.
        """
        self._asked(chain, None, lambda: self._known(chain))

    def _asked(self, chain: Sequence[Certificate], name: str | None, ask: Callable[[], T]) -> T:
        """
        Ask something, and have whatever is wrong as a refusal.
        """
        try:
            if name == "":
                raise Unbelieved("nobody in particular was asked for", "ask for it by a name")
            return ask()
        except Unbelieved as error:
            raise self._refused(chain, name, error.detail, error.nextStep) from error
        except _UNREADABLE as error:
            raise self._refused(
                chain, name, "its certificate cannot be read", "have it certified again"
            ) from error
        except UgateError as error:
            step = "see the sections identity and trust"
            raise self._refused(chain, name, f"there is nothing to check it by: {error}", step) from error

    def _known(self, chain: Sequence[Certificate]) -> None:
        leaf = chain[0]
        extensionsOf(leaf)
        _checkRevoked(self._revoked(), leaf, _keyidOf(leaf))
        checkAlone(leaf, When(self._now(), self.section.skew), True)

    def _revoked(self) -> Revoked:
        revoked = self._files.revoked()
        self._files.tellStale(self._now())
        return revoked

    def hasKey(self, keyid: str) -> bool:
        """
        See L{ITrust}.
        """
        return keyid in self._pins or (self._files.known is not None and self._files.known.has(keyid))

    def _refused(self, chain: Sequence[Certificate], name: str | None, detail: str, step: str) -> Refused:
        hop = name or _claimed(chain) or "a client"
        return Refused(Cause.AUTHENTICATION, Phase.TLS, hop, detail, step)

    def _who(self, chain: Sequence[Certificate], name: str | None) -> str:
        if not chain:
            raise Unbelieved("it sent no certificate", "give it an identity, and let it show that")
        if len(chain) > MAX_CHAIN:
            raise Unbelieved(f"it sent {len(chain)} certificates", f"wanted at most {MAX_CHAIN}")
        leaf = chain[0]
        extensionsOf(leaf)
        keyid = _keyidOf(leaf)
        revoked = self._revoked()
        _checkRevoked(revoked, leaf, keyid)
        wanted = None if name is None else keyidIn(name)
        if wanted is not None and keyid != wanted:
            raise Unbelieved(
                f"its key is {keyid or 'of another type'}, and not that of this name",
                "see who answers there: ucli identity shows a node its name",
            )
        when = When(self._now(), self.section.skew)
        roots, domain = self._roots()
        problem: Unbelieved | None = None
        if roots:
            try:
                path = checkPath(chain, roots, when, name is None)
            except NoPath as error:
                problem = error
            else:
                for above in path[1:]:
                    _checkRevoked(revoked, above, _keyidOf(above))
                return self._certified(leaf, keyid, name, domain)
        return self._byKey(leaf, keyid, name, when, problem)

    def _roots(self) -> tuple[tuple[Certificate, ...], str | None]:
        """
        Who may certify peers, and of which trust domain they have to be.
        """
        domain = self.section.domain
        roots = self._files.roots()
        if roots is None and self.own is not None:
            own = self.own()
            roots = own.roots
            if domain is None and not isSelfSigned(own.certificate):
                ours = spiffeIn(own.certificate)
                domain = None if ours is None else ours.domain
        return roots or (), None if domain is None else domain.lower()

    def _certified(self, leaf: Certificate, keyid: str | None, name: str | None, domain: str | None) -> str:
        """
        Who it is that a root certifies.
        """
        spiffe = spiffeIn(leaf)
        if domain is not None and (spiffe is None or spiffe.domain != domain):
            theirs = "no trust domain" if spiffe is None else f"the trust domain {spiffe.domain}"
            raise Unbelieved(
                f"it is of {theirs}, wanted {domain}", "see trust.domain, or who certified the peer"
            )
        spaces = self.section.namespaces
        if "*" not in spaces and (spiffe is None or spiffe.namespace not in spaces):
            theirs = "no namespace" if spiffe is None else f"the namespace {spiffe.namespace!r}"
            raise Unbelieved(f"it is of {theirs}, wanted {', '.join(spaces)}", "see trust.namespaces")
        if name is not None and keyidIn(name) is None and not isNamed(leaf, name):
            _wrongName(leaf)
        if spiffe is not None:
            return spiffe.text
        # Among clients a name of a host could be anybody's that a password or a fingerprint proves.
        found = keyid or name
        if not found:
            raise Unbelieved(
                "it has neither a SPIFFE id nor a key that has a KEYID",
                "have it certified with one, or for a P-256, Ed25519 or RSA key",
            )
        return found

    def _byKey(
        self, leaf: Certificate, keyid: str | None, name: str | None, when: When, problem: Unbelieved | None
    ) -> str:
        """
        Who it is by its key, whoever certifies that.
        """
        isOwn = isSelfSigned(leaf)
        if keyid is not None:
            checkAlone(leaf, when, name is None)
            _checkClaims(leaf, keyid)
            # It is the key that was asked for: see the caller.
            if isOwn and name is not None and keyidIn(name) is not None:
                return keyid
            if keyid in self._pins:
                if name is not None and keyidIn(name) is None and not isNamed(leaf, name):
                    _wrongName(leaf)
                return keyid
            if self._files.known is not None and self._isKnown(self._files.known, keyid, name):
                return keyid
        if problem is not None and not isOwn:
            raise problem
        if isOwn:
            raise Unbelieved(
                f"it certifies itself, and its key {keyid or 'of an unknown type'} is not pinned",
                "add that to trust.pins if you know whose it is, or ask for it by that name",
            )
        raise Unbelieved(
            f"it is certified by {leaf.issuer.rfc4514_string()[:200] or 'nobody'}, and there are no roots",
            "name the file of that root in trust.roots, or pin its KEYID in trust.pins",
        )

    def _isKnown(self, known: KnownFile, keyid: str, name: str | None) -> bool:
        """
        Whether it was met with that key, or is met now.
        """
        if name is None:
            # Who comes is not believed just for coming first.
            return known.has(keyid)
        met = known.find(name)
        if met is None:
            try:
                known.learn(name, keyid)
            except UgateError as error:
                raise Unbelieved(
                    f"it is not known, and cannot be from now on: {error}", "see trust.known"
                ) from error
            return True
        if met.keyid == keyid:
            return True
        self.log.critical(
            "THE KEY OF {name} HAS CHANGED: it was {before}, by line {line} of {path}, and is {now} now. "
            "Somebody else may be answering there!",
            name=name,
            before=met.keyid,
            line=met.line,
            path=known.path,
            now=keyid,
        )
        raise Unbelieved(
            f"its key has changed: it was {met.keyid}, and is {keyid} now",
            f"if that was on purpose, take out line {met.line} of {known.path}; else see who answers there",
        )


def _keyidOf(certificate: Certificate) -> str | None:
    try:
        return keyidOf(certificate.public_key())
    except Exception:
        # Of a type that names nobody, or one that cannot even be read.
        return None


def _checkRevoked(revoked: Revoked, certificate: Certificate, keyid: str | None) -> None:
    why = revoked.why(certificate, keyid)
    if why:
        raise Unbelieved(
            f"it is revoked: {why}", "see trust.revoked; have it certified again, with a new key"
        )


def _checkClaims(leaf: Certificate, keyid: str) -> None:
    """
    @raise Unbelieved: it says that it is another key.
    """
    for each in certifiedNames(leaf):
        claimed = keyidIn(each)
        if claimed is not None and claimed != keyid:
            raise Unbelieved(f"it says that it is {claimed}, but its key is {keyid}", "see who that is")


def _wrongName(leaf: Certificate) -> None:
    names = ", ".join(certifiedNames(leaf))[:300]
    raise Unbelieved(
        f"it is not of that name; its names are {names or 'none'}",
        "ask for it by one of these, or see who answers",
    )


def _claimed(chain: Sequence[Any]) -> str:
    """
    What a peer says that it is, for people.
    """
    try:
        names = certifiedNames(chain[0]) if chain else ()
    except Exception:
        names = ()
    return next((each for each in names if each.isprintable()), "")[:100]
