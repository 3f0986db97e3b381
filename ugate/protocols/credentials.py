# -*- test-case-name: ugate.test.test_portal,ugate.test.test_httpauth -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What somebody proves who it is with, beside the passwords and SSH keys that C{twisted.cred} knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zope.interface import Attribute, implementer

from twisted.cred.credentials import ICredentials


class IBearerToken(ICredentials):
    """
    A token: whoever has it is who it was made for (RFC 6750).
    """

    token = Attribute("L{bytes}: the token; that of a tenant below the one asked may be C{PATH~TOKEN}.")


class ICertificate(ICredentials):
    """
    A certificate whose key the peer has shown to have, as the handshake of TLS does.
    """

    der = Attribute("L{bytes}: the certificate in DER.")
    tenant = Attribute("L{str}: the path of a tenant below the one asked, or empty.")


@implementer(IBearerToken)
@dataclass(frozen=True, slots=True)
class BearerToken:
    """
    A token that somebody sent.

    @since: ugate NEXT
    """

    token: bytes = field(repr=False)
    """See L{IBearerToken}."""


@implementer(ICertificate)
@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """
    The certificate of a peer.

    @since: ugate NEXT
    """

    der: bytes = field(repr=False)
    """See L{ICertificate}."""

    tenant: str = ""
    """See L{ICertificate}."""
