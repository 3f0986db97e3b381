# -*- test-case-name: ugate.test.test_reverselistener,ugate.test.test_linked -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where nodes without an address come to, to be reached on the links that they have made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.clients import OURSELVES
from ugate.endpoints.meshtransports import registryOf
from ugate.endpoints.muxed import MuxedServerEndpoint
from ugate.endpoints.published import Published, isGiven
from ugate.endpoints.reach import certifies
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits
from ugate.errors import Cause, Denied, ListenRefused, Phase, ProtocolError, Refused
from ugate.interfaces import ITenant, MeshNode
from ugate.protocols.h2link import linkMaker
from ugate.protocols.reversewire import PLACE, Answer, OneLine, Wish, answerLine, wishFrom
from ugate.stream import StreamInfo

ALPN: Final = (b"h2r",)
"""What is spoken inside of TLS: HTTP/2 whose client is who was connected to."""

ANSWER: Final = 10.0
"""Seconds that a node has to say what it wants."""

LIMITS: Final = SessionLimits(idle=None)
"""Links that are kept, whether they have streams or not."""


class ReverseListener(MuxedServerEndpoint):
    """
    Listens by another endpoint for nodes that dial in: by their names, streams go to them on these links.
    For the factory are only the streams that come by the ports which nodes have here.

    @since: ugate NEXT
    """

    kind = "reverse"

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamServerEndpoint,
        *,
        keys: frozenset[str] | None = None,
        deadline: float = 10.0,
    ) -> None:
        """
        @param reactor: that of a tenant.
        @param inner: how to listen, with certificates of clients.
        @param keys: the KEYIDs that may; L{None} for all that the tenant believes.
        @param deadline: seconds for the handshake of a link.
        """
        self._published = Published(reactor, inner)
        self._served: Any = None
        mutual: Any = inner
        if getattr(inner, "alpn", None) == ():
            mutual.alpn = ALPN
        super().__init__(
            reactor,
            inner,
            linkMaker(reactor, True),
            deadline=deadline,
            limits=LIMITS,
            joined=Arrivals(reactor, keys, self._published, lambda: self._served).arrived,
            stopped=self._published.stop,
        )

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: a Deferred that fails with L{ListenRefused} if nothing says who a client is.
        """
        if not certifies(self.inner):
            step = "write reverse:mtls:tcp:PORT"
            return fail(ListenRefused(f"reverse: cannot know which node it is that dials in: {step}"))
        self._served = factory
        return super().listen(factory)


class Arrivals:
    """
    Nodes that come, each with a link.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        keys: frozenset[str] | None,
        published: Published,
        factory: Callable[[], IProtocolFactory],
    ) -> None:
        """
        @param reactor: that of a tenant.
        @param keys: the KEYIDs that may; L{None} for all that are believed.
        @param published: the ports that nodes have here.
        @param factory: gives what the streams that come by these are for.
        """
        self._reactor = reactor
        self._keys = keys
        self.published = published
        self._factory = factory

    def arrived(self, session: Session) -> None:
        """
        A link is up: find out what its node wants.
        """

        def failed(failure: Failure) -> None:
            self.log.failure("{session} could not be registered", failure, session=session)
            session.link.abort("it could not be registered")

        Deferred.fromCoroutine(self._register(session)).addErrback(failed)

    async def _register(self, session: Session) -> None:
        conversation: OneLine | None = None
        try:
            conversation, line = await self._ask(session)
            owner, keyid = self._whose(session)
            wish = _wishIn(line, session)
            names, more = _granted(owner, keyid, wish)
            await self._publish(owner, keyid, wish.ports)
            self._join(owner, session, keyid, more)
        except Refused as refused:
            answer = Answer(refused=str(refused))
            self.log.warn("node {hop}: {refused}", hop=session.hop, refused=str(refused))
        else:
            answer = Answer((*names, *more), wish.ports)
            self.log.info("node {keyid} has dialed in", keyid=keyid)
        if conversation is not None:
            conversation.say(answerLine(answer))
            conversation.end()
            if answer.refused:
                session.close()
        elif answer.refused:
            session.link.abort(answer.refused)

    async def _publish(self, owner: Any, keyid: str, ports: tuple[int, ...]) -> None:
        """
        Let ports lead to a node.

        @raise Refused: they cannot.
        """
        if ports and owner is not ITenant(self._reactor):
            step = f"let it dial in at a listener of the tenant {owner.name}"
            raise Denied(f"node {keyid}", "ports are for nodes of the tenant whose listener it is", step)
        await self.published.take(keyid, ports, self._factory())

    def _join(self, owner: Any, session: Session, keyid: str, names: tuple[str, ...]) -> None:
        registry = registryOf(owner)
        try:
            registry.join(session, keyid, names, gone=self.published.leave)
        except Refused:
            if not registry.sessionsOf(keyid):
                self.published.leave(keyid)
            raise

    def _whose(self, session: Session) -> tuple[Any, str]:
        """
        Whose node it is, and its KEYID.
        """
        info: StreamInfo = session.link.info
        owner = ITenant(self._reactor).tenantFor(info)
        keyid = "" if info.principal is None else info.principal.keyid
        if not keyid:
            detail = "it is not known by its key"
            raise Refused(Cause.AUTHENTICATION, Phase.AUTH, session.hop, detail, "let trust believe it")
        if self._keys is not None and keyid not in self._keys:
            step = "add it to keys= of reverse:"
            raise Refused(
                Cause.DENIED, Phase.NEGOTIATE, f"node {keyid}", "its key may not dial in here", step
            )
        return owner, keyid

    async def _ask(self, session: Session) -> tuple[OneLine | None, bytes]:
        """
        What it wants; who does not know this question wants nothing in particular.
        """
        heard: Deferred[tuple[OneLine, bytes]] = Deferred()

        def lost() -> None:
            if not heard.called:
                heard.errback(_silent(session))

        asking = Factory.forProtocol(
            lambda: OneLine(
                lambda conversation, line: heard.callback((conversation, line)),
                lost=lost,
            )
        )
        asking.noisy = False
        try:
            await session.endpointFor(StreamInfo(OURSELVES, OURSELVES, PLACE)).connect(asking)
        except Refused as refused:
            if refused.phase is Phase.REMOTE and not session.isClosing:
                return None, b"{}"
            raise

        def late(result: Any, seconds: float) -> Any:
            return Failure(_silent(session)) if isinstance(result, Failure) else result

        return await heard.addTimeout(ANSWER, self._reactor, late)


def _wishIn(line: bytes, session: Session) -> Wish:
    try:
        return wishFrom(line)
    except ProtocolError as error:
        raise Refused(Cause.PEER_MISBEHAVED, Phase.NEGOTIATE, session.hop, str(error)) from error


def _silent(session: Session) -> Refused:
    step = "see its log: linked: says what it wants"
    return Refused(Cause.TIMED_OUT, Phase.NEGOTIATE, session.hop, "it did not say what it wants", step)


def _granted(owner: Any, keyid: str, wish: Wish) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    The names that a node has here: those that the config gives to its key, and of those that it lets that
    have, the ones that it asks for.

    @raise Denied: it asks for another one, or for a port that is not given to it.
    """
    given = owner.nodes.given(keyid) or MeshNode(keyid, ())
    wrong = [f"port {port}" for port in wish.ports if port not in given.ports]
    more = tuple(name.lower() for name in wish.names if name.lower() not in given.names)
    wrong += [f"the name {name}" for name in more if not isGiven(given, name)]
    if wrong:
        detail = f"{' and '.join(wrong)} is not given to its key"
        raise Denied(f"node {keyid}", detail, "see the section nodes of the gate")
    return given.names, more
