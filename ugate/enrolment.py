# -*- test-case-name: ugate.test.test_enrolment,ugate.test.test_enrolment_keeping -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How a tenant gets its certificate from a CA, and keeps it good: with a token the first time, and from
then on with the key of the certificate that it has.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.caclient import AuthorityClient, Said
from ugate.errors import UgateError
from ugate.interfaces import ITenant
from ugate.modules.cashapes import Given, Renew, Sign
from ugate.stream import ROOT
from ugate.tenancy.capins import authorityCheck, isPinned
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.config.schema import secretFile
from ugate.tenancy.identityenrolled import Enrolled, crlIn, isBy, isOlder, requestFor
from ugate.tenancy.identityfiles import Keypair, isCertifiedBy, readRoots
from ugate.tenancy.identityown import certifiedNames, isSelfSigned
from ugate.tenancy.statefolder import writeWhole

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList

CRL_EVERY: Final = 300.0
"""Seconds between looks at what the CA has revoked."""

FIRST: Final = 5.0
"""Seconds until a CA that could not be asked is asked again; then twice as many, and so on."""

LONGEST: Final = 600.0
"""The most of these."""

_SHORTEST: Final = 1.0
_LEAST: Final = 0.1
"""What part of the life of a certificate has to pass before there is another one."""

_SPREAD: Final = 0.2
"""By what part of it a time differs by chance, so that not all come at once."""


class Enrolment:
    """
    One tenant before its CA.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        tenant: ITenant,
        section: Section,
        client: AuthorityClient | None = None,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param clock: the real reactor.
        @param tenant: whose identity it is.
        @param section: says which CA.
        @param client: asks it.
        @param now: the time of day.
        @param chance: from 0 to 1.
        """
        self.section = section
        self._clock = clock
        self._tenant = tenant
        # The node may ask itself; tenants may not, who would come there as somebody of this machine.
        reactor = clock if tenant.name == ROOT else getattr(tenant, "hopReactor", tenant.reactor)
        self._client = AuthorityClient(reactor, section.ca or "") if client is None else client
        self._now = now
        self._chance = chance
        self._failed = 0
        self._listed = -CRL_EVERY
        self._notBefore = 0.0
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[Any] | None = None
        self._isStopped = False
        self._isOlder = False

    def start(self) -> None:
        """
        Begin, in the next turn of the reactor.
        """
        self._wait(0.0)

    def stop(self) -> None:
        """
        Ask no more.
        """
        self._isStopped = True
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def _wait(self, seconds: float) -> None:
        if not self._isStopped:
            self._timer = self._clock.callLater(seconds, self._turn)

    def _turn(self) -> None:
        self._timer = None
        asking = self._asking = self._work()
        asking.addCallbacks(self._good, self._bad)
        asking.addErrback(lambda failure: self.log.failure("while asking a CA", failure))

    def _good(self, wait: float) -> None:
        self._asking = None
        self._failed = 0
        self._wait(wait)

    def _bad(self, failure: Failure) -> None:
        self._asking = None
        if self._isStopped and failure.check(CancelledError):
            return
        wait = min(LONGEST, FIRST * 2 ** min(self._failed, 10))
        self._failed += 1
        held = self._held()
        state = "our key certifies itself until then"
        if held is not None and not isSelfSigned(held.certificate):
            ends = held.certificate.not_valid_after_utc
            left = ends.timestamp() - self._now()
            wait = max(_SHORTEST, min(wait, left / 3)) if left > 0 else wait
            state = f"our certificate {'ends' if left > 0 else 'ended'} at {ends.isoformat()}"
        wait *= 1 + _SPREAD * (self._chance() - 0.5)
        error = failure.value
        if not isinstance(error, UgateError):
            # What twisted.web raises has a list of what really happened.
            reasons = getattr(error, "reasons", None)
            error = reasons[0].value if reasons else error
        self.log.warn(
            "{tenant}: the CA at {url} has not done what it was asked: {error}; {state}; again in {wait} s",
            tenant=self._tenant.name,
            url=self._client.url,
            error=str(error) or type(error).__name__,
            state=state,
            wait=f"{wait:.0f}",
        )
        self._wait(wait)

    def _held(self) -> Keypair | None:
        try:
            identity: Any = self._tenant.identity
        except UgateError:
            return None
        held: Keypair = identity.held
        return held

    @inlineCallbacks
    def _work(self) -> Any:
        """
        Do what is due.

        @return: in how many seconds something is again.
        """
        identity: Any = self._tenant.identity
        source = identity.source
        if not isinstance(source, Enrolled):
            raise UgateError("its identity is another one by now")
        held = identity.held
        isFitting = source.isFitting(held)
        if not isFitting or self._left(source, held) <= 0:
            check = yield self._checked(source)
            try:
                given = yield self._ask(source, held, check, isFitting)
            except Said:
                if isFitting and self._isListDue():
                    # Who is not renewed any more has to know all the same whom not to believe.
                    yield self._list(source, check)
                raise
            self._take(source, held, given)
            identity.look()
            held = identity.held
            # Whom it revoked matters from the beginning.
            self._listed = -CRL_EVERY
            # Where the clocks differ too much, it would be due at once, and again.
            begins, ends = held.certificate.not_valid_before_utc, held.certificate.not_valid_after_utc
            self._notBefore = self._clock.seconds() + (ends - begins).total_seconds() * _LEAST
        if self._isListDue():
            check = yield self._checked(source)
            yield self._list(source, check)
        due = self._left(source, held)
        due -= _SPREAD * self._chance() * max(0.0, due) / 2
        return max(_SHORTEST, min(due, self._listed + CRL_EVERY - self._clock.seconds()))

    def _isListDue(self) -> bool:
        age: float = self._clock.seconds() - self._listed
        return age >= CRL_EVERY

    def _left(self, source: Enrolled, held: Keypair) -> float:
        """
        In how many seconds it is to be renewed.
        """
        least: float = self._notBefore - self._clock.seconds()
        return max(source.renewAt(held) - self._now(), least)

    @inlineCallbacks
    def _checked(self, source: Enrolled) -> Any:
        """
        What tells the CA from others.
        """
        section = self.section
        roots: Sequence[Certificate] = ()
        if section.caRoots is not None:
            roots = readRoots(section.caRoots)
        elif section.caPin is not None:
            roots = self._pinned(source.roots())
            if not roots:
                # Whoever answers here is told nothing, and believed only as far as the pin goes.
                data = yield self._client.get("roots.pem")
                roots = self._pinned(_certificates(data))
        host = (section.ca or "").partition("://")[2].partition("/")[0]
        host = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return authorityCheck(host.strip("[]"), roots, section.caPin, self._now)

    def _pinned(self, roots: Sequence[Certificate]) -> list[Certificate]:
        pin = self.section.caPin or ""
        return [root for root in roots if isPinned(root, pin)]

    @inlineCallbacks
    def _ask(self, source: Enrolled, held: Any, check: Any, isFitting: bool) -> Any:
        """
        Have our key certified.
        """
        from cryptography.hazmat.primitives.serialization import Encoding

        names = source.wanted(held.key)
        csr = requestFor(held.key, names).decode()
        ends = held.certificate.not_valid_after_utc.timestamp()
        if isFitting and ends > self._now():
            pem = held.certificate.public_bytes(Encoding.PEM).decode()
            try:
                answer = yield self._client.post("renew", Renew(csr, pem, host=True), check)
                return _read(answer)
            except Said as error:
                if error.status != 401 or self.section.token is None:
                    raise
        token = ""
        if self.section.token is not None:
            token = secretFile(self.section.token).decode("ascii", "replace").strip()
        answer = yield self._client.post("sign", Sign(csr, host=True, token=token), check)
        return _read(answer)

    def _take(self, source: Enrolled, held: Any, given: Given) -> None:
        chain, roots = _certificates(given.certificate.encode()), _certificates(given.roots.encode())
        if not chain or not isCertifiedBy(held.key, chain[0]) or not isBy(chain[0], roots):
            raise UgateError("what the CA has given is not of our key, or not by the CA")
        missing = {*source.wanted(held.key)} - {*certifiedNames(chain[0])}
        if missing:
            raise UgateError(f"the CA has left out {', '.join(sorted(missing))}; see its rules")
        source.take(given.certificate.encode(), given.roots.encode(), given.host)
        self.log.info(
            "{tenant} is certified by {issuer} until {ends}",
            tenant=self._tenant.name,
            issuer=chain[0].issuer.rfc4514_string(),
            ends=chain[0].not_valid_after_utc.isoformat(),
        )

    @inlineCallbacks
    def _list(self, source: Enrolled, check: Any) -> Any:
        """
        Get the list of what is revoked.
        """
        from cryptography.x509 import load_pem_x509_crl

        data = yield self._client.get("crl.pem", check)
        try:
            crl = load_pem_x509_crl(data)
            keys: list[Any] = [root.public_key() for root in source.roots()]
            isGood = any(map(crl.is_signature_valid, keys))
        except (ValueError, TypeError) as error:
            raise UgateError("what the CA has revoked cannot be read") from error
        if not isGood:
            raise UgateError("the list of what the CA has revoked is not by it")
        self._listed = self._clock.seconds()
        path = crlIn(source.folder)
        held = _listIn(path, keys)
        if held is not None and isOlder(crl, held):
            self._older(crl, held)
        elif held != crl:
            self._isOlder = False
            writeWhole(path, data)

    def _older(self, crl: CertificateRevocationList, held: CertificateRevocationList) -> None:
        if not self._isOlder:
            self._isOlder = True
            self.log.warn(
                "{tenant}: the CA at {url} gives a list of what is revoked of {given}, and we have one of "
                "{held}, which stays; is the folder of the CA an old copy, or its clock behind?",
                tenant=self._tenant.name,
                url=self._client.url,
                given=crl.last_update_utc.isoformat(),
                held=held.last_update_utc.isoformat(),
            )


def _listIn(path: str, keys: Sequence[Any]) -> CertificateRevocationList | None:
    """
    The list that we have, if it is by the CA.
    """
    from cryptography.x509 import load_pem_x509_crl

    try:
        with open(path, "rb") as file:
            crl = load_pem_x509_crl(file.read())
        return crl if any(map(crl.is_signature_valid, keys)) else None
    except (OSError, ValueError, TypeError):
        return None


def _read(data: bytes) -> Given:
    try:
        return msgspec.json.decode(data, type=Given)
    except msgspec.DecodeError as error:
        raise UgateError("the answer of the CA cannot be read; see identity.ca") from error


def _certificates(data: bytes) -> tuple[Certificate, ...]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(data))
    except ValueError as error:
        raise UgateError("the CA gives certificates that cannot be read; see identity.ca") from error


class Enrolments:
    """
    Those of all tenants.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: the real one.
        """
        self._reactor = reactor
        self._all: dict[str, tuple[ITenant, Enrolment]] = {}

    def apply(self, sections: Mapping[str, Section], tenants: Mapping[str, ITenant]) -> None:
        """
        See that there is one for each tenant that has a CA, and no other.

        @param sections: C{identity} of each tenant.
        """
        for path, (tenant, enrolment) in list(self._all.items()):
            if tenants.get(path) is not tenant or sections.get(path) != enrolment.section:
                enrolment.stop()
                del self._all[path]
        for path, section in sections.items():
            if section.ca is not None and path not in self._all and path in tenants:
                enrolment = Enrolment(self._reactor, tenants[path], section)
                self._all[path] = tenants[path], enrolment
                enrolment.start()

    def stop(self) -> None:
        """
        Ask no more.
        """
        for _, enrolment in self._all.values():
            enrolment.stop()
        self._all.clear()
