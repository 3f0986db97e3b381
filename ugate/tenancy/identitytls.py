# -*- test-case-name: ugate.test.test_identitytls -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What makes TLS connections of an identity.  OpenSSL sees that a peer has the key of its certificate; whether
that certificate is believed is said by C{ITrust}, after the handshake.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from zope.interface import implementer

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol

    from ugate.tenancy.identityfiles import Keypair

LIFETIME: Final = 300
"""Seconds after which a client has to shake hands as a new one does."""

SESSIONS: Final = 20480
"""How many OpenSSL keeps of one context: its SSL_SESSION_CACHE_MAX_SIZE_DEFAULT, which pyOpenSSL cannot
change."""
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Those of TLS 1.2 that are as good as those of 1.3: a key for each connection, and no CBC."""

_SUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Those of TLS 1.3, that which all have to have first (RFC 8446, 9.1): its hash is the one that
processors have instructions for, and a handshake makes dozens of them."""

_MAX_SNI: Final = 253
_ID: Final = 16


def contextOf(held: Keypair, alpn: Sequence[bytes], *, isServer: bool, ask: bool) -> SSL.Context:
    """
    A context of OpenSSL.

    @param alpn: the protocols, best first.
    @param ask: whether the peer is asked for a certificate.
    """
    options = CertificateOptions(
        privateKey=PKey.from_cryptography_key(held.key),
        certificate=X509.from_cryptography(held.certificate),
        extraCertChain=[X509.from_cryptography(each) for each in held.chain[1:]],
        raiseMinimumTo=TLSVersion.TLSv1_2,
        # Tickets are for those only of whom nothing has to be known again.
        enableSessionTickets=isServer and not ask,
        acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(_CIPHERS),
    )
    context: SSL.Context = options.getContext()
    context.set_verify(SSL.VERIFY_PEER if ask else SSL.VERIFY_NONE, _anybody)
    context.set_options(SSL.OP_NO_RENEGOTIATION)
    context.set_tls13_ciphersuites(_SUITES)
    if isServer:
        # In the cache, unlike in a ticket, a session has the chain of its client, which is checked again.
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_session_id(os.urandom(_ID))
        context.set_timeout(LIFETIME)
        # Also with none: Twisted has put its own there.
        context.set_alpn_select_callback(_selecting(tuple(alpn)))
    elif alpn:
        context.set_alpn_protos(list(alpn))
    return context


def _anybody(*arguments: object) -> bool:
    return True


def _selecting(ours: tuple[bytes, ...]) -> Callable[[SSL.Connection, list[bytes]], Any]:
    def select(connection: SSL.Connection, theirs: list[bytes]) -> Any:
        for each in ours:
            if each in theirs:
                return each
        # By Twisted's own callback, which says b"", the handshake would fail.
        return SSL.NO_OVERLAPPING_PROTOCOLS

    return select


@implementer(IOpenSSLServerConnectionCreator)
class ServerConnections:
    """
    Makes server connections, by what is the identity at that moment.

    @since: ugate NEXT
    """

    def __init__(self, context: Callable[[], SSL.Context]) -> None:
        """
        @param context: what is in force now.
        """
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """
        See L{IOpenSSLServerConnectionCreator}.
        """
        return SSL.Connection(self._context(), None)


@implementer(IOpenSSLClientConnectionCreator)
class ClientConnections:
    """
    Makes client connections, by what is the identity at that moment.

    @since: ugate NEXT
    """

    def __init__(self, context: Callable[[], SSL.Context], name: str) -> None:
        """
        @param name: for SNI, if it can be there.
        """
        self._context = context
        self._name = sniOf(name)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """
        See L{IOpenSSLClientConnectionCreator}.
        """
        connection = SSL.Connection(self._context(), None)
        if self._name:
            connection.set_tlsext_host_name(self._name)
        return connection


def sniOf(name: str) -> bytes:
    """
    A name as it is in SNI; nothing for what cannot be there: addresses, SPIFFE ids (RFC 6066, 3).
    """
    name = name.rstrip(".").lower()
    if not name or len(name) > _MAX_SNI or "/" in name or ":" in name:
        return b""
    try:
        ip_address(name)
    except ValueError:
        pass
    else:
        return b""
    try:
        return name.encode("ascii") if name.isascii() else name.encode("idna")
    except UnicodeError:
        return b""
