# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Transports that have no socket to give.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.copying import Copying
from ugate.interfaces import IHalfCloseableTransport
from ugate.leg import Leg
from ugate.metering import Meters


@implementer(ITransport, IConsumer, IPushProducer)
class Plain:
    """
    A transport without half-close, as TLS or a stream of a link.

    @ivar calls: what it was asked for, in order; bytes that were written stand
        for themselves.
    @ivar room: how many bytes it takes before it pauses its producer.
    """

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.calls: list[object] = []
        self.producer: Any = None
        self.room = 1000
        self.paused = self.full = False
        self.waiting: list[bytes] = []
        leg.makeConnection(self)

    def getPeer(self) -> Any:
        """
        Not asked for.
        """

    def getHost(self) -> Any:
        """
        Not asked for.
        """

    def write(self, data: bytes) -> None:
        """
        Take it, and pause the producer when there is no room; once, as TLS does.
        """
        self.calls.append(data)
        self.room -= len(data)
        if self.room < 0 and self.producer is not None and not self.full:
            self.full = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        """
        The same for several.
        """
        self.write(b"".join(data))

    def drain(self) -> None:
        """
        There is room again.
        """
        self.room = 1000
        self.full = False
        self.producer.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        One at a time.
        """
        assert self.producer is None and streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        """
        Forget it.
        """
        self.producer = None

    def pauseProducing(self) -> None:
        """
        Deliver nothing.
        """
        self.paused = True

    def resumeProducing(self) -> None:
        """
        Deliver what has come meanwhile, at once, as a stream of a link does.
        """
        self.paused = False
        while self.waiting and not self.paused:
            self.leg.dataReceived(self.waiting.pop(0))

    def stopProducing(self) -> None:
        """
        Close.
        """
        self.loseConnection()

    def loseConnection(self) -> None:
        """
        Close, unless there is a producer.
        """
        assert self.producer is None, "it would never close"
        self.calls.append("close")

    def abortConnection(self) -> None:
        """
        Reset.
        """
        self.calls.append("abort")

    def lose(self, error: Exception) -> None:
        """
        The connection is gone.
        """
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self.leg.connectionLost(Failure(error))


@implementer(IHalfCloseableTransport)
class Half(Plain):
    """
    A transport with half-close.
    """

    def loseWriteConnection(self) -> None:
        """
        End one direction.
        """
        assert self.producer is None, "it would never end"
        self.calls.append("end")


class CopyingTestCase(SynchronousTestCase):
    """
    A pair of transports.
    """

    kinds: tuple[type[Plain], type[Plain]] = (Half, Half)
    meters: Meters | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.a, self.b = (kind(Leg()) for kind in self.kinds)
        self.finished: list[str] = []

    def start(self) -> Copying:
        """
        Join them.
        """
        self.copying = Copying(self.clock, self.a.leg, self.b.leg, self.finished.append, self.meters)
        self.copying.start()
        return self.copying
