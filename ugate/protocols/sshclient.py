# -*- test-case-name: ugate.test.test_sshtransport -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The client's side of a connection in SSH.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.conch.ssh import _kex
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport as ClientWire
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ugate.errors import ProtocolError, Refused
from ugate.interfaces import ILink
from ugate.protocols.sshcertificate import SUFFIX, SSHCertificate
from ugate.protocols.sshclientauth import ClientAuth, Signer
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshpackets import Reader, string
from ugate.protocols.sshsignatures import isSigned
from ugate.protocols.sshtransport import Wired, algorithmsOf, strong
from ugate.stream import Principal, StreamInfo

_BY_APPLICATION: Final = 11
_NO_HOST: Final = 9

HostCheck = Callable[[bytes], Principal]
"""Who a server is, by its key or certificate, which it has shown to have; raises L{Refused}."""


@dataclass(frozen=True, slots=True)
class Account:
    """
    With what we log in.

    @since: ugate NEXT
    """

    user: str
    """Who we want to be."""

    signers: Sequence[Signer] = ()
    """The keys, best first."""

    password: bytes | None = field(default=None, repr=False)
    """Used when no key is good."""


class SSHClient(Wired, ClientWire):  # type: ignore[misc]
    """
    The client's side of a connection.

    @since: ugate NEXT
    """

    supportedCiphers = strong(ClientWire.supportedCiphers)
    supportedMACs = strong(ClientWire.supportedMACs)
    supportedKeyExchanges = [each for each in ClientWire.supportedKeyExchanges if _kex.isEllipticCurve(each)]

    def __init__(
        self,
        clock: IReactorTime,
        info: StreamInfo,
        account: Account,
        check: HostCheck,
        algorithms: Sequence[bytes] = (),
    ) -> None:
        """
        @param clock: for all that has to be in time.
        @param info: what is known of the connection.
        @param account: with what we log in.
        @param check: who the server is.
        @param algorithms: how servers may sign, best first; without any as Conch has it.
        """
        self.begin(info)
        self._clock = clock
        self._account = account
        self._check = check
        self._hostKey: bytes | None = None
        self._isSecure = False
        self.supportedPublicKeys = list(algorithms) or [
            each for each in ClientWire.supportedPublicKeys if each not in (b"ssh-rsa", b"ssh-dss")
        ]

    def _ssh_KEX_ECDH_REPLY(self, packet: bytes) -> None:
        """
        The server has said who it is, and proves it.  As Conch has it, but for certificates of hosts, and
        that what signs is what was agreed on.
        """
        reader = Reader(packet)
        hostKey, public, signature = reader.string(), reader.string(), reader.string()
        isCertified = self.keyAlg.endswith(SUFFIX)
        key = SSHCertificate.fromBlob(hostKey).key if isCertified else hostKey
        secret = self._generateECSharedSecret(self.ecPriv, public)
        said = (
            self.ourVersionString,
            self.otherVersionString,
            self.ourKexInitPayload,
            self.otherKexInitPayload,
            hostKey,
            self._encodeECPublicKey(self.ecPub),
            public,
        )
        digest = _kex.getHashProcessor(self.kexAlg)(b"".join(map(string, said)) + secret).digest()
        algorithm = self.keyAlg.removesuffix(SUFFIX)
        if Reader(signature).string() != algorithm or not isSigned(key, digest, signature):
            raise ProtocolError("a host key that has not signed")
        if not self._isKnown(hostKey):
            self.sendDisconnect(_NO_HOST, b"the host key is not believed")
            return
        self._keySetup(secret, digest)

    def _isKnown(self, hostKey: bytes) -> bool:
        """
        Whether the server is who it has to be.
        """
        if self._hostKey is not None:
            # Keys are exchanged again, with the same server.
            return hostKey == self._hostKey
        try:
            principal = self._check(hostKey)
        except Refused as refused:
            self._failed(refused)
            return False
        self._hostKey = hostKey
        self.info = self.info.but(principal=principal)
        return True

    def connectionSecure(self) -> None:
        """
        Keys were exchanged: log in, at first.
        """
        if not self._isSecure:
            self._isSecure = True
            account = self._account
            self.requestService(
                ClientAuth(account.user, account.signers, account.password, self._answered)  # type: ignore[arg-type]
            )

    def _answered(self, refused: Refused | None) -> None:
        if refused is not None:
            self._failed(refused)
            self.sendDisconnect(_BY_APPLICATION, b"no way in")
        else:
            self.up(SSHLink(self._clock, self.info))

    def _failed(self, refused: Refused) -> None:
        if not self.ready.called:
            self.ready.errback(refused)


def clientMaker(
    clock: IReactorTime, account: Callable[[], Account], check: HostCheck, algorithms: Sequence[bytes] = ()
) -> Callable[[StreamInfo], tuple[SSHClient, Deferred[ILink]]]:
    """
    Makes the protocols of connections, one each, with what fires when a link is up.

    @param account: with what we log in, asked at each connection; raises L{Refused}.
    @since: ugate NEXT
    """

    def make(info: StreamInfo) -> tuple[SSHClient, Deferred[ILink]]:
        client = SSHClient(clock, info, account(), check, algorithms)
        return client, client.ready

    return make


def signerOf(name: str, key: Any) -> Signer:
    """
    What signs with a private key of C{cryptography}.
    """
    private = Key(key)
    algorithm = algorithmsOf(private)[0]
    return Signer(name, algorithm, private.public().blob(), lambda data: private.sign(data, algorithm))
