# -*- test-case-name: ugate.test.test_dnsflows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams and flows that are questions for a resolver, whatever address they were sent to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from ugate.endpoints.sources import sourceOf
from ugate.interfaces import IDialer
from ugate.modules.dnsserving import Answer, Stream, Streams
from ugate.modules.loopback import LoopbackEndpoint
from ugate.protocols.datagrams import DatagramStream
from ugate.stream import TCP, UDP, StreamInfo

MAX_WAITING: Final = 64
"""Questions of one flow that wait for answers; others are dropped."""


class Questions(DatagramStream):
    """
    A flow whose datagrams are questions.
    """

    _waiting = 0

    def __init__(self, info: StreamInfo, answer: Answer) -> None:
        super().__init__(info, info.host)
        self._answer = answer
        self._source = sourceOf(info.peer)

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}: somebody asks.
        """
        for each in datagrams:
            self._ask(each)

    def _ask(self, datagram: bytes) -> None:
        if self.isClosed or self._waiting >= MAX_WAITING:
            self.dropped += 1
            return
        answer = self._answer(datagram, False, self._source)
        if isinstance(answer, bytes):
            self._say(answer)
            return
        self._waiting += 1
        answer.addCallback(self._answered)

    def _answered(self, answer: bytes) -> None:
        self._waiting -= 1
        self._say(answer)

    def _say(self, answer: bytes) -> None:
        if answer and not self.isClosed:
            self.arrived(answer)


@implementer(IStreamClientEndpoint)
class _Asking:
    """
    Leads to a resolver, by datagrams.
    """

    def __init__(self, info: StreamInfo, answer: Answer) -> None:
        self._info = info
        self._answer = answer

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        protocol: Any = protocolFactory.buildProtocol(self._info)
        Questions(self._info, self._answer).begin(protocol)
        return succeed(protocol)


class _Served(Factory):
    """
    Leads to a resolver, by bytes.
    """

    def __init__(self, streams: Streams, source: str | None) -> None:
        self._streams = streams
        self._source = source

    def buildProtocol(self, addr: IAddress | None) -> Stream | None:
        """
        See L{Streams.serve}.
        """
        return self._streams.serve(self._source)


@implementer(IDialer)
class Asked:
    """
    The dialer that leads to a resolver, whatever the target.

    @since: ugate NEXT
    """

    networks = TCP, UDP

    def __init__(self, reactor: Any, answer: Answer, streams: Streams, title: str) -> None:
        """
        @param streams: serves connections.
        @param title: what the resolver is called.
        """
        self._reactor = reactor
        self._answer = answer
        self._streams = streams
        self._title = title

    def stop(self) -> None:
        """
        End what is open.
        """
        self._streams.stopFactory()

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer.endpointFor}.
        """
        if info.target is not None and info.target.network == UDP:
            return _Asking(info, self._answer)
        return LoopbackEndpoint(self._reactor, _Served(self._streams, sourceOf(info.peer)))

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer.explain}.
        """
        return [f"answered here, by {self._title}"]
