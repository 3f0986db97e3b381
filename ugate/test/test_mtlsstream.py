# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsstream}.
"""

from __future__ import annotations

import gc
import socket
from typing import Any
from weakref import ref

from OpenSSL import SSL
from zope.interface import directlyProvides, implementer

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IPushProducer,
)
from twisted.internet.testing import AccumulatingProtocol, MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Detached, IDetachable, IDetachableTLS, IPending
from ugate.protocols import tlsrecords, tlsstream
from ugate.protocols.tlsconnection import onSocket
from ugate.protocols.tlssocket import ROOM, Room, TLSSocket
from ugate.protocols.tlsstream import TLSStream
from ugate.protocols.tlsverify import checkAgain
from ugate.test.dialfakes import Recorders
from ugate.test.mtlsfakes import ALICE, OTHER, ROOT, SERVER, Below, Client, Halves
from ugate.test.tlsfakes import FakeTenant, FakeTrust


@implementer(IPushProducer)
class Producer:
    """
    Does nothing.
    """

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class EndedTests(SynchronousTestCase):
    """
    How streams end.
    """

    def setUp(self) -> None:
        self.tenant = FakeTenant(SERVER, FakeTrust(ROOT))

    def begin(self, streams: Recorders) -> Any:
        """
        A client that has asked something.
        """
        below = Below()
        self.successResultOf(MutualServerEndpoint(self.tenant.clock, below).listen(streams))
        self.client = Client(below, ALICE.context()).pump().send(b"question")
        return streams.made[0]

    def test_halfClose(self) -> None:
        """
        A client that has said all gets its answer, also if it has ended the connection below, too.
        """
        for below in (False, True):
            stream = self.begin(Halves())
            client = self.client
            client.connection.shutdown()
            client.pump()
            if below:
                client.server.readConnectionLost()
            self.assertEqual((stream.got, stream.ended, client.wire.disconnecting), (b"question", 1, False))
            stream.transport.write(b"answer" * 9000)
            stream.transport.loseConnection()
            client.pump()
            self.assertEqual((client.received, client.ended), (b"answer" * 9000, True))
            self.assertTrue(client.wire.disconnecting)

    def test_pending(self) -> None:
        """
        One that ends while a producer still writes gets all of it.
        """
        stream = self.begin(Recorders())
        producer = Producer()
        stream.transport.registerProducer(producer, True)
        stream.transport.loseConnection()
        self.client.connection.shutdown()
        self.client.pump()
        stream.transport.write(b"answer")
        stream.transport.unregisterProducer()
        self.client.pump()
        self.assertEqual((self.client.received, self.client.ended), (b"answer", True))

    def test_whole(self) -> None:
        """
        A protocol that knows no half-close is ended both ways, as Twisted has it; after what it has written.
        """
        stream = self.begin(Recorders())
        stream.transport.write(b"all")
        self.client.connection.shutdown()
        self.client.pump()
        self.assertEqual((self.client.ended, self.client.wire.disconnecting), (True, True))
        self.assertEqual(self.client.received, b"all")

    def test_truncated(self) -> None:
        """
        An end below, without one in TLS, is none: nobody knows whether that was all.
        """
        stream = self.begin(Halves())
        self.client.server.readConnectionLost()
        self.assertTrue(self.client.wire.disconnecting)
        self.client.server.connectionLost(Failure(ConnectionDone()))
        (reason,) = stream.lost
        self.assertIsInstance(reason.value, ConnectionLost)
        self.assertTrue(reason.value.isTruncated)
        self.assertEqual("TLS: it ended without saying so", reason.getErrorMessage())
        self.assertEqual(stream.ended, 0)

    def test_broken(self) -> None:
        """
        What OpenSSL complains of is told in words.
        """
        stream = self.begin(Halves())
        self.client.server.dataReceived(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.client.server.connectionLost(Failure(ConnectionDone()))
        (reason,) = stream.lost
        self.assertFalse(reason.value.isTruncated)
        # Newer OpenSSL has more to say.
        message = reason.getErrorMessage()
        self.assertTrue(message.startswith("TLS: decryption failed or bad record mac"), message)

    def test_ourEnd(self) -> None:
        """
        We end first: the client is heard until it ends, too.
        """
        stream = self.begin(Halves())
        stream.transport.loseWriteConnection()
        self.client.pump()
        self.assertEqual((self.client.ended, self.client.wire.disconnecting), (True, False))
        self.client.send(b"s")
        self.assertEqual(stream.got, b"questions")
        self.client.connection.shutdown()
        self.client.pump()
        self.assertTrue(self.client.wire.disconnecting)

    def test_answers(self) -> None:
        """
        Whoever asked is told nothing when it goes well, and is cut off when not.
        """
        stream = self.begin(Halves())
        self.assertTrue(IPending.providedBy(stream.transport))
        stream.transport.accept()
        self.assertFalse(self.client.wire.disconnecting)
        stream.transport.refuse(Refused(Cause.DENIED, Phase.POLICY, "x"))
        self.assertTrue(self.client.wire.disconnecting)


class Chatty:
    """
    An OpenSSL that has an answer to all that is received.
    """

    def __init__(self, connection: Any, received: bytes) -> None:
        self._connection = connection
        self._received = [received] if received else []
        self._answer = [bytes(30)]

    def __getattr__(self, name: str) -> Any:
        if name == "_into_ssl":
            # It is to be asked by what is public.
            raise AttributeError(name)
        return getattr(self._connection, name)

    def recv(self, size: int) -> bytes:
        if self._received:
            return self._received.pop()
        raise SSL.WantReadError()

    def bio_read(self, size: int) -> bytes:
        if self._answer:
            return self._answer.pop()
        raise SSL.WantReadError()


class AnswersTests(SynchronousTestCase):
    """
    Answers of OpenSSL's own.
    """

    def feed(self, received: bytes, times: int) -> tuple[Any, Client]:
        """
        A client has something answered again and again.
        """
        streams = Recorders()
        below = Below()
        tenant = FakeTenant(SERVER, FakeTrust(ROOT))
        self.successResultOf(MutualServerEndpoint(tenant.clock, below).listen(streams))
        client = Client(below, ALICE.context()).pump().send(b"question")
        stream = streams.made[0]
        secure: Any = stream.transport
        connection = secure._tlsConnection
        for _ in range(times):
            secure._tlsConnection = Chatty(connection, received)
            secure._flushReceiveBIO()
            if client.wire.disconnecting:
                break
        secure._tlsConnection = connection
        return stream, client

    def test_tooMany(self) -> None:
        """
        There may be so many of them, since nothing else holds them up when nobody reads them; then it is cut.
        """
        _, client = self.feed(b"", tlsrecords.ANSWERS // 30 - 100)
        self.assertFalse(client.wire.disconnecting)
        stream, client = self.feed(b"", tlsrecords.ANSWERS // 30 + 1)
        self.assertTrue(client.wire.disconnecting)
        client.server.connectionLost(Failure(ConnectionDone()))
        (reason,) = stream.lost
        self.assertIn("it wants new keys too often", str(reason.value))

    def test_some(self) -> None:
        """
        Who sends much may have more of them.
        """
        stream, client = self.feed(bytes(30 * tlsrecords.ANSWERED), tlsrecords.ANSWERS // 30 + 1000)
        self.assertFalse(client.wire.disconnecting)
        self.assertEqual([], stream.lost)


class LeavingTests(SynchronousTestCase):
    """
    Streams that give their sockets away.
    """

    def setUp(self) -> None:
        self.tenant = FakeTenant(SERVER, FakeTrust(ROOT))
        self.far, self.near = socket.socketpair()
        self.near.setblocking(False)
        self.addCleanup(self.far.close)
        self.addCleanup(self.near.close)

    def begin(self, bare: bool = True) -> TLSStream:
        """
        A client that has asked something, over what can give its socket away.
        """
        below = Below()
        self.streams = Halves()
        self.successResultOf(MutualServerEndpoint(self.tenant.clock, below).listen(self.streams))
        self.client = Client(below, ALICE.context()).pump().send(b"question")
        if bare:
            wire = self.client.wire
            directlyProvides(wire, IDetachable)
            wire.detach = self.detach
        made: Any = self.streams.made[0]
        stream: TLSStream = made.transport
        return stream

    def detach(self) -> Detached:
        """
        See L{IDetachable.detach}.
        """
        unsent = self.client.wire.value()
        self.client.wire.clear()
        return Detached(self.near, b"", unsent, "a poll", MemoryReactorClock())

    def taken(self, stream: TLSStream) -> tuple[TLSSocket, Detached]:
        """
        What is left of it.
        """
        detached = IDetachableTLS(stream).detach()
        ours: Any = detached.socket
        ours.use(Room())
        return ours, detached

    def test_leave(self) -> None:
        """
        What was written, what was read and what is still to come is all there, in order.
        """
        stream = self.begin()
        stream.write(b"answer, ")
        ours, detached = self.taken(stream)
        self.assertEqual((detached.unread, detached.unsent, detached.waiting), (b"", b"", "a poll"))
        ours.send(b"and more")
        self.client.connection.bio_write(self.far.recv(65536))
        self.client.pump()
        self.assertEqual(self.client.received, b"answer, and more")
        self.client.connection.send(b"thanks")
        self.far.sendall(self.client._out())
        self.assertEqual(bytes(ours.recv(ROOM)), b"thanks")

    def test_unread(self) -> None:
        """
        What OpenSSL holds that nobody has read goes along; an end behind it is told, too.
        """
        stream = self.begin()
        self.client.connection.send(b"more")
        connection: Any = stream._tlsConnection
        connection.bio_write(self.client._out())
        self.client.connection.shutdown()
        connection.bio_write(self.client._out())
        ours, detached = self.taken(stream)
        self.assertEqual(detached.unread, b"more")
        self.assertEqual(ours.recv(ROOM), b"")

    def test_onSocket(self) -> None:
        """
        What takes its place, for those who stay, has all that was written and read; and whether its peer is
        still believed can be looked at.
        """
        stream = self.begin()
        stream.write(b"answer")
        self.client.connection.send(b"more")
        connection: Any = stream._tlsConnection
        connection.bio_write(self.client._out())
        inner = AccumulatingProtocol()
        made = onSocket(stream, inner)
        assert made is not None
        inner.makeConnection(made)
        made.begin()
        self.assertEqual(inner.data, b"more")
        made.doWrite()
        self.client.connection.bio_write(self.far.recv(65536))
        self.client.pump()
        self.assertEqual(self.client.received, b"answer")
        checkAgain(made)
        trust: Any = self.tenant.trust
        trust.issuer = OTHER
        self.assertIn("no root of ours", str(self.assertRaises(Refused, checkAgain, made)))

    def test_dead(self) -> None:
        """
        Afterwards the stream is nobody's, and what is still asked of it does nothing.
        """
        stream = self.begin()
        factory: Any = stream.factory
        self.assertEqual(len(factory.protocols), 1)
        self.taken(stream)
        self.assertEqual(len(factory.protocols), 0)
        stream.loseConnection()
        stream.abortConnection()
        stream.readConnectionLost()
        self.assertEqual(self.streams.made[0].lost, [])
        self.assertIs(IDetachableTLS(stream, None), None)

    def test_unheld(self) -> None:
        """
        What OpenSSL has of it is free when the socket is closed, also if something was written: nothing
        waits for the collector of garbage, of which there would be much before it looks.
        """
        self.addCleanup(gc.enable)
        gc.disable()
        for written in (b"", b"answer"):
            stream = self.begin()
            if written:
                stream.write(written)
            left = [ref(stream), ref(stream.getHandle())]
            ours, _ = self.taken(stream)
            ours.close()
            self.streams.made[0].transport = None
            del stream, ours
            self.assertEqual([each() for each in left], [None, None])

    def test_bare(self) -> None:
        """
        It is no bare socket, and nobody may take it for one.
        """
        stream = self.begin()
        self.assertIs(IDetachable(stream, None), None)
        self.assertIsNot(IDetachableTLS(stream, None), None)

    def test_stays(self) -> None:
        """
        One that is on its way down, has a producer, is over what has no socket, or with a pyOpenSSL that is
        otherwise inside, stays as it is.
        """
        self.assertIs(IDetachableTLS(self.begin(bare=False), None), None)
        stream = self.begin()
        stream.registerProducer(Producer(), True)
        self.assertIs(IDetachableTLS(stream, None), None)
        stream = self.begin()
        stream.loseConnection()
        self.assertIs(IDetachableTLS(stream, None), None)
        stream = self.begin()
        self.client.connection.shutdown()
        self.client.pump()
        self.assertIs(IDetachableTLS(stream, None), None)
        stream = self.begin()
        self.patch(tlsstream, "canLeave", lambda connection: False)
        self.assertIs(IDetachableTLS(stream, None), None)
