# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.negotiate}: the transport of the stream.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IDetachable, IHalfCloseableTransport, IPending
from ugate.protocols.negotiate import LINGER, Negotiating
from ugate.test.dialfakes import CLIENT, Recorders
from ugate.test.negotiatefakes import BareWire, HalfStream, NegotiateTestCase, Stream
from ugate.test.test_tlsclient import missing, selfSigned

NO = Refused(Cause.DENIED, Phase.POLICY, "here", "a rule")


class UpTestCase(NegotiateTestCase):
    """
    A stream that is up.
    """

    def up(self, rest: bytes = b"") -> Any:
        """
        Its inner protocol.
        """
        self.begin().dataReceived(b"open\n" + rest)
        assert self.owner.stream is not None
        return self.owner.stream


class PassingTests(UpTestCase):
    """
    What the host passes on, down and up.
    """

    def test_interfaces(self) -> None:
        """
        It is a transport, a consumer and a producer, and can end one direction.
        """
        host = self.begin()
        for interface in (ITransport, IConsumer, IPushProducer, IHalfCloseableTransport):
            verifyObject(interface, host)

    def test_writes(self) -> None:
        """
        Bytes go to the transport below.
        """
        transport = self.up().transport
        transport.write(b"one")
        transport.writeSequence([b" ", b"two"])
        self.assertEqual(self.said(), b"one two")
        self.assertEqual(transport.getHost(), self.wire.getHost())

    def test_producers(self) -> None:
        """
        So does back-pressure, both ways.
        """
        transport = self.up().transport
        producer = StringTransport()
        transport.registerProducer(producer, True)
        self.assertEqual((self.wire.producer, self.wire.streaming), (producer, True))
        transport.unregisterProducer()
        self.assertIs(self.wire.producer, None)
        for call, state in (
            (transport.pauseProducing, "paused"),
            (transport.resumeProducing, "producing"),
            (transport.stopProducing, "stopped"),
        ):
            call()
            self.assertEqual(self.wire.producerState, state)

    def test_ends(self) -> None:
        """
        So do the ends.
        """
        transport = self.up().transport
        transport.loseWriteConnection()
        self.assertEqual((self.wire.halfClosed, self.wire.disconnecting), (1, False))
        transport.loseConnection()
        self.assertEqual((self.wire.disconnecting, self.wire.disconnected), (True, False))
        transport.abortConnection()
        self.assertTrue(self.wire.disconnected)

    def test_told(self) -> None:
        """
        The inner protocol is told what happens below.
        """
        stream = self.up()
        self.host.writeConnectionLost()
        self.host.readConnectionLost()
        self.host.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(stream.events, ["made", "ended", "eof", ConnectionLost])
        self.assertEqual(self.owner.errors, [])

    def test_noHalfClose(self) -> None:
        """
        A protocol that knows nothing of half-closed connections loses the whole.
        """
        self.owner.stream = Stream()
        stream = self.up()
        self.host.writeConnectionLost()
        self.assertFalse(self.wire.disconnecting)
        self.host.readConnectionLost()
        self.assertEqual((stream.events, self.wire.disconnecting), (["made"], True))

    def test_stdio(self) -> None:
        """
        A transport that cannot abort is closed in its place.
        """
        closed: list[bool] = []

        class Stdio:
            def loseConnection(self) -> None:
                closed.append(True)

        self.begin()
        self.host.transport = Stdio()
        self.clock.advance(10)
        self.assertEqual(closed, [True])


class AnswerTests(UpTestCase):
    """
    The answer that the peer waits for.
    """

    def test_accept(self) -> None:
        """
        It is said once, in the words of the negotiation, before anything else.
        """
        transport = self.up().transport
        transport.accept()
        transport.accept()
        transport.refuse(NO)
        transport.write(b"data")
        self.assertEqual(self.said(), b"accepted\ndata")
        self.assertEqual((self.lines.answers, self.wire.halfClosed), (["accept"], 0))

    def test_acceptWithoutWords(self) -> None:
        """
        A protocol that has no word for it says none.
        """
        self.lines.accept = lambda: b""  # type: ignore[method-assign]
        self.up().transport.accept()
        self.assertEqual(self.said(), b"")

    def test_refuse(self) -> None:
        """
        A refusal is said, our direction ended, and the peer has a moment to read it;
        what it still sends is for nobody.
        """
        stream = self.up(b"rest")
        stream.transport.refuse(NO)
        stream.transport.refuse(NO)
        self.assertEqual(self.said(), b"refused\n")
        self.assertEqual((self.wire.halfClosed, self.wire.disconnecting), (1, False))
        self.host.dataReceived(b"more")
        self.clock.advance(LINGER - 0.1)
        self.assertEqual((stream.events, self.wire.disconnecting), (["made", b"rest"], False))
        self.clock.advance(0.1)
        self.assertTrue(self.wire.disconnected)
        self.assertEqual(self.owner.errors, [])

    def test_refuseInConnectionMade(self) -> None:
        """
        A stream may be refused as soon as it is known; what was sent along is for nobody.
        """
        stream = self.owner.stream
        assert stream is not None
        stream.act = lambda stream: stream.transport.refuse(NO)
        self.up(b"x" * (self.owner.cap + 1))
        self.assertEqual((self.said(), stream.events), (b"refused\n", ["made"]))
        self.assertEqual(self.owner.errors, [])

    def test_refusedPeerCloses(self) -> None:
        """
        A refused peer that closes is closed at once.
        """
        self.up().transport.refuse(NO)
        self.host.readConnectionLost()
        self.assertEqual((self.wire.disconnecting, self.wire.disconnected), (True, False))
        self.wire.lose(ConnectionDone())
        self.assertEqual(len(self.owner.lingering), 0)
        self.assertEqual(self.owner.errors, [])

    def test_refusedAfterItsEnd(self) -> None:
        """
        A peer that has ended before it is refused can read it, and is closed after it.
        """
        stream = self.up()
        self.host.readConnectionLost()
        stream.transport.refuse(NO)
        self.assertEqual((self.said(), self.wire.halfClosed), (b"refused\n", 0))
        self.assertEqual((self.wire.disconnecting, self.wire.disconnected), (True, False))
        self.clock.advance(LINGER)
        self.assertTrue(self.wire.disconnected)

    def test_tooLate(self) -> None:
        """
        An answer for a peer that is gone is nothing.
        """
        for answer in ("accept", "refuse"):
            self.setUp()
            transport = self.up().transport
            self.wire.lose(ConnectionDone())
            getattr(transport, answer)(*([NO] if answer == "refuse" else []))
            self.assertEqual((self.said(), self.wire.halfClosed), (b"", 0))
            self.assertEqual(len(self.owner.lingering), 0)

    def test_refuseBeneathTLS(self) -> None:
        """
        Over TLS the answer to what is below it can be given.
        """
        if missing:
            self.skipTest(missing)
        from twisted.protocols.tls import TLSMemoryBIOFactory

        inner = Recorders()
        tls: Any = TLSMemoryBIOFactory(selfSigned("here").options(), False, inner, self.clock)
        self.owner.stream = tls.buildProtocol(CLIENT)
        self.begin().dataReceived(b"open\n")
        transport: Any = inner.made[0].transport
        self.assertTrue(IPending.providedBy(transport))
        transport.accept()
        self.assertEqual(self.said(), b"accepted\n")


class DetachTests(UpTestCase):
    """
    Giving away the socket of the connection below.
    """

    def setUp(self) -> None:
        super().setUp()
        self.wire = self.bare = BareWire()
        self.addCleanup(self.bare.socket.close)

    def test_detach(self) -> None:
        """
        The socket comes with the bytes on their way, and the host is out of it.
        """
        stream = self.up()
        stream.transport.accept()
        detachable: Any = IDetachable(stream.transport)
        verifyObject(IDetachable, detachable)
        detached = detachable.detach()
        self.assertIs(detached.socket, self.bare.socket)
        self.assertEqual((detached.unread, detached.unsent), (b"unread", b"unsent"))
        self.assertEqual(detached.waiting, "a poll")
        self.host.dataReceived(b"late")
        self.host.silent()
        self.host.begin()
        self.host.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((stream.events, self.owner.errors), (["made"], []))
        self.assertIs(IDetachable(self.host, None), None)
        self.clock.advance(100)
        self.assertFalse(self.wire.disconnecting)

    def test_undelivered(self) -> None:
        """
        What came with the handshake and was not yet delivered goes first.
        """
        stream = HalfStream()
        self.owner.stream = stream
        taken: list[Any] = []
        stream.act = lambda stream: taken.append(IDetachable(stream.transport).detach())
        self.up(b"rest ")
        self.assertEqual((taken[0].unread, stream.events), (b"rest unread", ["made"]))
        self.assertEqual((taken[0].unsent, taken[0].waiting), (b"unsent", "a poll"))

    def test_inOpened(self) -> None:
        """
        The same when the socket goes as soon as the owner hears of the stream.
        """
        taken: list[Any] = []
        self.owner.opened = lambda inner: taken.append(  # type: ignore[method-assign]
            IDetachable(self.host).detach()
        )
        self.up(b"rest ")
        self.assertEqual((taken[0].unread, self.events), (b"rest unread", ["made"]))

    def test_onlyWhenUp(self) -> None:
        """
        A handshake has no socket to give.
        """
        self.begin()
        self.assertIs(IDetachable(self.host, None), None)

    def test_beneathAWrapper(self) -> None:
        """
        What is between, as a PROXY header of Twisted's, keeps the socket.
        """
        factory: Any = WrappingFactory(Recorders())
        between: Any = ProtocolWrapper(factory, HalfStream())
        self.owner.stream = between
        lower = self.begin()
        lower.dataReceived(b"open\n")
        self.assertIsNot(IDetachable(lower, None), None)
        self.assertIs(IDetachable(between, None), None)

    def test_beneathTLS(self) -> None:
        """
        So does TLS, also below another handshake: its socket is not for clear text.
        """
        if missing:
            self.skipTest(missing)
        from twisted.protocols.tls import TLSMemoryBIOFactory

        inner = Recorders()
        tls: Any = TLSMemoryBIOFactory(selfSigned("here").options(), False, inner, self.clock)
        self.owner.stream = tls.buildProtocol(CLIENT)
        self.begin().dataReceived(b"open\n")
        transport: Any = inner.made[0].transport
        self.assertIs(IDetachable(transport, None), None)
        self.owner.stream = HalfStream()
        upper = Negotiating(self.owner, CLIENT)
        upper.makeConnection(transport)
        upper.dataReceived(b"open\n")
        self.assertEqual(self.events, ["made"])
        self.assertIs(IDetachable(upper, None), None)

    def test_twoHandshakes(self) -> None:
        """
        One handshake above another hands the socket through, with what both kept.
        """
        stream = self.owner.stream
        upper = Negotiating(self.owner, CLIENT)
        lower = Negotiating(self.owner, CLIENT)
        self.owner.stream = upper  # type: ignore[assignment]
        lower.makeConnection(self.bare)
        lower.dataReceived(b"open\n")
        self.owner.stream = stream
        assert stream is not None
        upper.dataReceived(b"open\nrest")
        detached = IDetachable(upper).detach()
        self.assertIs(detached.socket, self.bare.socket)
        self.assertEqual(stream.events, ["made", b"rest"])
        self.assertIs(IDetachable(lower, None), None)
