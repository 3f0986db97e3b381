# -*- test-case-name: ugate.test.test_sshwire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The transport of SSH: L{ServerWire} and L{ClientWire}, in the place of those of Conch.

Both are made with a clock and L{WireSettings}: C{factory.protocol = lambda: ServerWire(reactor, settings)}
for a C{twisted.conch.ssh.factory.SSHFactory}, and a subclass of C{ClientWire(reactor, settings)} that has
C{verifyHostKey} and C{connectionSecure}. Conch still makes the key exchanges, and its services run on top.
Importing this imports Conch, which takes a third of a second.
"""

from __future__ import annotations

from hashlib import md5
from typing import Any, Final

from twisted.conch.ssh import _kex, keys
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.transport import (
    DISCONNECT_HOST_KEY_NOT_VERIFIABLE,
    DISCONNECT_SERVICE_NOT_AVAILABLE,
    MSG_SERVICE_ACCEPT,
    SSHClientTransport,
    SSHServerTransport,
)
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from ugate.errors import ProtocolError
from ugate.protocols.sshbinary import KEX_INIT
from ugate.protocols.sshcertificate import SUFFIX
from ugate.protocols.sshpackets import Reader
from ugate.protocols.sshrekey import Wire
from ugate.protocols.sshsettings import WireSettings

__all__ = ["ClientWire", "ServerWire", "WireSettings"]

ASKS: Final = 32
"""How often a client may ask for the login."""


class ServerWire(Wire, SSHServerTransport):
    """
    The server's side.

    @since: ugate NEXT
    """

    _asked = 0

    def ssh_SERVICE_REQUEST(self, packet: bytes) -> None:
        """
        The login may be asked for.  Some clients ask before each try; it is one login all the same.
        """
        name = Reader(packet).string()
        self._asked += 1
        isOpen = self.service is None or self.service.name == name
        if name != b"ssh-userauth" or not isOpen or self._asked > ASKS:
            self._fail(f"no service {name[:40]!r} now", DISCONNECT_SERVICE_NOT_AVAILABLE)
            return
        service = self.factory.getService(self, name)
        self.sendPacket(MSG_SERVICE_ACCEPT, NS(name))
        if self.service is None:
            self.setService(service())


class ClientWire(Wire, SSHClientTransport):
    """
    The client's side. What is built on it has C{verifyHostKey} and C{connectionSecure}, which is called once.

    @since: ugate NEXT
    """

    instance: Any = None

    def _possibleKex(self) -> list[bytes]:
        return list(SSHClientTransport.supportedKeyExchanges)

    def ssh_KEXINIT(self, packet: bytes) -> None:
        """
        Begin with what was chosen.
        """
        Wire.ssh_KEXINIT(self, packet)
        if not self._isOver:
            self.ecPriv = self._generateECPrivateKey()
            self.ecPub = self.ecPriv.public_key()
            self._send(KEX_INIT, NS(self._encodeECPublicKey(self.ecPub)))

    def hasSigned(self, blob: bytes, digest: bytes, signature: bytes) -> bool:
        """
        Whether it is the host with this key that signed. To be replaced by who knows of certificates.
        """
        return bool(keys.Key.fromString(blob).verify(signature, digest))

    def ssh_KEX_DH_GEX_GROUP(self, packet: bytes) -> Deferred[None]:
        """
        The server's part of the exchange. Until somebody has said that its key is good, nothing else is read.
        """
        reader = Reader(packet)
        blob, public, signature = reader.string(), reader.string(), reader.string()
        secret = self._generateECSharedSecret(self.ecPriv, public)
        digest = _kex.getHashProcessor(self.kexAlg)()
        for part in (self.ourVersionString, self.otherVersionString, self.ourKexInitPayload):
            digest.update(NS(part))
        for part in (self.otherKexInitPayload, blob, self._encodeECPublicKey(self.ecPub), public):
            digest.update(NS(part))
        digest.update(secret)
        isWanted = Reader(signature).string() == self.keyAlg.removesuffix(SUFFIX)
        if not isWanted or not self.hasSigned(blob, digest.digest(), signature):
            raise ProtocolError("the signature of the host is not right")
        self._isWaiting = True
        self.transport.pauseProducing()  # type: ignore[union-attr]
        fingerprint = md5(blob, usedforsecurity=False).hexdigest()
        pairs = ":".join(fingerprint[at : at + 2] for at in range(0, 32, 2)).encode()
        verified: Deferred[Any] = maybeDeferred(self.verifyHostKey, blob, pairs)
        verified.addCallbacks(lambda _: self._keySetup(secret, digest.digest()), self._unverified)
        return verified.addErrback(self._unverified).addCallback(lambda _: self._goOn())

    def _unverified(self, failure: Failure) -> None:
        self._log.debug("the host key was refused: {error}", error=failure.getErrorMessage())
        self._fail("the host key was refused", DISCONNECT_HOST_KEY_NOT_VERIFIABLE)

    def _goOn(self) -> None:
        self._isWaiting = False
        if not self._isOver:
            self.transport.resumeProducing()  # type: ignore[union-attr]
            if not self._inTurn:
                self.dataReceived(b"")

    def ssh_SERVICE_ACCEPT(self, packet: bytes) -> None:
        """
        The service that we asked for begins, once.
        """
        instance, self.instance = self.instance, None
        if instance is None or Reader(packet).string() != instance.name:
            raise ProtocolError("a service that nobody asked for")
        self.setService(instance)
