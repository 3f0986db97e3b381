# -*- test-case-name: ugate.test.test_dnsserving -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where clients of the DNS ask: datagrams, and streams (RFC 7766).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, TypeAlias

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.python.failure import Failure

from ugate.endpoints.sources import networkOf, sourceOf
from ugate.errors import ProtocolError
from ugate.modules.dnsanswering import isQuestion
from ugate.modules.dnsplaces import Places
from ugate.protocols.dnsframes import Frames, framed
from ugate.protocols.dnswire import refusal
from ugate.stream import Target
from ugate.tenancy.egress import plain

IDLE: Final = 10.0
"""Seconds that a client has for its next question on a connection."""

MAX_CONNECTIONS: Final = 256
"""Connections to one port."""

MAX_UNANSWERED: Final = 64
"""Questions on one connection that wait for answers; after that no more are read for a while."""

MAX_WAITING: Final = 1024
"""Datagrams that wait for answers; others are dropped."""

_REFUSED: Final = 5
_RECEIVE_BUFFER: Final = 1 << 20
_LARGEST: Final = 4096
"""Bytes of a question that can be one."""

_REMEMBERED: Final = 4096

Answer: TypeAlias = Callable[[bytes, bool, "str | None"], "bytes | Deferred[bytes]"]
"""Answers a message: see L{ugate.modules.dnsanswering.Answering.answer}."""


class Clients:
    """
    Who may ask.

    @since: ugate NEXT
    """

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        """
        @param networks: who may, beside this machine.
        """
        self._networks = networks
        self._known: dict[str, tuple[bool, str | None]] = {}

    def mayAsk(self, host: str) -> bool:
        """
        Whether a client may.

        @param host: its address.
        """
        return self.of(host)[0]

    def of(self, host: str) -> tuple[bool, str | None]:
        """
        Whether a client may, and whom its questions are counted to: see L{ugate.endpoints.sources.sourceOf}.
        """
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[host] = self._may(host), networkOf(host)
        return known

    def _may(self, host: str) -> bool:
        try:
            address = plain(ip_address(host.partition("%")[0]))
        except ValueError:
            # By a UNIX socket.
            return True
        return address.is_loopback or any(
            address.version == each.version and address in each for each in self._networks
        )


class Datagrams(DatagramProtocol):
    """
    Questions in datagrams.

    @since: ugate NEXT
    """

    noisy = False

    def __init__(self, answer: Answer, clients: Clients) -> None:
        self._answer = answer
        self._clients = clients
        self._places = Places()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Somebody asks.
        """
        mayAsk, source = self._clients.of(addr[0])
        if not mayAsk:
            if isQuestion(datagram):
                self._send(refusal(datagram, _REFUSED), addr)
            return
        if not self._places.has(source, MAX_WAITING):
            # They ask again.
            return
        answer = self._answer(datagram, False, source)
        if isinstance(answer, bytes):
            self._send(answer, addr)
            return
        self._places.take(source, MAX_WAITING)
        answer.addCallback(self._answered, addr, source)

    def _answered(self, answer: bytes, addr: Any, source: str | None) -> None:
        self._places.give(source)
        self._send(answer, addr)

    def _send(self, answer: bytes, addr: Any) -> None:
        transport: Any = self.transport
        if answer and transport is not None:
            try:
                transport.write(answer, addr)
            except OSError:
                # It is too large for the way there, or the client is gone.
                pass


@implementer(IPushProducer)
class Stream(Protocol):
    """
    Questions on a connection; their answers go back in the order in which they are known.

    @since: ugate NEXT
    """

    def __init__(self, streams: Streams, isKnown: bool, source: str | None) -> None:
        """
        @param source: whom its questions are counted to.
        """
        self._streams = streams
        self.source = source
        self._isKnown = isKnown
        self._frames = Frames()
        self._waiting = 0
        self._isFull = False
        self._isPaused = False
        self._isOver = False
        self._idle: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        Somebody is there.
        """
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._idle = self._streams.clock.callLater(IDLE, self.abort)

    def dataReceived(self, data: bytes) -> None:
        """
        Somebody asks.
        """
        try:
            for message in self._frames.receive(data):
                self._asked(message)
        except ProtocolError:
            self.abort()
            return
        self._steer()

    def _asked(self, message: bytes) -> None:
        # Bytes that trickle in are no reason to wait longer.
        if self._idle is not None and self._idle.active():
            self._idle.reset(IDLE)
        if not self._isKnown:
            self._send(refusal(message, _REFUSED) if isQuestion(message) else b"")
            return
        answer = self._streams.answer(message, True, self.source)
        if isinstance(answer, bytes):
            self._send(answer)
            return
        self._waiting += 1
        answer.addCallback(self._answered)

    def _answered(self, answer: bytes) -> None:
        self._waiting -= 1
        if self._idle is not None:
            self._send(answer)
            self._steer()

    def _send(self, answer: bytes) -> None:
        transport: Any = self.transport
        if answer and transport is not None:
            transport.write(framed(answer))

    def _steer(self) -> None:
        """
        Read on, unless too much has to be answered first.
        """
        transport: Any = self.transport
        isTooMuch = self._isFull or self._waiting >= MAX_UNANSWERED
        if self._isOver or self._idle is None or isTooMuch == self._isPaused:
            return
        self._isPaused = isTooMuch
        if isTooMuch:
            transport.pauseProducing()
        else:
            transport.resumeProducing()

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}: the client does not read its answers.
        """
        self._isFull = True
        self._steer()

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._isFull = False
        self._steer()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """

    def abort(self) -> None:
        """
        It is over for us.
        """
        transport: Any = self.transport
        if transport is not None and not self._isOver:
            self._isOver = True
            transport.unregisterProducer()
            transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        It is over.
        """
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._idle = None
        self._streams.gone(self)


class Streams(Factory):
    """
    Questions on connections.

    @ivar all: those that are open.
    @since: ugate NEXT
    """

    noisy = False

    def __init__(self, clock: Any, answer: Answer, clients: Clients) -> None:
        self.clock = clock
        self.answer = answer
        self.all: set[Stream] = set()
        self._clients = clients
        self._places = Places()

    def buildProtocol(self, addr: IAddress | None) -> Stream | None:
        """
        Somebody connects.
        """
        host = getattr(addr, "host", "")
        return self.serve(sourceOf(addr), self._clients.mayAsk(host if isinstance(host, str) else ""))

    def serve(self, source: str | None, isKnown: bool = True) -> Stream | None:
        """
        What serves a connection, unless too many are here.

        @param source: whom its questions are counted to.
        @param isKnown: whether that one may ask.
        """
        if not self._places.take(source, MAX_CONNECTIONS):
            return None
        made = Stream(self, isKnown, source)
        self.all.add(made)
        return made

    def gone(self, stream: Stream) -> None:
        """
        A connection has ended.
        """
        self.all.discard(stream)
        self._places.give(stream.source)

    def stopFactory(self) -> None:
        """
        Nobody is served any more: clients ask again elsewhere.
        """
        for stream in [*self.all]:
            stream.abort()


def openDatagrams(reactor: Any, target: Target, protocol: Datagrams) -> Any:
    """
    Listen for datagrams, maybe beside who did it before and is about to stop: whether others have the address
    is known by the connections there, which cannot be shared.

    @raise OSError: it cannot be.
    """
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((target.host, target.port))
        # It makes a descriptor of its own of it.
        return reactor.adoptDatagramPort(made.fileno(), family, protocol, _LARGEST)
