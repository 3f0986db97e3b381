# -*- test-case-name: ugate.test.test_identities -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who a tenant is, for people to compare.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from hashlib import sha256

from ugate.interfaces import IIdentity
from ugate.modules import answers


def stateOf(path: str, identity: IIdentity) -> answers.IdentityState:
    """
    An identity, without anything that is secret.

    @since: ugate NEXT
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    certificate = identity.certificate
    public = certificate.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _, blob = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split(b" ")[:2]
    isOwn = certificate.issuer == certificate.subject
    return answers.IdentityState(
        tenant=path,
        keyid=identity.keyid,
        vip6=identity.vip6,
        principal=identity.principal.name,
        names=tuple(identity.names),
        issuer="" if isOwn else certificate.issuer.rfc4514_string(),
        begins=certificate.not_valid_before_utc.timestamp(),
        ends=certificate.not_valid_after_utc.timestamp(),
        certificate=sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        key=b64encode(sha256(der).digest()).decode(),
        ssh="SHA256:" + b64encode(sha256(a2b_base64(blob)).digest()).decode().rstrip("="),
    )
