# -*- test-case-name: ugate.test.test_registry,ugate.test.test_registry_back -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who has dialed in and can be reached over its own link.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.dialers import Way
from ugate.endpoints.nodetable import Table
from ugate.endpoints.refusals import noTarget
from ugate.endpoints.session import Session
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer, MeshAddress, MeshNode
from ugate.stream import TCP, UDP, StreamInfo

MAX_KEYS: Final = 10_000
"""How many peers may be there at once."""

MAX_LINKS: Final = 16
"""Links of one peer; when one more comes, the oldest is closed."""

MAX_NAMES: Final = 64
"""Names of one peer."""

MAX_WAITING: Final = 256
"""Streams to one peer that may wait for it to come back."""

GRACE: Final = 10.0
"""Seconds for which a peer is there still whose last link goes away in good order: another is on its way."""

PATIENCE: Final = 5.0
"""Seconds that a stream waits for that."""

QUIET: Final = 15.0
"""Seconds without a sign of a peer after which its link is asked before it is used."""

SOURCE: Final = "reverse"
"""What the nodes are told that says so, and the transport by which they are reached."""

_AGAIN: Final = (Cause.PEER_CLOSED, Cause.TIMED_OUT)
"""How a stream fails whose link goes away."""

_ATTEMPTS: Final = 3
"""Links that a stream tries, if they go away before it is answered."""


class _Peer:
    """
    One that is there.
    """

    __slots__ = ("gone", "keyid", "names", "sessions", "waiters")

    def __init__(self, keyid: str) -> None:
        self.keyid = keyid
        self.names: frozenset[str] = frozenset()
        self.sessions: list[Session] = []
        self.waiters: list[Deferred[Session]] = []
        self.gone: set[Callable[[str], object]] = set()

    def best(self, now: float) -> Session | None:
        """
        Of those that were heard of lately, the one with the fewest streams; of several, the newest.
        """
        usable = [session for session in reversed(self.sessions) if session.room > 0]
        return min(usable, key=lambda session: (now - session.last >= QUIET, session.streams), default=None)


@implementer(IDialer)
class Registry:
    """
    The sessions of those who dialed in, by the hashes of their keys and the names that they were
    granted.  It forgets a peer with its last link; a little after that began to go away, if it did.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, nodes: Table | None = None, *, keys: int = MAX_KEYS) -> None:
        """
        @param clock: what tells the time.
        @param nodes: is told of each peer, if there is one.
        @param keys: how many peers may be there at once.
        """
        self._nodes = nodes
        self._keys = keys
        self._peers: dict[str, _Peer] = {}
        self._names: dict[str, _Peer] = {}
        self._clock = clock
        self._leaving: Deadlines[_Peer] = Deadlines(clock, GRACE, self._forget)

    def __len__(self) -> int:
        return len(self._peers)

    def join(
        self,
        session: Session,
        keyid: str,
        names: Collection[str] = (),
        gone: Callable[[str], object] | None = None,
    ) -> None:
        """
        A peer is there.  Its names replace those that the same key had before.

        @param session: its link; when it is gone, so is the peer, if it has no other one.
        @param keyid: the hash of the key that it has proven to have.
        @param names: other names that it may have: whoever calls has seen to that.
        @param gone: called with its KEYID when the peer is forgotten.
        @raise Refused: there are too many, or a name is that of another key; then nothing is changed.
        """
        key = keyid.lower()
        wanted = frozenset(name.lower() for name in names)
        peer = self._peers.get(key)
        if peer is None and len(self._peers) >= self._keys:
            raise self._full(session, f"{self._keys} peers are there")
        if len(wanted) > MAX_NAMES:
            raise self._full(session, f"{len(wanted)} names, {MAX_NAMES} at most")
        for name in sorted(wanted):
            other = self._names.get(name)
            if (other is not None and other is not peer) or (name in self._peers and name != key):
                step = "give one of them another name"
                raise Denied(session.hop, f"the name {name} is that of another peer that is there", step)
        if self._nodes is not None:
            self._nodes.learn(
                MeshNode(keyid, (addressOf(session.link.info.peer, SOURCE),), tuple(sorted(wanted)), SOURCE)
            )
        if peer is None:
            peer = self._peers[key] = _Peer(keyid)
        self._rename(peer, wanted)
        if gone is not None:
            peer.gone.add(gone)
        peer.sessions.append(session)
        session.onClosing = lambda: self._isThere(peer)
        self._isThere(peer)
        session.whenClosed().addCallback(lambda _: self._leave(peer, session))
        if len(peer.sessions) > MAX_LINKS:
            oldest = peer.sessions.pop(0)
            self._log.info("{peer} has over {most} links: the oldest is closed", peer=keyid, most=MAX_LINKS)
            oldest.close()
        waiters, peer.waiters = peer.waiters, []
        for waiter in waiters:
            waiter.callback(session)

    def _full(self, session: Session, detail: str) -> Refused:
        return Refused(Cause.OVERLOADED, Phase.REMOTE, session.hop, detail)

    def _rename(self, peer: _Peer, names: frozenset[str]) -> None:
        for name in peer.names - names:
            del self._names[name]
        peer.names = names
        self._names.update(dict.fromkeys(names, peer))

    def _isThere(self, peer: _Peer) -> None:
        """
        See whether a peer takes streams.  For those that it has it keeps no names, however long they are.
        """
        if all(each.isClosing for each in peer.sessions):
            self._leaving.start(peer)
        else:
            self._leaving.stop(peer)

    def _leave(self, peer: _Peer, session: Session) -> None:
        if session not in peer.sessions:
            return
        peer.sessions.remove(session)
        if not (peer.sessions or session.link.isDraining):
            self._forget(peer)

    def _forget(self, peer: _Peer) -> None:
        self._leaving.stop(peer)
        peer.sessions.clear()
        self._rename(peer, frozenset())
        del self._peers[peer.keyid.lower()]
        if self._nodes is not None:
            self._nodes.forget(peer.keyid, SOURCE)
        for gone in peer.gone:
            gone(peer.keyid)
        waiters, peer.waiters = peer.waiters, []
        for waiter in waiters:
            waiter.errback(_notThere(peer.keyid))

    def retire(self) -> None:
        """
        Let all links be made anew: who is at the other end has to prove that again.
        """
        for peer in tuple(self._peers.values()):
            for session in tuple(peer.sessions):
                session.close()

    def drain(self) -> Deferred[Any]:
        """
        Open no more streams.

        @return: fires when the last has ended.
        """
        self._leaving.close()
        return gatherResults([each.close() for peer in self._peers.values() for each in peer.sessions])

    def stop(self) -> None:
        """
        Cut the links that are left.
        """
        self._leaving.close()
        for peer in tuple(self._peers.values()):
            for session in tuple(peer.sessions):
                session.link.abort("this gateway is being stopped")
        self._leaving.close()

    def sessionsOf(self, host: str) -> Sequence[Session]:
        """
        The links of a peer, the newest first.

        @param host: its KEYID, a host that begins with one, or another name of it.
        """
        peer = self._find(host)
        return () if peer is None else tuple(reversed(peer.sessions))

    def _find(self, host: str) -> _Peer | None:
        name = host.lower().rstrip(".")
        return self._peers.get(name) or self._names.get(name) or self._peers.get(name.partition(".")[0])

    networks = TCP, UDP

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer.endpointFor}: by the target's host.
        """
        target = info.target
        if target is None:
            raise noTarget(info)
        self._best(self._peerOf(target.host), target.host)
        return Way(lambda factory: self._connect(target.host, info, factory))

    async def _connect(self, host: str, info: StreamInfo, factory: IProtocolFactory) -> IProtocol:
        for _ in range(_ATTEMPTS - 1):
            session = await self._sessionFor(host)
            try:
                if self._clock.seconds() - session.last >= QUIET:
                    await session.check()
                return await session.endpointFor(info).connect(factory)
            except Refused as refused:
                # It was not answered, and so has sent nothing.
                if refused.cause not in _AGAIN or not session.isClosing:
                    raise
        return await (await self._sessionFor(host)).endpointFor(info).connect(factory)

    def _peerOf(self, host: str) -> _Peer:
        peer = self._find(host)
        if peer is None:
            raise _notThere(host)
        return peer

    def _best(self, peer: _Peer, host: str) -> Session | None:
        """
        A link with room; L{None} if all are going away.
        """
        session = peer.best(self._clock.seconds())
        isFull = any(not each.isClosing for each in peer.sessions) or len(peer.waiters) >= MAX_WAITING
        if session is None and isFull:
            raise Refused(Cause.OVERLOADED, Phase.CONNECT, host, "all its links are full or going away")
        return session

    def _sessionFor(self, host: str) -> Deferred[Session]:
        """
        A link with room; if all are going away, the next one that comes.
        """
        peer = self._peerOf(host)
        session = self._best(peer, host)
        if session is not None:
            return succeed(session)
        waiter: Deferred[Session] = Deferred(lambda _: peer.waiters.remove(waiter))
        peer.waiters.append(waiter)

        def late(result: Any, seconds: float) -> Failure:
            return Failure(_notThere(host, f"its links have gone away, and none came in {seconds:g} s"))

        return waiter.addTimeout(PATIENCE, self._clock, late)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer.explain}.
        """
        host = "" if info.target is None else info.target.host
        many = len(self.sessionsOf(host))
        if not many:
            return [f"refuse: {host} has no link to us"]
        return [f"open a stream on one of the {many} links that {host} has to us"]


def _notThere(host: str, detail: str = "it has no link to us") -> Refused:
    step = "see whether it is running, and reaches this gateway: linked: keeps links here"
    return Refused(Cause.HOST_UNREACHABLE, Phase.CONNECT, host, detail, step)


def addressOf(peer: Any, source: str) -> MeshAddress:
    """
    Where a peer came from, for people.
    """
    isAddress = isinstance(peer, (IPv4Address, IPv6Address))
    return MeshAddress(source, peer.host, peer.port) if isAddress else MeshAddress(source, "localhost", 1)
