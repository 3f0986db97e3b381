# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A small protocol of lines to negotiate by, and what stands around it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.cred.credentials import ICredentials, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.deadlines import Deadlines
from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import (
    Detached,
    IDetachable,
    IHalfCloseableTransport,
    IPending,
    ISilence,
    Step,
)
from ugate.protocols.negotiate import LINGER, Negotiating
from ugate.protocols.owner import Owner
from ugate.stream import Principal, StreamInfo, Target
from ugate.test.dialfakes import CLIENT, LISTENER

ALICE = Principal("alice", "password")
WANTED = StreamInfo(CLIENT, LISTENER, Target("db.example", 5432), ALICE, "lines")
DEADLINE = 10.0


@implementer(ISilence)
class Lines:
    """
    Lines C{hello}, C{login NAME}, C{open}, C{bad}, C{rude} and C{no}.

    @ivar hello: what it says first.
    @ivar keeps: whether it keeps what comes after a login itself.
    @ivar spares: whether a bad login may be tried again.
    """

    def __init__(self) -> None:
        self.hello = b""
        self.keeps = False
        self.spares = False
        self.fed: list[bytes] = []
        self.answers: list[str] = []
        self._buffer = b""

    def start(self) -> bytes:
        """
        Say hello.
        """
        return self.hello

    def receive(self, data: bytes) -> Step:
        """
        Take the first line, and tell how it is.
        """
        self.fed.append(data)
        self._buffer += data
        return self._next(b"")

    def _next(self, send: bytes) -> Step:
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            word, _, name = line.partition(b" ")
            if word == b"hello":
                send += b"hi\n"
            elif word == b"login":
                kept = b""
                if not self.keeps:
                    kept, self._buffer = self._buffer, b""
                return Step(send, rest=kept, credentials=UsernamePassword(name, b"secret"))
            elif word == b"open":
                return Step(send, done=True, rest=self._buffer, info=WANTED)
            elif word == b"bad":
                raise ProtocolError("a bad line", b"bad\n")
            elif word == b"no":
                raise Refused(Cause.DENIED, Phase.REMOTE, "lines", "it said no")
            elif word == b"mistake":
                raise ZeroDivisionError("a mistake")
            else:
                raise ProtocolError("a rude line")
        return Step(send)

    def login(self, principal: Principal | None) -> Step:
        """
        Welcome, or not.
        """
        if principal is None:
            if self.spares:
                return Step(b"again\n")
            raise ProtocolError("a bad login", b"denied\n")
        return self._next(b"welcome %s\n" % principal.name.encode())

    def silent(self) -> Step:
        """
        A client that waits for its server.
        """
        return Step(done=True, info=WANTED.but(protocol="silent"))

    def accept(self) -> bytes:
        """
        Say yes.
        """
        self.answers.append("accept")
        return b"accepted\n"

    def refuse(self, reason: Refused) -> bytes:
        """
        Say no.
        """
        self.answers.append("refuse")
        return b"refused\n"


@implementer(IHalfCloseableTransport)
class Wire(StringTransport):
    """
    A connection in memory that can be half-closed.
    """

    protocol: Any = None
    halfClosed = 0

    def loseWriteConnection(self) -> None:
        """
        Count it.
        """
        self.halfClosed += 1

    def lose(self, error: Exception) -> None:
        """
        The connection is gone.
        """
        self.protocol.connectionLost(Failure(error))


@implementer(IDetachable)
class BareWire(Wire):
    """
    A connection that can give its socket away.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.socket = socket.socket()

    def detach(self) -> Detached:
        """
        Give it, and some bytes.
        """
        return Detached(self.socket, b"unread", b"unsent", "a poll")


@implementer(IPending)
class PendingWire(Wire):
    """
    A connection that owes its peer an answer.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.answers: list[Refused | None] = []

    def accept(self) -> None:
        """
        Note it, with what had been written before.
        """
        self.answers.append(None)
        self.before = self.value()

    def refuse(self, reason: Refused) -> None:
        """
        Note it.
        """
        self.answers.append(reason)


class Stream(Protocol):
    """
    The protocol that a stream is for.

    @ivar events: what it was told, in order.
    @ivar act: called in connectionMade.
    """

    transport: Any

    def __init__(self) -> None:
        self.events: list[object] = []
        self.act: Callable[[Stream], object] = lambda stream: None

    def connectionMade(self) -> None:
        """
        Note it.
        """
        self.events.append("made")
        self.act(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Note it.
        """
        self.events.append(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        """
        Note it.
        """
        self.events.append(reason.type)


@implementer(IHalfCloseableProtocol)
class HalfStream(Stream):
    """
    The same, for one that knows of half-closed connections.
    """

    def readConnectionLost(self) -> None:
        """
        Note it.
        """
        self.events.append("eof")

    def writeConnectionLost(self) -> None:
        """
        Note it.
        """
        self.events.append("ended")


class Listener(Owner):
    """
    An owner that notes everything.

    @ivar users: how a login of each user goes.
    """

    def __init__(self, clock: Clock) -> None:
        self.deadlines = Deadlines(clock, DEADLINE, Negotiating.overdue)
        self.lingering = Deadlines(clock, LINGER, Negotiating.overdue)
        self.negotiation: Any = Lines()
        self.stream: Stream | None = HalfStream()
        self.users: dict[bytes, Principal | Deferred[Principal]] = {b"alice": ALICE}
        self.asked: list[ICredentials] = []
        self.steps: list[Step] = []
        self.opens: list[IProtocol] = []
        self.errors: list[Exception] = []

    def negotiationFor(self, host: Negotiating) -> Any:
        """
        The one there is, if there is one.
        """
        if self.negotiation is None:
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, "listener", "no negotiation")
        return self.negotiation

    def buildInner(self, host: Negotiating, step: Step) -> IProtocol | None:
        """
        The one there is.
        """
        self.steps.append(step)
        return self.stream

    def opened(self, inner: IProtocol) -> None:
        """
        Note it.
        """
        self.opens.append(inner)

    def failed(self, host: Negotiating, error: Exception) -> None:
        """
        Note it.
        """
        self.errors.append(error)

    def login(self, credentials: ICredentials) -> Principal | Deferred[Principal]:
        """
        As the test wants it.
        """
        self.asked.append(credentials)
        assert isinstance(credentials, UsernamePassword)
        name: Any = credentials.username
        if name not in self.users:
            raise UnauthorizedLogin("nobody")
        return self.users[name]


class NegotiateTestCase(SynchronousTestCase):
    """
    One connection under negotiation.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.owner = Listener(self.clock)
        self.lines: Lines = self.owner.negotiation
        self.wire = Wire()

    def begin(self) -> Negotiating:
        """
        The connection is up.
        """
        self.host = Negotiating(self.owner, CLIENT)
        self.wire.protocol = self.host
        self.host.makeConnection(self.wire)
        return self.host

    @property
    def events(self) -> list[object]:
        """
        What the inner protocol was told.
        """
        assert self.owner.stream is not None
        return self.owner.stream.events

    def said(self) -> bytes:
        """
        What was written since it was last asked.
        """
        value: bytes = self.wire.value()
        self.wire.clear()
        return value
