# -*- test-case-name: ugate.test.test_sshclientauth -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who we are, as the client of an SSH connection (RFC 4252, and RFC 4256 as far as a password goes).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.protocols.sshpackets import (
    AUTH_BANNER,
    AUTH_FAILURE,
    AUTH_PK_OK,
    AUTH_REQUEST,
    AUTH_SUCCESS,
    U32,
    Reader,
    string,
    words,
)

_SERVICE: Final = b"ssh-connection"
_ASKS: Final = b"keyboard-interactive"
_INFO_REQUEST: Final = AUTH_PK_OK
_INFO_RESPONSE: Final = 61
_BANNERS: Final = 10
"""Banners that are listened to."""

_ROUNDS: Final = 4
"""Times that a server may ask, also for nothing."""


@dataclass(frozen=True, slots=True)
class Signer:
    """
    A key that may let us in.

    @since: ugate NEXT
    """

    name: str
    """What refusals call it."""

    algorithm: bytes
    """How it signs; that of a certificate says so."""

    blob: bytes
    """The public key or the certificate, as SSH sends it."""

    sign: Callable[[bytes], Any] = field(repr=False)
    """Gives the signature of something, as SSH sends it, or a Deferred of that."""


class ClientAuth:
    """
    Logs in: by keys, then by a password, or as nobody if there is neither.

    @ivar transport: what is below, as for L{ugate.protocols.sshlink.SSHLink}.
    @since: ugate NEXT
    """

    log = Logger()
    name = b"ssh-userauth"
    transport: Any = None

    def __init__(
        self,
        user: str,
        signers: Iterable[Signer],
        password: bytes | None,
        done: Callable[[Refused | None], object],
    ) -> None:
        """
        @param user: who we want to be.
        @param signers: the keys, best first.
        @param password: used when no key is good; L{None} for none.
        @param done: called without a refusal when we are in.
        """
        self._user = user.encode()
        self._signers = deque(signers)
        self._password = password
        self._done = done
        self._tried: list[str] = []
        self._signer: Signer | None = None
        self._signing: Deferred[Any] | None = None
        self._answers: list[bytes] | None = None
        self._rounds = 0
        self._isOver = False
        self._banners = 0
        self._isNobody = not (self._signers or password is not None)

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "login"

    def serviceStarted(self) -> None:
        """
        Begin.
        """
        self._next((b"publickey", b"password"))

    def serviceStopped(self) -> None:
        """
        We are in, or it is gone.
        """
        self._isOver = True
        signing, self._signing = self._signing, None
        if signing is not None:
            signing.cancel()

    def packetReceived(self, number: int, packet: bytes) -> None:
        """
        A message came.
        """
        if self._isOver:
            return
        try:
            if number == AUTH_SUCCESS:
                self._isOver = True
                self._done(None)
            elif number == AUTH_FAILURE:
                self._signer = self._answers = None
                self._next(Reader(packet).string().split(b","))
            elif number == _INFO_REQUEST and self._answers is not None:
                self._asked(Reader(packet), self._answers)
            elif number == AUTH_PK_OK:
                self._wanted(Reader(packet))
            elif number == AUTH_BANNER:
                self._said(words(Reader(packet).string()))
            else:
                self.transport.sendUnimplemented()
        except ProtocolError as fault:
            self._fail(Cause.PEER_MISBEHAVED, str(fault))

    def _said(self, text: str) -> None:
        self._banners += 1
        if self._banners <= _BANNERS:
            self.log.info("the server says: {text}", text=text)

    def _next(self, methods: Iterable[bytes]) -> None:
        """
        Try the next thing that the server may take.
        """
        if self._signers and b"publickey" in methods:
            signer = self._signers.popleft()
            self._tried.append(signer.name)
            if self._signers:
                # It costs the server less to say no than us to sign.
                self._signer = signer
                self._send(b"publickey", b"\0" + string(signer.algorithm) + string(signer.blob))
            else:
                self._sign(signer)
        elif self._password is not None and b"password" in methods:
            password, self._password = self._password, None
            self._tried.append("a password")
            self._send(b"password", b"\0" + string(password))
        elif self._password is not None and _ASKS in methods:
            self._answers, self._password = [self._password], None
            self._tried.append("a password")
            self._send(_ASKS, string(b"") + string(b""))
        elif self._isNobody and not self._tried:
            self._tried.append("nothing")
            self._send(b"none", b"")
        else:
            takes = words(b",".join(methods)) or "nothing"
            tried = ", ".join(self._tried) or "nothing"
            self._fail(Cause.AUTHENTICATION, f"it does not take {tried}; it takes {takes}")

    def _send(self, method: bytes, more: bytes) -> None:
        head = string(self._user) + string(_SERVICE) + string(method)
        self.transport.sendPacket(AUTH_REQUEST, head + more)

    def _asked(self, reader: Reader, answers: list[bytes]) -> None:
        """
        The server asks: for a password, if that is all.
        """
        for _ in range(3):
            reader.string()
        count = reader.number()
        self._rounds += 1
        if count > len(answers) or self._rounds > _ROUNDS:
            said = words(reader.string()) if count else "nothing"
            self._fail(
                Cause.AUTHENTICATION, f"it asks for {count} things, and there is no more to say: {said}"
            )
            return
        if count:
            prompt, isShown = words(reader.string()), reader.truth()
            if isShown:
                self._fail(Cause.AUTHENTICATION, f"it would show the answer to {prompt!r}")
                return
        given = b"".join(string(answers.pop()) for _ in range(count))
        self.transport.sendPacket(_INFO_RESPONSE, U32.pack(count) + given)

    def _wanted(self, reader: Reader) -> None:
        signer, self._signer = self._signer, None
        if signer is None or (reader.string(), reader.string()) != (signer.algorithm, signer.blob):
            raise ProtocolError("it wants a signature of a key that was not offered")
        self._sign(signer)

    def _sign(self, signer: Signer) -> None:
        names = string(self._user) + string(_SERVICE) + string(b"publickey")
        head = b"\1" + string(signer.algorithm) + string(signer.blob)
        signed = string(self.transport.sessionID) + bytes([AUTH_REQUEST]) + names + head
        signing = self._signing = maybeDeferred(signer.sign, signed)
        signing.addCallbacks(self._signed, self._unsigned, callbackArgs=(head,), errbackArgs=(signer,))

    def _signed(self, signature: bytes, head: bytes) -> None:
        self._signing = None
        if not self._isOver:
            self._send(b"publickey", head + string(signature))

    def _unsigned(self, failure: Failure, signer: Signer) -> None:
        self._signing = None
        if not self._isOver:
            self.log.info("{key} does not sign: {error}", key=signer.name, error=failure.getErrorMessage())
            self._next((b"publickey", b"password"))

    def _fail(self, cause: Cause, detail: str) -> None:
        self._isOver = True
        self._done(Refused(cause, Phase.AUTH, "peer", detail, "see whom it lets in, and by which keys"))
