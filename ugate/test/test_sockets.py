# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sockets}.
"""

from __future__ import annotations

import socket
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from ugate.interfaces import IDetachable
from ugate.protocols.sockets import acknowledge, detachable, isBroken, unpace, writeNow, writePieces
from ugate.test.dialfakes import Recorder, Recorders
from ugate.test.socketfakes import Peer, SocketTestCase, congestion, tcpPair, unixPair


class ConnectionTestCase(SocketTestCase):
    """
    One of Twisted's own connections, over a real socket.
    """

    def connection(self, near: socket.socket, far: socket.socket) -> Any:
        """
        A connection on one of two sockets; at the other there is a peer.
        """
        self.peers.append(Peer(far))
        self.recorder = Recorder()
        connection: Any = tcp.Connection(near, self.recorder, self.reactor)
        connection.connected = 1
        connection.startReading()
        self.recorder.makeConnection(connection)
        self.addCleanup(near.close)
        return connection

    def setUp(self) -> None:
        super().setUp()
        self.near, far = tcpPair(4096)
        self.connected = self.connection(self.near, far)
        self.peer = self.peers[0]

    def stop(self) -> None:
        self.near.close()


class DetachTests(ConnectionTestCase):
    """
    Taking the socket out of a connection.
    """

    def detach(self) -> Any:
        found: Any = detachable(self.connected)
        verifyObject(IDetachable, found)
        return found.detach()

    def test_socket(self) -> None:
        """
        The caller has the open socket; the reactor and the protocol hear no more of it.
        """
        detached = self.detach()
        self.assertIs(detached.socket, self.near)
        self.assertEqual((detached.unread, detached.unsent), (b"", b""))
        self.assertEqual(self.reactor.removeAll(), [])
        detached.socket.send(b"here")
        self.until(lambda: self.peer.got == b"here", "what was sent")
        self.assertEqual(self.recorder.lost, [])

    def test_unsent(self) -> None:
        """
        What was written and the kernel has not taken comes along, whole and in order.
        """
        data = bytes(range(256)) * 4000
        for start in range(0, len(data), 100_000):
            self.connected.write(data[start : start + 100_000])
            # The first goes a part of its way.
            self.connected.doWrite()
        self.assertTrue(self.connected.offset)
        self.connected.write(b"the last")
        detached = self.detach()
        self.assertTrue(detached.unsent.endswith(b"the last"))
        # The transport, which others may hold for long, has none of it.
        self.assertEqual((self.connected.dataBuffer, self.connected._tempDataBuffer), (b"", []))
        self.until(lambda: self.reactor.turn(0) == {} and not self.turn(), "what was sent")
        self.assertEqual(bytes(self.peer.got) + detached.unsent, data + b"the last")

    def test_readAndWritable(self) -> None:
        """
        A reactor that finds a connection readable and writable asks for the second
        after the protocol gave the socket away in the first: that is nothing.
        """
        self.connected.write(b"unsent")
        connection = self.connected
        self.recorder.dataReceived = lambda data: setattr(self, "taken", self.detach())  # type: ignore[method-assign]
        self.peer.give(b"last words of the handshake")
        self.rest()
        self.assertEqual(self.taken.unsent, b"unsent")  # type: ignore[attr-defined]
        self.assertIs(connection.doWrite(), None)
        self.assertIs(connection.doRead(), None)
        self.rest()
        self.assertEqual(self.peer.got, b"")

    def test_lateCalls(self) -> None:
        """
        Whoever still holds the transport can do no harm with it.
        """
        self.detach()
        connection = self.connected
        for call in (
            lambda: connection.write(b"late"),
            connection.loseConnection,
            connection.abortConnection,
            connection.pauseProducing,
            connection.resumeProducing,
            connection.stopProducing,
            connection.unregisterProducer,
            lambda: connection.connectionLost(Failure(CONNECTION_LOST)),
        ):
            call()
        self.reactor.advance(1)
        self.assertEqual(self.reactor.removeAll(), [])
        self.assertEqual(self.recorder.lost, [])
        self.assertNotEqual(self.near.fileno(), -1)
        self.rest()
        self.assertEqual((self.peer.got, self.peer.ended), (b"", False))

    def test_notDetachable(self) -> None:
        """
        A connection that encrypts, has ended, or was told to end in some way keeps its
        socket.
        """
        for change in (
            lambda c: setattr(c, "TLS", True),
            lambda c: setattr(c, "connected", 0),
            lambda c: c.loseConnection(),
            lambda c: c.loseWriteConnection(),
            lambda c: c.abortConnection(),
        ):
            near, far = tcpPair()
            connection = self.connection(near, far)
            self.assertIsNot(IDetachable(connection, None), None)
            change(connection)
            self.assertIs(IDetachable(connection, None), None)
            self.reactor.removeAll()
            near.close()

    def test_wrapped(self) -> None:
        """
        What Twisted wraps around a connection, as for a PROXY header, is not one.
        """
        factory: Any = WrappingFactory(Recorders())
        wrapper: Any = ProtocolWrapper(factory, Recorder())
        wrapper.makeConnection(self.connected)
        self.assertTrue(IHalfCloseableDescriptor.providedBy(wrapper))
        for found in (IDetachable(wrapper, None), detachable(wrapper)):
            self.assertIs(found, None)

    def test_otherTransports(self) -> None:
        """
        A UNIX connection has a socket to give, what is in memory has not.
        """
        near, far = unixPair()
        self.peers.append(Peer(far))
        server = unix.Server(near, Recorder(), None, None, 0, self.reactor)
        self.assertIs(IDetachable(server).detach().socket, near)
        near.close()
        self.assertIs(IDetachable(StringTransport(), None), None)


class AcknowledgeTests(SocketTestCase):
    """
    To say at once that something came.
    """

    def test_atOnce(self) -> None:
        """
        A connection that waits with it does so no longer; what has nothing to wait with, or is gone, is no
        error.
        """
        near, far = tcpPair()
        option = getattr(socket, "TCP_QUICKACK", None)
        if option is not None:
            near.setsockopt(socket.IPPROTO_TCP, option, 0)
            acknowledge(near)
            self.assertEqual(1, near.getsockopt(socket.IPPROTO_TCP, option))
        one, other = unixPair()
        for each in (near, far, one, other):
            acknowledge(each)
            each.close()
            acknowledge(each)


class UnpaceTests(SocketTestCase):
    """
    L{unpace}.
    """

    def test_elsewhere(self) -> None:
        """
        What leaves this machine goes by its rule, and a socket that has no such thing is left alone.
        """
        with socket.socket() as plain:
            before = congestion(plain)
            for host in ("", "0.0.0.0", "192.0.2.1", "12.7.0.1", "::", "2001:db8::1"):
                unpace(plain, host)
            self.assertEqual(before, congestion(plain))
        for each in unixPair():
            unpace(each, "127.0.0.1")
            each.close()

    if not hasattr(socket, "TCP_CONGESTION"):
        test_elsewhere.skip = "this system does not let one choose"  # type: ignore[attr-defined]


class BrokenTests(SocketTestCase):
    """
    L{isBroken}.
    """

    def test_reset(self) -> None:
        """
        A connection that was reset is broken, also when its error was told; one that is full, or whose
        peer has ended, is not.
        """
        for pair in (tcpPair, unixPair):
            far, near = pair(8192)
            near.setblocking(False)
            far.send(b"unread here")
            far.shutdown(socket.SHUT_WR)
            self.assertFalse(isBroken(near))
            try:
                while near.send(bytes(65536)):
                    pass
            except BlockingIOError:
                pass
            self.assertFalse(isBroken(near))
            Peer(far).reset()
            self.assertRaises(OSError, near.send, b"lost")
            self.assertTrue(isBroken(near))
            near.close()


class WriteNowTests(ConnectionTestCase):
    """
    Small writes that do not wait for a turn of the reactor.
    """

    def write(self, transport: Any, data: bytes) -> None:
        """
        Write it.
        """
        writeNow(transport, data)

    def test_atOnce(self) -> None:
        """
        It is in the kernel, and the reactor has nothing to do.
        """
        self.write(self.connected, b"hello")
        self.assertEqual(self.reactor.getWriters(), [])
        self.assertEqual(self.peer.socket.recv(100), b"hello")

    def test_behindOthers(self) -> None:
        """
        What was written before goes first, buffered or in the middle of it.
        """
        self.connected.write(b"first ")
        self.write(self.connected, b"second ")
        self.connected.doWrite()
        data = bytes(1 << 20)
        self.connected.write(data)
        self.connected.doWrite()
        self.write(self.connected, b"last")
        wanted = b"first second " + data + b"last"
        self.until(lambda: len(self.peer.got) >= len(wanted), "everything")
        self.assertEqual(self.peer.got, wanted)

    def test_partly(self) -> None:
        """
        What the kernel does not take now is written as usual.
        """
        data = bytes(range(256)) * 4096
        self.write(self.connected, data)
        self.write(self.connected, b"more")
        self.assertEqual(self.reactor.getWriters(), [self.connected])
        self.until(lambda: len(self.peer.got) >= len(data) + 4, "everything")
        self.assertEqual(self.peer.got, data + b"more")

    def test_full(self) -> None:
        """
        With no room at all, too.
        """
        filler = 0
        try:
            while True:
                filler += self.near.send(bytes(65536))
        except BlockingIOError:
            pass
        self.write(self.connected, b"more")
        self.until(lambda: len(self.peer.got) >= filler + 4, "everything")
        self.assertEqual(self.peer.got[filler:], b"more")

    def test_broken(self) -> None:
        """
        The protocol of a broken connection hears of it from the reactor, not in the
        middle of its own call.
        """
        self.peer.reset()
        self.write(self.connected, b"one")
        self.write(self.connected, b"two")
        self.assertEqual(self.recorder.lost, [])
        self.assertIs(self.connected.doWrite(), CONNECTION_LOST)

    def test_ending(self) -> None:
        """
        A connection told to close or to half-close decides itself what it still sends.
        """
        self.connected.loseConnection()
        self.write(self.connected, b"late")
        self.assertRaises(BlockingIOError, self.peer.socket.recv, 100)

    def test_others(self) -> None:
        """
        Other transports are written to; to write nothing is nothing.
        """
        transport = StringTransport()
        self.write(transport, b"data")
        self.write(transport, b"")
        self.assertEqual(transport.value(), b"data")


class WritePiecesTests(WriteNowTests):
    """
    The same for several pieces.
    """

    def write(self, transport: Any, data: bytes) -> None:
        """
        Write it in three, one of them empty.
        """
        bare = transport if isinstance(transport, tcp.Connection) else None
        writePieces(transport, bare, [data[:1], b"", memoryview(data)[1:]])

    def test_many(self) -> None:
        """
        More than the kernel takes at once are put together.
        """
        pieces = [bytes((at & 255,)) for at in range(2000)]
        writePieces(self.connected, self.connected, pieces)
        self.until(lambda: len(self.peer.got) >= 2000, "everything")
        self.assertEqual(self.peer.got, b"".join(pieces))
