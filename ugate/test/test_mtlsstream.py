# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsstream}.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from zope.interface import implementer

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IPushProducer,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IPending
from ugate.protocols import tlsrecords
from ugate.test.dialfakes import Recorders
from ugate.test.mtlsfakes import ALICE, ROOT, SERVER, Below, Client, Halves
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
