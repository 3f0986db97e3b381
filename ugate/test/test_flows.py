# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The streams of a node: which there are, how many there were, and what was refused.
"""

from __future__ import annotations

from typing import Any

from ugate import flows as flowsModule
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.flows import Refusal, Totals
from ugate.gateway import Gateway
from ugate.metering import Meters
from ugate.stream import Principal
from ugate.test.gatewayfakes import ALICE, INFO, TARGET, FakeTenant, GatewayCase, Rules


class FakeLimits:
    """
    Limits that count.
    """

    def __init__(self, streams: int = 10) -> None:
        self.open = 0
        self.streams = streams
        self.meters: Any = None

    def admit(self) -> None:
        if self.open == self.streams:
            raise Refused(Cause.OVERLOADED, Phase.POLICY, "tenant alice", "full")
        self.open += 1

    def release(self) -> None:
        self.open -= 1


class StreamsTests(GatewayCase):
    """
    L{Flows.streams}.
    """

    def test_dialing(self) -> None:
        """
        A stream is there from when it is dialed, with what is known of it.
        """
        self.clock.advance(100)
        self.ask()
        self.clock.advance(5)
        (stream,) = self.flows.streams()
        self.assertEqual(
            (stream.id, stream.tenant, stream.listener, stream.info, stream.via, stream.began),
            (1, "root", "main", INFO, "", 100.0),
        )
        self.assertEqual((stream.state, stream.sent, stream.received), ("dialing", 0, 0))
        import time

        self.assertLess(abs(stream.wall - time.time() + 5), 1)
        self.assertIs(self.flows.stream(1), stream)
        self.assertIs(self.flows.stream(2), None)

    def test_open(self) -> None:
        """
        One that is up counts its bytes; when it has ended it is not there any more.
        """
        wire = self.ask()
        there = self.rules.dials[0].up()
        (stream,) = self.flows.streams()
        wire.protocol.dataReceived(b"12345")
        there.protocol.dataReceived(b"123")
        self.assertEqual((stream.state, stream.sent, stream.received), ("open", 5, 3))
        wire.lost()
        self.assertEqual((list(self.flows.streams()), len(self.flows)), ([], 0))
        self.assertIs(self.flows.stream(1), None)

    def test_numbers(self) -> None:
        """
        A later stream has a higher number, and none has that of another.
        """
        for _ in range(3):
            self.ask()
        self.rules.dials[1].down(Denied("x"))
        self.ask()
        self.assertEqual([stream.id for stream in self.flows.streams()], [1, 3, 4])

    def test_close(self) -> None:
        """
        A stream can be closed, with a reason for the log.
        """
        wire = self.ask()
        self.rules.dials[0].up()
        (stream,) = self.flows.streams()
        stream.close("the operator wants it")
        wire.settle()
        self.assertEqual(len(self.flows), 0)
        self.assertTrue(wire.disconnected)
        self.assertIn("the operator wants it", self.said()[-1])

    def test_closeDialing(self) -> None:
        """
        So can one that is not up yet: its client is told no.
        """
        wire = self.ask()
        (stream,) = self.flows.streams()
        stream.close("the operator wants it")
        refused = self.refusal(wire)
        self.assertEqual((refused.cause, refused.detail), (Cause.DENIED, "the operator wants it"))
        self.assertEqual((self.rules.dials[0].cancelled, len(self.flows)), (1, 0))

    def test_closeAgain(self) -> None:
        """
        One that has ended can be closed as often as anybody likes.
        """
        for up in (True, False):
            wire = self.ask()
            (stream,) = self.flows.streams()
            if up:
                self.rules.dials[-1].up()
            for _ in range(3):
                stream.close("enough")
                wire.settle()
        self.assertEqual(self.flows.totals("root"), Totals(opened=1, refused=1))


class CountTests(GatewayCase):
    """
    L{Flows.totals} and L{Flows.refusals}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.root = FakeTenant(self.clock, self.rules)
        self.alice = FakeTenant(self.clock, Rules())
        self.alice.name = "alice"
        self.root.children["alice"] = self.alice

    def gateway(self, **options: Any) -> Gateway:
        return Gateway(self.root, self.flows, listener="main", **options)

    def test_totals(self) -> None:
        """
        What each tenant did, what is under way included.
        """
        wire = self.ask()
        (dial,) = self.alice.dialer.dials
        self.assertEqual(self.flows.totals("alice"), Totals(open=1))
        there = dial.up()
        wire.protocol.dataReceived(b"12345")
        there.protocol.dataReceived(b"123")
        self.assertEqual(self.flows.totals("alice"), Totals(1, 0, 5, 3, 1))
        wire.lost()
        self.assertEqual(self.flows.totals("alice"), Totals(1, 0, 5, 3, 0))
        self.ask(INFO.but(principal=Principal("bob", "password")))
        self.rules.dials[0].down(Denied("x"))
        self.assertEqual(self.flows.allTotals(), {"alice": Totals(1, 0, 5, 3), "root": Totals(0, 1)})
        self.assertEqual(self.flows.totals("nobody"), Totals())
        self.flows.keep(["root"])
        self.assertEqual(list(self.flows.allTotals()), ["root"])

    def test_refusals(self) -> None:
        """
        What was refused is kept for each tenant, the newest first.
        """
        self.alice.policy.denied = Denied("hop", "rule 3", "ask somebody")
        self.ask()
        self.rules.denied = Denied("other", "rule 4")
        self.ask(INFO.but(principal=None))
        (alices,) = self.flows.refusals("alice")
        self.assertEqual(
            (alices.tenant, alices.listener, alices.stream, alices.principal, alices.protocol),
            ("alice", "main", str(INFO), "alice", "socks5"),
        )
        self.assertEqual(
            (alices.cause, alices.phase, alices.hop, alices.detail, alices.nextStep),
            (Cause.DENIED, Phase.POLICY, "hop", "rule 3", "ask somebody"),
        )
        self.assertEqual([each.detail for each in self.flows.refusals()], ["rule 4", "rule 3"])
        self.assertEqual(self.flows.refusals()[0].principal, "")
        self.assertEqual(self.flows.refusals("nobody"), [])

    def test_bounded(self) -> None:
        """
        Not more than a hundred of each, and not more than so many of all.
        """
        self.alice.policy.denied = Denied("hop")
        for _ in range(150):
            self.ask()
        self.assertEqual(len(self.flows.refusals("alice")), 100)
        self.patch(flowsModule, "ALL_REFUSALS", 250)
        for number in range(5):
            self.alice.name = f"alice{number}"
            for _ in range(60):
                self.ask()
        names = [name for name in ("alice", *(f"alice{n}" for n in range(5))) if self.flows.refusals(name)]
        self.assertEqual(names, [f"alice{n}" for n in range(1, 5)])
        self.assertEqual(len(self.flows.refusals()), 240)

    def test_noFrames(self) -> None:
        """
        What is kept holds on to nothing but values.
        """
        self.alice.policy.denied = Denied("hop")
        self.ask()
        (refusal,) = self.flows.refusals()
        self.assertEqual(
            {type(getattr(refusal, name)).__name__ for name in Refusal.__slots__},
            {"float", "str", "StreamInfo", "Cause", "Phase"},
        )

    def test_log(self) -> None:
        """
        The log names the tenant, if it is not the root.
        """
        self.alice.policy.denied = Denied("hop", "rule 3", "ask somebody")
        self.ask()
        self.assertEqual(
            self.said(),
            [
                f"main (tenant alice): {INFO} socks5 alice: refused: "
                "policy at hop: denied by policy (rule 3); ask somebody"
            ],
        )
        self.assertEqual((str(TARGET) in str(INFO), str(ALICE)), (True, "alice"))


class LimitsTests(GatewayCase):
    """
    Limits of a tenant.
    """

    def setUp(self) -> None:
        super().setUp()
        self.limits = FakeLimits()
        self.tenant = FakeTenant(self.clock, self.rules)
        self.tenant.limits = self.limits

    def gateway(self, **options: Any) -> Gateway:
        return Gateway(self.tenant, self.flows, listener="main", **options)

    def test_denied(self) -> None:
        """
        What the policy refuses is not counted.
        """
        self.rules.denied = Denied("x")
        self.ask()
        self.assertEqual(self.limits.open, 0)

    def test_full(self) -> None:
        """
        One too many is refused with the words of the limit, and is not dialed.
        """
        self.limits.streams = 1
        self.ask()
        refused = self.refusal(self.ask())
        self.assertEqual((refused.detail, len(self.rules.dialed), self.limits.open), ("full", 1, 1))

    def test_released(self) -> None:
        """
        However a stream ends, its place is free again, once.
        """

        def noWay() -> None:
            self.rules.refused = Denied("no way")
            self.ask()
            self.rules.refused = None

        def fault() -> None:
            self.rules.make = lambda: 1 / 0
            self.ask()
            self.rules.make = type(self.rules.dials[0])
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

        def fails() -> None:
            self.ask()
            self.rules.dials[-1].down(Denied("x"))

        def leaves() -> None:
            self.ask().lost()

        def late() -> None:
            self.ask()
            self.clock.advance(100)

        def ends() -> None:
            wire = self.ask()
            self.rules.dials[-1].up()
            self.assertEqual(self.limits.open, 1)
            wire.lost()

        def killed() -> None:
            self.ask()
            self.rules.dials[-1].up()
            for stream in self.flows.streams():
                stream.close("enough")

        def cannot() -> None:
            self.patch(self.relay, "join", lambda *args: 1 / 0)
            self.ask()
            self.rules.dials[-1].up()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

        for way in (ends, noWay, fault, fails, leaves, late, killed, cannot):
            way()
            self.assertEqual((self.limits.open, len(self.flows)), (0, 0), way.__name__)

    def test_meters(self) -> None:
        """
        The relay is given the meters, if there are any.
        """
        given: list[Any] = []
        self.patch(self.relay, "join", lambda *args: given.append(args[3:]))
        self.ask()
        self.rules.dials[-1].up()
        self.limits.meters = meters = Meters()
        self.ask()
        self.rules.dials[-1].up()
        self.assertEqual(given, [(None,), (meters,)])
