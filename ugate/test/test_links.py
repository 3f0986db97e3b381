# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.links}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.links import LinkHost, linkTo
from ugate.errors import Cause, Phase, Refused
from ugate.stream import StreamInfo
from ugate.test.gatewayfakes import Dial, PendingWire
from ugate.test.muxfakes import INFO
from ugate.testing.linkmaker import linkPair
from ugate.testing.links import MemoryLink


class Shaking(Protocol):
    """
    The protocol of a link that is in its handshake.
    """

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.up: Deferred[Any] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """
        Note it.
        """
        self.heard.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note why.
        """
        self.heard.append(reason.type)


class HostCase(SynchronousTestCase):
    """
    A connection on its way to be a link.
    """

    def setUp(self) -> None:
        """
        One that is not up.
        """
        self.shaking = Shaking()
        self.infos: list[StreamInfo] = []
        self.host = LinkHost(self.maker)
        self.link: MemoryLink = linkPair(Clock())[0]

    def maker(self, info: StreamInfo) -> tuple[IProtocol, Deferred[Any]]:
        """
        What makes the link.
        """
        self.infos.append(info)
        return self.shaking, self.shaking.up


class HostTests(HostCase):
    """
    L{LinkHost}.
    """

    def test_up(self) -> None:
        """
        The maker is told what is known, its protocol has all that comes, and its link is handed out.
        """
        wire = PendingWire(INFO)
        self.host.makeConnection(wire)
        self.assertEqual(["accepted"], wire.answers)
        self.assertEqual([INFO], self.infos)
        self.assertIs(wire, self.shaking.transport)
        self.host.dataReceived(b"hello")
        self.assertNoResult(self.host.up)
        self.shaking.up.callback(self.link)
        self.assertIs(self.link, self.successResultOf(self.host.up))
        self.host.dataReceived(b"more")
        self.host.connectionLost(Failure(ConnectionLost()))
        self.assertEqual([b"hello", b"more", ConnectionLost], self.shaking.heard)
        self.assertEqual("link", self.host.logPrefix())

    def test_plain(self) -> None:
        """
        Of a plain connection its addresses are known.
        """
        wire = StringTransport()
        self.host.makeConnection(wire)
        self.assertEqual([StreamInfo(wire.getPeer(), wire.getHost())], self.infos)

    def test_fails(self) -> None:
        """
        A handshake that fails costs the connection, and says why.
        """
        wire = StringTransport()
        self.host.makeConnection(wire)
        self.shaking.up.errback(Refused(Cause.PEER_MISBEHAVED, Phase.NEGOTIATE, "peer"))
        self.assertTrue(wire.disconnected)
        self.failureResultOf(self.host.up, Refused)

    def test_makerRefuses(self) -> None:
        """
        So does a maker that makes none.
        """

        def maker(info: StreamInfo) -> Any:
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, "peer")

        host = LinkHost(maker)
        wire = StringTransport()
        host.makeConnection(wire)
        self.assertTrue(wire.disconnected)
        self.failureResultOf(host.up, Refused)
        host.dataReceived(b"x")
        host.connectionLost()

    def test_lost(self) -> None:
        """
        A connection that is lost before it is a link never is one.
        """
        self.host.makeConnection(StringTransport())
        self.host.connectionLost(Failure(ConnectionLost()))
        refused = self.failureResultOf(self.host.up, Refused).value
        self.assertIs(Cause.PEER_CLOSED, refused.cause)
        self.assertEqual([ConnectionLost], self.shaking.heard)
        self.shaking.up.callback(self.link)
        self.assertTrue(self.link.isClosed)

    def test_cancel(self) -> None:
        """
        Who gives up cuts the connection; a link that comes up anyway is cut, too.
        """
        wire = StringTransport()
        self.host.makeConnection(wire)
        self.host.up.cancel()
        self.failureResultOf(self.host.up, CancelledError)
        self.assertTrue(wire.disconnected)
        self.shaking.up.callback(self.link)
        self.assertTrue(self.link.isClosed)


class LinkToTests(HostCase):
    """
    L{linkTo}.
    """

    def setUp(self) -> None:
        """
        A connection that is being made.
        """
        super().setUp()
        self.clock = Clock()
        self.dial = Dial()
        self.linking = linkTo(self.clock, self.dial, self.maker, hop="h2connect:gate:443", deadline=4)

    def assertRefused(self, cause: Cause) -> Refused:
        """
        There is no link.
        """
        refused = self.failureResultOf(self.linking, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual((cause, "h2connect:gate:443"), (refused.cause, refused.hop))
        return refused

    def test_linked(self) -> None:
        """
        The link is there when the handshake is over, and no time is counted any more.
        """
        self.dial.up()
        self.clock.advance(3)
        self.shaking.up.callback(self.link)
        self.assertIs(self.link, self.successResultOf(self.linking))
        self.clock.advance(10)
        self.assertFalse(self.link.isClosed)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_late(self) -> None:
        """
        A handshake has its time.
        """
        wire = self.dial.up()
        self.clock.advance(4)
        self.assertIn("4 s", self.assertRefused(Cause.TIMED_OUT).detail)
        self.assertTrue(wire.disconnected)

    def test_notConnected(self) -> None:
        """
        Without a connection there is none.
        """
        self.dial.down(ConnectionLost())
        self.assertRefused(Cause.PEER_CLOSED)

    def test_refused(self) -> None:
        """
        What the peer has against it is told with the name of the hop.
        """
        self.dial.up()
        self.shaking.up.errback(Refused(Cause.DENIED, Phase.NEGOTIATE, "peer", "not you"))
        self.assertEqual("not you", self.assertRefused(Cause.DENIED).detail)

    def test_fault(self) -> None:
        """
        What is no matter of the connection stays what it is.
        """
        self.dial.connect = lambda factory: fail(ValueError("a fault"))  # type: ignore[method-assign]
        linking = linkTo(self.clock, self.dial, self.maker, hop="x")
        self.failureResultOf(linking, ValueError)

    def test_givenUp(self) -> None:
        """
        Who waits no longer cancels whatever is under way.
        """
        self.linking.cancel()
        self.failureResultOf(self.linking, CancelledError)
        self.assertEqual(1, self.dial.cancelled)
        dial = Dial()
        linking = linkTo(self.clock, dial, self.maker, hop="x")
        wire = dial.up()
        linking.cancel()
        self.failureResultOf(linking, CancelledError)
        self.assertTrue(wire.disconnected)
