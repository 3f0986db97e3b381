# -*- test-case-name: ugate.test.test_negotiate -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The host of every negotiation: the byte cap, the deadline, the check of
credentials and the replay of unread bytes, written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from zope.interface import implementer

from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Detached, IDetachable, IDetachableTLS, IHalfCloseableTransport, IPending, Step
from ugate.protocols.below import SocketBelow, TLSBelow
from ugate.protocols.owner import Owner
from ugate.protocols.passing import Passing
from ugate.protocols.sockets import detachable, endWriting, writeNow
from ugate.stream import Principal

LINGER: Final = 2.0
"""Seconds that a refused peer has to read why, before the connection is cut."""


# Twisted's TLS provides the last of what its transport does: so it passes on the answer to what is below it.
@implementer(
    IProtocol, IHalfCloseableProtocol, ITransport, IConsumer, IPushProducer, IHalfCloseableTransport, IPending
)
class Negotiating(Passing):
    """
    One connection under negotiation; afterwards the transport of the protocol
    that the stream is for.

    @ivar peer: what C{getPeer} answers: once done, a L{StreamInfo}.
    @since: ugate NEXT
    """

    _log = Logger()

    inner: Any = None
    negotiation: Any = None
    _closing = False
    _busy = False
    """Whether a login is being checked; what arrives waits."""
    _login: Deferred[Principal] | None = None
    _answered = False
    _received = 0
    _held = b""
    """What arrived and nobody has taken yet."""
    _eof = False

    def __init__(self, owner: Owner, peer: IAddress) -> None:
        """
        @param owner: see L{Owner}.
        @param peer: who connected, or whom we connected to.
        """
        self.owner = owner
        self.peer = peer

    # The protocol of the connection below.

    def makeConnection(self, transport: ITransport) -> None:
        """
        Begin.
        """
        self.transport = transport
        if IPending.providedBy(transport):
            transport.accept()
        owner = self.owner
        owner.deadlines.start(self)
        try:
            self.negotiation = owner.negotiationFor(self)
            hello = self.negotiation.start()
        except Refused as refused:
            self._fail(refused)
            return
        if hello:
            transport.write(hello)
        if owner.eager:
            self.begin()

    def connectionMade(self) -> None:
        """
        See L{makeConnection}.
        """

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "negotiating"

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes of the handshake, or of the stream.
        """
        if self.inner is not None:
            self.inner.dataReceived(data)
        elif not self._closing:
            self._received += len(data)
            if self._busy:
                self._held += data
            else:
                self._step(self.negotiation.receive, data)
            # What came with the last of the handshake is the stream's, and does not count.
            if self.inner is None and self._received > self.owner.cap and not self._closing:
                self._fail(ProtocolError(f"more than {self.owner.cap} bytes before the stream was asked for"))

    def silent(self) -> None:
        """
        The peer has not said a word in the time that the listener grants.
        """
        if not self._received and self.inner is None and not self._closing:
            self._unattended(self._step, self.negotiation.silent)

    def begin(self) -> None:
        """
        Let a negotiation that waits for nothing be done at once.
        """
        if not self._closing:
            self._unattended(self._step, self.negotiation.receive, b"")

    def _step(self, call: Callable[..., Step], *args: object) -> None:
        try:
            step = call(*args)
        except (ProtocolError, Refused) as error:
            self._fail(error)
            return
        if step.send:
            writeNow(self.transport, step.send)
        if step.done:
            self._open(step)
        elif step.credentials is not None:
            self._checkLogin(step)

    def _checkLogin(self, step: Step) -> None:
        self._busy = True
        self._held += step.rest
        try:
            result = self.owner.login(cast(ICredentials, step.credentials))
        except UnauthorizedLogin:
            self._loggedIn(None)
            return
        if isinstance(result, Deferred):
            self._login = result
            result.addErrback(self._notLoggedIn)
            result.addCallback(lambda principal: self._unattended(self._loggedIn, principal))
        else:
            self._loggedIn(result)

    def _notLoggedIn(self, failure: Failure) -> None:
        if failure.check(UnauthorizedLogin, UnhandledCredentials) is None and not self._closing:
            self._log.failure("a login could not be checked", failure=failure)

    def _unattended(self, call: Callable[..., object], *args: object) -> None:
        """
        Do what nobody waits for who would close the connection if it fails, as
        the reactor does.
        """
        try:
            call(*args)
        except Exception:
            self._log.failure("a negotiation failed")
            if self.transport is not None:
                self.abortConnection()

    def _loggedIn(self, principal: Principal | None) -> None:
        self._busy = False
        self._login = None
        if self._closing:
            return
        self._step(self.negotiation.login, principal)
        if self.inner is None and not self._closing and not self._busy and self._held:
            held, self._held = self._held, b""
            self._step(self.negotiation.receive, held)
        if self._eof and self.inner is None and not self._closing and not self._busy:
            # It ended while we checked, and there is more that it should have said.
            self.transport.loseConnection()

    def _open(self, step: Step) -> None:
        self.owner.deadlines.stop(self)
        self._held = step.rest + self._held
        if step.info is not None:
            self.peer = step.info
        inner = self.owner.buildInner(self, step)
        if inner is None:
            self._fail(Refused(Cause.OVERLOADED, Phase.NEGOTIATE, "listener"))
            return
        self.inner = inner
        inner.makeConnection(self)
        self.owner.opened(inner)
        if self._held and self.inner is not None:
            held, self._held = self._held, b""
            inner.dataReceived(held)
        if self._eof and self.inner is not None:
            self.readConnectionLost()

    def _fail(self, error: Exception) -> None:
        self.owner.failed(self, error)
        reply = error.reply if isinstance(error, ProtocolError) else b""
        if reply:
            self._finish(reply)
        else:
            # Nothing is left to say; to close would be to wait for the peer, which TLS does.
            self._closing = True
            self.owner.deadlines.stop(self)
            self.abortConnection()

    def _finish(self, last: bytes) -> None:
        """
        Say one last thing and let the peer read it: closing at once, with
        bytes of it unread, would reset the connection and lose our words.
        """
        self._closing = True
        self.inner = None
        self.owner.deadlines.stop(self)
        self.owner.lingering.start(self)
        self.transport.write(last)
        if self._eof:
            self.transport.loseConnection()
        else:
            endWriting(self.transport)

    def overdue(self) -> None:
        """
        The handshake, or the goodbye, has had its time.
        """
        if self._closing:
            self.abortConnection()
            return
        self._cut(Refused(Cause.TIMED_OUT, Phase.NEGOTIATE, "peer", "no end of the handshake"))

    def crowdedOut(self, reason: Refused) -> None:
        """
        Too many are in the middle of their handshakes, and this one has been for longest.
        """
        self._cut(reason)

    def _cut(self, reason: Refused) -> None:
        self.owner.deadlines.stop(self)
        self.owner.failed(self, reason)
        self._closing = True
        self.abortConnection()

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction.
        """
        self._eof = True
        if self.inner is None:
            if not self._busy or self._closing:
                self.transport.loseConnection()
            return
        if _knowsHalfClose(self.inner):
            self.inner.readConnectionLost()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Our own half-close is through.
        """
        if _knowsHalfClose(self.inner):
            self.inner.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is gone.
        """
        self._answered = True
        inner, self.inner = self.inner, None
        if inner is not None:
            inner.connectionLost(reason)
            return
        self.owner.deadlines.stop(self)
        self.owner.lingering.stop(self)
        if not self._closing:
            self._closing = True
            error = reason.value
            if not isinstance(error, Refused):
                clean = isinstance(error, ConnectionDone)
                detail = "" if clean else reason.getErrorMessage()
                error = Refused(Cause.PEER_CLOSED, Phase.NEGOTIATE, "peer", detail)
            self.owner.failed(self, error)
        if self._login is not None:
            # To check a password takes long, and others wait for that.
            self._login.cancel()

    # The transport of the inner protocol, with what it inherits.

    def accept(self) -> None:
        """
        See L{IPending.accept}.
        """
        if not self._answered:
            self._answered = True
            answer = self.negotiation.accept()
            if answer:
                writeNow(self.transport, answer)

    def refuse(self, reason: Refused) -> None:
        """
        See L{IPending.refuse}.
        """
        if not self._answered:
            self._answered = True
            self._finish(self.negotiation.refuse(reason))

    def leave(self, below: Detached) -> Detached:
        """
        The socket is gone: whoever took it takes what we hold, too.

        @param below: what the transport below us gave.
        """
        held = self._held + below.unread
        self._closing = True
        self._held = b""
        self.transport = self.inner = self.negotiation = None
        if not held:
            return below
        return Detached(below.socket, held, below.unsent, below.waiting, below.reactor)


def _knowsHalfClose(inner: object) -> bool:
    # Twisted's TLS claims to provide what its transport does, which is us, and would call us again; so its
    # class is asked.
    return IHalfCloseableProtocol.implementedBy(type(inner))


def connectionBelow(transport: Any) -> tcp.Connection | None:
    """
    The connection that a transport is, or passes everything on to, its handshake being over; not below TLS.
    """
    # TLS above a handshake claims to be one, and must not be left out.
    while isinstance(transport, Negotiating) and transport.inner is not None:
        transport = transport.transport
    return transport if isinstance(transport, tcp.Connection) and not transport.TLS else None


def _socketBelow(host: Negotiating) -> SocketBelow | None:
    # TLS above a handshake claims to be one, and must not be left out.
    if not isinstance(host, Negotiating) or host.inner is None:
        return None
    below = detachable(host.transport)
    return None if below is None else SocketBelow(host, below)


def _tlsBelow(host: Negotiating) -> TLSBelow | None:
    if not isinstance(host, Negotiating) or host.inner is None:
        return None
    below = IDetachableTLS(host.transport, None)
    return None if below is None else TLSBelow(host, below)


# Not by __conform__, which Twisted's wrappers take from the transport below them.
registerAdapter(_socketBelow, Negotiating, IDetachable)
registerAdapter(_tlsBelow, Negotiating, IDetachableTLS)
