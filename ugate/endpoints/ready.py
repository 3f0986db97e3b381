# -*- test-case-name: ugate.test.test_ready -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that nodes without an address keep ready here, each for one stream.

One carries a single stream, and nothing of it but its own bytes: so it is joined with that of the client in
the kernel, and nothing is multiplexed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.nodetable import Learns
from ugate.errors import Cause, Phase, ProtocolError, Refused, UgateError
from ugate.interfaces import MeshAddress, MeshNode
from ugate.protocols.readywire import ASK, BEGIN, GO, MAX_SAID, THERE, frame, unframe
from ugate.protocols.sockets import writeNow
from ugate.stream import StreamInfo

SOURCE: Final = "ready"
"""What the table of nodes calls what is known by these."""

MAX_EACH: Final = 16
"""Connections that one node may keep; with one more, its oldest is closed."""

MAX_READY: Final = 1024
"""Connections that all nodes of a tenant may keep."""

MAX_WAITING: Final = 256
"""Streams of a tenant that may wait for a connection."""

PATIENCE: Final = 5.0
"""Seconds that a stream waits until a node has taken it."""

CONFIRM: Final = 2.0
"""Seconds that a node has to say that it takes a stream; then the next connection is tried."""

EVERY: Final = 15.0
"""Seconds after which a connection is asked whether its node is there; it has as many to answer."""

AGE: Final = 3600.0
"""Seconds after which a connection is closed, so that its node makes another."""

GRACE: Final = 10.0
"""Seconds for which a node is known that keeps no connection any more."""


class Waiting(Protocol):
    """
    One connection, until a stream takes it.

    @ivar keyid: whose it is.
    @ivar stillBelieved: raises L{Refused} if its node is believed no more.
    """

    _answered = True
    _seen = b""
    _going: tuple[Deferred[IProtocol], IProtocolFactory] | None = None

    def __init__(self, ready: Ready, keyid: str, stillBelieved: Callable[[], object]) -> None:
        self._ready = ready
        self.keyid = keyid
        self.stillBelieved = stillBelieved
        self.began = ready.clock.seconds()

    def connectionMade(self) -> None:
        """
        It may be used from now on.
        """
        self._ready.add(self)

    def ask(self) -> None:
        """
        See whether it is still good for something.
        """
        ready = self._ready
        try:
            self.stillBelieved()
        except UgateError as error:
            ready.log.info("node {keyid}: {error}", keyid=self.keyid, error=str(error))
            self.cut()
            return
        if not self._answered or ready.clock.seconds() - self.began >= AGE:
            self.cut()
        else:
            self._answered = False
            writeNow(self.transport, frame(ASK))
            ready.asking.start(self)

    def go(self, info: StreamInfo, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Begin a stream.

        @return: fires with its protocol when the node has taken it, and fails with L{Refused} if it does not.
        """

        def cancelled(going: Deferred[IProtocol]) -> None:
            # Nobody wants another one in its place.
            self._going = None
            self.cut()

        going: Deferred[IProtocol] = Deferred(cancelled)
        self._going = going, factory
        writeNow(self.transport, frame(GO, str(info.but(target=None)).encode()[:MAX_SAID]))
        self._ready.confirming.start(self)
        return going

    def dataReceived(self, data: bytes) -> None:
        """
        See L{IProtocol.dataReceived}.
        """
        self._seen += data
        try:
            while (found := unframe(self._seen)) is not None:
                kind, said, self._seen = found
                if kind == BEGIN and self._going is not None:
                    self._begin(*self._going)
                    return
                if kind != THERE or said:
                    raise ProtocolError("not what a node says that waits")
                self._answered = True
        except ProtocolError:
            self.cut()

    def _begin(self, going: Deferred[IProtocol], factory: IProtocolFactory) -> None:
        host: Any = self.transport
        self._ready.confirming.stop(self)
        protocol: Any = factory.buildProtocol(host.peer)
        if protocol is None:
            self.cut()
            return
        self._going = None
        # The negotiation is the transport of the stream: a socket that can be taken out.
        host.inner = protocol
        protocol.makeConnection(host)
        if self._seen:
            protocol.dataReceived(self._seen)
        going.callback(protocol)

    def overdue(self) -> None:
        """
        The node has not taken the stream in time.
        """
        self.cut()

    def cut(self) -> None:
        """
        It is of no use.
        """
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{IProtocol.connectionLost}.
        """
        self._ready.remove(self)
        if self._going is not None:
            (going, _), self._going = self._going, None
            if not going.called:
                going.errback(_notTaken(self.keyid, "its node did not take the stream"))


def _notTaken(keyid: str, detail: str) -> Refused:
    step = "see whether the node runs, and its log: behind: keeps connections here"
    return Refused(Cause.HOST_UNREACHABLE, Phase.CONNECT, f"node {keyid}", detail, step)


def _addressOf(transport: Any) -> MeshAddress:
    """
    Where a node came from, for people.
    """
    peer = transport.getPeer()
    peer = getattr(peer, "peer", peer)
    isAddress = isinstance(peer, (IPv4Address, IPv6Address))
    return MeshAddress(SOURCE, peer.host, peer.port) if isAddress else MeshAddress(SOURCE, "localhost", 1)


class Ready:
    """
    The connections that the nodes of a tenant keep ready.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, nodes: Learns) -> None:
        """
        @param nodes: the table into which those go that keep some.
        """
        self.clock = clock
        self._nodes = nodes
        # The oldest first.
        self._kept: dict[str, list[Waiting]] = {}
        self._wanted: dict[str, list[Deferred[Waiting]]] = {}
        self._known: dict[str, MeshNode] = {}
        self._streams = 0
        self._going: Deadlines[str] = Deadlines(clock, GRACE, self._isGone)
        self.asking: Deadlines[Waiting] = Deadlines(clock, EVERY, Waiting.ask)
        self.confirming: Deadlines[Waiting] = Deadlines(clock, CONFIRM, Waiting.overdue)

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def count(self, keyid: str) -> int:
        """
        How many a node keeps.
        """
        return len(self._kept.get(keyid, ()))

    def checkRoom(self, keyid: str) -> None:
        """
        Return if there may be one more.

        @raise Refused: there may not.
        """
        if len(self) >= MAX_READY and not self.count(keyid):
            detail = f"{MAX_READY} connections are kept here already"
            raise Refused(Cause.OVERLOADED, Phase.NEGOTIATE, f"node {keyid}", detail, "try again later")

    def add(self, waiting: Waiting) -> None:
        """
        There is one more; a stream that waits takes it.
        """
        keyid = waiting.keyid
        wanted = self._wanted.get(keyid)
        if wanted:
            self._know(waiting)
            # It is for that stream, and so none is kept.
            self._leaving(keyid)
            wanted.pop(0).callback(waiting)
            return
        kept = self._kept.get(keyid, [])
        # A node that was cut off comes back while its old connections still look good.
        if len(kept) >= MAX_EACH or len(self) >= MAX_READY:
            if not kept:
                # There was room when it was asked for.
                waiting.cut()
                return
            oldest = kept[0]
            self.remove(oldest)
            oldest.cut()
        # That may have taken the list away.
        self._kept.setdefault(keyid, []).append(waiting)
        self._know(waiting)
        self.asking.start(waiting)

    def _know(self, waiting: Waiting) -> None:
        keyid = waiting.keyid
        known = self._known.get(keyid)
        node = known or MeshNode(keyid, (_addressOf(waiting.transport),), (), SOURCE)
        if not self._learn(node):
            return
        self._going.stop(keyid)
        if known is None:
            self._known[keyid] = node
            self.log.info("node {keyid} keeps connections ready here", keyid=keyid)

    def _learn(self, node: MeshNode) -> bool:
        """
        Whether the table takes a node; whatever it has against it, a stream goes on.
        """
        try:
            self._nodes.learn(node)
        except Refused as refused:
            self.log.warn("{why}", why=str(refused))
        except Exception:
            self.log.failure("a node that keeps connections ready is not told of")
        else:
            return True
        return False

    def remove(self, waiting: Waiting) -> None:
        """
        That one is ready no more.
        """
        self.asking.stop(waiting)
        self.confirming.stop(waiting)
        keyid = waiting.keyid
        kept = self._kept.get(keyid, [])
        if waiting in kept:
            kept.remove(waiting)
            if not kept:
                del self._kept[keyid]
        if not kept:
            self._leaving(keyid)

    def _leaving(self, keyid: str) -> None:
        """
        A node keeps none now: if it makes none soon, it is gone.
        """
        node = self._known.get(keyid)
        if node is not None:
            self._learn(replace(node, expires=self.clock.seconds() + GRACE))
            self._going.start(keyid)

    def _isGone(self, keyid: str) -> None:
        del self._known[keyid]
        self.log.info("node {keyid} keeps no connections here any more", keyid=keyid)

    async def connect(self, keyid: str, info: StreamInfo, factory: IProtocolFactory) -> IProtocol:
        """
        Give a stream to a node.

        @raise Refused: it takes none.
        """
        if self._streams >= MAX_WAITING:
            detail = f"{MAX_WAITING} streams wait for nodes"
            raise Refused(Cause.OVERLOADED, Phase.CONNECT, f"node {keyid}", detail, "try again later")
        until = self.clock.seconds() + PATIENCE
        self._streams += 1
        try:
            while True:
                left = until - self.clock.seconds()
                waiting = await self._next(keyid, left)
                try:
                    return await waiting.go(info, factory)
                except Refused:
                    # It was dead, and nothing of the stream went there.
                    if until <= self.clock.seconds():
                        raise
        finally:
            self._streams -= 1

    def _next(self, keyid: str, seconds: float) -> Deferred[Waiting]:
        """
        A connection that nobody else has.
        """
        wanted: Deferred[Waiting] = Deferred()
        kept = self._kept.get(keyid)
        if kept:
            # The newest is the likeliest to be good.
            waiting = kept[-1]
            self.remove(waiting)
            wanted.callback(waiting)
            return wanted
        queue = self._wanted.setdefault(keyid, [])
        queue.append(wanted)

        def done(result: Any) -> Any:
            if wanted in queue:
                queue.remove(wanted)
            if not queue and self._wanted.get(keyid) is queue:
                del self._wanted[keyid]
            return result

        def late(result: Any, after: float) -> Failure:
            return Failure(_notTaken(keyid, f"it keeps no connection here, and made none in {PATIENCE:g} s"))

        wanted.addTimeout(max(seconds, 0), self.clock, late)
        return wanted.addBoth(done)
