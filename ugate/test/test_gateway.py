# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How a stream is decided: who asks, may it, where to, and what its peer is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory

from ugate.errors import Cause, Denied, Phase, Refused
from ugate.leg import EARLY_LIMIT, Leg
from ugate.metering import Meters
from ugate.relay import Carried, Relay
from ugate.stream import Principal, StreamInfo, Target
from ugate.test.gatewayfakes import (
    ALICE,
    HERE,
    INFO,
    PEER,
    TARGET,
    THERE,
    Dial,
    GatewayCase,
    PendingWire,
    Wire,
)

NO = Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "db.example:5432", "", "start it")


class Faulty(Relay):
    """
    A relay that does not work.
    """

    def join(
        self,
        a: Leg,
        b: Leg,
        finished: Callable[[Carried, str], object],
        meters: Meters | None = None,
        target: Target | None = None,
    ) -> Carried | None:
        raise ZeroDivisionError("in join")


class AnswerTests(GatewayCase):
    """
    Streams that are carried, and those that are not.
    """

    def test_acceptedWhenDialed(self) -> None:
        """
        The peer is told that its stream is up when it is, not before.
        """
        wire = self.ask()
        self.assertEqual(self.rules.asked, [INFO])
        self.assertEqual((wire.answers, len(self.flows)), ([], 1))
        there = self.rules.dials[0].up()
        self.assertEqual((wire.answers, len(self.flows), len(self.relay)), (["accepted"], 1, 1))
        wire.protocol.dataReceived(b"select 1")
        there.protocol.dataReceived(b"1")
        self.assertEqual((there.take(), wire.take()), (b"select 1", b"1"))

    def test_atOnce(self) -> None:
        """
        A dialer may have its connection at once.
        """

        class Ready(Dial):
            def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
                built = factory.buildProtocol(THERE)
                return succeed(self.wire.attach(built))

        self.rules.make = Ready
        wire = self.ask()
        self.assertEqual((wire.answers, len(self.flows), len(self.relay)), (["accepted"], 1, 1))

    def test_refusedByDial(self) -> None:
        """
        Why a target was not reached is told as it was found out.
        """
        wire = self.ask()
        self.rules.dials[0].down(NO)
        self.assertIs(self.refusal(wire), NO)
        self.assertEqual(len(self.flows), 0)
        (said,) = self.said()
        self.assertEqual(
            said,
            "main: 192.0.2.7:40000 -> db.example:5432 socks5 alice: refused: "
            "connect at db.example:5432: connection refused; start it",
        )

    def test_refusedAtOnce(self) -> None:
        """
        The same when the connection has failed at once.
        """

        class Failed(Dial):
            def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
                return fail(NO)

        self.rules.make = Failed
        wire = self.ask()
        self.assertIs(self.refusal(wire), NO)
        self.assertEqual((len(self.flows), len(self.said())), (0, 1))

    def test_noWay(self) -> None:
        """
        The same when the dialer knows no way.
        """
        self.rules.refused = NO
        self.assertIs(self.refusal(self.ask()), NO)
        self.assertEqual((len(self.flows), len(self.said())), (0, 1))

    def test_denied(self) -> None:
        """
        Policy is asked first; what it forbids is not dialed.
        """
        self.rules.denied = Denied("db.example:5432", "rule 7")
        wire = self.ask()
        self.assertIs(self.refusal(wire), self.rules.denied)
        self.assertEqual((self.rules.asked, len(self.flows)), ([], 0))
        (said,) = self.said()
        self.assertIn("denied by policy (rule 7)", said)

    def test_ownFaults(self) -> None:
        """
        An error of ours, wherever it is, refuses the stream and is told in full in the
        log; the peer hears no more of it than its text.
        """

        class Faulty(Dial):
            def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
                raise ZeroDivisionError("in connect")

        wires = []
        self.rules.denied = ZeroDivisionError("in check")
        wires.append(self.ask())
        self.rules.denied, self.rules.refused = None, ZeroDivisionError("in endpointFor")
        wires.append(self.ask())
        self.rules.refused, self.rules.make = None, Faulty
        wires.append(self.ask())
        self.rules.make = Dial
        wires.append(self.ask())
        self.rules.dials[-1].down(ZeroDivisionError("later"))
        for wire, words in zip(wires, ("in check", "in endpointFor", "in connect", "later"), strict=True):
            refused = self.refusal(wire)
            self.assertEqual((refused.cause, refused.detail), (Cause.GENERAL, words))
        self.assertEqual(len(self.flows), 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)
        self.assertEqual(len([line for line in self.said() if "refused: " in line]), 4)

    def test_cannotBeCarried(self) -> None:
        """
        An error of ours in the relay resets both ends, is told in full, and leaves nothing.
        """
        for error in (ZeroDivisionError("in join"), None):
            self.flows.relay = Faulty(self.clock) if error is not None else self.relay
            wire = self.ask()
            there = self.rules.dials[-1].up()
            self.assertEqual((wire.disconnected, there.disconnected), (error is not None,) * 2)
        self.assertEqual((len(self.flows.dialing), len(self.relay)), (0, 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len([line for line in self.said() if "refused: remote" in line]), 1)

    def test_plainTransport(self) -> None:
        """
        A peer that speaks no protocol of ours is told nothing: its connection is reset, or
        it is just carried.
        """
        gateway = self.gateway(to=TARGET, anonymous=ALICE)
        for error in (NO, None):
            wire = Wire(PEER)
            wire.attach(gateway.buildProtocol(PEER))
            if error is not None:
                self.rules.dials[-1].down(error)
                self.assertTrue(wire.disconnected)
            else:
                self.rules.dials[-1].up()
                wire.protocol.dataReceived(b"hello")
                self.assertEqual(self.rules.dials[-1].wire.take(), b"hello")
        self.assertEqual(self.rules.asked[0], StreamInfo(PEER, HERE, TARGET, ALICE))


class KnownTests(GatewayCase):
    """
    What a listener adds to what is known of a stream.
    """

    def test_asItIs(self) -> None:
        """
        Where to and who is for the stream to say, if it can.
        """
        self.ask(gateway=self.gateway(to=Target("other", 1), anonymous=Principal("anyone", "open")))
        self.assertEqual(self.rules.asked, [INFO])

    def test_fixedTarget(self) -> None:
        """
        A listener may know where to.
        """
        self.ask(INFO.but(target=None), self.gateway(to=TARGET))
        self.assertEqual(self.rules.asked, [INFO])

    def test_anonymous(self) -> None:
        """
        A listener may have a name for those who have not logged in.
        """
        self.ask(INFO.but(principal=None), self.gateway(anonymous=ALICE))
        self.assertEqual(self.rules.asked, [INFO])

    def test_name(self) -> None:
        """
        In the log of the reactor it is the listener.
        """
        self.assertEqual(self.gateway().logPrefix(), "listener main")

    def test_nobody(self) -> None:
        """
        Without either it stays unknown; policy and routes decide.
        """
        info = INFO.but(principal=None, target=None, hints={"sni": "a"}, layers=("x",))
        self.ask(info)
        self.assertEqual(self.rules.asked, [info])


class EarlyTests(GatewayCase):
    """
    What the peer says before it has an answer.
    """

    def test_kept(self) -> None:
        """
        It is kept, and goes first.
        """
        wire = self.ask()
        wire.protocol.dataReceived(b"begin")
        wire.protocol.dataReceived(b" now")
        there = self.rules.dials[0].up()
        wire.protocol.dataReceived(b" then")
        self.assertEqual(there.take(), b"begin now then")

    def test_bounded(self) -> None:
        """
        So much is kept; then the peer is paused, until the stream is up.
        """
        wire = self.ask()
        wire.protocol.dataReceived(bytes(EARLY_LIMIT - 1))
        self.assertEqual(wire.producerState, "producing")
        wire.protocol.dataReceived(b"!")
        self.assertEqual(wire.producerState, "paused")
        there = self.rules.dials[0].up()
        self.assertEqual((wire.producerState, len(there.take())), ("producing", EARLY_LIMIT))

    def test_refusedWhilePaused(self) -> None:
        """
        Who is refused is read again, so that it can go, and what it says is dropped.
        """
        wire = self.ask()
        wire.protocol.dataReceived(bytes(EARLY_LIMIT))
        self.rules.dials[0].down(NO)
        self.assertEqual(wire.producerState, "producing")
        inbound = self.inbound(wire)
        inbound.dataReceived(bytes(EARLY_LIMIT))
        self.assertEqual((inbound.early, wire.producerState), (b"", "producing"))

    def test_ended(self) -> None:
        """
        A peer may say all that it has to say and end its direction before the answer.
        """
        wire = self.ask()
        wire.protocol.dataReceived(b"all")
        wire.protocol.readConnectionLost()
        there = self.rules.dials[0].up()
        self.assertEqual((there.take(), there.ended), (b"all", True))
        there.protocol.dataReceived(b"answer")
        self.assertEqual(wire.take(), b"answer")


class GoneTests(GatewayCase):
    """
    Peers that do not wait, and targets that come late.
    """

    def gone(self, wire: PendingWire) -> None:
        """
        What is left of a peer that has gone away.
        """
        self.assertEqual((wire.answers, len(self.flows)), ([], 0))
        (said,) = self.said()
        self.assertIn("the client went away", said)
        self.assertNotIn("log of that peer", said)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancelled(self) -> None:
        """
        Nobody is dialed for who is not there any more.
        """
        wire = self.ask()
        wire.lost(ConnectionLost())
        self.assertEqual(self.rules.dials[0].cancelled, 1)
        self.gone(wire)

    def test_anyCancellation(self) -> None:
        """
        By which error a dialer says that it was cancelled makes no difference.
        """
        for error in (CancelledError(), ConnectingCancelledError(THERE), OSError("gone")):

            class Strange(Dial):
                fault = error

                def _cancel(self, connected: Deferred[IProtocol]) -> None:
                    connected.errback(self.fault)

            self.rules.make = Strange
            wire = self.ask()
            wire.lost()
            self.gone(wire)

    def test_chained(self) -> None:
        """
        A dialer whose first step is done at once and whose second takes its time can
        still be cancelled.
        """
        second = Dial()

        class Chained(Dial):
            def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
                first: Deferred[Any] = succeed(None)
                first.addCallback(lambda _: second.connect(factory))
                return first

        self.rules.make = Chained
        wire = self.ask()
        wire.lost()
        self.assertEqual(second.cancelled, 1)
        self.gone(wire)

    def test_lateSuccess(self) -> None:
        """
        A connection that a dialer has all the same is reset.
        """

        class Stubborn(Dial):
            def _cancel(self, connected: Deferred[IProtocol]) -> None:
                self.up()

        self.rules.make = Stubborn
        wire = self.ask()
        wire.lost()
        self.assertTrue(self.rules.dials[0].wire.disconnected)
        self.gone(wire)

    def test_lateRefusal(self) -> None:
        """
        A refusal of its own that the dialer has then is what is told.
        """

        class Wordy(Dial):
            def _cancel(self, connected: Deferred[IProtocol]) -> None:
                self.down(NO)

        self.rules.make = Wordy
        wire = self.ask()
        wire.lost()
        (said,) = self.said()
        self.assertIn("connection refused", said)
        self.assertEqual((wire.answers, len(self.flows)), ([], 0))

    def test_targetGone(self) -> None:
        """
        A target that closed before it was told of is a stream that ends.
        """

        class Brief(Dial):
            def up(self) -> Wire:
                built = self.wire.attach(self.factory.buildProtocol(THERE))
                built.dataReceived(b"421 busy")
                self.wire.lost()
                self.connected.callback(built)
                return self.wire

        self.rules.make = Brief
        wire = self.ask()
        self.rules.dials[0].up()
        self.assertEqual((wire.answers, wire.take()), (["accepted"], b"421 busy"))
        self.assertTrue(wire.disconnecting)
        self.assertEqual((len(self.flows), len(self.said())), (0, 1))
