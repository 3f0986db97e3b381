# -*- test-case-name: ugate.test.test_sshtransport,ugate.test.test_sshtransport_hostile -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From the bytes of a connection in SSH to a link: what is between L{ugate.protocols.sshwire} and
L{ugate.protocols.sshlink}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from twisted.conch.ssh.keys import Key
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.interfaces import ILink
from ugate.protocols.credentials import Login
from ugate.protocols.sshauth import LoginCheck, ServerAuth
from ugate.protocols.sshcertificate import SUFFIX
from ugate.protocols.sshchannels import HOP
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshpackets import origin, words
from ugate.protocols.sshsettings import KEX
from ugate.protocols.sshwire import ServerWire, WireSettings
from ugate.protocols.tlsverify import checkAgain
from ugate.stream import StreamInfo

UNKNOWN: Final = 100
"""Messages of one connection that are not known here."""

GOODBYE: Final = 2.0
"""Seconds to read why the connection ends."""

LOGIN: Final = 3600.0
"""Seconds until somebody has to be logged in, whatever else is said of that."""

SETTINGS: Final = WireSettings(endTime=GOODBYE, loginTime=LOGIN)
"""How hops speak, and listeners that are told to take all key exchanges."""

CAUTIOUS: Final = replace(SETTINGS, kex=KEX)
"""How listeners speak."""

_SHORT: Final[Mapping[Any, str]] = {
    ConnectionDone: "the peer has closed the connection",
    ConnectionLost: "the connection was lost",
}
"""Why a connection ends, in the place of Twisted's words."""

_OMITS_EOF: Final = b"SSH-2.0-AsyncSSH"

HostKeys = Mapping[bytes, tuple[Any, Any]]
"""Public and private keys of Conch, by the names of their formats."""


class _Calm(Logger):
    """
    Of what Conch says, only what is wrong here.
    """

    def emit(self, level: Any, format: str | None = None, **kwargs: object) -> None:
        """
        See L{Logger}.
        """
        if level >= LogLevel.warn:
            super().emit(level, format, **kwargs)


class Wired:
    """
    What both sides have in common.

    @ivar ready: fires with the L{SSHLink} when the peer has proven who it is; fails with L{Refused}.
    @ivar why: why the connection ends, as far as somebody said so.
    """

    _log = _Calm()
    log = Logger()
    # Which version that is, strangers need not know.
    ourVersionString = b"SSH-2.0-ugate"
    info: StreamInfo
    why = ""
    transport: Any
    _unknown = 0

    @property
    def omitsEOF(self) -> bool:
        """
        Whether the peer closes streams that have ended without saying that they have, as asyncssh does if
        some of what it sends still has to wait then.  Its cuts look the same.
        """
        wire: Any = self
        version: bytes = wire.otherVersionString
        return version.startswith(_OMITS_EOF)

    def begin(self, info: StreamInfo) -> None:
        """
        @param info: what is known of the connection.
        """
        self.info = info
        self.ready: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())

    def up(self, link: SSHLink) -> None:
        """
        Streams may begin.
        """
        wire: Any = self
        wire.setService(link)
        if not self.ready.called:
            self.ready.callback(link)

    def sendKexInit(self) -> None:
        """
        Keys are exchanged from now on.
        """
        super().sendKexInit()  # type: ignore[misc]
        self._exchanging(True)

    def _keySetup(self, sharedSecret: bytes, exchangeHash: bytes) -> None:
        super()._keySetup(sharedSecret, exchangeHash)  # type: ignore[misc]
        self._exchanging(False)

    def _exchanging(self, isSo: bool) -> None:
        wire: Any = self
        if isinstance(wire.service, SSHLink):
            wire.service.exchanging(isSo)

    def sendDisconnect(self, reason: int, desc: Any) -> None:
        """
        Say why, and close.
        """
        text = desc if isinstance(desc, bytes) else str(desc).encode()
        self.why = self.why or words(text)
        super().sendDisconnect(reason, text)  # type: ignore[misc]

    def sendUnimplemented(self) -> None:
        """
        Say that a message is not known here.
        """
        self._unknown += 1
        if self._unknown > UNKNOWN:
            self._fail(f"more than {UNKNOWN} messages that nobody knows")
        else:
            super().sendUnimplemented()  # type: ignore[misc]

    def _fail(self, why: str, *code: int) -> None:
        self.log.info("{peer}, SSH: {why}", peer=str(self.info), why=why[:200])
        super()._fail(why, *code)  # type: ignore[misc]

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        """
        The peer says why it closes.
        """
        said = words(description)
        self.why = self.why or (f"the peer has closed it: {said}" if said else "the peer has closed it")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{IProtocol.connectionLost}.
        """
        self.why = self.why or _SHORT.get(type(reason.value)) or reason.getErrorMessage()
        super().connectionLost(reason)  # type: ignore[misc]
        if not self.ready.called:
            self.ready.errback(Refused(Cause.PEER_CLOSED, Phase.NEGOTIATE, HOP, self.why))


class _Server:
    """
    What a transport of Conch asks its factory for.
    """

    primes = None

    def __init__(self, keys: HostKeys, auth: Callable[[], ServerAuth]) -> None:
        self.publicKeys = {name: public for name, (public, _) in keys.items()}
        self.privateKeys = {name: private for name, (_, private) in keys.items()}
        self._auth = auth

    def getService(self, transport: object, name: bytes) -> Callable[[], ServerAuth] | None:
        """
        What a client may ask for: to log in.
        """
        return self._auth if name == ServerAuth.name else None


class SSHServer(Wired, ServerWire):  # type: ignore[misc]
    """
    The server's side of a connection.

    @since: ugate NEXT
    """

    _login: Login | None = None

    def __init__(
        self,
        clock: IReactorTime,
        info: StreamInfo,
        keys: HostKeys,
        login: LoginCheck | None,
        prepare: Callable[[SSHLink, str, Login | None], object],
        settings: WireSettings = CAUTIOUS,
    ) -> None:
        """
        @param clock: for all that has to be in time.
        @param info: what is known of the connection.
        @param keys: who we are.
        @param login: who has which credentials; L{None} if everybody may come, as nobody.
        @param prepare: called with each link before it is up, the name that was given, and who that is.
        @param settings: how it speaks.
        """
        super().__init__(clock, settings)
        self.begin(info)
        self._prepare = prepare
        address = origin(info)[0] if hasattr(info.peer, "host") else ""
        self._auth = ServerAuth(clock, login, self._loggedIn, info, address)
        self.factory: Any = _Server(keys, lambda: self._auth)
        self.supportedPublicKeys = [
            each
            for name, (public, _) in keys.items()
            for each in ([name] if name.endswith(SUFFIX) else algorithmsOf(public))
        ]

    @property
    def wrong(self) -> int:
        """
        How many passwords and signatures were wrong.
        """
        return self._auth.wrong

    def checkAgain(self) -> None:
        """
        See whether the client may still be here.

        @raise Refused: what it has logged in with is gone, over or revoked; or see L{checkAgain}.
        """
        if self._login is not None and not self._login.again():
            detail = f"what {self._login.principal} has logged in with is not good any more"
            raise Refused(Cause.AUTHENTICATION, Phase.AUTH, HOP, detail, "let it log in again")
        checkAgain(self.transport)

    def _loggedIn(self, user: str, login: Login | None) -> None:
        info, self._login = self.info, login
        if login is not None:
            info = info.but(principal=login.principal)
        if user:
            info = info.but(hints={**info.hints, "user": user})
        link = SSHLink(self._clock, info)
        self._prepare(link, user, login)
        self.up(link)


class CertifiedHostKey:
    """
    A key of Conch with a certificate, which goes with every signature.

    @since: ugate NEXT
    """

    def __init__(self, key: Key, certificate: bytes) -> None:
        """
        @param certificate: as SSH sends it.
        """
        self._key = key
        self._certificate = certificate

    def blob(self) -> bytes:
        """
        The certificate, in place of the key.
        """
        return self._certificate

    def supportedSignatureAlgorithms(self) -> list[bytes]:
        """
        By what it signs, as the names of certificates say it.
        """
        return [each + SUFFIX for each in algorithmsOf(self._key)]

    def sign(self, data: bytes, signatureType: bytes) -> bytes:
        """
        A signature by the key.
        """
        signature: bytes = self._key.sign(data, signatureType.removesuffix(SUFFIX))
        return signature


def algorithmsOf(key: Key) -> list[bytes]:
    """
    By what a key signs, best first; not with SHA-1.
    """
    return [each for each in key.supportedSignatureAlgorithms() if each != b"ssh-rsa"]


def hostKeys(key: Any, certificate: bytes = b"") -> HostKeys:
    """
    Who we are, by a private key of C{cryptography}.

    @param certificate: of that key as a host, as SSH sends it.
    @raise UgateError: SSH has no such keys.
    """
    private = Key(key)
    try:
        kind = private.sshType()
    except (KeyError, RuntimeError) as error:
        wanted = "wanted P-256, Ed25519 or RSA"
        raise UgateError(f"SSH has no keys of the type of our identity; {wanted}") from error
    found: dict[bytes, tuple[Any, Any]] = {}
    if certificate:
        certified = CertifiedHostKey(private, certificate)
        found.update(dict.fromkeys(certified.supportedSignatureAlgorithms(), (certified, certified)))
    found[kind] = private.public(), private
    return found


def serverMaker(
    clock: IReactorTime,
    keys: Callable[[], HostKeys],
    login: LoginCheck | None,
    prepare: Callable[[SSHLink, str, Login | None], object],
    settings: WireSettings = CAUTIOUS,
) -> Callable[[StreamInfo], tuple[SSHServer, Deferred[ILink]]]:
    """
    Makes the protocols of connections, one each, with what fires when a link is up.

    @param keys: who we are, asked at each connection; raises L{UgateError}.
    @since: ugate NEXT
    """

    def make(info: StreamInfo) -> tuple[SSHServer, Deferred[ILink]]:
        try:
            ours = keys()
        except UgateError as error:
            raise Refused(Cause.GENERAL, Phase.AUTH, "identity", str(error)) from error
        server = SSHServer(clock, info, ours, login, prepare, settings)
        return server, server.ready

    return make
