# -*- test-case-name: ugate.test.test_sshauth -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who the client of an SSH connection is (RFC 4252): the side of the server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.cred.credentials import ICredentials, SSHPrivateKey, UsernamePassword
from twisted.cred.error import LoginFailed
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import ProtocolError, Refused
from ugate.protocols.credentials import CertifiedKey, Login
from ugate.protocols.sshcertificate import certifiedName
from ugate.protocols.sshpackets import (
    AUTH_FAILURE,
    AUTH_PK_OK,
    AUTH_REQUEST,
    AUTH_SUCCESS,
    Reader,
    string,
    words,
)
from ugate.protocols.sshsignatures import USERS

TRIES: Final = 6
"""Passwords and signatures that may be wrong."""

MOST: Final = 32
"""Requests altogether: an agent with many keys asks for each."""

WAITING: Final = 8
"""Requests that may come before the one in hand is answered."""

DELAY: Final = 1.0
"""Seconds until a wrong password is said to be wrong."""

_METHODS: Final = b"publickey,password"
_NO_SERVICE: Final = 7
_NO_MORE: Final = 14
_PROTOCOL: Final = 2
_LONGEST: Final = 512
"""Bytes of a name."""

PASSWORD: Final = 8192
"""Bytes of a password, which may be a token."""

_CERTIFIED: Final = {certifiedName(algorithm): algorithm for algorithm in USERS}
"""By which algorithm the key of a certificate signs."""

LoginCheck = Callable[[ICredentials], "Deferred[Login]"]
"""Who has these credentials; fails with L{LoginFailed} or L{Refused}."""


class ServerAuth:
    """
    Asks a client who it is, until it has proven that.

    @ivar transport: what is below, as for L{ugate.protocols.sshlink.SSHLink}.
    @ivar wrong: how many passwords and signatures were wrong.
    @since: ugate NEXT
    """

    log = Logger()
    name = b"ssh-userauth"
    transport: Any = None

    def __init__(
        self,
        clock: IReactorTime,
        login: LoginCheck | None,
        done: Callable[[str, Login | None], object],
        peer: object,
        address: str = "",
    ) -> None:
        """
        @param clock: for the delay.
        @param login: who has which credentials; L{None} to let everybody in, as nobody.
        @param done: called with the name that the user has given, and who that is, when the client is in.
        @param peer: whom the log names.
        @param address: from where it has connected, if that is known.
        """
        self._clock = clock
        self._login = login
        self._done = done
        self._peer = peer
        self._address = address
        self._requests: deque[bytes] = deque()
        self._checking: Deferred[Login] | None = None
        self._delayed: IDelayedCall | None = None
        self._isBusy = self._isOver = False
        self.wrong = self._count = 0

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "login"

    def serviceStarted(self) -> None:
        """
        The client may say who it is.
        """

    def serviceStopped(self) -> None:
        """
        It is in, or gone.
        """
        self._isOver = True
        self._requests.clear()
        if self._delayed is not None and self._delayed.active():
            self._delayed.cancel()
        checking, self._checking = self._checking, None
        if checking is not None:
            checking.cancel()

    def packetReceived(self, number: int, packet: bytes) -> None:
        """
        A message came.
        """
        if self._isOver:
            return
        if number != AUTH_REQUEST:
            self.transport.sendUnimplemented()
            return
        if len(self._requests) >= WAITING:
            self._leave(_PROTOCOL, "too many requests at once")
            return
        self._requests.append(packet)
        self._next()

    def _next(self) -> None:
        while self._requests and not (self._isBusy or self._isOver):
            try:
                self._take(Reader(self._requests.popleft()))
            except ProtocolError as fault:
                self._leave(_PROTOCOL, f"the peer broke SSH: {fault}")

    def _take(self, reader: Reader) -> None:
        user, service, method = reader.string(), reader.string(), reader.string()
        self._count += 1
        if service != b"ssh-connection":
            self._leave(_NO_SERVICE, "there is ssh-connection, and nothing else")
        elif self._count > MOST:
            self._leave(_NO_MORE, "too many tries")
        elif self._login is None:
            self._succeed(user, None)
        elif method == b"publickey" and len(user) <= _LONGEST:
            self._key(user, service, reader)
        elif method == b"password" and len(user) <= _LONGEST:
            self._password(user, reader)
        else:
            self._refuse()

    def _password(self, user: bytes, reader: Reader) -> None:
        isChange, password = reader.truth(), reader.string()
        if isChange or len(password) > PASSWORD:
            self._wrong(user, "password", "not as it has to be")
            return
        self._check(UsernamePassword(user, password), user, "password")

    def _key(self, user: bytes, service: bytes, reader: Reader) -> None:
        isSigned, algorithm, blob = reader.truth(), reader.string(), reader.string()
        signs = _CERTIFIED.get(algorithm, algorithm)
        if signs not in USERS:
            self._refuse()
            return
        method = "key" if signs is algorithm else "certificate"
        if not isSigned:
            self._check(self._credentials(user, algorithm, blob), user, "", string(algorithm) + string(blob))
            return
        signature = reader.string()
        if Reader(signature).string() != signs:
            self._wrong(user, method, "signed by another algorithm")
            return
        signed = (
            string(self.transport.sessionID)
            + bytes([AUTH_REQUEST])
            + string(user)
            + string(service)
            + string(b"publickey")
            + b"\1"
            + string(algorithm)
            + string(blob)
        )
        self._check(self._credentials(user, algorithm, blob, signed, signature), user, method)

    def _credentials(
        self,
        user: bytes,
        algorithm: bytes,
        blob: bytes,
        signed: bytes | None = None,
        signature: bytes | None = None,
    ) -> ICredentials:
        if algorithm in _CERTIFIED:
            return CertifiedKey(user, blob, signed or b"", signature, self._address)
        return SSHPrivateKey(user, algorithm, blob, signed, signature)

    def _check(self, credentials: ICredentials, user: bytes, method: str, asked: bytes = b"") -> None:
        """
        @param method: what the log calls it; empty if it is only asked whether a key is known.
        @param asked: what is answered then.
        """
        assert self._login is not None
        self._isBusy = True
        self._checking = checking = self._login(credentials)
        checking.addCallbacks(
            self._good, self._bad, callbackArgs=(user, asked), errbackArgs=(user, method, asked)
        )
        checking.addErrback(lambda failure: self.log.failure("a login could not be answered", failure))

    def _good(self, login: Login, user: bytes, asked: bytes) -> None:
        self._checking = None
        self._isBusy = False
        if self._isOver:
            return
        if asked:
            # Whatever a portal says to that, nobody is in who has not signed.
            self._wouldDo(asked)
        else:
            self._succeed(user, login)

    def _wouldDo(self, asked: bytes) -> None:
        self.transport.sendPacket(AUTH_PK_OK, asked)
        self._next()

    def _bad(self, failure: Failure, user: bytes, method: str, asked: bytes) -> None:
        self._checking = None
        if self._isOver:
            return
        from twisted.conch.error import ValidPublicKey

        if asked and failure.check(ValidPublicKey):
            self._isBusy = False
            self._wouldDo(asked)
            return
        why = ""
        if failure.check(Refused):
            why = str(failure.value)
        elif failure.check(LoginFailed):
            why = failure.getErrorMessage()
        else:
            self.log.failure("a login cannot be checked", failure)
        if method == "password":
            self._delayed = self._clock.callLater(DELAY, self._late, user, method, why)
        elif method:
            self._late(user, method, why)
        else:
            if why:
                self.log.info(
                    "{peer}: {user} is not let in: {why}",
                    peer=str(self._peer),
                    user=repr(words(user)),
                    why=why,
                )
            self._isBusy = False
            self._refuse()
            self._next()

    def _late(self, user: bytes, method: str, why: str) -> None:
        self._isBusy = False
        self._wrong(user, method, why or "nobody has it")
        self._next()

    def _wrong(self, user: bytes, method: str, why: str) -> None:
        self.wrong += 1
        self.log.info(
            "{peer}: {user} is not let in by a {method}: {why}",
            peer=str(self._peer),
            user=repr(words(user)),
            method=method,
            why=why,
        )
        if self.wrong >= TRIES:
            self._leave(_NO_MORE, "too many tries")
        else:
            self._refuse()

    def _refuse(self) -> None:
        self.transport.sendPacket(AUTH_FAILURE, string(_METHODS) + b"\0")

    def _succeed(self, user: bytes, login: Login | None) -> None:
        self._isOver = True
        self.transport.sendPacket(AUTH_SUCCESS, b"")
        self._done(words(user), login)

    def _leave(self, code: int, why: str) -> None:
        self._isOver = True
        self._requests.clear()
        self.transport.sendDisconnect(code, why.encode()[:100])
