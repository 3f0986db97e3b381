# -*- test-case-name: ugate.test.test_hostcertificates -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The certificate of a key as a host of SSH, in the file that C{ssh-keygen} or a CA of ours writes.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any, Final

from ugate.errors import ProtocolError, StringError
from ugate.protocols.sshcertificate import HOST, SSHCertificate
from ugate.tenancy.ca.sshcertificates import publicText

_MAX: Final = 65536


def hostCertificate(path: str, key: Any, now: float) -> bytes:
    """
    What is in a file, as SSH sends it; empty if there is no file.

    @param key: the private key that it has to be of.
    @raise StringError: it cannot be used, and why.
    @since: ugate NEXT
    """
    try:
        with open(path, "rb") as file:
            parts = file.read(_MAX).split()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StringError(error.strerror or str(error)) from error
    try:
        blob = b64decode(parts[1], validate=True)
        certificate = SSHCertificate.fromBlob(blob)
    except (IndexError, Base64Error, ValueError, ProtocolError) as error:
        raise StringError("it is no certificate of SSH; wanted a file -cert.pub") from error
    if certificate.key != b64decode(publicText(key.public_key()).split()[1]):
        raise StringError("it is of another key")
    if not certificate.principals:
        raise StringError("it names no host")
    certificate.checkFor(HOST, certificate.principals[0], now)
    return blob
