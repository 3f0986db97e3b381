# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who we are, and whom we believe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator

    from ugate.stream import Principal


class IIdentity(Interface):
    """
    Who we are: a key and what certifies it.  When its files change it is another one from
    then on, also what its connections are made of; those that are up go on.
    """

    keyid = Attribute("L{str}: the hash of the public key, 52 characters in upper case.")
    vip6 = Attribute("L{str}: the IPv6 address that follows from the public key.")
    principal = Attribute("L{ugate.stream.Principal}: who peers see.")
    names = Attribute("Tuple of L{str}: what the certificate says: DNS names, then URIs.")
    certificate = Attribute("L{cryptography.x509.Certificate}: that of the key.")
    chain = Attribute("Tuple of L{cryptography.x509.Certificate}: it, and those that certify it.")

    def has(name: str) -> bool:
        """
        Whether a certificate of ours, or one that we have for the names of servers, has that name of a host.

        @param name: in small letters.
        """

    def serverTLS(
        alpn: Sequence[bytes] = (), askClient: bool = True, name: str = ""
    ) -> IOpenSSLServerConnectionCreator:
        """
        What makes us a TLS server.  OpenSSL lets any certificate of a client pass: who it is
        is for L{ITrust.check}, after the handshake.

        @param alpn: the protocols, best first; a client that offers none of them gets none.
        @param askClient: whether a client is asked for a certificate; one that has none gets in too.
        @param name: what the client asks for, in small letters: a certificate that has it answers.
        """

    def clientTLS(name: str, alpn: Sequence[bytes] = ()) -> IOpenSSLClientConnectionCreator:
        """
        What makes us a TLS client.  OpenSSL lets any certificate of a server pass: who it is
        is for L{ITrust.check}, after the handshake.

        @param name: for SNI; empty, or an address, for none.
        @param alpn: the protocols, best first.
        """

    def sign(data: bytes) -> bytes:
        """
        A signature by our key: ECDSA with SHA-256 in DER for P-256; Ed25519; for RSA PKCS #1 with SHA-256.
        """

    def sshKey() -> Any:
        """
        The private key as C{cryptography} has it: what SSH signs with, which signs in more ways than L{sign}.
        """

    def sshCertificate() -> bytes:
        """
        The certificate of that key as a host of SSH, as SSH sends it; empty if there is none that is good.
        """

    def changed(callback: Callable[[], object]) -> Callable[[], None]:
        """
        Call back whenever the certificate or the key is another one.

        @return: a callable that stops it.
        """


class ITrust(Interface):
    """
    Whose certificates are believed.
    """

    def check(chain: Sequence[Certificate], name: str | None) -> Principal:
        """
        Who a peer is.

        @param chain: what it sent, its own first; empty if it sent none.
        @param name: who it has to be: a KEYID, a DNS name or a SPIFFE id; L{None} for anybody
            who is trusted, as servers want it.
        @return: with the method C{certificate}, and the KEYID of its key.
        @raise ugate.errors.Refused: it is not believed, and why.
        """

    def checkKnown(chain: Sequence[Certificate]) -> None:
        """
        Return if a client may be believed that is known by its very certificate, whoever certifies it.

        @param chain: what it sent, its own first.
        @raise ugate.errors.Refused: it is revoked, not good at this time or not for this, and why.
        """

    def hasKey(keyid: str) -> bool:
        """
        Whether a key of that KEYID is one to believe whoever certifies it; what else is wrong with a
        certificate of it is found by C{check}.

        @raise ugate.errors.UgateError: that cannot be told, and why.
        """
