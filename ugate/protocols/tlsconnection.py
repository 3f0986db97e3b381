# -*- test-case-name: ugate.test.test_tlsconnection,ugate.test.test_tlsconnectionends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A connection in TLS that is a transport as a bare one is.

Twisted's TLS is above a transport: each byte is copied several times more, in Python, and in pieces.  Links
live long and carry much, so they leave that when their handshakes are over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from ugate.interfaces import Detached, IDetachableTLS
from ugate.protocols.sockets import sendAtOnce
from ugate.protocols.tlsalerts import TLSLost
from ugate.protocols.tlsrecords import MOST, MUCH, RECORD, Records

_RESET: Final = struct.pack("ii", 1, 0)


class TLSConnection(FileDescriptor):
    """
    A transport on a socket, with TLS in it.

    @since: ugate NEXT
    """

    _isAborting = _isEndSaid = _takesViews = False
    _sealed = 0
    """How much is encrypted, and not sent."""

    def __init__(
        self, detached: Detached, records: Records, protocol: Any, peer: IAddress, host: IAddress
    ) -> None:
        """
        @param detached: the socket: see L{IDetachableTLS.part}.
        @param protocol: what is above; it is given nothing before L{begin}, and not told of the connection.
            If its C{takesViews} is true, that is C{memoryview}s.
        """
        reactor: Any = detached.reactor
        super().__init__(reactor)
        self.protocol = protocol
        self.socket: Any = detached.socket
        self.fileno = detached.socket.fileno  # type: ignore[method-assign]
        self.connected = 1
        self._records = records
        self._tlsConnection = records.connection
        """As Twisted's TLS has it: see L{ugate.protocols.tlsverify.checkAgain}."""
        self._unread = detached.unread
        self._peer = peer
        self._host = host
        sendAtOnce(self.socket)
        if detached.unsent:
            super().write(detached.unsent)

    def begin(self) -> None:
        """
        Go on from where the transport before was.
        """
        unread, self._unread = self._unread, b""
        if not self.connected or self._isAborting:
            return
        self._takesViews = getattr(self.protocol, "takesViews", False)
        self.startReading()
        if unread:
            self.protocol.dataReceived(unread)
        why = self._deliver()
        if why is not None:
            self.stopReading()
            self.reactor.callLater(0, self.connectionLost, Failure(why))  # type: ignore[attr-defined]

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "TLS"

    def getPeer(self) -> IAddress:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.
        """
        return self._host

    # What comes.

    def doRead(self) -> BaseException | None:
        """
        See L{IReadDescriptor<twisted.internet.interfaces.IReadDescriptor>}.
        """
        if self._isAborting:
            return None
        try:
            count = self._records.receive(self.socket)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if count:
            return self._deliver()
        lost = TLSLost("it ended without saying so")
        lost.isTruncated = True
        return lost

    def _deliver(self) -> BaseException | None:
        """
        Give what came to what is above.

        @return: how it ended, if it has.
        """
        records = self._records
        while True:
            data = records.read()
            answer = records.answer()
            if answer:
                self._send(answer)
            if data:
                self.protocol.dataReceived(data if self._takesViews else data.tobytes())
            if self._isAborting or not self.connected:
                return None
            if not records.isMore:
                return records.over

    # What goes.

    def write(self, data: bytes) -> None:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}; it goes at once, if nothing is ahead of it.
        """
        self.writeSequence((data,))

    def writeSequence(self, pieces: Iterable[bytes | memoryview]) -> None:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.  What is small goes together, and what is
        not is never put together.
        """
        if not self.connected or self._isEndSaid or self._isAborting:
            return
        small: list[bytes | memoryview] = []
        for piece in pieces:
            if len(piece) < RECORD:
                small.append(piece)
                continue
            self._encrypt(b"".join(small))
            small.clear()
            self._encrypt(piece)
        self._encrypt(b"".join(small))
        self._flush()

    def take(self, connected: Any, most: int, gap: int, head: Callable[[int], bytes]) -> int:
        """
        Send what another socket has; L{isFree} is to be asked before.

        @param head: see L{Records.take}.
        @return: how many bytes of it; 0 at its end.
        @raise OSError: it has nothing, or broke.
        """
        size = self._records.take(connected, most, gap, head)
        self._flush()
        return size

    @property
    def isFree(self) -> bool:
        """
        Whether what is written now goes at once.
        """
        isOver = self.disconnecting or self._isEndSaid or self._isAborting
        return bool(self.connected) and not (self.dataBuffer or self._tempDataBuffer or isOver)

    def _encrypt(self, data: bytes | memoryview) -> None:
        """
        Encrypt something, and send what was before it if that is much.
        """
        size = len(data)
        for at in range(0, size, MUCH):
            piece = data if size <= MUCH else memoryview(data)[at : at + MUCH]
            if self._sealed + len(piece) > MOST:
                self._flush()
            self._sealed += len(piece)
            self._records.write(piece)

    def _flush(self) -> None:
        """
        Send what is encrypted.
        """
        self._sealed = 0
        records = self._records
        sealed = records.out()
        if sealed:
            self._send(sealed)
        if records.fault is not None:
            self._cut(records.fault)

    def _send(self, sealed: memoryview) -> None:
        if not (self.dataBuffer or self._tempDataBuffer):
            try:
                sealed = sealed[self.socket.send(sealed) :]
            except OSError:
                # Full, or broken: who is asked to write finds out which.
                pass
        if sealed:
            super().write(sealed.tobytes())

    def writeSomeData(self, data: Any) -> int | BaseException:
        """
        See L{FileDescriptor}.
        """
        try:
            sent: int = self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return CONNECTION_LOST
        return sent

    # How it ends.

    def loseWriteConnection(self) -> None:
        """
        Send no more than what is written, and go on reading: TLS says so, and what is below stays open, since
        it may have to answer.
        """
        self._sayEnd()

    def _sayEnd(self) -> None:
        if not self._isEndSaid and self.connected and not self._isAborting:
            self._isEndSaid = True
            self._records.end()
            self._flush()

    def _postLoseConnection(self) -> BaseException | None:
        self._sayEnd()
        return None if self.dataBuffer or self._tempDataBuffer else CONNECTION_DONE

    def abortConnection(self) -> None:
        """
        Drop what is unsent, and reset it.
        """
        self._cut(ConnectionAborted())

    def _cut(self, why: BaseException) -> None:
        if self.disconnected or self._isAborting:
            return
        self._isAborting = True
        self.stopReading()
        self.stopWriting()
        self.reactor.callLater(0, self.connectionLost, Failure(why))  # type: ignore[attr-defined]

    def doWrite(self) -> Any:
        """
        See L{IWriteDescriptor<twisted.internet.interfaces.IWriteDescriptor>}.
        """
        return None if self._isAborting else super().doWrite()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """
        It is gone.
        """
        if self.disconnected:
            return
        if reason.check(ConnectionDone):
            self._sayEnd()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if self._isAborting:
            self.socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self.socket.close()
        protocol, self.protocol = self.protocol, None
        del self.socket, self.fileno
        protocol.connectionLost(reason)


def onSocket(transport: Any, protocol: Any) -> TLSConnection | None:
    """
    Have what is in TLS be right above a socket, if there is one.

    @param transport: what C{protocol} would else be above.
    @return: what is its transport then, and the other one is dead.
    @since: ugate NEXT
    """
    below = IDetachableTLS(transport, None)
    if below is None:
        return None
    peer, host = transport.getPeer(), transport.getHost()
    detached, records = below.part()
    return TLSConnection(detached, records, protocol, peer, host)
