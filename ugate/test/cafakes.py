# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A CA for tests, and those who ask it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ugate.stream import Principal
from ugate.tenancy.ca.authority import Authority
from ugate.tenancy.ca.folder import makeAuthority
from ugate.tenancy.ca.policy import Rules
from ugate.tenancy.ca.requests import Wanted, readCSR, readSSHKey
from ugate.tenancy.ca.schema import CaRule
from ugate.test.identityfakes import NOW, p256

CAROL = Principal("carol", "password")
NODES = CaRule(who=("enrolment:*",), names=("*.corp",), life=7200.0)
USERS = CaRule(
    who=("password:*",),
    kinds=("ssh-user",),
    principals=("{name}", "guest-*"),
    permits=("pty",),
    source=("10.0.0.0/8", "192.0.2.1"),
    command="true",
    life=600.0,
)


def csrOf(
    key: Any,
    names: Iterable[str] = (),
    extensions: Iterable[x509.ExtensionType] = (),
    form: Encoding = Encoding.PEM,
) -> bytes:
    """
    A request.

    @param names: DNS names, and URIs, which have C{://} in them.
    """
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
    given = [x509.UniformResourceIdentifier(each) if "://" in each else x509.DNSName(each) for each in names]
    for each in ([x509.SubjectAlternativeName(given)] if given else []) + [*extensions]:
        builder = builder.add_extension(each, False)
    return builder.sign(key, None if isinstance(key, Ed25519PrivateKey) else SHA256()).public_bytes(form)


def sshOf(key: Any) -> str:
    """
    What is in a file C{.pub}.
    """
    text: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return text.decode() + " somebody@somewhere\n"


def logged(test: SynchronousTestCase) -> list[str]:
    """
    What is said in the log until the end of a test.
    """
    lines: list[str] = []
    observe: Any = lambda event: lines.append(formatEvent(event))  # noqa: E731
    globalLogPublisher.addObserver(observe)
    test.addCleanup(globalLogPublisher.removeObserver, observe)
    return lines


class AuthorityCase(SynchronousTestCase):
    """
    A CA of the trust domain C{corp}, at a time that tests set.
    """

    def setUp(self) -> None:
        self.at = NOW
        self.folder = Path(self.mktemp()).absolute() / "ca"
        makeAuthority(str(self.folder), "test CA", "corp", NOW)
        self.authority = self.opened()
        self.rules = Rules([NODES, USERS], "corp")
        self.key = p256()

    def logged(self) -> list[str]:
        """
        What is said in the log from now on.
        """
        return logged(self)

    def opened(self) -> Authority:
        """
        It, as another process has it.
        """
        made = Authority(str(self.folder), lambda: self.at)
        self.addCleanup(made.close)
        return made

    def wanted(self, *names: str, key: Any = None, host: bool = False, life: float | None = None) -> Wanted:
        """
        A certificate for TLS is wanted.
        """
        return readCSR(csrOf(key or self.key, names), "corp", host=host, life=life)

    def wantedSSH(self, kind: str, *names: str, key: Any = None, title: str = "") -> Wanted:
        """
        A certificate for SSH is wanted.
        """
        return readSSHKey(sshOf(key or self.key), kind, names, title=title)
