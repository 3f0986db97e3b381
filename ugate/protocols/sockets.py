# -*- test-case-name: ugate.test.test_sockets -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What can be asked of a transport besides reading and writing: to hand over its
socket, to end one direction, and to be cut.
"""

from __future__ import annotations

import errno
import socket as socketModule
import struct
from fcntl import ioctl
from socket import IPPROTO_TCP, TCP_NODELAY, socket
from termios import TIOCOUTQ
from typing import Any, Final

from zope.interface import implementer

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISSLTransport, ITransport
from twisted.internet.protocol import connectionDone
from twisted.python.components import registerAdapter

from ugate.errors import Refused
from ugate.interfaces import Detached, IDetachable, IHalfCloseableTransport

_TCP_INFO: Final = 11
"""Linux's: what it knows of a connection, the state first."""

_TCP_CLOSE: Final = 7
"""The state of a connection that is none any more."""

_QUICKACK: Final[int | None] = getattr(socketModule, "TCP_QUICKACK", None)
"""Linux's, too."""

_CONGESTION: Final[int | None] = getattr(socketModule, "TCP_CONGESTION", None)
"""And this."""

_UNPACED: Final = b"reno"
"""What every kernel has and lets everybody choose, and that sends as soon as it may."""

_IOV: Final = 256
"""Pieces that are given to the kernel at once."""


class Truncated(OSError):
    """
    A connection ended, and what is spoken on it had not: all that came is good, but nobody knows whether
    that was all.
    """


class RefusedBelow(OSError):
    """
    The peer has said in what is spoken on the connection that it does not want us.

    @ivar refusal: how that is told.
    """

    def __init__(self, refusal: Refused) -> None:
        super().__init__(errno.ECONNABORTED, str(refusal))
        self.refusal = refusal


def undelivered(descriptor: int) -> int:
    """
    How many bytes that were sent have not arrived at the peer: a reset would take them back.
    """
    try:
        return int(struct.unpack("i", ioctl(descriptor, TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


@implementer(IDetachable)
class BareSocket:
    """
    Take the socket out of a Twisted TCP or UNIX connection.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: tcp.Connection) -> None:
        self._connection = connection

    def detach(self) -> Detached:
        """
        See L{IDetachable.detach}.
        """
        connection = self._connection
        leave = getattr(connection.reactor, "leave", None)
        if leave is None:
            waiting = None
            connection.stopReading()
            connection.stopWriting()
        else:
            waiting = leave(connection)
        unsent = b""
        if connection.dataBuffer or connection._tempDataBuffer:
            unsent = b"".join((connection.dataBuffer[connection.offset :], *connection._tempDataBuffer))
            connection.dataBuffer = b""
            connection._tempDataBuffer = []
        # Whoever is readable and writable at once is asked to write after its protocol gave it away.
        connection.doRead = connection.doWrite = _nothing  # type: ignore[method-assign]
        detached = connection.socket
        connection.connected = 0
        connection.disconnected = 1
        # As its own connectionLost() leaves it, so that late calls find it dead.
        del connection.socket, connection.fileno, connection.protocol
        return Detached(detached, b"", unsent, waiting, connection.reactor)


def _bareSocket(connection: tcp.Connection) -> BareSocket | None:
    if not isinstance(connection, tcp.Connection):
        # Twisted's wrappers claim to be what they wrap.
        return None
    if connection.TLS or not connection.connected or connection.disconnecting:
        return None
    if connection._writeDisconnecting or connection._aborting:
        # What it was told to do is not yet done, and the socket knows nothing of it.
        return None
    return BareSocket(connection)


def _nothing() -> None:
    """
    What is left to do for a transport whose socket is gone.
    """


registerAdapter(_bareSocket, tcp.Connection, IDetachable)


def detachable(transport: Any) -> IDetachable | None:
    """
    C{IDetachable(transport, None)}, and quicker for what most transports are.
    """
    if isinstance(transport, tcp.Connection):
        return _bareSocket(transport)
    found: IDetachable | None = IDetachable(transport, None)
    return found


def writeNow(transport: Any, data: bytes) -> None:
    """
    Write what is small and waited for: to the kernel at once if nothing is ahead
    of it, which spares the reactor a turn and two changes of its epoll.
    """
    if isinstance(transport, tcp.Connection) and not transport.TLS:
        sendNow(transport, data)
    elif data:
        transport.write(data)


def sendNow(connection: tcp.Connection, data: bytes | memoryview) -> None:
    """
    The same on what is known to be a socket and nothing more.
    """
    if (
        connection.connected
        and not (connection.dataBuffer or connection._tempDataBuffer)
        and not (connection.disconnecting or connection._writeDisconnecting)
    ):
        try:
            sent = connection.socket.send(data)
        except OSError:
            # Full, or broken: the transport finds out which, and says so to its protocol.
            sent = 0
        if sent == len(data):
            return
        # Not to copy what is large and all gone.
        data = data[sent:]
    if data:
        connection.write(bytes(data))


def writePieces(transport: Any, bare: tcp.Connection | None, pieces: list[Any]) -> None:
    """
    As L{writeNow}, without putting the pieces together first.

    @param bare: the transport, or what is below it and all that was written there goes through, if that is a
        socket and nothing more.
    """
    if (
        bare is not None
        and bare.connected
        and len(pieces) <= _IOV
        and not (bare.dataBuffer or bare._tempDataBuffer)
        and not (bare.disconnecting or bare._writeDisconnecting)
    ):
        try:
            sent = bare.socket.sendmsg(pieces)
        except OSError:
            # Full, or broken: the transport finds out which.
            sent = 0
        pieces = _after(pieces, sent)
    if pieces:
        transport.write(b"".join(pieces))


def _after(pieces: list[Any], sent: int) -> list[Any]:
    """
    What is left of some pieces after so many bytes.
    """
    for number, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[number + 1 :]]
        sent -= len(piece)
    return []


def sendAtOnce(connected: socket) -> None:
    """
    Do without Nagle's algorithm; other sockets than TCP's have none.
    """
    try:
        connected.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def acknowledge(connected: socket) -> None:
    """
    Say at once that what was read has come, where the kernel can do that: peers with Nagle's algorithm send
    the next small piece only then, and the kernel else waits for an answer to say it with.
    """
    if _QUICKACK is None:
        return
    try:
        connected.setsockopt(IPPROTO_TCP, _QUICKACK, 1)
    except OSError:
        # It is no TCP, or broken, which who reads next is told.
        pass


def unpace(made: socket, host: str) -> None:
    """
    Have bytes that do not leave this machine sent at once.  Where BBR is the rule, the kernel else has
    a timer pace each piece, by a guess of how fast it can go, which costs more than to send it.

    @param made: a socket that listens, whose connections inherit it, or that is about to connect: whoever is
        paced stays so.
    @param host: where that is, or goes.
    """
    if _CONGESTION is not None and (host.startswith("127.") or host == "::1"):
        try:
            made.setsockopt(IPPROTO_TCP, _CONGESTION, _UNPACED)
        except OSError:
            # It is only slower.
            return


def isClosed(connected: socket) -> bool:
    """
    Whether a TCP connection is over both ways though we have not closed it: reset,
    that is.  Its socket gives the error once, and afterwards looks cleanly ended.
    """
    try:
        return connected.getsockopt(IPPROTO_TCP, _TCP_INFO, 1)[0] == _TCP_CLOSE
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        # Not TCP.
        return False


def isBroken(connected: socket) -> bool:
    """
    Whether nothing can be sent any more to a peer that was not told of an end.
    """
    try:
        connected.send(b"")
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def endWriting(transport: ITransport) -> None:
    """
    Tell the peer that nothing more will come, after what was written, and go
    on reading if the transport can.

    Twisted's TLS has no half-close, but its C{loseConnection} sends
    close_notify and keeps delivering until the peer's arrives: the same thing.
    It may claim the half-close of the transport below, and would end that one.
    """
    if ISSLTransport.providedBy(transport):
        transport.loseConnection()
    elif IHalfCloseableTransport.providedBy(transport) or IHalfCloseableDescriptor.providedBy(transport):
        half: Any = transport
        half.loseWriteConnection()
    else:
        transport.loseConnection()


def endNow(connection: tcp.Connection) -> bool:
    """
    End one direction at once: Twisted waits for room first, though there is nothing to send.

    @return: whether that was done: not if something goes first.
    """
    if not _isEmpty(connection) or connection._writeDisconnecting:
        return False
    connection._writeDisconnecting = connection._writeDisconnected = True
    connection._closeWriteConnection()
    return True


def closeNow(connection: tcp.Connection) -> bool:
    """
    Close at once a connection whose peer has ended, and tell its protocol.

    @return: whether that was done: not if something goes first.
    """
    if not _isEmpty(connection):
        return False
    leave = getattr(connection.reactor, "leave", None)
    if leave is not None:
        # The kernel forgets it when it is closed.
        leave(connection)
    if type(connection).connectionLost is not tcp.Connection.connectionLost:
        connection.connectionLost(connectionDone)
        return True
    # As that does it; but nothing is unread, so to close is to end.
    if leave is None:
        FileDescriptor.connectionLost(connection, connectionDone)
    connection.disconnected, connection.connected = 1, 0
    connection.socket.close()
    protocol = connection.protocol
    del connection.socket, connection.fileno, connection.protocol
    protocol.connectionLost(connectionDone)
    return True


def _isEmpty(connection: tcp.Connection) -> bool:
    """
    Whether a connection is up, and all that was written is sent: also what is not known to it.
    """
    return (
        bool(connection.connected)
        and not (connection.disconnecting or mayWait(connection))
        and connection.producer is None
    )


def mayWait(connection: tcp.Connection) -> bool:
    """
    Whether something that was written may not be sent: also what is not known to the connection.
    """
    return bool(connection.dataBuffer or connection._tempDataBuffer) or "doWrite" in connection.__dict__


def cut(transport: Any) -> None:
    """
    Drop what is buffered and reset, or whatever comes next to that: C{stdio} can
    only be closed.
    """
    if hasattr(transport, "abortConnection"):
        transport.abortConnection()
    else:
        transport.loseConnection()
