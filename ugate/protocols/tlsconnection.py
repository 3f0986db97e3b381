# -*- test-case-name: ugate.test.test_tlsconnection -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A connection in TLS that works on its socket, and is a transport as a bare one is.

Twisted's TLS works on memory, above a transport: each byte is copied several times more, in Python, and in
pieces.  Links live long and carry much, so they leave that when their handshakes are over.
"""

from __future__ import annotations

import struct
from errno import EPROTO
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from ugate.interfaces import Detached, IDetachableTLS
from ugate.protocols.sockets import RefusedBelow, Truncated, sendAtOnce
from ugate.protocols.tlsalerts import TLSLost
from ugate.protocols.tlssocket import ROOM, Room

_RESET: Final = struct.pack("ii", 1, 0)


class TLSConnection(FileDescriptor):
    """
    A transport above a L{TLSSocket}.

    @since: ugate NEXT
    """

    _isAborting = _isEndSaid = False
    _wantsRoom = False
    """Whether TLS has to send something before more is read."""

    def __init__(self, detached: Detached, protocol: Any, peer: IAddress, host: IAddress) -> None:
        """
        @param detached: what L{IDetachableTLS} gave.
        @param protocol: what is above; it is given nothing before L{begin}, and not told of the connection.
        """
        reactor: Any = detached.reactor
        super().__init__(reactor)
        self.protocol = protocol
        self.socket: Any = detached.socket
        self.fileno = detached.socket.fileno  # type: ignore[method-assign]
        self.connected = 1
        self._unread = detached.unread
        self._peer = peer
        self._host = host
        sendAtOnce(self.socket)

    def begin(self) -> None:
        """
        Go on from where the transport before was.
        """
        unread, self._unread = self._unread, b""
        if self.connected and not self._isAborting:
            self.startReading()
            if self.socket.owes:
                self.startWriting()
            if unread:
                self.protocol.dataReceived(unread)

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

    def doRead(self) -> BaseException | None:
        """
        See L{IReadDescriptor<twisted.internet.interfaces.IReadDescriptor>}.
        """
        if self._isAborting:
            return None
        secure = self.socket
        secure.use(Room())
        try:
            data = secure.recv(ROOM)
        except BlockingIOError:
            if secure.wantsRoom:
                self._wantsRoom = True
                self.stopReading()
                self.startWriting()
            return None
        except OSError as error:
            return _loss(error)
        if not len(data):
            return CONNECTION_DONE
        self.protocol.dataReceived(data[:])
        return None

    def write(self, data: bytes) -> None:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}; it goes at once, if nothing is ahead of it.
        """
        if data and self._isFree:
            try:
                self.socket.send(data)
            except OSError:
                # Full, or broken: who is asked to write finds out which.
                pass
            else:
                return
        super().write(data)

    @property
    def _isFree(self) -> bool:
        return bool(
            self.connected
            and not (self.dataBuffer or self._tempDataBuffer)
            and not (self.disconnecting or self._writeDisconnecting or self._isAborting)
        )

    def doWrite(self) -> Any:
        """
        See L{IWriteDescriptor<twisted.internet.interfaces.IWriteDescriptor>}.
        """
        if self._isAborting:
            return None
        try:
            self.socket.settle()
        except BlockingIOError:
            return None
        except OSError as error:
            return _loss(error)
        if self._wantsRoom:
            self._wantsRoom = False
            if not self.disconnecting:
                self.startReading()
        return super().doWrite()  # type: ignore[no-untyped-call]

    def writeSomeData(self, data: Any) -> int | BaseException:
        """
        See L{FileDescriptor}.  What it is given after it has taken nothing begins with the same, as
        L{TLSSocket.send} wants it.
        """
        try:
            return self.socket.send(data) if data else 0
        except BlockingIOError:
            return 0
        except OSError as error:
            return _loss(error)

    def _closeWriteConnection(self) -> BaseException | None:
        return self._sayEnd(None)

    def _postLoseConnection(self) -> BaseException | None:
        return self._sayEnd(CONNECTION_DONE)

    def _sayEnd(self, done: BaseException | None) -> BaseException | None:
        """
        Tell the peer that no more is sent, as soon as there is room for that.

        @return: what C{doWrite} answers: C{done}, when it is said.
        """
        try:
            self.socket.shutdown(SHUT_WR)
        except BlockingIOError:
            self.startWriting()
            return None
        except OSError as error:
            return _loss(error)
        self._isEndSaid = True
        return done

    def abortConnection(self) -> None:
        """
        Drop what is unsent, and reset it.
        """
        if self.disconnected or self._isAborting:
            return
        self._isAborting = True
        self.stopReading()
        self.stopWriting()
        self.reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))  # type: ignore[attr-defined]

    def connectionLost(self, reason: Failure) -> None:
        """
        It is gone.
        """
        if self.disconnected:
            return
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        try:
            if reason.check(ConnectionAborted):
                self.socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            elif reason.check(ConnectionDone) and not self._isEndSaid:
                self.socket.shutdown(SHUT_WR)
        except OSError:
            # There is no room for it, or nobody to hear it.
            pass
        self.socket.close()
        protocol, self.protocol = self.protocol, None
        del self.socket, self.fileno
        protocol.connectionLost(reason)


def onSocket(transport: Any, protocol: Any) -> TLSConnection | None:
    """
    Have TLS work on its socket, if there is one below.

    @param transport: what C{protocol} would else be above.
    @return: what is its transport then, and the other one is dead.
    @since: ugate NEXT
    """
    below = IDetachableTLS(transport, None)
    if below is None:
        return None
    peer, host = transport.getPeer(), transport.getHost()
    return TLSConnection(below.detach(), protocol, peer, host)


def _loss(error: OSError) -> BaseException:
    """
    What a protocol is told of a connection that broke.
    """
    if isinstance(error, RefusedBelow):
        return error.refusal
    if error.errno != EPROTO:
        return CONNECTION_LOST
    lost = TLSLost(str(error.strerror).removeprefix("TLS: "))
    lost.isTruncated = isinstance(error, Truncated)
    return lost
