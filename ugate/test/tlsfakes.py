# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A small authority, an identity and a trust for the tests of TLS: the seams, without files.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from zope.interface import implementer

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IIdentity, ITenant, ITrust
from ugate.stream import Principal, StreamInfo
from ugate.tenancy.policy import KnownPrincipals

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


class Issuer:
    """
    Certifies others, and itself.
    """

    def __init__(self, name: str = "root") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key, [], NOW - 9 * DAY, NOW + 9 * DAY, True)

    def _sign(
        self, subject: x509.Name, key: Any, names: list[str], begins: Any, ends: Any, isIssuer: bool
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=isIssuer, path_length=None), True)
        )
        if names:
            both = (x509.UniformResourceIdentifier(n) if "/" in n else x509.DNSName(n) for n in names)
            builder = builder.add_extension(x509.SubjectAlternativeName(both), False)
        return builder.sign(self.key, hashes.SHA256())

    def pem(self) -> bytes:
        """
        The certificate.
        """
        text: bytes = self.certificate.public_bytes(serialization.Encoding.PEM)
        return text

    def write(self, folder: Path, *names: str) -> None:
        """
        Make a folder with a key, its certificate and the root, as Istio mounts it.
        """
        folder.mkdir(exist_ok=True)
        key, mark, chain = self.identity(*names).pem().partition(b"-----END PRIVATE KEY-----\n")
        for name, text in (("key", key + mark), ("cert-chain", chain), ("root-cert", self.pem())):
            path = folder / f"{name}.pem"
            path.touch(0o600)
            path.write_bytes(text)

    def identity(self, *names: str, ends: Any = NOW + DAY) -> FakeIdentity:
        """
        Somebody with a certificate, for DNS names and URIs.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._sign(subject, key, list(names), NOW - 5 * DAY, ends, False)
        return FakeIdentity(key, (certificate, self.certificate), names)


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class _Connections:
    def __init__(self, context: SSL.Context, name: str = "") -> None:
        self._context = context
        self._name = name

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if self._name and not self._name[0].isdigit():
            connection.set_tlsext_host_name(self._name.encode())
        return connection


@implementer(IIdentity)
class FakeIdentity:
    """
    Who somebody is.
    """

    keyid = "K" * 52
    vip6 = "fd00::1"
    tickets = False

    def __init__(self, key: Any, chain: tuple[x509.Certificate, ...], names: tuple[str, ...]) -> None:
        self.key = key
        self.chain = chain
        self.certificate = chain[0]
        self.names = names
        self.principal = Principal(names[0], "certificate")
        self.asked: list[tuple[bytes, ...]] = []

    def context(self, alpn: Sequence[bytes] = (), minimum: TLSVersion = TLSVersion.TLSv1_2) -> SSL.Context:
        """
        For connections of either side.
        """
        options = CertificateOptions(
            privateKey=PKey.from_cryptography_key(self.key),
            certificate=X509.from_cryptography(self.certificate),
            extraCertChain=[X509.from_cryptography(each) for each in self.chain[1:]],
            insecurelyLowerMinimumTo=minimum,
            enableSessions=self.tickets,
            enableSessionTickets=self.tickets,
        )
        context = options.getContext()
        if alpn:
            context.set_alpn_protos(list(alpn))
            context.set_alpn_select_callback(lambda connection, theirs: alpn[0])
        if self.tickets:
            context.set_session_id(b"test")
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
        return context

    def has(self, name: str) -> bool:
        return name in self.names

    def serverTLS(
        self, alpn: Sequence[bytes] = (), askClient: bool = True, name: str = ""
    ) -> IOpenSSLServerConnectionCreator:
        self.asked.append(tuple(alpn))
        context = self.context(alpn)
        if not askClient:
            context.set_verify(SSL.VERIFY_NONE, lambda *arguments: True)
        return _Connections(context)

    def clientTLS(self, name: str, alpn: Sequence[bytes] = ()) -> IOpenSSLClientConnectionCreator:
        return _Connections(self.context(alpn), name)

    def sign(self, data: bytes) -> bytes:
        signature: bytes = self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        return signature

    def sshKey(self) -> Any:
        return self.key

    def sshCertificate(self) -> bytes:
        return b""

    def changed(self, callback: Callable[[], object]) -> Callable[[], None]:
        return lambda: None

    def pem(self) -> bytes:
        """
        The key, and the certificates.
        """
        key: bytes = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.chain)


@implementer(ITrust)
class FakeTrust:
    """
    Believes one issuer.
    """

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.checked: list[tuple[int, str | None]] = []

    def check(self, chain: Sequence[x509.Certificate], name: str | None) -> Principal:
        self.checked.append((len(chain), name))
        refuse = partial(Refused, Cause.AUTHENTICATION, Phase.TLS, "peer")
        if not chain:
            raise refuse("it sent no certificate", "give it one")
        leaf = chain[0]
        try:
            leaf.verify_directly_issued_by(self.issuer.certificate)
        except (InvalidSignature, ValueError) as e:
            raise refuse("no root of ours signed its certificate", "see trust.roots") from e
        if leaf.not_valid_after_utc < NOW:
            raise refuse("its certificate has expired", "renew it")
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = names.get_values_for_type(x509.DNSName)
        if name is not None and name not in known:
            raise refuse(f"its names are {', '.join(known)}, and not {name}", "add name= to the hop")
        return Principal(known[0], "certificate")

    def checkKnown(self, chain: Sequence[x509.Certificate]) -> None:
        if chain[0].not_valid_after_utc < NOW:
            raise Refused(Cause.AUTHENTICATION, Phase.TLS, "peer", "its certificate has expired", "renew it")

    def hasKey(self, keyid: str) -> bool:
        return False


@implementer(ITenant)
class FakeTenant:
    """
    A tenant in memory, and its own reactor.
    """

    parent = None
    limits = None
    portal: Any = None
    dialer: Any = None
    nodes: Any = None
    names: Any = None
    handshake = 10.0

    def __init__(self, identity: IIdentity, trust: ITrust, name: str = "root", clock: Any = None) -> None:
        self.name = name
        self.identity = identity
        self.trust = trust
        self.policy = KnownPrincipals()
        self.hops: dict[str, Any] = {}
        self.children: dict[str, Any] = {}
        self.byHost: dict[str, FakeTenant] = {}
        self.clock = TenantClock(self) if clock is None else clock
        self.reactor = self.clock

    def tenantFor(self, info: StreamInfo) -> ITenant:
        return self.byHost.get(info.hints.get("sni", ""), self)


class TenantClock(Clock):
    """
    A clock that is a tenant's.
    """

    def __init__(self, tenant: ITenant) -> None:
        super().__init__()
        self.tenant = tenant

    def __conform__(self, interface: object) -> object | None:
        return self.tenant if interface is ITenant else None


@implementer(ILogObserver)
class Logged:
    """
    What is logged meanwhile.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("ugate"):
            self.lines.append(formatEvent(event))

    def __enter__(self) -> Logged:
        globalLogPublisher.addObserver(self)
        return self

    def __exit__(self, *error: object) -> None:
        globalLogPublisher.removeObserver(self)
