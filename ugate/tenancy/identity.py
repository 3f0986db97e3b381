# -*- test-case-name: ugate.test.test_identity -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who a tenant is: one key, whose hash is its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import ref

from zope.interface import implementer

from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
)
from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.interfaces import IIdentity
from ugate.stream import ROOT, Principal
from ugate.tenancy.expiry import Expiry
from ugate.tenancy.identityfiles import Keypair
from ugate.tenancy.identityown import certifiedNames, isSelfSigned
from ugate.tenancy.keyids import keyidOf, vip6Of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from ugate.tenancy.servercertificates import Served, ServerCertificates

METHOD: Final = "certificate"
"""The method of principals that a certificate proved."""

POLL: Final = 10.0
"""Seconds between looks at the files."""

_FRESH: Final = 1.0
"""Seconds that a look is good for, when a connection is made."""

_AGAIN: Final = 600.0
"""Seconds after which a renewal is tried again that could not be."""


class Source(Protocol):
    """
    Where an identity comes from.
    """

    def signature(self) -> object:
        """
        What is different when there is another one.
        """

    def load(self) -> Keypair:
        """
        Read it, and make it if it can be made.
        """

    def isDue(self, held: Keypair) -> bool:
        """
        Whether L{load} would renew it.
        """


@implementer(IIdentity)
class Identity:
    """
    Who a tenant is.  It stays the same object when its files, or even its section, change.

    @ivar source: where it comes from.
    @ivar servers: the certificates for other names, if there are such.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        source: Source,
        clock: IReactorTime,
        path: str = ROOT,
        now: Callable[[], float] = time.time,
        servers: ServerCertificates | None = None,
    ) -> None:
        """
        @param path: the tenant.
        @param now: the time of day.
        @param servers: the certificates for other names.
        @raise UgateError: it cannot be, and why.
        """
        self.path = path
        self._clock = clock
        self._now = now
        self._callbacks: list[Callable[[], object]] = []
        self._contexts: dict[tuple[tuple[bytes, ...], bool, bool], Any] = {}
        self._timer: IDelayedCall | None = None
        self._notBefore = 0.0
        self.source = source
        self.servers = servers
        self._seen: object = None
        self._take(source)
        self._wait()

    def __repr__(self) -> str:
        return f"<Identity of {self.path}: {self.keyid}>"

    def _take(self, source: Source) -> None:
        seen = source.signature()
        held = source.load()
        self.source, self._seen, self._looked = source, seen, self._clock.seconds()
        self._use(held)

    def _use(self, held: Keypair) -> None:
        public = held.certificate.public_key()
        self._held = held
        self.keyid = keyidOf(public)
        self.vip6 = vip6Of(public)
        self.names = certifiedNames(held.certificate)
        self.principal = Principal(self._nameOf(held), METHOD, self.path)
        self._contexts.clear()
        self._expiry = Expiry(self.path, self.log)
        self._warn()

    def _nameOf(self, held: Keypair) -> str:
        if not isSelfSigned(held.certificate):
            for name in self.names:
                if name.startswith("spiffe://"):
                    return name
        return self.keyid

    @property
    def held(self) -> Keypair:
        """
        The key itself, and what certifies it.
        """
        return self._held

    @property
    def certificate(self) -> Certificate:
        """
        See L{IIdentity}.
        """
        return self._held.certificate

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """
        See L{IIdentity}.
        """
        return self._held.chain

    @property
    def roots(self) -> tuple[Certificate, ...]:
        """
        Whom those believe who gave it to us.
        """
        return self._held.roots

    def change(self, source: Source) -> Callable[[], None]:
        """
        Have it come from elsewhere.

        @return: what takes that back.
        @raise UgateError: it cannot; then all stays as it is.
        """
        before, held, seen = self.source, self._held, self._seen
        self._take(source)
        self._tell(held)

        def undo() -> None:
            other = self._held
            self.source, self._seen = before, seen
            self._use(held)
            self._tell(other)

        return undo

    def serve(self, servers: ServerCertificates | None) -> Callable[[], None]:
        """
        Have other certificates for other names.

        @return: what takes that back.
        """
        before, self.servers = self.servers, servers
        return lambda: setattr(self, "servers", before)

    def look(self) -> bool:
        """
        See whether the files changed, or the certificate has to be renewed.  What cannot be read is told in
        the log, and what was there before stays.

        @return: whether it is another one now.
        """
        now = self._looked = self._clock.seconds()
        if self.servers is not None:
            self.servers.look()
        seen = self.source.signature()
        isDue = now >= self._notBefore and self.source.isDue(self._held)
        if seen == self._seen and not isDue:
            self._warn()
            return False
        self._seen = seen
        before = self._held
        try:
            held = self.source.load()
            if _isSame(held, before):
                self._warn()
                return False
            self._use(held)
        except UgateError as error:
            self._notBefore = now + _AGAIN
            self.log.error(
                "The identity of {tenant} stays what it was: {error}", tenant=self.path, error=error
            )
            return False
        self.log.info(
            "The identity of {tenant} was read again: {keyid}, good until {ends}",
            tenant=self.path,
            keyid=self.keyid,
            ends=self.certificate.not_valid_after_utc.isoformat(),
        )
        self._tell(before)
        return True

    def _tell(self, before: Keypair) -> None:
        if _isSame(before, self._held):
            return
        for callback in tuple(self._callbacks):
            try:
                callback()
            except Exception:
                self.log.failure("while telling that an identity changed")

    def _warn(self) -> None:
        """
        Say, once for each part of its life, that a certificate is about to end.
        """
        self._expiry.look(self.certificate, self._now())

    def _wait(self) -> None:
        # The timer does not keep it: when nobody has it any more, there is nothing to look for.
        self._timer = self._clock.callLater(POLL, _poll, ref(self))

    def stop(self) -> None:
        """
        Look no more.
        """
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def changed(self, callback: Callable[[], object]) -> Callable[[], None]:
        """
        See L{IIdentity}.
        """
        self._callbacks.append(callback)

        def stop() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return stop

    def has(self, name: str) -> bool:
        """
        See L{IIdentity}.
        """
        self._lookAgain()
        return bool(self.certifying(name))

    def certifying(self, name: str) -> str:
        """
        Which certificate answers for a name, in words; empty if none has it.

        @param name: in small letters.
        """
        from ugate.tenancy.trustchain import isNamed

        served = self._served(name)
        if served is not None:
            return str(served)
        return f"that of {self.keyid}" if isNamed(self.certificate, name) else ""

    def _served(self, name: str) -> Served | None:
        """
        The certificate for a name, if it is another one than our own: that with the name itself, or
        else one with a wildcard.
        """
        return None if self.servers is None or not name else self.servers.find(name, self.names)

    def serverTLS(
        self, alpn: Sequence[bytes] = (), askClient: bool = True, name: str = ""
    ) -> IOpenSSLServerConnectionCreator:
        """
        See L{IIdentity}.
        """
        context = partial(self._context, tuple(alpn), True, askClient, name)
        creator: IOpenSSLServerConnectionCreator = _tls().ServerConnections(context)
        return creator

    def clientTLS(self, name: str, alpn: Sequence[bytes] = ()) -> IOpenSSLClientConnectionCreator:
        """
        See L{IIdentity}.
        """
        context = partial(self._context, tuple(alpn), False, True)
        creator: IOpenSSLClientConnectionCreator = _tls().ClientConnections(context, name)
        return creator

    def _lookAgain(self) -> None:
        if self._clock.seconds() - self._looked >= _FRESH:
            self.look()

    def _context(self, alpn: tuple[bytes, ...], isServer: bool, ask: bool, name: str = "") -> Any:
        self._lookAgain()
        served = self._served(name) if name else None
        held, contexts = (self._held, self._contexts) if served is None else (served.keypair, served.contexts)
        key = alpn, isServer, ask
        context = contexts.get(key)
        if context is None:
            context = contexts[key] = _tls().contextOf(held, alpn, isServer=isServer, ask=ask)
        return context

    def sign(self, data: bytes) -> bytes:
        """
        See L{IIdentity}.
        """
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256

        key = self._held.key
        if isinstance(key, EllipticCurvePrivateKey):
            return key.sign(data, ECDSA(SHA256()))
        if isinstance(key, RSAPrivateKey):
            return key.sign(data, PKCS1v15(), SHA256())
        signature: bytes = key.sign(data)
        return signature

    def sshKey(self) -> Any:
        """
        See L{IIdentity}.
        """
        self._lookAgain()
        return self._held.key

    def sshCertificate(self) -> bytes:
        """
        See L{IIdentity}.
        """
        from ugate.tenancy.hostcertificates import hostCertificate

        path = getattr(self.source, "hostPath", "")
        if not path:
            return b""
        try:
            return hostCertificate(path, self.sshKey(), self._now())
        except UgateError as error:
            self.log.error("{path}: {error}; SSH goes on without it", path=path, error=error)
            return b""


@cache
def _tls() -> Any:
    """
    What makes connections, and is not needed before there is one.  It is kept, since each would else pay for
    an import.
    """
    from ugate.tenancy import identitytls

    return identitytls


def _isSame(one: Keypair, other: Keypair) -> bool:
    return one.chain == other.chain and one.roots == other.roots


def _poll(weak: ref[Identity]) -> None:
    identity = weak()
    if identity is not None:
        try:
            identity.look()
        except Exception:
            identity.log.failure("while looking for another identity")
        identity._wait()
