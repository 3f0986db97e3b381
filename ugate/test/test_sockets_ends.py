# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sockets}: ends.
"""

from __future__ import annotations

import socket
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IHalfCloseableTransport
from ugate.protocols.sockets import cut, endWriting, isClosed
from ugate.test.dialfakes import CLIENT, Recorder, Recorders
from ugate.test.socketfakes import tcpPair, unixPair
from ugate.test.test_sockets import ConnectionTestCase
from ugate.test.test_tlsclient import missing, selfSigned


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
