# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.negotiate}: up to where the stream begins.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyClass, verifyObject

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.task import Clock

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import IPending, ISilence
from ugate.protocols.negotiate import LINGER, Negotiating
from ugate.test.dialfakes import CLIENT
from ugate.test.negotiatefakes import (
    DEADLINE,
    WANTED,
    Lines,
    Listener,
    NegotiateTestCase,
    PendingWire,
    Wire,
)


class HandshakeTests(NegotiateTestCase):
    """
    From the first byte to the stream.
    """

    def test_interfaces(self) -> None:
        """
        The fakes are what they stand for, and so is the host.
        """
        verifyClass(ISilence, Lines)
        host = self.begin()
        for interface in (IProtocol, IHalfCloseableProtocol):
            verifyObject(interface, host)

    def test_pendingInterface(self) -> None:
        """
        The host owes its peer an answer.
        """
        verifyObject(IPending, self.begin())

    def test_hello(self) -> None:
        """
        What the negotiation says first is written at once; its answers too.
        """
        self.lines.hello = b"lines 1.0\n"
        self.begin()
        self.assertEqual(self.said(), b"lines 1.0\n")
        self.host.dataReceived(b"hello\nhe")
        self.assertEqual(self.said(), b"hi\n")
        self.host.dataReceived(b"llo\n")
        self.assertEqual(self.said(), b"hi\n")

    def test_open(self) -> None:
        """
        Once it is done, there is an inner protocol, which sees what is known of the
        stream and gets all that comes afterwards.
        """
        self.begin()
        self.assertIs(self.host.getPeer(), CLIENT)
        seen: list[object] = []
        stream = self.owner.stream
        assert stream is not None
        stream.act = lambda stream: seen.append(stream.transport.getPeer())
        self.host.dataReceived(b"open\n")
        self.host.dataReceived(b"data")
        self.assertEqual(seen, [WANTED])
        self.assertEqual(self.events, ["made", b"data"])
        self.assertEqual(self.owner.opens, [stream])
        self.assertEqual(self.owner.steps[0].info, WANTED)
        self.assertEqual(self.lines.fed, [b"open\n"])

    def test_rest(self) -> None:
        """
        What came with the last of the handshake is the stream's, after connectionMade.
        """
        self.begin()
        self.host.dataReceived(b"open\nhello\nmore")
        self.assertEqual(self.events, ["made", b"hello\nmore"])
        self.assertEqual(self.said(), b"")

    def test_noInner(self) -> None:
        """
        An owner that wants no stream now closes the connection.
        """
        self.owner.stream = None
        self.begin()
        self.host.dataReceived(b"open\nmore")
        self.assertTrue(self.wire.disconnecting)
        (error,) = self.owner.errors
        assert isinstance(error, Refused)
        self.assertIs(error.cause, Cause.OVERLOADED)

    def test_eager(self) -> None:
        """
        With an eager owner, a negotiation that needs nothing of its peer is done at
        once; one that needs something waits.
        """
        self.owner.eager = True
        self.begin()
        self.assertEqual(self.lines.fed, [b""])
        self.assertEqual(self.events, [])
        self.owner = Listener(self.clock)
        self.owner.eager = True
        self.owner.negotiation.receive = lambda data: self.owner.negotiation.silent()
        self.begin()
        self.assertEqual(self.events, ["made"])

    def test_pendingBelow(self) -> None:
        """
        A transport that owes its own peer an answer is accepted, before a word is said.
        """
        self.wire = PendingWire()
        self.lines.hello = b"hello"
        self.begin()
        self.assertEqual((self.wire.answers, self.wire.before), ([None], b""))
        self.assertEqual(self.said(), b"hello")

    def test_silent(self) -> None:
        """
        A negotiation may decide that its peer waits for a server that speaks first.
        """
        self.begin().silent()
        self.assertEqual(self.events, ["made"])
        self.assertEqual(getattr(self.host.getPeer(), "protocol", None), "silent")

    def test_notSilent(self) -> None:
        """
        A peer that has said something, has its stream, or is told to go is not silent.
        """
        self.begin().dataReceived(b"h")
        self.host.silent()
        self.assertEqual(self.events, [])
        self.host.dataReceived(b"ello\nopen\n")
        self.host.silent()
        self.assertEqual(self.events, ["made"])
        other = Listener(self.clock)
        other.negotiation = None
        host = Negotiating(other, CLIENT)
        host.makeConnection(Wire())
        host.silent()
        self.assertEqual(other.steps, [])

    def test_mistakeInSilence(self) -> None:
        """
        A mistake of ours that no reactor hears of ends the connection, and is logged.
        """
        stream = self.owner.stream
        assert stream is not None
        stream.act = lambda stream: 1 // 0
        self.begin().silent()
        self.assertTrue(self.wire.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @given(st.lists(st.integers(1, 60), max_size=20), st.binary(max_size=60))
    def test_anySplit(self, cuts: list[int], rest: bytes) -> None:
        """
        However the bytes arrive, the same is said, known and delivered.
        """
        owner, wire = Listener(Clock()), Wire()
        host = Negotiating(owner, CLIENT)
        host.makeConnection(wire)
        data = b"hello\nlogin alice\nhello\nopen\n" + rest
        while data:
            size = cuts.pop() if cuts else len(data)
            host.dataReceived(data[:size])
            data = data[size:]
        self.assertEqual(wire.value(), b"hi\nwelcome alice\nhi\n")
        assert owner.stream is not None
        events = owner.stream.events
        self.assertEqual(events[0], "made")
        self.assertEqual(b"".join(e for e in events if isinstance(e, bytes)), rest)


class LimitTests(NegotiateTestCase):
    """
    What a peer may not do, and what becomes of it.
    """

    def refusal(self) -> Refused | ProtocolError:
        """
        The one error that the owner heard of.
        """
        (error,) = self.owner.errors
        assert isinstance(error, (Refused, ProtocolError))
        return error

    def test_cap(self) -> None:
        """
        So many bytes may come before the stream is asked for, and not one more.
        """
        self.owner.cap = 100
        self.begin()
        self.host.dataReceived(b"x" * 99)
        self.host.dataReceived(b"x")
        self.assertEqual(self.owner.errors, [])
        self.host.dataReceived(b"x")
        self.assertIn("100 bytes", str(self.refusal()))
        self.assertTrue(self.wire.disconnecting)
        fed = len(self.lines.fed)
        self.host.dataReceived(b"\nopen\n")
        self.assertEqual((len(self.lines.fed), self.events), (fed, []))

    def test_capAndRest(self) -> None:
        """
        What came with the end of the handshake, in one piece, does not count.
        """
        self.owner.cap = 100
        rest = b"x" * 5000
        self.begin().dataReceived(b"open\n" + rest)
        self.assertEqual(self.events, ["made", rest])
        self.assertEqual(self.owner.errors, [])

    def test_capWhileChecking(self) -> None:
        """
        What comes while a login is checked counts, since somebody has to keep it.
        """
        self.owner.cap = 100
        self.owner.users[b"bob"] = Deferred()
        self.begin().dataReceived(b"login bob\n")
        self.host.dataReceived(b"x" * 90)
        self.assertEqual(self.owner.errors, [])
        self.host.dataReceived(b"x")
        self.assertIn("100 bytes", str(self.refusal()))
        self.assertTrue(self.wire.disconnecting)

    def test_deadline(self) -> None:
        """
        A handshake has its time, whatever happens meanwhile; then it is cut.
        """
        self.begin()
        for _ in range(9):
            self.clock.advance(1)
            self.host.dataReceived(b"hello\n")
        self.clock.advance(DEADLINE - 9.01)
        self.assertEqual(self.owner.errors, [])
        self.clock.advance(0.01)
        error = self.refusal()
        assert isinstance(error, Refused)
        self.assertEqual((error.cause, error.phase), (Cause.TIMED_OUT, Phase.NEGOTIATE))
        self.assertTrue(self.wire.disconnected)
        self.wire.lose(ConnectionLost())
        self.assertEqual(len(self.owner.errors), 1)

    def test_deadlineOfTheHandshakeOnly(self) -> None:
        """
        A stream that is up has all the time in the world.
        """
        self.begin().dataReceived(b"open\n")
        self.clock.advance(DEADLINE * 10)
        self.assertEqual((self.owner.errors, self.wire.disconnecting), ([], False))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_badWithReply(self) -> None:
        """
        A peer that breaks the protocol is told so, and has a moment to read it.
        """
        self.begin().dataReceived(b"bad\n")
        self.assertEqual(self.said(), b"bad\n")
        self.assertIsInstance(self.refusal(), ProtocolError)
        self.assertEqual((self.wire.halfClosed, self.wire.disconnecting), (1, False))
        self.clock.advance(LINGER - 0.1)
        self.assertFalse(self.wire.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(self.wire.disconnected)
        self.assertEqual(len(self.owner.errors), 1)

    def test_badWithoutReply(self) -> None:
        """
        One that nothing can be said to is cut; nothing is left of it.
        """
        for line in (b"rude\n", b"no\n"):
            self.setUp()
            self.begin().dataReceived(line)
            self.assertEqual(self.said(), b"")
            self.assertTrue(self.wire.disconnected)
            self.assertEqual(len(self.owner.errors), 1)
            self.wire.lose(ConnectionDone())
            self.assertEqual(len(self.owner.errors), 1)
            self.assertEqual((len(self.owner.deadlines), len(self.owner.lingering)), (0, 0))

    def test_noNegotiation(self) -> None:
        """
        An owner that has no negotiation for a connection says why.
        """
        self.owner.negotiation = None
        self.begin()
        self.assertIn("no negotiation", str(self.refusal()))
        self.assertTrue(self.wire.disconnected)
        self.host.dataReceived(b"hello\n")
        self.host.begin()

    def test_lost(self) -> None:
        """
        A peer that goes away in the middle is told of once, with what was wrong.
        """
        for reason, detail in ((ConnectionDone(), ""), (ConnectionLost("cut"), "cut")):
            self.setUp()
            self.begin().dataReceived(b"hel")
            self.wire.lose(reason)
            error = self.refusal()
            assert isinstance(error, Refused)
            self.assertIs(error.cause, Cause.PEER_CLOSED)
            self.assertIn(detail, error.detail)
            self.assertEqual(len(self.owner.deadlines), 0)

    def test_end(self) -> None:
        """
        A peer that ends before its handshake is done is closed.
        """
        self.begin().dataReceived(b"hel")
        self.host.readConnectionLost()
        self.assertTrue(self.wire.disconnecting)
        self.wire.lose(ConnectionDone())
        self.assertIsInstance(self.refusal(), Refused)
