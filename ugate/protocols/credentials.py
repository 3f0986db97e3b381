# -*- test-case-name: ugate.test.test_portal,ugate.test.test_httpauth -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What somebody proves who it is with, beside the passwords and SSH keys that C{twisted.cred} knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from zope.interface import Attribute, Interface, implementer

from twisted.cred.credentials import ICredentials

from ugate.stream import Principal


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


class ICertifiedKey(ICredentials):
    """
    A key of SSH with a certificate of OpenSSH.
    """

    username = Attribute("L{bytes}: who the user wants to be, maybe C{@} and a tenant.")
    blob = Attribute("L{bytes}: the certificate, as SSH sends it.")
    sigData = Attribute("L{bytes}: what the key has to sign.")
    signature = Attribute("L{bytes} or L{None}: of that; without one it is only asked whether it would do.")
    address = Attribute("L{str}: from where the user comes; empty if that is not known.")


@implementer(ICertifiedKey)
@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """
    A certificate that somebody sent.

    @since: ugate NEXT
    """

    username: bytes
    """See L{ICertifiedKey}."""

    blob: bytes = field(repr=False)
    """See L{ICertifiedKey}."""

    sigData: bytes = field(repr=False)
    """See L{ICertifiedKey}."""

    signature: bytes | None = field(repr=False)
    """See L{ICertifiedKey}."""

    address: str = ""
    """See L{ICertifiedKey}."""


class ILogin(Interface):
    """
    What the portal of a tenant may be asked for beside a L{ugate.interfaces.IPrincipal}: its avatar is a
    L{Login}.
    """

    principal = Attribute("L{ugate.stream.Principal}: who it is.")
    permits = Attribute("L{Permits}: what the credentials are good for.")
    again = Attribute("Callable: whether they still are, and nobody has taken them away or revoked them.")


@dataclass(frozen=True, slots=True)
class Permits:
    """
    Where those with a key or a certificate of SSH may go with it, whatever the policy says beyond that.

    @since: ugate NEXT
    """

    opens: tuple[tuple[str, int], ...] | None = None
    """The only hosts, in small letters or C{*}, and ports, 0 for all, for streams; L{None} for any."""

    listens: tuple[tuple[str, int], ...] | None = None
    """The same of what may be published."""

    def mayOpen(self, host: str, port: int) -> bool:
        """
        Whether streams may go there.  A key that names hosts and ports is good for no path.
        """
        return _isAmong(self.opens, host, port)

    def mayListen(self, host: str, port: int) -> bool:
        """
        Whether that may be published; see L{mayOpen}.
        """
        return _isAmong(self.listens, host, port)


def _isAmong(places: tuple[tuple[str, int], ...] | None, host: str, port: int) -> bool:
    return places is None or any(
        name in ("*", host.lower()) and number in (0, port) and not host.startswith("/")
        for name, number in places
    )


ALL: Final = Permits()
"""No limits but those of the policy."""


def _always() -> bool:
    return True


@implementer(ILogin)
@dataclass(frozen=True, slots=True)
class Login:
    """
    Somebody who has logged in.

    @since: ugate NEXT
    """

    principal: Principal
    """See L{ILogin}."""

    permits: Permits = ALL
    """See L{ILogin}."""

    again: Callable[[], bool] = field(default=_always, repr=False, compare=False)
    """See L{ILogin}.  It keeps no secret."""


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
