# -*- test-case-name: ugate.test.test_testing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Both ends of a test: a protocol that says what it is told to, and remembers what it
hears.
"""

from __future__ import annotations

from typing import Any, Final

from zope.interface import implementer

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

_CHUNK: Final = 32768


@implementer(IHalfCloseableProtocol, IPushProducer)
class Conversation(Protocol):
    """
    One stream, seen from one of its ends.

    @ivar received: all bytes that have come.
    @ivar isOpened: whether the stream has come up.
    @ivar isEnded: whether the other side has ended its direction.
    @ivar lost: why the stream is gone, if it is.
    @ivar failure: why it could not be opened, if so.
    @ivar unpoured: bytes that C{pour} was given and has not yet written.
    @since: ugate NEXT
    """

    def __init__(self, hello: bytes = b"", half: bool = False) -> None:
        """
        @param hello: what to say as soon as it is up.
        @param half: whether to end our direction after that.
        """
        self.received = b""
        self.isOpened = self.isEnded = False
        self.lost: Failure | None = None
        self.failure: Failure | None = None
        self.unpoured = b""
        self._hello = hello
        self._half = half
        self._endAfter = False
        self._paused = False

    @property
    def isOpen(self) -> bool:
        """
        Whether the stream is up.
        """
        return self.isOpened and self.lost is None

    @property
    def isClean(self) -> bool:
        """
        Whether the other side has ended its direction as one does who has said all;
        a stream that was reset, or cut, is not clean.
        """
        return self.isEnded or (self.lost is not None and self.lost.check(ConnectionDone) is not None)

    @property
    def isOver(self) -> bool:
        """
        Whether nothing will happen any more.
        """
        return self.lost is not None or self.failure is not None

    def write(self, data: bytes) -> None:
        """
        Say something; before the stream is up, as soon as it is.
        """
        if self.isOpened:
            self._wire.write(data)
        else:
            self._hello += data

    def halfClose(self) -> None:
        """
        End our direction, and go on listening.
        """
        if not self.isOpened:
            self._half = True
        elif self.unpoured:
            self._endAfter = True
        else:
            self._wire.loseWriteConnection()

    def close(self) -> None:
        """
        Close the stream, after what was said.
        """
        self._wire.loseConnection()

    def abort(self) -> None:
        """
        Reset the stream.
        """
        self._wire.abortConnection()

    def pause(self) -> None:
        """
        Read no more for now.
        """
        self._wire.pauseProducing()

    def resume(self) -> None:
        """
        Read on.
        """
        self._wire.resumeProducing()

    def pour(self, data: bytes) -> None:
        """
        Say much, as fast as the stream takes it and no faster.
        """
        self.unpoured += data
        self._wire.registerProducer(self, True)
        self._paused = False
        self._pour()

    def _pour(self) -> None:
        while self.unpoured and not self._paused:
            chunk, self.unpoured = self.unpoured[:_CHUNK], self.unpoured[_CHUNK:]
            self._wire.write(chunk)
        if not self.unpoured:
            self._wire.unregisterProducer()
            if self._endAfter:
                self._endAfter = False
                self._wire.loseWriteConnection()

    @property
    def _wire(self) -> Any:
        # What is asked of a transport is spread over half a dozen interfaces.
        return self.transport

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        The stream takes no more for now.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        The stream takes more.
        """
        self._paused = False
        self._pour()

    def stopProducing(self) -> None:
        """
        The stream takes no more, ever.
        """
        self._paused = True

    # IProtocol

    def connectionMade(self) -> None:
        """
        It is up.
        """
        self.isOpened = True
        if self._hello:
            self._wire.write(self._hello)
        if self._half:
            self._wire.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        """
        Remember it.
        """
        self.received += data

    def readConnectionLost(self) -> None:
        """
        The other side will say no more.
        """
        self.isEnded = True

    def writeConnectionLost(self) -> None:
        """
        Our direction is ended.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is gone.
        """
        self.lost = reason

    def failed(self, failure: Failure) -> None:
        """
        It could not be opened.
        """
        self.failure = failure


class Conversations(Factory):
    """
    What accepts streams and lets the test talk on them.

    @ivar accepted: the conversations, in the order in which they began.
    @since: ugate NEXT
    """

    noisy = False

    def __init__(self, hello: bytes = b"", half: bool = False) -> None:
        """
        @param hello: what to say on each as soon as it is up.
        @param half: whether to end our direction after that.
        """
        self.accepted: list[Conversation] = []
        self._hello = hello
        self._half = half

    def buildProtocol(self, addr: IAddress | None) -> Conversation:
        """
        Another one.
        """
        conversation = Conversation(self._hello, self._half)
        self.accepted.append(conversation)
        return conversation

    @property
    def last(self) -> Conversation:
        """
        The one that began last.

        @raise LookupError: there is none.
        """
        if not self.accepted:
            raise LookupError("nobody has connected")
        return self.accepted[-1]
