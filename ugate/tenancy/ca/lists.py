# -*- test-case-name: ugate.test.test_carevoke -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a CA tells others of whom it has revoked: a CRL and a KRL, which are made anew when something was
revoked, by whatever process, and before they are old.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ugate.tenancy.ca import folder as files
from ugate.tenancy.ca.record import Record
from ugate.tenancy.ca.schema import SSH_HOST, SSH_USER, TLS
from ugate.tenancy.ca.sshcertificates import makeKRL
from ugate.tenancy.ca.tlscertificates import CRL_LIFE, makeCRL
from ugate.tenancy.statefolder import writeWhole


@dataclass(frozen=True, slots=True)
class _Made:
    """
    Both lists, as they are served until something is revoked, or they are old.
    """

    changes: int
    """How often something had been revoked."""

    at: float
    """When they were made."""

    crl: bytes
    """In PEM."""

    crlDER: bytes
    """The same in DER."""

    krl: bytes
    """For SSH."""


class Lists:
    """
    Both lists of one CA.

    @since: ugate NEXT
    """

    def __init__(self, folder: str, keys: files.Keys, record: Record, now: Callable[[], float]) -> None:
        """
        @param folder: where they are written.
        @param keys: sign them.
        @param record: knows what is revoked.
        @param now: the time of day.
        """
        self._folder = folder
        self._keys = keys
        self._record = record
        self._now = now
        self._made: _Made | None = None
        self._written: _Made | None = None

    def crl(self) -> bytes:
        """
        The list of certificates of TLS, in PEM.
        """
        return self._current().crl

    def crlDER(self) -> bytes:
        """
        The same in DER.
        """
        return self._current().crlDER

    def krl(self) -> bytes:
        """
        The list of certificates of SSH.
        """
        return self._current().krl

    def refresh(self) -> None:
        """
        Write both into the folder, if others are there.

        @raise UgateError: that cannot be.
        """
        made = self._current()
        if made is not self._written:
            self._write(files.CRL, made.crl)
            self._write(files.KRL, made.krl)
            self._written = made

    def _write(self, name: str, data: bytes) -> None:
        path = os.path.join(self._folder, name)
        writeWhole(path, data)
        if os.geteuid() == 0:
            # Whoever runs the node has to read it, too.
            owner = os.stat(self._folder)
            os.chown(path, owner.st_uid, owner.st_gid)

    def _current(self) -> _Made:
        now, changes = self._now(), self._record.changes()
        made = self._made
        if made is None or made.changes != changes or not 0 <= now - made.at < CRL_LIFE / 4:
            made = self._made = self._make(changes, now)
        return made

    def _make(self, changes: int, now: float) -> _Made:
        from cryptography.hazmat.primitives.serialization import Encoding

        keys = self._keys
        revoked = list(self._record.revoked(now))
        numbers = {
            kind: [int(each.serial) for each in revoked if each.kind == kind] for kind in (SSH_USER, SSH_HOST)
        }
        authorities = [
            (keys.userKey.public_key(), numbers[SSH_USER]),
            (keys.hostKey.public_key(), numbers[SSH_HOST]),
        ]
        certificates = (each for each in revoked if each.kind == TLS)
        crl = makeCRL(keys.rootKey, keys.root, certificates, now, changes)
        krl = makeKRL(authorities, self._record.barred(now), now, keys.root.subject.rfc4514_string())
        return _Made(changes, now, crl.public_bytes(Encoding.PEM), crl.public_bytes(Encoding.DER), krl)
