# -*- test-case-name: ugate.test.test_registry -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who has dialed in and can be reached over its own link.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from zope.interface import implementer

from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger

from ugate.endpoints.dialers import Way
from ugate.endpoints.refusals import noTarget
from ugate.endpoints.session import Session
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer, INodes, MeshAddress, MeshNode
from ugate.stream import StreamInfo

MAX_KEYS: Final = 10_000
"""How many peers may be there at once."""

MAX_LINKS: Final = 16
"""Links of one peer; when one more comes, the oldest is closed."""

MAX_NAMES: Final = 64
"""Names of one peer."""

SOURCE: Final = "reverse"
"""What the nodes are told that says so, and the transport by which they are reached."""

_PORT: Final = 1
"""The address of who has none has a port that nobody uses."""


class _Peer:
    """
    One that is there.
    """

    __slots__ = ("keyid", "names", "sessions")

    def __init__(self, keyid: str) -> None:
        self.keyid = keyid
        self.names: frozenset[str] = frozenset()
        self.sessions: list[Session] = []

    def best(self) -> Session | None:
        """
        The one with the fewest streams; of several, the newest.
        """
        usable = [session for session in reversed(self.sessions) if session.room > 0]
        return min(usable, key=lambda session: session.streams, default=None)


@implementer(IDialer)
class Registry:
    """
    The sessions of those who dialed in, by the hashes of their keys and the names that they were
    granted.  It forgets a peer with its last link.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, nodes: INodes | None = None, *, keys: int = MAX_KEYS) -> None:
        """
        @param nodes: is told of each peer, if there is one.
        @param keys: how many peers may be there at once.
        """
        self._nodes = nodes
        self._keys = keys
        self._peers: dict[str, _Peer] = {}
        self._names: dict[str, _Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def join(self, session: Session, keyid: str, names: Collection[str] = ()) -> None:
        """
        A peer is there.  Its names replace those that the same key had before.

        @param session: its link; when it is gone, so is the peer, if it has no other one.
        @param keyid: the hash of the key that it has proven to have.
        @param names: other names that it may have: whoever calls has seen to that.
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
                MeshNode(keyid, (MeshAddress(SOURCE, keyid, _PORT),), tuple(sorted(wanted)), SOURCE)
            )
        if peer is None:
            peer = self._peers[key] = _Peer(keyid)
        self._rename(peer, wanted)
        peer.sessions.append(session)
        session.whenClosed().addCallback(lambda _: self._leave(peer, session))
        if len(peer.sessions) > MAX_LINKS:
            oldest = peer.sessions.pop(0)
            self._log.info("{peer} has over {most} links: the oldest is closed", peer=keyid, most=MAX_LINKS)
            oldest.close()

    def _full(self, session: Session, detail: str) -> Refused:
        return Refused(Cause.OVERLOADED, Phase.REMOTE, session.hop, detail)

    def _rename(self, peer: _Peer, names: frozenset[str]) -> None:
        for name in peer.names - names:
            del self._names[name]
        peer.names = names
        self._names.update(dict.fromkeys(names, peer))

    def _leave(self, peer: _Peer, session: Session) -> None:
        if session not in peer.sessions:
            return
        peer.sessions.remove(session)
        if not peer.sessions:
            self._rename(peer, frozenset())
            del self._peers[peer.keyid.lower()]
            if self._nodes is not None:
                self._nodes.forget(peer.keyid, SOURCE)

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

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer.endpointFor}: by the target's host.
        """
        target = info.target
        if target is None:
            raise noTarget(info)
        self._sessionFor(target.host)
        return Way(lambda factory: self._connect(target.host, info, factory))

    async def _connect(self, host: str, info: StreamInfo, factory: IProtocolFactory) -> IProtocol:
        return await self._sessionFor(host).endpointFor(info).connect(factory)

    def _sessionFor(self, host: str) -> Session:
        peer = self._find(host)
        if peer is None:
            step = "see whether it is running, and reaches this gateway"
            raise Refused(Cause.HOST_UNREACHABLE, Phase.CONNECT, host, "it has no link to us", step)
        session = peer.best()
        if session is None:
            raise Refused(Cause.OVERLOADED, Phase.CONNECT, host, "all its links are full or going away")
        return session

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer.explain}.
        """
        host = "" if info.target is None else info.target.host
        many = len(self.sessionsOf(host))
        if not many:
            return [f"refuse: {host} has no link to us"]
        return [f"open a stream on one of the {many} links that {host} has to us"]
