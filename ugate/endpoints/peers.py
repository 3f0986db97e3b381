# -*- test-case-name: ugate.test.test_peers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who a TLS client is, by its certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import IPrincipal, ITenant
from ugate.protocols.credentials import PeerCertificate
from ugate.stream import Principal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def clientOf(owner: ITenant, chain: Sequence[Certificate]) -> Principal:
    """
    Who a client is: the user of a tenant that has its very certificate, whoever certifies that, or else
    whom the tenant's trust believes it to be.

    @param owner: whose client it is.
    @param chain: what it sent, its own first.
    @raise Refused: it is not believed, and why.
    @since: ugate NEXT
    """
    user = _userOf(owner, chain)
    if user is not None:
        owner.trust.checkKnown(chain)
        return user
    try:
        believed: Principal = owner.trust.check(chain, None)
    except Refused:
        if chain:
            # Who is listed with one that has ended is told that, and not that nobody certifies it.
            owner.trust.checkKnown(chain)
        raise
    # Whose trust it is, is whose client it is.
    return replace(believed, tenant=owner.name)


def _userOf(owner: ITenant, chain: Sequence[Certificate]) -> Principal | None:
    from cryptography.hazmat.primitives.serialization import Encoding

    portal: Any = owner.portal
    if portal is None or not chain:
        return None
    found: list[Principal] = []
    failed: list[Failure] = []

    def known(result: tuple[object, Principal, object]) -> None:
        found.append(result[1])

    credentials = PeerCertificate(chain[0].public_bytes(Encoding.DER))
    asked: Deferred[Any] = portal.login(credentials, None, IPrincipal)
    asked.addCallbacks(known, failed.append)
    # In the middle of a handshake nobody waits: what is not known at once is not known.
    if not asked.called:
        asked.cancel()
    for failure in failed:
        failure.trap(LoginFailed, UnhandledCredentials, CancelledError)
    return found[0] if found else None
