# -*- test-case-name: ugate.test.test_sshtransport,ugate.test.test_sshtransport_hostile -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The client's side of a connection in SSH.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.conch.ssh.keys import Key
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from ugate.errors import ProtocolError, Refused
from ugate.interfaces import ILink
from ugate.protocols.sshcertificate import SUFFIX, SSHCertificate
from ugate.protocols.sshclientauth import ClientAuth, Signer
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshsignatures import ALGORITHMS, isSigned
from ugate.protocols.sshtransport import SETTINGS, Wired, algorithmsOf
from ugate.protocols.sshwire import ClientWire
from ugate.stream import Principal, StreamInfo

_BY_APPLICATION: Final = 11

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
        @param algorithms: how servers may sign, best first; without any as users may.
        """
        super().__init__(clock, SETTINGS)
        self.begin(info)
        self._account = account
        self._check = check
        self._hostKey: bytes | None = None
        self.supportedPublicKeys = list(algorithms or ALGORITHMS)

    def hasSigned(self, blob: bytes, digest: bytes, signature: bytes) -> bool:
        """
        Whether the key signed, or that which a certificate is of.
        """
        key = SSHCertificate.fromBlob(blob).key if self.keyAlg.endswith(SUFFIX) else blob
        return isSigned(key, digest, signature)

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[bool]:
        """
        Whether the server is who it has to be.
        """
        if self._hostKey is None:
            try:
                principal = self._check(hostKey)
            except Refused as refused:
                self._failed(refused)
                return fail(refused)
            self._hostKey = hostKey
            self.info = self.info.but(principal=principal)
        elif hostKey != self._hostKey:
            return fail(ProtocolError("another key than before"))
        return succeed(True)

    def connectionSecure(self) -> None:
        """
        Keys were exchanged for the first time: log in.
        """
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
