# -*- test-case-name: ugate.test.test_usercertificates,ugate.test.test_sshkrl -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Users of SSH whom a CA certifies, and what of them is revoked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.cred.error import UnauthorizedLogin

from ugate.errors import ProtocolError, StringError
from ugate.protocols.credentials import ICertifiedKey, Permits
from ugate.protocols.sshcertificate import FORWARDING, NO_TOUCH, USER, VERIFY, SSHCertificate
from ugate.protocols.sshkrl import MAGIC, Revoked
from ugate.protocols.sshsignatures import Demands, isSigned
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.tree import Place, Source
from ugate.tenancy.credentialfiles import Reread, checked, readLines, readWhole
from ugate.tenancy.keys import KeyFile, SSHKey, blobFrom

NOTHING: Final = Permits((), ())
_REVOKED: Final = "list of revoked keys (KRL)"


def readRevoked(path: str) -> Revoked:
    """
    Read a KRL, or a file with a public key on each line.

    @raise ConfigError: it cannot be used, and why.
    @since: ugate NEXT
    """
    data = readWhole(path, _REVOKED)
    if not data.startswith(MAGIC):
        keys: list[bytes] = []
        readLines(path, _REVOKED, lambda line, _: keys.append(blobFrom(line)))
        return Revoked(keys)
    try:
        return Revoked.fromBytes(data)
    except ProtocolError as error:
        wrong = f"{error}; ssh-keygen -Q -l -f {path} shows what it is"
        raise ConfigError([Mistake(Place(Source(path, numbered=False)), wrong)]) from error


checkRevokedKeys = checked(readRevoked)
"""A check for the C{revoked} of a policy."""


class RevokedFile:
    """
    What is revoked, by a file that is read again when it changes.

    @since: ugate NEXT
    """

    def __init__(self, path: str) -> None:
        """
        @raise ConfigError: the file cannot be used.
        """
        self._file = Reread(path, readRevoked, "revoked keys")

    def now(self) -> Revoked:
        """
        What is revoked now.
        """
        self._file.refresh()
        return self._file.value


class Certified:
    """
    Knows whom the CAs in a file of keys certify.

    @since: ugate NEXT
    """

    def __init__(self, keys: KeyFile, revoked: RevokedFile | None, now: Callable[[], float]) -> None:
        """
        @param keys: the file.
        @param revoked: what is revoked.
        @param now: the time of day.
        """
        self._keys = keys
        self._revoked = revoked
        self._now = now

    def login(self, credentials: ICertifiedKey, user: bytes) -> tuple[str, Permits]:
        """
        Who that is, and what it is good for.

        @param user: who it wants to be.
        @raise UnauthorizedLogin: it may not, and why.
        """
        try:
            certificate = SSHCertificate.fromBlob(credentials.blob)
            name = user.decode()
            authority = self._check(certificate, name, credentials.address)
        except (ProtocolError, StringError, UnicodeDecodeError) as error:
            raise UnauthorizedLogin(str(error)) from error
        signature = credentials.signature
        demands = Demands(
            authority.demands.touch or NO_TOUCH not in certificate.extensions,
            authority.demands.pin or VERIFY in certificate.critical,
        )
        if signature is not None and not isSigned(certificate.key, credentials.sigData, signature, demands):
            raise UnauthorizedLogin("its key has not signed, or not as it has to")
        return name, authority.permits if FORWARDING in certificate.extensions else NOTHING

    def _check(self, certificate: SSHCertificate, name: str, address: str) -> SSHKey:
        """
        @return: the CA.
        @raise StringError: it is not good, and why.
        """
        title = f"the certificate {certificate.title!r}"
        authority = self._keys.authority(certificate.authority)
        if authority is None or not certificate.isSignedBy(authority.blob):
            raise StringError(f"{title}: it is of no CA that is believed")
        try:
            certificate.checkFor(USER, name, self._now())
            if authority.principals is not None and name not in authority.principals:
                raise StringError(f"the CA {authority.name} certifies nobody of the name {name}")
            certificate.checkOptions(address)
            if self._revoked is not None and self._revoked.now().has(certificate):
                raise StringError("it is revoked")
        except StringError as error:
            raise StringError(f"{title}: {error}") from error
        return authority
