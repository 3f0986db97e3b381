# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpstream}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Refused
from ugate.interfaces import IPending
from ugate.protocols.httpstream import HttpStream
from ugate.stream import Target
from ugate.test.httpfakes import HTTP, PROXY, FakeGateway, FakeStream

INFO = HTTP.but(target=Target("a.example", 80))


class Owner:
    """
    Notes what it is told.
    """

    def __init__(self) -> None:
        self.told: list[object] = []

    def streamAccepted(self) -> None:
        """
        Note it.
        """
        self.told.append("accepted")

    def streamRefused(self, reason: Refused) -> None:
        """
        Note it.
        """
        self.told.append(reason.cause)

    def streamData(self, data: bytes) -> None:
        """
        Note it.
        """
        self.told.append(data)

    def streamEnded(self) -> None:
        """
        Note it.
        """
        self.told.append("ended")

    def streamLost(self, clean: bool) -> None:
        """
        Note it.
        """
        self.told.append(("lost", clean))

    def streamFull(self, full: bool) -> None:
        """
        Note it.
        """
        self.told.append(("full", full))


class StreamTests(SynchronousTestCase):
    """
    A stream with a protocol on it.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.owner = Owner()
        self.stream = HttpStream(INFO, PROXY, self.clock, self.owner)
        self.protocol = FakeStream(FakeGateway(False), INFO)
        self.stream.start(self.protocol)

    def accept(self) -> None:
        """
        Get over with it.
        """
        self.stream.accept()
        self.clock.advance(0)
        self.assertEqual(self.owner.told, ["accepted"])
        self.owner.told.clear()

    def test_interfaces(self) -> None:
        """
        It is a transport that owes an answer.
        """
        for interface in ITransport, IConsumer, IPushProducer, IHalfCloseableDescriptor, IPending:
            verifyObject(interface, self.stream)
        verifyObject(IProtocol, self.protocol)
        self.assertEqual((self.stream.getPeer(), self.stream.getHost()), (INFO, PROXY))

    def test_accept(self) -> None:
        """
        The owner hears of it when the call is over, once.
        """
        self.stream.accept()
        self.assertEqual(self.owner.told, [])
        self.clock.advance(0)
        self.assertEqual(self.owner.told, ["accepted"])
        self.assertRaises(RuntimeError, self.stream.accept)
        self.assertRaises(RuntimeError, self.stream.refuse, Denied("x"))

    def test_acceptThenWrite(self) -> None:
        """
        It hears of it before anything else.
        """
        self.stream.accept()
        self.stream.write(b"hi")
        self.stream.loseWriteConnection()
        self.clock.advance(0)
        self.assertEqual(self.owner.told, ["accepted", b"hi", "ended"])

    def test_refuse(self) -> None:
        """
        A refusal is an end.
        """
        self.stream.refuse(Denied("x"))
        self.assertEqual(self.owner.told, [Cause.DENIED])
        self.assertIsNone(self.protocol.lost)
        self.clock.advance(0)
        assert self.protocol.lost is not None
        self.protocol.lost.trap(ConnectionDone)
        self.assertEqual(self.owner.told, [Cause.DENIED])

    def test_tooEarly(self) -> None:
        """
        Bytes before the answer are an error.
        """
        self.assertRaises(RuntimeError, self.stream.write, b"x")

    def test_data(self) -> None:
        """
        Bytes go both ways.
        """
        self.accept()
        self.stream.writeSequence([b"a", b"b"])
        self.stream.write(b"")
        self.assertEqual(self.owner.told, [b"ab"])
        self.stream.deliver(b"cd")
        self.assertEqual(self.protocol.received, b"cd")

    def test_targetEnds(self) -> None:
        """
        The target ends its direction once, and then writes no more.
        """
        self.accept()
        self.stream.writeConnectionLost(Failure(ConnectionDone()))
        self.stream.loseWriteConnection()
        self.stream.write(b"x")
        self.assertEqual(self.owner.told, ["ended"])
        self.stream.deliver(b"still")
        self.assertEqual(self.protocol.received, b"still")

    def test_clientEnds(self) -> None:
        """
        The other direction ends as well.
        """
        self.accept()
        self.stream.readConnectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.protocol.ended)
        self.stream.write(b"still")
        self.assertEqual(self.owner.told, [b"still"])

    def test_noHalfClose(self) -> None:
        """
        For a protocol that knows no half-closed streams it is the end of both.
        """
        stream = HttpStream(INFO, PROXY, self.clock, self.owner)
        protocol = Protocol()
        reasons: list[Failure | None] = []
        protocol.connectionLost = reasons.append  # type: ignore[method-assign,assignment]
        stream.start(protocol)
        stream.deliverEnd()
        self.assertEqual(self.owner.told, [("lost", False)])
        self.clock.advance(0)
        self.assertEqual(len(reasons), 1)

    def test_lose(self) -> None:
        """
        The end is heard of at once by the owner, and later by the protocol.
        """
        self.accept()
        self.stream.loseConnection()
        self.stream.loseConnection()
        self.stream.abortConnection()
        self.assertEqual(self.owner.told, [("lost", True)])
        self.assertIsNone(self.protocol.lost)
        self.clock.advance(0)
        assert self.protocol.lost is not None
        self.protocol.lost.trap(ConnectionDone)
        self.stream.deliver(b"x")
        self.stream.deliverEnd()
        self.stream.pauseProducing()
        self.assertEqual((self.protocol.received, self.protocol.ended), (b"", False))
        self.assertEqual(self.owner.told, [("lost", True)])

    def test_loseUnanswered(self) -> None:
        """
        To close without an answer is no clean end.
        """
        self.stream.loseConnection()
        self.assertEqual(self.owner.told, [("lost", False)])

    def test_abort(self) -> None:
        """
        Nor is this.
        """
        self.accept()
        self.stream.abortConnection()
        self.clock.advance(0)
        self.assertEqual(self.owner.told, [("lost", False)])
        assert self.protocol.lost is not None
        self.protocol.lost.trap(ConnectionAborted)

    def test_close(self) -> None:
        """
        The owner that closes hears of nothing more.
        """
        self.stream.accept()
        self.stream.close()
        self.clock.advance(0)
        self.stream.write(b"x")
        self.stream.loseConnection()
        self.assertEqual(self.owner.told, [])
        assert self.protocol.lost is not None
        self.protocol.lost.trap(ConnectionDone)

    def test_closeWhileDialing(self) -> None:
        """
        An answer that comes too late is no error.
        """
        self.stream.close(ConnectionAborted())
        self.stream.accept()
        self.clock.advance(0)
        self.assertEqual(self.owner.told, [])
        other = HttpStream(INFO, PROXY, self.clock, self.owner)
        other.start(FakeStream(FakeGateway(False), INFO))
        other.close()
        other.refuse(Denied("x"))
        self.assertEqual(self.owner.told, [])

    def test_full(self) -> None:
        """
        The protocol pauses and resumes the bytes for the target.
        """
        self.stream.pauseProducing()
        self.stream.resumeProducing()
        self.assertEqual(self.owner.told, [("full", True), ("full", False)])

    def test_stop(self) -> None:
        """
        A target that takes nothing more says later how it ended.
        """
        self.accept()
        self.stream.stopProducing()
        self.stream.deliver(b"x")
        self.assertEqual((self.protocol.received, self.owner.told), (b"", []))
        self.stream.abortConnection()
        self.assertEqual(self.owner.told, [("lost", False)])

    def test_hold(self) -> None:
        """
        The owner pauses and resumes the bytes of the target, whenever these begin.
        """
        producer = StringTransport()
        self.stream.hold(True)
        self.stream.registerProducer(producer, True)
        self.assertEqual(producer.producerState, "paused")
        self.stream.hold(False)
        self.stream.hold(False)
        self.assertEqual(producer.producerState, "producing")
        self.stream.hold(True)
        self.assertEqual(producer.producerState, "paused")
        self.stream.unregisterProducer()
        self.stream.hold(False)
        self.assertEqual(producer.producerState, "paused")

    def test_producers(self) -> None:
        """
        There is one streaming producer at a time, and none after the end.
        """
        producer = StringTransport()
        self.assertRaises(ValueError, self.stream.registerProducer, producer, False)
        self.stream.registerProducer(producer, True)
        self.assertRaises(RuntimeError, self.stream.registerProducer, producer, True)
        self.stream.unregisterProducer()
        self.stream.close()
        self.stream.registerProducer(producer, True)
        self.assertEqual(producer.producerState, "stopped")
