# -*- test-case-name: ugate.test.test_mtls,ugate.test.test_mtls_alerts -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The check of a peer's certificate, made in the middle of the handshake, so that a peer
that is not believed reads in a TLS alert why.

OpenSSL chooses the alert from an error of its own, and only while it looks at the
certificates; pyOpenSSL has no public way to say which error it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from ugate.errors import Cause, Phase, Refused
from ugate.stream import Principal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Check = Callable[[Sequence["Certificate"]], Principal]
"""Who sent those certificates, its own first; raises L{Refused}."""

OK: Final = 0
UNTRUSTED: Final = 20
"""OpenSSL's for an issuer that is not known: the alert C{unknown_ca}."""

NOT_YET: Final = 9
"""C{bad_certificate}."""

EXPIRED: Final = 10
"""C{certificate_expired}."""

REVOKED: Final = 23
"""C{certificate_revoked}."""

PURPOSE: Final = 26
"""C{unsupported_certificate}."""

BAD: Final = 62
"""C{bad_certificate}."""

_OURS: Final = frozenset((2, NOT_YET, EXPIRED, 18, 19, UNTRUSTED, 21, 24, 26, 79))
"""
What OpenSSL has against certificates that are for the check to decide on: roots that it
was not told, dates, and what issuers and purposes have to say.
"""

_UNKNOWN: Final = ("root", "itself")
_ID: Final = 16
_PURPOSES: Final = ("is not for clients", "is not for servers")


def errorFor(refused: Refused, chain: Sequence[Certificate], now: float) -> int:
    """
    OpenSSL's number for what a check has against a chain.

    @param now: the time of day.
    """
    said = refused.detail.lower()
    if "revoked" in said:
        return REVOKED
    for certificate in chain:
        if certificate.not_valid_after_utc.timestamp() < now:
            return EXPIRED
        if certificate.not_valid_before_utc.timestamp() > now:
            return NOT_YET
    if any(words in said for words in _PURPOSES):
        return PURPOSE
    # That nobody whom we know certifies it; else it is not good for this.
    return UNTRUSTED if any(word in said for word in _UNKNOWN) else BAD


class PeerCheck:
    """
    The check of one connection's peer.

    @ivar principal: who it is, once that is known.
    @ivar refused: what is wrong, if something is.
    @since: ugate NEXT
    """

    def __init__(
        self,
        check: Check,
        hop: str,
        optional: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param check: who it is.
        @param hop: what L{Refused} names.
        @param optional: whether a peer without a certificate is good.
        @param now: the time of day.
        """
        self._check = check
        self._hop = hop
        self._optional = optional
        self._now = now
        self._decided = False
        self._callback: Any = None
        self.principal: Principal | None = None
        self.refused: Refused | None = None

    def install(self, connection: Any) -> None:
        """
        Let OpenSSL ask.

        @param connection: an C{OpenSSL.SSL.Connection} before its handshake.
        """
        from OpenSSL import SSL

        connection.peerCheck = self
        mode = SSL.VERIFY_PEER
        if not self._optional:
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        try:
            self._ask(connection, mode)
        except (ImportError, AttributeError):
            # A pyOpenSSL that is otherwise inside: then the check is made behind the
            # handshake, and who is refused is cut off instead of told so.
            connection.set_verify(mode, _anybody)

    def _ask(self, connection: Any, mode: int) -> None:
        from OpenSSL._util import ffi, lib

        # It must not keep us, or only the collector would let go of both.
        me = ref(self)

        def verify(ok: int, context: Any) -> int:
            check = me()
            return 0 if check is None else check._verify(ok, context)

        self._callback = ffi.callback("int (*)(int, X509_STORE_CTX *)", verify)
        # OpenSSL holds no reference to it.
        connection._verify_helper = self
        lib.SSL_set_verify(connection._ssl, mode, self._callback)

    def finish(self, connection: Any) -> Principal | None:
        """
        The handshake is through, so the peer has the key of its certificate: who it is.
        What was not checked in it, since OpenSSL had no cause to look, is checked now: that
        of a session that goes on.

        @raise Refused: it is not believed.
        """
        if not self._decided:
            leaf = connection.get_peer_certificate(as_cryptography=True)
            sent = connection.get_peer_cert_chain(as_cryptography=True) or []
            chain = [] if leaf is None else [leaf, *(each for each in sent if each != leaf)]
            if chain or not self._optional:
                self._decide(chain)
        if self.refused is not None:
            _forget(connection)
            raise self.refused
        return self.principal

    def again(self, connection: Any) -> None:
        """
        See whether the peer is still whom it was believed to be.

        @raise Refused: it is not.
        """
        before, self._decided, self.refused = self.principal, False, None
        if self.finish(connection) != before:
            raise Refused(Cause.AUTHENTICATION, Phase.TLS, self._hop, "it is somebody else by now")

    def _decide(self, chain: Sequence[Certificate]) -> None:
        self._decided = True
        try:
            principal = self._check(chain)
            if not principal.name.isprintable():
                detail = "its name has characters that cannot be printed"
                raise Refused(Cause.AUTHENTICATION, Phase.TLS, self._hop, detail, "have it certified again")
            self.principal = principal
        except Refused as refused:
            self.refused = _printable(refused)
        except Exception as error:
            # An error in a callback from OpenSSL is seen by nobody.
            self.refused = Refused(
                Cause.GENERAL, Phase.TLS, self._hop, f"its certificate cannot be checked: {error}"
            )

    def _verify(self, ok: int, context: Any) -> int:
        """
        OpenSSL has looked at one certificate; that of the peer comes last.
        """
        from OpenSSL._util import lib

        number: int = lib.X509_STORE_CTX_get_error(context)
        if not ok:
            if number in _OURS:
                lib.X509_STORE_CTX_set_error(context, OK)
                return 1
            if self.refused is None:
                self._decided = True
                self.refused = self._broken(number)
            return 0
        if lib.X509_STORE_CTX_get_error_depth(context) or self._decided:
            return int(self.refused is None)
        chain = _chainOf(context)
        self._decide(chain)
        if self.refused is None:
            return 1
        lib.X509_STORE_CTX_set_error(context, errorFor(self.refused, chain, self._now()))
        return 0

    def _broken(self, number: int) -> Refused:
        from OpenSSL._util import ffi, lib

        words = ffi.string(lib.X509_verify_cert_error_string(number)).decode()
        return Refused(
            Cause.AUTHENTICATION,
            Phase.TLS,
            self._hop,
            f"its certificate: {words}",
            "let it get another certificate",
        )


def checkAgain(transport: Any) -> None:
    """
    See whether the peer of a connection that is up is still believed.

    @param transport: of any kind; who is there is only known of TLS, and of what has a C{checkAgain} itself.
    @raise Refused: it is not.
    @since: ugate NEXT
    """
    own = getattr(transport, "checkAgain", None)
    if own is not None:
        own()
    connection = getattr(transport, "_tlsConnection", None)
    check: PeerCheck | None = getattr(connection, "peerCheck", None)
    if check is not None:
        check.again(connection)


def _printable(refused: Refused) -> Refused:
    """
    The same without what would begin another line in the log: a certificate may have anything in it.
    """
    hop, detail, step = (
        "".join(each if each.isprintable() else "?" for each in text)
        for text in (refused.hop, refused.detail, refused.nextStep)
    )
    if (hop, detail, step) == (refused.hop, refused.detail, refused.nextStep):
        return refused
    plain = Refused(refused.cause, refused.phase, hop, detail, step)
    plain.__cause__ = refused
    return plain


def _forget(connection: Any) -> None:
    """
    Let no session go on that a server has: one of them is of a peer that is no longer believed, and with
    another certificate, or to be told why, that has to begin anew.
    """
    # A session is for one such id, and OpenSSL begins anew with all that are for others.  pyOpenSSL sets
    # one only before the first connection.
    try:
        from OpenSSL._util import lib

        lib.SSL_CTX_set_session_id_context(connection.get_context()._context, os.urandom(_ID), _ID)
    except (ImportError, AttributeError):
        # Then it is refused until its time is over.
        pass


def _anybody(*arguments: object) -> bool:
    return True


def ignoreALPN(connection: Any) -> None:
    """
    Let a server choose no protocol, whatever its client offers.  The callback that Twisted's
    options have for that asks a factory which there is not, and answers what newer OpenSSL
    takes for an error.

    @param connection: an C{OpenSSL.SSL.Connection}, whose context is only for such.
    """
    from OpenSSL._util import ffi, lib

    lib.SSL_CTX_set_alpn_select_cb(connection.get_context()._context, ffi.NULL, ffi.NULL)


def _chainOf(context: Any) -> list[Certificate]:
    """
    The certificates, that of the peer first.
    """
    from OpenSSL._util import ffi, lib
    from OpenSSL.crypto import X509

    stack = ffi.gc(lib.X509_STORE_CTX_get1_chain(context), lib.sk_X509_free)
    chain = []
    for index in range(lib.sk_X509_num(stack)):
        # The stack owns a reference to each, which goes over to these.
        chain.append(X509._from_raw_x509_ptr(lib.sk_X509_value(stack, index)).to_cryptography())
    return chain
