# -*- test-case-name: ugate.test.test_trust,ugate.test.test_trustkeys -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The files that say whom a tenant believes, as they are now: roots, known peers, and who is revoked.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.tenancy.config.identityschema import Trust as Section
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.tree import Place, Source
from ugate.tenancy.credentialfiles import Reread
from ugate.tenancy.identityfiles import readRoots
from ugate.tenancy.trustfiles import KnownFile, Revoked, readRevoked

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def _roots(path: str) -> tuple[Certificate, ...]:
    try:
        return readRoots(path)
    except UgateError as error:
        place = Place(Source(path, numbered=False))
        raise ConfigError([Mistake(place, str(error).removeprefix(f"{path}: "))]) from error


class Sources:
    """
    The files that a section names.

    @ivar known: the known peers, if the section names a file of them.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, section: Section, crl: str | None) -> None:
        """
        @param crl: the list of revocations that a CA gives, if the section names none.
        @raise UgateError: one cannot be used.
        """
        self._roots = None if section.roots is None else Reread(section.roots, _roots, "roots")
        self.known = None if section.known is None else KnownFile(section.known)
        self._isTold = False
        self._revoked: Reread[Revoked] | None = None
        if section.revoked is not None:
            self._revoked = Reread(section.revoked, self._readRevoked, "revocations")
        elif crl is not None:
            self._revoked = Reread(crl, self._readFetched, "revocations")

    def _readRevoked(self, path: str) -> Revoked:
        return readRevoked(path, () if self._roots is None else self._roots.value)

    def _readFetched(self, path: str) -> Revoked:
        if not os.path.lexists(path):
            return Revoked()
        try:
            return self._readRevoked(path)
        except ConfigError as error:
            if self._revoked is not None:
                # What was read before stays.
                raise
            self.log.error("{error}; until the CA has given another one, nobody is revoked", error=error)
            return Revoked()

    def roots(self) -> tuple[Certificate, ...] | None:
        """
        Those of now, if a file has them.
        """
        if self._roots is None:
            return None
        self._roots.refresh()
        return self._roots.value

    def revoked(self) -> Revoked:
        """
        That of now.
        """
        if self._revoked is None:
            return Revoked()
        if self._revoked.refresh():
            self._isTold = False
        return self._revoked.value

    def tellStale(self, now: float) -> None:
        """
        Say in the log, once, that a CRL is older than it says that it may be.
        """
        if self._isTold or self._revoked is None:
            return
        for each in self._revoked.value.lists:
            ends = each.next_update_utc
            if ends is not None and ends.timestamp() < now:
                self._isTold = True
                self.log.warn(
                    "{path}: the CRL of {issuer} was to be replaced at {at}; whom it revoked since then is "
                    "believed",
                    path=self._revoked.path,
                    issuer=each.issuer.rfc4514_string(),
                    at=ends.isoformat(),
                )
