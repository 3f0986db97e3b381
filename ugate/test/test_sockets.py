# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sockets}.
"""

from __future__ import annotations

import socket
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IDetachable, IHalfCloseableTransport
from ugate.protocols.sockets import cut, detachable, endWriting, isClosed, writeNow
from ugate.test.dialfakes import CLIENT, Recorder, Recorders
from ugate.test.socketfakes import Peer, SocketTestCase, tcpPair, unixPair
from ugate.test.test_tlsclient import missing, selfSigned


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


class WriteNowTests(ConnectionTestCase):
    """
    Small writes that do not wait for a turn of the reactor.
    """

    def test_atOnce(self) -> None:
        """
        It is in the kernel, and the reactor has nothing to do.
        """
        writeNow(self.connected, b"hello")
        self.assertEqual(self.reactor.getWriters(), [])
        self.assertEqual(self.peer.socket.recv(100), b"hello")

    def test_behindOthers(self) -> None:
        """
        What was written before goes first, buffered or in the middle of it.
        """
        self.connected.write(b"first ")
        writeNow(self.connected, b"second ")
        self.connected.doWrite()
        data = bytes(1 << 20)
        self.connected.write(data)
        self.connected.doWrite()
        writeNow(self.connected, b"last")
        wanted = b"first second " + data + b"last"
        self.until(lambda: len(self.peer.got) >= len(wanted), "everything")
        self.assertEqual(self.peer.got, wanted)

    def test_partly(self) -> None:
        """
        What the kernel does not take now is written as usual.
        """
        data = bytes(range(256)) * 4096
        writeNow(self.connected, data)
        writeNow(self.connected, b"more")
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
        writeNow(self.connected, b"more")
        self.until(lambda: len(self.peer.got) >= filler + 4, "everything")
        self.assertEqual(self.peer.got[filler:], b"more")

    def test_broken(self) -> None:
        """
        The protocol of a broken connection hears of it from the reactor, not in the
        middle of its own call.
        """
        self.peer.reset()
        writeNow(self.connected, b"one")
        writeNow(self.connected, b"two")
        self.assertEqual(self.recorder.lost, [])
        self.assertIs(self.connected.doWrite(), CONNECTION_LOST)

    def test_ending(self) -> None:
        """
        A connection told to close or to half-close decides itself what it still sends.
        """
        self.connected.loseConnection()
        writeNow(self.connected, b"late")
        self.assertRaises(BlockingIOError, self.peer.socket.recv, 100)

    def test_others(self) -> None:
        """
        Other transports are written to; to write nothing is nothing.
        """
        transport = StringTransport()
        writeNow(transport, b"data")
        writeNow(transport, b"")
        self.assertEqual(transport.value(), b"data")


@implementer(IHalfCloseableDescriptor)
class _HalfCloseable(FakeTransport):
    """
    A transport in memory that can end one direction.
    """

    halfClosed = 0

    def loseWriteConnection(self) -> None:
        self.halfClosed += 1

    def readConnectionLost(self, reason: Failure) -> None:
        """
        Not called.
        """

    def writeConnectionLost(self, reason: Failure) -> None:
        """
        Not called.
        """


@implementer(IHalfCloseableTransport)
class _Mux(StringTransport):
    halfClosed = 0

    def loseWriteConnection(self) -> None:
        self.halfClosed += 1


class _Stdio:
    """
    Has no abortConnection.
    """

    closed = 0

    def loseConnection(self) -> None:
        self.closed += 1


class EndTests(ConnectionTestCase):
    """
    Ending one direction, or everything.
    """

    def test_endWriting(self) -> None:
        """
        A socket's peer sees the end after all that was written, and can go on.
        """
        data = bytes(1 << 20)
        self.connected.write(data)
        endWriting(self.connected)
        self.until(lambda: self.peer.ended, "the end")
        self.assertEqual(self.peer.got, data)
        self.peer.give(b"more")
        self.until(lambda: self.recorder.got == b"more", "what comes after that")

    def test_endWritingOfOthers(self) -> None:
        """
        A transport with half-close is told so, one without is closed.
        """
        mux, plain = _Mux(), StringTransport()
        endWriting(mux)
        endWriting(plain)
        self.assertEqual((mux.halfClosed, mux.disconnecting, plain.disconnecting), (1, False, True))

    def test_endWritingThroughAWrapper(self) -> None:
        """
        What Twisted wraps around a connection passes the end on.
        """
        factory: Any = WrappingFactory(Recorders())
        wrapper: Any = ProtocolWrapper(factory, Recorder())
        wrapper.makeConnection(self.connected)
        endWriting(wrapper)
        self.until(lambda: self.peer.ended, "the end")
        self.peer.give(b"more")
        self.until(lambda: self.recorder.got == b"more", "what comes after that")

    def test_isClosed(self) -> None:
        """
        A connection that was reset is told from one that its peer has ended, also after
        the error was taken.
        """
        self.assertFalse(isClosed(self.near))
        near, far = tcpPair()
        connection = self.connection(near, far)
        connection.stopReading()
        self.peers[-1].socket.shutdown(socket.SHUT_WR)
        self.assertEqual(near.recv(1), b"")
        self.assertFalse(isClosed(near))
        self.peers[-1].reset()
        near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.assertTrue(isClosed(near))
        near.close()
        one, other = unixPair()
        other.close()
        self.assertFalse(isClosed(one))
        one.close()

    def test_cut(self) -> None:
        """
        A connection is reset; a transport that cannot do that is closed.
        """
        cut(self.connected)
        self.reactor.advance(0)
        self.until(lambda: self.peer.broken, "a reset")
        stdio = _Stdio()
        cut(stdio)
        self.assertEqual(stdio.closed, 1)


class EndOverTLSTests(SynchronousTestCase):
    """
    The end of one direction over TLS.
    """

    if missing:
        skip = missing

    def test_closeNotify(self) -> None:
        """
        TLS tells its peer the end in its own words, even if the transport below it has
        a half-close, and goes on to deliver.
        """
        from twisted.internet.ssl import Certificate, optionsForClientTLS
        from twisted.protocols.tls import TLSMemoryBIOFactory

        certificate = selfSigned("gw.corp")
        trusted = optionsForClientTLS("gw.corp", trustRoot=Certificate.loadPEM(certificate.dumpPEM()))
        inner = Recorders(), Recorders()
        clock = Clock()
        client = TLSMemoryBIOFactory(trusted, True, inner[0], clock).buildProtocol(CLIENT)
        server = TLSMemoryBIOFactory(certificate.options(), False, inner[1], clock).buildProtocol(CLIENT)
        below = _HalfCloseable(client, isServer=False)
        serverTransport = makeFakeServer(server)
        pump = connect(server, serverTransport, client, below)
        pump.flush()
        here, there = (recorders.made[0] for recorders in inner)
        transport: Any = here.transport
        self.assertTrue(IHalfCloseableDescriptor.providedBy(below))
        endWriting(transport)
        there.transport.write(b"still delivered")  # type: ignore[union-attr]
        clock.advance(0)
        pump.pump()
        self.assertEqual(here.got, b"still delivered")
        pump.flush()
        self.assertEqual(below.halfClosed, 0)
        self.assertEqual(len(there.lost), 1)
