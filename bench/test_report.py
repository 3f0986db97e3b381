# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for what the bench makes of its samples.
"""

from __future__ import annotations

from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench.captured import CapturedUgate
from bench.chart import chart
from bench.contestants import Direct
from bench.framed import FramedEnvoy, FramedUgate
from bench.options import plan
from bench.ours import StandIn, Ugate
from bench.peers import Envoy, HAProxy, Microsocks, SingBox
from bench.record import Record, document, tables
from bench.report import Ratio, Result, goals, medians, ratios, spaced
from bench.resolvers import Unbound
from bench.rounds import Sample, rotated, takesPart
from bench.rows import FRAMED, FRAMED_US, HAPROXY, ROWS, SING_BOX, Goal, Metric
from bench.tunnels import TunUgate

SPEED = Metric("speed", "a speed", "Gbit/s", (Goal(1.0), Goal(2.0, HAPROXY)), digits=1)
SIZE = Metric("size", "a size", "KiB", (Goal(1.0),), lessIsBetter=True, digits=1)
START = Metric("start", "a start", "MiB", (Goal(60.0, ""),), lessIsBetter=True)
PLAIN = Metric("plain", "no goal", "1/s")
COLUMNS = {"ugate": "ugate", SING_BOX: "sing-box", HAPROXY: "haproxy*"}
SVG = "{http://www.w3.org/2000/svg}"


def rounds(metric: Metric, contestant: str, *values: float | None) -> list[Sample]:
    """
    Make samples.

    @param metric: of what.
    @param contestant: whose.
    @param values: one for each round, C{None} for a failure.
    @return: the samples.
    """
    return [
        Sample(number, metric.key, contestant, value, "" if value is not None else "it fell over")
        for number, value in enumerate(values, 1)
    ]


def example() -> Result:
    """
    @return: a run in which the machine became half as fast in its last round.
    """
    return Result(
        rounds(SPEED, "ugate", 22.0, 24.0, 11.0)
        + rounds(SPEED, SING_BOX, 20.0, 20.0, 10.0)
        + rounds(SPEED, HAPROXY, 10.0, None, 8.0)
        + rounds(SIZE, "ugate", 14.0, 15.0, 13.0)
        + rounds(SIZE, SING_BOX, 13.0, 13.0, 13.0)
        + rounds(START, "ugate", 50.0)
    )


class MedianTests(SynchronousTestCase):
    """
    Figures of one contestant.
    """

    def test_odd(self) -> None:
        """The one in the middle."""
        self.assertEqual(example().median("speed", "ugate"), 22.0)

    def test_even(self) -> None:
        """Half way between the two in the middle."""
        self.assertEqual(Result(rounds(SPEED, "ugate", 1.0, 9.0, 3.0, 2.0)).median("speed", "ugate"), 2.5)

    def test_failures(self) -> None:
        """A failed sample counts as a failure and not as a figure."""
        self.assertEqual(example().median("speed", HAPROXY), 9.0)
        self.assertEqual(example().failures("speed", HAPROXY), 1)

    def test_none(self) -> None:
        """Without a figure there is no median."""
        self.assertIsNone(example().median("size", HAPROXY))
        self.assertIsNone(Result(rounds(SPEED, "ugate", None)).median("speed", "ugate"))


class RatioTests(SynchronousTestCase):
    """
    One contestant beside another.
    """

    def test_withinRounds(self) -> None:
        """Each round is compared with itself."""
        self.assertEqual(example().ratio("speed", "ugate", SING_BOX), Ratio(1.1, 1.1, 1.2))

    def test_roundsWithBoth(self) -> None:
        """A round in which one failed is left out."""
        self.assertEqual(example().ratio("speed", "ugate", HAPROXY), Ratio((2.2 + 1.375) / 2, 1.375, 2.2))

    def test_absent(self) -> None:
        """Beside nobody there is no ratio."""
        self.assertIsNone(example().ratio("speed", "ugate", "microsocks"))

    def test_zero(self) -> None:
        """A peer's figure of zero does not make a ratio."""
        result = Result(rounds(SIZE, "ugate", 1.0) + rounds(SIZE, SING_BOX, 0.0))
        self.assertIsNone(result.ratio("size", "ugate", SING_BOX))


class VerdictTests(SynchronousTestCase):
    """
    What ugate must reach.
    """

    def test_most(self) -> None:
        """More is better: one goal is met and one is not."""
        self.assertEqual([verdict.met for verdict in example().verdicts(SPEED)], [True, False])

    def test_least(self) -> None:
        """Less is better: 14 KiB beside 13 are too many."""
        self.assertEqual([verdict.met for verdict in example().verdicts(SIZE)], [False])

    def test_absolute(self) -> None:
        """A goal without a peer is a figure."""
        verdict = example().verdicts(START)[0]
        self.assertEqual((verdict.reached, verdict.met), (50.0, True))

    def test_atTheLimit(self) -> None:
        """As much as the goal is enough, in both directions."""
        samples = [s for m in (SPEED, SIZE) for name in ("ugate", SING_BOX) for s in rounds(m, name, 5.0)]
        result = Result(samples)
        self.assertTrue(result.verdicts(SPEED)[0].met)
        self.assertTrue(result.verdicts(SIZE)[0].met)

    def test_judgedAsShown(self) -> None:
        """What is printed as the goal is the goal."""
        result = Result(rounds(SPEED, "ugate", 9.96) + rounds(SPEED, SING_BOX, 10.0))
        verdict = result.verdicts(SPEED)[0]
        self.assertEqual((verdict.reached, verdict.met), (1.0, True))

    def test_another(self) -> None:
        """A goal may be that of another contestant of ours."""
        goal = Goal(1.5, FRAMED, FRAMED_US)
        metric = Metric("framed", "framed", "Gbit/s", (goal,))
        samples = rounds(metric, "ugate", 9.0) + rounds(metric, FRAMED_US, 3.0) + rounds(metric, FRAMED, 2.0)
        verdict = Result(samples).verdicts(metric)[0]
        self.assertEqual((verdict.reached, verdict.met), (1.5, True))

    def test_unmeasured(self) -> None:
        """What was not measured is not met."""
        verdict = Result([]).verdicts(SPEED)[0]
        self.assertEqual((verdict.reached, verdict.met), (None, False))


class TableTests(SynchronousTestCase):
    """
    What is printed.
    """

    def test_spaced(self) -> None:
        """The first column stands to the left, the others to the right."""
        self.assertEqual(spaced([["a", "bcd"], ["efg", "h"]]), ["a    bcd", "efg    h"])

    def test_medians(self) -> None:
        """Each failed sample leaves a mark; what was not measured is a dash."""
        lines = [line.split() for line in medians(example(), [SPEED, SIZE], COLUMNS)]
        self.assertEqual(lines[1][-4:], ["Gbit/s", "22.0", "20.0", "9.0!"])
        self.assertEqual(lines[2][-4:], ["KiB", "14.0", "13.0", "-"])

    def test_allFailed(self) -> None:
        """Nothing but failures is called so."""
        lines = medians(Result(rounds(SPEED, "ugate", None, None)), [SPEED], COLUMNS)
        self.assertEqual(lines[1].split()[-3:], ["failed", "-", "-"])

    def test_ratios(self) -> None:
        """The direction that is good is said where it is not plain."""
        lines = ratios(example(), [SPEED, SIZE], COLUMNS)
        self.assertEqual(lines[1].split()[-3:], ["1.10", "1.00", "0.65"])
        self.assertIn("less is better", lines[2])

    def test_goals(self) -> None:
        """Each goal has a line with its verdict."""
        lines = goals(example(), [SPEED, SIZE, START, PLAIN])
        self.assertIn("1.10 (1.10-1.20)", lines[1])
        self.assertIn("at least 1 x sing-box", lines[1])
        self.assertTrue(lines[1].endswith("1.10     met"))
        self.assertIn("at least 2 x haproxy", lines[2])
        self.assertTrue(lines[2].endswith("MISSED"))
        self.assertIn("at most 1 x sing-box", lines[3])
        self.assertIn("at most 60", lines[4])
        self.assertTrue(lines[5].endswith("-"))


class ChartTests(SynchronousTestCase):
    """
    What is drawn.
    """

    def bars(self, result: Result, caption: str = "a machine") -> dict[str, list[float]]:
        """
        Draw, and read the drawing.

        @param result: the samples.
        @param caption: the caption.
        @return: the bars' lengths by colour.
        """
        root = ElementTree.fromstring(chart(result, [SPEED, SIZE], COLUMNS, caption))
        self.assertEqual(root.tag, f"{SVG}svg")
        lengths: dict[str, list[float]] = {}
        for bar in root.iter(f"{SVG}rect"):
            if bar.get("x") == "260":
                lengths.setdefault(bar.attrib["fill"], []).append(float(bar.attrib["width"]))
        self.words = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
        return lengths

    def test_lengths(self) -> None:
        """A bar is as long as its ratio."""
        bars = self.bars(example())
        ugate, peer = bars["#d62728"], bars["#1f77b4"]
        self.assertEqual([round(a / b, 2) for a, b in zip(ugate, peer, strict=True)], [1.1, 1.08])

    def test_beyond(self) -> None:
        """What is off the scale ends with it, and says so."""
        bars = self.bars(Result(rounds(SPEED, "ugate", 90.0) + rounds(SPEED, SING_BOX, 10.0)))
        self.assertEqual(bars["#d62728"], [520.0])
        self.assertTrue(any(word.startswith("9.00 \u2192") for word in self.words))

    def test_markup(self) -> None:
        """Words that look like markup are words."""
        self.bars(example(), "<b> & co")
        self.assertIn("<b> & co", self.words)


class PlanTests(SynchronousTestCase):
    """
    Who is measured, in what and when.
    """

    def test_rotated(self) -> None:
        """Each round begins with another contestant."""
        order = [Direct(), SingBox(), Envoy()]
        firsts = [rotated(order, number)[0].name for number in (1, 2, 3, 4)]
        self.assertEqual(firsts, ["direct", "sing-box", "envoy", "direct"])

    def test_takesPart(self) -> None:
        """No proxy has no memory; what cannot be chained is in no chain."""
        rows = {row.key: row for row in ROWS}
        self.assertFalse(takesPart(Direct(), rows["idle"]))
        self.assertTrue(takesPart(Direct(), rows["rtt"]))
        self.assertFalse(takesPart(Microsocks(), rows["rtt-2"]))
        self.assertTrue(takesPart(HAProxy(), rows["rtt-2"]))
        takes = [takesPart(who, rows["datagrams"]) for who in (Direct(), Ugate(), SingBox(), Microsocks())]
        self.assertEqual(takes, [True, True, True, False])
        self.assertFalse(takesPart(CapturedUgate(), rows["datagrams"]))
        self.assertTrue(takesPart(TunUgate(), rows["tun-bulk-9000"]))
        self.assertFalse(takesPart(TunUgate(), rows["bulk"]))
        self.assertTrue(takesPart(Unbound(), rows["dns"]))
        self.assertFalse(takesPart(Unbound(), rows["start"]))
        self.assertEqual([takesPart(who, rows["tls-new"]) for who in (HAProxy(), Ugate())], [True, True])
        self.assertEqual([takesPart(who, rows["tls-new"]) for who in (Direct(), SingBox())], [False, False])
        self.assertTrue(takesPart(FramedUgate(), rows["rtt-2"]))
        self.assertFalse(takesPart(FramedEnvoy(), rows["rtt"]))
        self.assertFalse(takesPart(StandIn("prog {port}"), rows["rtt-2"]))
        self.assertTrue(takesPart(StandIn("prog {port} {upstream}"), rows["rtt-2"]))

    def test_standIn(self) -> None:
        """A command without a port is refused."""
        error = self.assertRaises(ValueError, StandIn, "prog")
        self.assertIn("{port}", str(error))

    def test_options(self) -> None:
        """Rows and contestants are picked by name and keep their order."""
        asked = plan(["--rows", "rtt,bulk", "--peers", "haproxy,direct", "--rounds", "2"])
        self.assertEqual([row.key for row in asked.rows], ["bulk", "rtt"])
        self.assertEqual([contestant.name for contestant in asked.contestants], ["direct", "haproxy"])
        self.assertEqual(asked.rounds, 2)

    def test_record(self) -> None:
        """The tables say why a sample failed and who was spared the handshake; the file has every sample."""
        asked = plan(["--rows", "bulk8", "--peers", "sing-box,haproxy", "--rounds", "1"])
        metric = asked.rows[0].metrics[0]
        result = Result(rounds(metric, SING_BOX, 20.0) + rounds(metric, HAPROXY, None))
        machine = {"kernel": "6.1", "cores": 2}
        record = Record("20260101T000000Z", asked, asked.contestants, machine, {SING_BOX: "1"}, result)
        said = tables(record)
        self.assertIn("failed in round 1: haproxy, bulk8: it fell over", said)
        self.assertIn("* no SOCKS listener", said)
        samples = document(record)["samples"]
        assert isinstance(samples, list)
        self.assertEqual([sample["value"] for sample in samples], [20.0, None])
