# -*- test-case-name: ugate.test.test_ca -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A CA at work: it certifies, renews, revokes, and says what is revoked.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from ugate.errors import StringError, UgateError
from ugate.stream import Principal
from ugate.tenancy.ca import folder as files
from ugate.tenancy.ca.errors import BadRequest, NoSuch, NotAllowed, NotKnown
from ugate.tenancy.ca.lists import Lists
from ugate.tenancy.ca.policy import Rules
from ugate.tenancy.ca.record import MAX_ISSUED, Enrolment, Issued, Record
from ugate.tenancy.ca.requests import MAX_REQUEST, MAX_TEXT, Wanted, unreadable
from ugate.tenancy.ca.schema import DAY, MAX_LIFE, SSH_HOST, SSH_USER, TLS, CaRule
from ugate.tenancy.ca.sshcertificates import makeSSHCertificate
from ugate.tenancy.ca.tlscertificates import earlier, makeCertificate
from ugate.tenancy.credentialfiles import checkName, timeToText
from ugate.tenancy.keyids import keyidIn
from ugate.tenancy.tokens import makeToken

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ENROLMENT: Final = "enrolment"
"""The method of principals that an enrolment token proved."""

ADMIN: Final = Principal("admin", "folder")
"""Who has the folder of a CA, and so may have anything certified."""


@dataclass(frozen=True, slots=True)
class Certified:
    """
    What somebody was given.

    @since: ugate NEXT
    """

    issued: Issued
    """What is in the record."""

    text: str
    """The certificate: in PEM, or as a line of OpenSSH."""

    host: str = ""
    """The certificate of the same key as a host of SSH, if that was wanted and may be."""


class Authority:
    """
    A CA, by its folder.  Several processes may have the same one open.

    @ivar keys: what it signs with.
    @ivar record: what it has certified.
    @ivar lists: what is revoked, for others.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, folder: str, now: Callable[[], float] = time.time, life: float = DAY) -> None:
        """
        @param now: the time of day.
        @param life: seconds that a certificate is good for, if nobody says.
        @raise UgateError: there is no CA that can be used.
        """
        self.folder = folder
        self.life = life
        self._now = now
        self.keys = files.readAuthority(folder)
        self.record = Record(os.path.join(folder, files.RECORD))
        self.lists = Lists(folder, self.keys, self.record, now)

    def close(self) -> None:
        """
        Let go of the record.
        """
        self.record.close()

    @cached_property
    def rootText(self) -> bytes:
        """
        The certificate of the CA, in PEM.
        """
        return files.pemOf(self.keys.root)

    def certify(self, wanted: Wanted, who: Principal | str, rules: Rules | None) -> Certified:
        """
        Certify somebody.

        @param who: who asks, or their enrolment token.
        @param rules: what may be; L{None} for all.
        @raise NotCertified: they do not get it, and why.
        """
        with self.record.change():
            principal = self._holder(who) if isinstance(who, str) else who

            def decide(wanted: Wanted) -> CaRule | None:
                return None if rules is None else rules.decide(principal, wanted)

            given = self._give(wanted, f"{principal.method}:{principal.name}", decide(wanted))
            if wanted.host:
                given = self._hostToo(given, wanted, decide)
            if isinstance(who, str):
                self.record.useToken(_digest(who))
        self._told(given)
        return given

    def _told(self, given: Certified) -> None:
        issued = given.issued
        self.log.info(
            "ca: {who} got {kind} {serial} for {names} until {ends}{more}",
            who=issued.who,
            kind=issued.kind,
            serial=issued.serial,
            names=", ".join(issued.names),
            ends=timeToText(issued.ends),
            more=", and the same as a host of SSH" if given.host else "",
        )

    def _hostToo(
        self, given: Certified, wanted: Wanted, decide: Callable[[Wanted], CaRule | None]
    ) -> Certified:
        names = tuple(name for name in wanted.names if "://" not in name)
        host = replace(wanted, kind=SSH_HOST, names=names, host=False)
        try:
            rule = decide(host)
        except NotAllowed as error:
            self.log.debug("no certificate as a host of SSH: {error}", error=error)
            return given
        if not host.names:
            return given
        text = self._give(replace(host, life=given.issued.life), given.issued.who, rule).text
        self.record.markHost(given.issued.serial)
        return replace(given, issued=replace(given.issued, host=True), host=text)

    def _give(self, wanted: Wanted, who: str, rule: CaRule | None) -> Certified:
        now = self._now()
        longest = MAX_LIFE if rule is None else rule.life
        life = min(self.life if wanted.life is None else wanted.life, longest)
        begins = earlier(now, life)
        ends = min(now + life, self.keys.root.not_valid_after_utc.timestamp())
        if ends <= now:
            raise UgateError("the certificate of the CA has ended; make another CA")
        # Who is a host of SSH is that by the key; users have names.
        isTitled = wanted.title and rule is None and wanted.kind == SSH_USER
        title = wanted.title if isTitled else self._title(wanted, who)
        if self.record.isBarred({wanted.keyid, title}, now):
            raise NotAllowed(f"{title} was revoked, and is certified no more; wanted another key")
        if wanted.kind == TLS:
            from cryptography.x509 import random_serial_number

            number = random_serial_number()
            made = makeCertificate(self.keys.rootKey, self.keys.root, wanted, begins, ends, number)
            serial, text = f"{number:X}", files.pemOf(made).decode()
        else:
            number = secrets.randbelow(2**64 - 1) + 1
            key = self.keys.userKey if wanted.kind == SSH_USER else self.keys.hostKey
            serial, text = str(number), makeSSHCertificate(key, wanted, title, begins, ends, number, rule)
        issued = Issued(
            serial,
            wanted.kind,
            wanted.keyid,
            title,
            wanted.names,
            who,
            float(int(begins)),
            float(int(ends)),
            life,
        )
        self.record.add(issued, now)
        return Certified(issued, text)

    def _title(self, wanted: Wanted, who: str) -> str:
        return who[:MAX_TEXT] if wanted.kind == SSH_USER else wanted.keyid

    def renew(self, wanted: Wanted, certificate: bytes, rules: Rules | None) -> Certified:
        """
        Give who has a certificate of ours, which has neither ended nor been revoked, and its key, another
        one with the same names, if the rules of today allow that to whom it was given, or to itself.

        @param wanted: read from a request that the key has signed.
        @param certificate: in PEM.
        @param rules: what may be; L{None} for all.
        @raise NotCertified: they do not get it, and why.
        """
        with self.record.change():
            before = self._before(wanted, certificate)
            same = replace(wanted, names=before.names, life=before.life, host=False)
            given = self._give(same, before.who, _decided(rules, before, same))
            if before.host and wanted.host:
                given = self._hostToo(given, same, lambda host: _decided(rules, before, host))
            if before.host and not given.host:
                self.record.markHost(given.issued.serial)
        self._told(given)
        return given

    def _before(self, wanted: Wanted, data: bytes) -> Issued:
        certificate = self._ours(data)
        issued = self.record.find(f"{certificate.serial_number:X}")
        if issued is None:
            raise NotKnown("this certificate is not in the record of the CA; enrol again")
        if issued.keyid != wanted.keyid:
            raise NotKnown("the request is not by the key of the certificate")
        if self.record.isRevokedSince(issued):
            raise NotAllowed(f"the certificate {issued.serial} was revoked, or one of that key after it")
        if self._now() >= issued.ends:
            raise NotKnown(f"the certificate ended at {timeToText(issued.ends)}; enrol again, with a token")
        return issued

    def _ours(self, data: bytes) -> Certificate:
        """
        @raise NotCertified: it is no certificate, or none of ours.
        """
        from cryptography.x509 import load_pem_x509_certificate

        from ugate.tenancy.identityenrolled import isBy

        try:
            if len(data) > MAX_REQUEST:
                raise ValueError("too long")
            certificate = load_pem_x509_certificate(data)
            isOurs = isBy(certificate, [self.keys.root])
        except unreadable() as error:
            raise BadRequest("no certificate can be read; wanted it in PEM") from error
        if not isOurs:
            raise NotKnown("this certificate is not by this CA")
        return certificate

    def _holder(self, token: str) -> Principal:
        """
        For whom a token was made.

        @raise NotKnown: it is none, has ended or been used up.
        """
        digest = _digest(token)
        found = self.record.token(digest)
        isIt = hmac.compare_digest(digest, bytes(32) if found is None else found.digest)
        if found is None or not isIt:
            raise NotKnown("this is no enrolment token of this CA; make one with: ucli ca token")
        if self._now() >= found.ends:
            raise NotKnown(f"the token of {found.name} ended at {timeToText(found.ends)}; make another one")
        if found.uses is not None and found.uses < 1:
            raise NotKnown(f"the token of {found.name} was used up; make another one")
        return Principal(found.name, ENROLMENT)

    def token(self, name: str, life: float, uses: int | None = 1) -> str:
        """
        Make an enrolment token.

        @param name: for whom: C{enrolment:NAME} in the rules.
        @param life: seconds that it is good for.
        @param uses: how often; L{None} for as often as one likes.
        @raise BadRequest: that cannot be.
        """
        try:
            checkName(name.encode(errors="surrogatepass"), colons=True)
        except StringError as error:
            raise BadRequest(f"the name: {error}") from error
        if not 1 <= life <= MAX_LIFE or (uses is not None and not 1 <= uses <= 1_000_000):
            raise BadRequest(f"wanted a life of 1 to {MAX_LIFE:.0f} seconds, and 1 to 1000000 uses")
        token = makeToken()
        now = self._now()
        self.record.addToken(Enrolment(_digest(token), name, uses, now + life), now)
        return token

    def withdraw(self, name: str) -> int:
        """
        Let no token of somebody be good any more.

        @return: how many there were.
        """
        return self.record.dropTokens(name)

    def revoke(self, what: str, reason: str = "") -> list[Issued]:
        """
        Revoke something: a certificate by its number or its text, or all of a key or a title.

        @return: what was revoked now.
        @raise NoSuch: there is nothing of that number or name.
        """
        now = self._now()
        reason = "".join(each for each in reason if each.isprintable())[:MAX_TEXT]
        revoked = self.record.revoke(self._number(what), reason, now, now + MAX_LIFE)
        for each in revoked:
            self.log.info(
                "ca: {kind} {serial} of {names} is revoked",
                kind=each.kind,
                serial=each.serial,
                names=", ".join(each.names),
            )
        self.lists.refresh()
        return revoked

    def _number(self, what: str) -> str:
        if "-----BEGIN CERTIFICATE" in what:
            return f"{self._ours(what.encode()).serial_number:X}"
        if "-cert-v01@openssh.com " in what:
            return _sshSerial(what)
        text = what.strip().removeprefix("serial=")
        keyid = keyidIn(text)
        if keyid is not None and len(text) == len(keyid):
            return keyid
        for each in (text, text.replace(":", "").upper().lstrip("0")):
            if self.record.find(each) is not None:
                return each
        return text

    def list(self, most: int = MAX_ISSUED) -> Iterator[Issued]:
        """
        All that was certified, as long as it is not forgotten, what ends last first.

        @param most: how many of these.
        """
        return self.record.all(most)


def _decided(rules: Rules | None, before: Issued, wanted: Wanted) -> CaRule | None:
    """
    The rule by which a certificate may be had again.

    @raise NotAllowed: there is none.
    """
    if rules is None:
        return None
    method, _, name = before.who.partition(":")
    itself = next((each for each in before.names if "://" in each), before.keyid)
    try:
        return rules.decide(Principal(name, method), wanted)
    except NotAllowed as error:
        try:
            return rules.decide(Principal(itself, "certificate"), wanted)
        except NotAllowed:
            raise NotAllowed(f"the certificate {before.serial} is not renewed: {error}") from error


def _sshSerial(text: str) -> str:
    """
    @raise NoSuch: it cannot be read.
    """
    from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

    try:
        certificate: Any = load_ssh_public_identity(text.strip().encode())
    except ValueError as error:
        raise NoSuch("no certificate of SSH can be read; wanted the text of a -cert.pub file") from error
    assert isinstance(certificate, SSHCertificate)
    return str(certificate.serial)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()
