# -*- test-case-name: ugate.test.test_capages -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a CA is asked, and what it answers, in JSON.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ugate.tenancy.ca.record import Issued
from ugate.tenancy.ca.requests import MAX_NAMES, MAX_REQUEST
from ugate.tenancy.ca.schema import DAY, MAX_LIFE

_Text = Annotated[str, Meta(max_length=MAX_REQUEST)]
_Name = Annotated[str, Meta(max_length=1024)]
_Names = Annotated[tuple[_Name, ...], Meta(max_length=MAX_NAMES)]
_Life = Annotated[float, Meta(ge=1, le=MAX_LIFE)]


class _Secret(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Something with a token in it.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Sign(_Secret, frozen=True, forbid_unknown_fields=True):
    """
    A certificate for TLS.
    """

    csr: _Text
    """PKCS #10, in PEM."""

    names: _Names = ()
    """The names to have instead of those in it."""

    life: _Life | None = None
    """Seconds."""

    host: bool = False
    """Whether a certificate of the same key as a host of SSH is wanted too, if it may be had."""

    token: _Name = ""
    """An enrolment token, of who does not log in."""


class SignSSH(_Secret, frozen=True, forbid_unknown_fields=True):
    """
    A certificate for SSH.
    """

    key: _Text
    """What is in a file C{.pub}."""

    kind: str
    """C{ssh-user} or C{ssh-host}."""

    principals: _Names
    """What to log in as, or the names of the host."""

    life: _Life | None = None
    """Seconds."""

    token: _Name = ""
    """An enrolment token, of who does not log in."""


class Renew(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The same certificate for longer.
    """

    csr: _Text
    """PKCS #10, in PEM, signed by the key of the certificate."""

    certificate: _Text
    """The one that is good now, in PEM."""

    host: bool = False
    """Whether that as a host of SSH is wanted again, if there was one."""


class Revoke(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is good no more.
    """

    what: _Text
    """A serial number, a certificate, a KEYID, or the key id of certificates of SSH."""

    reason: _Name = ""
    """Why, for the record."""


class MakeToken(Struct, frozen=True, forbid_unknown_fields=True):
    """
    An enrolment token.
    """

    name: _Name
    """For whom."""

    life: _Life = DAY
    """Seconds that it is good for."""

    uses: int | None = 1
    """How often; L{None} for as often as one likes."""


class Given(Struct, frozen=True):
    """
    A certificate.
    """

    serial: str
    """Its number."""

    names: tuple[str, ...]
    """What it certifies."""

    begins: float
    """Since when it is good, in seconds since 1970."""

    ends: float
    """Until when."""

    certificate: str
    """The certificate: in PEM, or as a line of OpenSSH."""

    roots: str = ""
    """The certificate of the CA, in PEM."""

    host: str = ""
    """The certificate as a host of SSH, if there is one."""


class Revoked(Struct, frozen=True):
    """
    What was revoked now.
    """

    serials: tuple[str, ...]
    """Their numbers."""


class MadeToken(_Secret, frozen=True, forbid_unknown_fields=False):
    """
    An enrolment token, which is shown this once.
    """

    token: str
    """The secret."""


class Listed(Struct, frozen=True):
    """
    What the record has.
    """

    certificates: list[Issued]
    """All that have not ended for long, those that end last first."""


class About(Struct, frozen=True):
    """
    Who the CA is.
    """

    name: str
    """What it is called."""

    domain: str
    """Its trust domain."""

    keyid: str
    """The KEYID of its key."""

    sha256: str
    """The fingerprint of its certificate."""

    ends: float
    """Until when that is good."""
