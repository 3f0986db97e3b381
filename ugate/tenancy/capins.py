# -*- test-case-name: ugate.test.test_capins -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whether who answers as a CA is that one, before it is told anything: by who certifies it, or by a pin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.stream import Principal
from ugate.tenancy.keyids import keyidOf
from ugate.tenancy.trustchain import MAX_CHAIN, Unbelieved, When, checkAlone, checkPath, isNamed

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SKEW: Final = 60.0
_HASH: Final = "sha256:"


def isPinned(certificate: Certificate, pin: str) -> bool:
    """
    Whether a pin is of a certificate: its KEYID, or C{sha256:} and its fingerprint.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    if pin.startswith(_HASH):
        return sha256(certificate.public_bytes(Encoding.DER)).hexdigest() == pin.removeprefix(_HASH).lower()
    try:
        return keyidOf(certificate.public_key()) == pin.upper()
    except (StringError, ValueError):
        return False


def authorityCheck(
    host: str, roots: Sequence[Certificate], pin: str | None, now: Callable[[], float] = time.time
) -> Callable[[Sequence[Certificate]], Principal]:
    """
    What checks who answers.

    @param host: the name or the address in the URL.
    @param roots: who may certify it for that name.
    @param pin: what its own certificate may be, whatever its name.
    @return: raises L{Refused} if it is somebody else.
    @since: ugate NEXT
    """

    def check(chain: Sequence[Certificate]) -> Principal:
        try:
            _check(chain)
        except Unbelieved as error:
            raise Refused(Cause.AUTHENTICATION, Phase.TLS, host, error.detail, error.nextStep) from error
        return Principal(host, "certificate")

    def _check(chain: Sequence[Certificate]) -> None:
        when = When(now(), _SKEW)
        if not chain or len(chain) > MAX_CHAIN:
            raise Unbelieved("it sent no certificate, or too many", "see who answers there")
        if pin is not None and isPinned(chain[0], pin):
            checkAlone(chain[0], when, False)
            return
        if not roots:
            raise Unbelieved("it is not the CA of identity.caPin", "see who answers there: ucli ca show")
        checkPath(chain, roots, when, False)
        if not isNamed(chain[0], host):
            raise Unbelieved(
                f"its certificate is not for {host}", "name it as its certificate does, or pin its KEYID"
            )

    return check
