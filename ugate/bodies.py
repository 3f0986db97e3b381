# -*- test-case-name: ugate.test.test_caclient,ugate.test.test_dnshttp1,ugate.test.test_registrar -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The bodies of what we ask others by HTTP, and of what they answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import IBodyProducer


@implementer(IBodyProducer)
class Whole:
    """
    A body that is there already, and is sent in one go.

    @since: ugate NEXT
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """
        See L{IBodyProducer}.
        """
        consumer.write(self._data)
        return succeed(None)

    def stopProducing(self) -> None:
        """
        See L{IBodyProducer}: all has been written.
        """

    pauseProducing = resumeProducing = stopProducing


class Collecting(Protocol):
    """
    Takes the body of an answer, up to a size.

    @ivar done: it; can be cancelled.
    @since: ugate NEXT
    """

    def __init__(self, most: int, error: Callable[[str], Exception]) -> None:
        """
        @param most: how many bytes it may have.
        @param error: what to fail with, of what is wrong.
        """
        self._most = most
        self._error = error
        self._data = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self._abort())

    def _abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """
        More comes.
        """
        if self.done.called:
            # What comes until the connection is down is not kept.
            return
        if len(self._data) + len(data) > self._most:
            self._data.clear()
            self.done.errback(self._error(f"an answer of more than {self._most} bytes"))
            self._abort()
            return
        self._data += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        It is over.
        """
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(bytes(self._data))
        else:
            # Also where nothing said how long it would be: then one that was cut looks like a whole one.
            self.done.errback(self._error("it ended in the middle of its answer, or gave no length"))
