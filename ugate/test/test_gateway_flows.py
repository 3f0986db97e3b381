# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What all streams share: how many there are, how long they may take, and the one log
line of each.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory

from ugate.errors import Cause, Denied, Phase, Refused
from ugate.test.gatewayfakes import INFO, Dial, GatewayCase, PendingWire

NO = Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "db.example:5432")


class LimitTests(GatewayCase):
    """
    How many streams, and how long.
    """

    def test_streams(self) -> None:
        """
        One more than there may be is refused, with the setting that says so; when one has
        ended there is a place again.
        """
        self.flowsWith(streams=2)
        first, _ = self.ask(), self.ask()
        wire = self.ask()
        refused = self.refusal(wire)
        self.assertEqual(
            (refused.cause, refused.phase, refused.nextStep),
            (Cause.OVERLOADED, Phase.POLICY, "raise node.streams"),
        )
        self.assertEqual((refused.detail, len(self.rules.dialed)), ("2 streams are open", 2))
        self.rules.dials[0].up()
        self.assertIs(self.refusal(self.ask()).cause, Cause.OVERLOADED)
        first.lost()
        self.assertEqual(self.ask().answers, [])

    def test_deadline(self) -> None:
        """
        All ways together may take three times what one hop may.
        """
        self.flowsWith(connect=5)
        wire = self.ask()
        self.clock.advance(14.9)
        self.assertEqual(wire.answers, [])
        self.clock.advance(0.1)
        refused = self.refusal(wire)
        self.assertEqual((refused.cause, refused.phase), (Cause.TIMED_OUT, Phase.CONNECT))
        self.assertEqual((str(refused.hop), self.rules.dials[0].cancelled), ("db.example:5432", 1))
        self.assertEqual((len(self.flows), len(self.said()), self.flushLoggedErrors()), (0, 1, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadlineIsForDialing(self) -> None:
        """
        A stream that is up has all the time in the world.
        """
        self.flowsWith(connect=5)
        wire = self.ask()
        self.clock.advance(14)
        self.rules.dials[0].up()
        self.clock.advance(100)
        self.assertEqual((wire.answers, len(self.flows)), (["accepted"], 1))

    def test_atOnce(self) -> None:
        """
        What is up or refused before anybody waits has had no deadline.
        """

        class AtOnce(Dial):
            def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
                connected = super().connect(factory)
                self.up()
                return connected

        class Refusing(Dial):
            def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
                self.down(NO)
                return super().connect(factory)

        self.rules.make = AtOnce
        self.assertEqual((self.ask().answers, len(self.flows)), (["accepted"], 1))
        self.rules.make = Refusing
        self.assertIs(self.refusal(self.ask()), NO)
        self.assertEqual((len(self.flows), len(self.flows.dialing)), (1, 0))

    def test_notQuiteAtOnce(self) -> None:
        """
        A dialer that goes on by another way has its deadline all the same.
        """

        class Other(Dial):
            def __init__(self) -> None:
                super().__init__()
                self.other: Deferred[IProtocol] = Deferred()
                self.connected.addCallback(lambda result: self.other)
                self.connected.callback(None)  # type: ignore[arg-type]

        self.flowsWith(connect=5)
        self.rules.make = Other
        wire = self.ask()
        self.assertEqual((wire.answers, len(self.flows.dialing)), ([], 1))
        self.clock.advance(15)
        self.assertIs(self.refusal(wire).cause, Cause.TIMED_OUT)

    def test_stop(self) -> None:
        """
        At the end what is on its way is refused and told why; what comes still, too.
        """
        up, on = self.ask(), self.ask()
        self.rules.dials[0].up()
        self.flows.stop()
        late = self.ask()
        for wire in (on, late):
            refused = self.refusal(wire)
            self.assertEqual(refused.detail, "this gateway is being stopped")
            self.assertIs(refused.cause, Cause.OVERLOADED)
            self.assertNotIn("node.streams", str(refused))
        self.assertEqual((self.rules.dials[1].cancelled, len(self.rules.dialed)), (1, 2))
        self.assertEqual((up.answers, len(self.flows)), (["accepted"], 1))
        self.relay.stop()
        self.assertEqual((len(self.flows), len(self.said())), (0, 3))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LateTests(GatewayCase):
    """
    Targets that say no when the stream is up already, as servers do in TLS 1.3.
    """

    def test_refused(self) -> None:
        """
        As long as nothing came from there it counts as refused; the line says why.
        """
        self.flowsWith(quiet=True)
        no = Refused(
            Cause.AUTHENTICATION, Phase.TLS, "mtls:gw:1", "it refused our certificate: alert unknown ca"
        )
        wire = self.ask()
        there = self.rules.dials[-1].up()
        wire.protocol.dataReceived(b"hello")
        there.lost(no)
        (line,) = self.said()
        self.assertIn(
            "5 sent, 0 received, 0.000 s, TLS at mtls:gw:1: authentication failed (it refused", line
        )
        totals = self.flows.totals("root")
        self.assertEqual((1, 1, 5), (totals.opened, totals.refused, totals.sent))
        (refusal,) = self.flows.refusals()
        self.assertEqual(("mtls:gw:1", Cause.AUTHENTICATION), (refusal.hop, refusal.cause))
        self.assertEqual(1, self.flows.causes["root", Cause.AUTHENTICATION])

    def test_after(self) -> None:
        """
        What has carried something was not refused, and neither was what broke otherwise.
        """
        no = Refused(Cause.AUTHENTICATION, Phase.TLS, "mtls:gw:1")
        self.ask()
        there = self.rules.dials[-1].up()
        there.protocol.dataReceived(b"123")
        there.lost(no)
        self.ask()
        self.rules.dials[-1].up().lost(ConnectionLost())
        wire = self.ask()
        self.rules.dials[-1].up()
        wire.lost(no)
        self.assertEqual((3, 0), (len(self.said()), self.flows.totals("root").refused))
        self.assertEqual([], self.flows.refusals())


class LogTests(GatewayCase):
    """
    The line of a stream.
    """

    def carry(self) -> PendingWire:
        """
        A stream that has carried something.
        """
        self.clock.advance(1000)
        wire = self.ask()
        self.clock.advance(0.25)
        there = self.rules.dials[-1].up()
        wire.protocol.dataReceived(b"12345")
        there.protocol.dataReceived(b"123")
        self.clock.advance(1.5)
        return wire

    def test_line(self) -> None:
        """
        Who, where to, how, how much, how long, and why it ended: in words, and as fields.
        """
        wire = self.carry()
        self.assertEqual(self.said(), [])
        wire.lost()
        self.assertEqual(
            [event for event in self.events if "log_failure" in event or event["log_level"].name != "info"],
            [],
        )
        (event,) = self.events
        self.assertEqual(
            {name: event[name] for name in ("listener", "info", "sent", "received", "seconds", "reason")},
            {
                "listener": "main",
                "info": INFO,
                "sent": 5,
                "received": 3,
                "seconds": 1.75,
                "reason": "done",
            },
        )
        self.assertEqual(
            self.said(),
            [
                "main: 192.0.2.7:40000 -> db.example:5432 socks5 alice: 5 sent, 3 received, 1.750 s, done",
            ],
        )

    def test_reasons(self) -> None:
        """
        The reason is that of the relay.
        """
        self.carry().lost(ConnectionLost("reset"))
        (said,) = self.said()
        self.assertIn("reset", said)
        self.carry()
        self.clock.advance(2000)
        (said,) = self.said()
        self.assertTrue(said.endswith(", idle"), said)

    def test_quiet(self) -> None:
        """
        Those that went well can be left out; those that did not are always told.
        """
        self.flowsWith(quiet=True)
        self.carry().lost()
        self.assertEqual(self.said(), [])
        self.rules.refused = NO
        self.ask()
        self.assertEqual(len(self.said()), 1)

    def test_unknown(self) -> None:
        """
        Who is not known, and where to, is not made up.
        """
        self.rules.denied = Denied("x")
        self.ask(INFO.but(principal=None, target=None, protocol=""))
        (said,) = self.said()
        self.assertIn("main: 192.0.2.7:40000  None: refused: ", said)


EVENTS = ("ask", "up", "down", "clientLost", "targetLost", "clientEnd", "targetEnd", "data", "wait", "deny")


class OrderTests(GatewayCase):
    """
    Whatever happens in whatever order.
    """

    def _do(self, event: str, which: int) -> None:
        wires, dials = self.wires, self.rules.dials
        if event == "wait":
            self.clock.advance(which)
        elif event == "deny":
            self.rules.denied = Denied("x") if which % 2 else None
        elif event == "ask":
            self.wires.append(self.ask())
        elif wires:
            wire = wires[which % len(wires)]
            dial = dials[which % len(dials)] if dials else None
            if event == "clientLost":
                wire.lost(ConnectionLost() if which % 2 else None)
            elif event == "clientEnd" and not wire.gone and not self.inbound(wire).eof:
                self.inbound(wire).readConnectionLost()
            elif event == "data" and not wire.gone:
                wire.protocol.dataReceived(bytes(30000))
            elif dial is not None:
                self._dialDoes(event, dial)

    def _dialDoes(self, event: str, dial: Dial) -> None:
        if event == "up" and dial.waits:
            dial.up()
        elif event == "down" and dial.waits:
            dial.down(NO)
        elif dial.wire.protocol is not None and not dial.wire.gone:
            if event == "targetLost":
                dial.wire.lost()
            elif event == "targetEnd" and not dial.wire.protocol.eof:
                dial.wire.protocol.readConnectionLost()

    def _settle(self) -> None:
        for wire in (*self.wires, *(dial.wire for dial in self.rules.dials if dial.wire.protocol)):
            wire.settle()

    def _check(self, asked: int) -> None:
        waiting = sum(dial.waits for dial in self.rules.dials)
        self.assertEqual(len(self.flows.dialing), waiting)
        lines = sum(event["log_namespace"] == "ugate.flows.Flows" for event in self.events)
        self.assertEqual(lines + len(self.flows), asked)
        self.assertEqual(len(self.flows), waiting + len(self.relay))

    @given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 40)), max_size=60))
    def test_anyOrder(self, events: list[tuple[str, int]]) -> None:
        """
        Every stream is counted as long as it is there and no longer, has one line in the
        log at its end, and one answer at most; nothing is left behind, and no error.
        """
        self.setUp()
        self.flowsWith(connect=10, streams=5)
        self.wires: list[PendingWire] = []
        for event, which in events:
            self._do(event, which)
            self._settle()
            self._check(len(self.wires))
        self.flows.stop()
        self.relay.stop()
        self._settle()
        self.assertEqual(len(self.flows), 0)
        self._check(len(self.wires))
        for wire in self.wires:
            self.assertLessEqual(len(wire.answers), 1)
            self.assertTrue(wire.gone)
        for dial in self.rules.dials:
            self.assertTrue(dial.wire.gone or dial.wire.protocol is None)
        self.assertEqual((self.clock.getDelayedCalls(), self.flushLoggedErrors()), ([], []))
        self.doCleanups()
