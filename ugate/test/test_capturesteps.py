# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.capturesteps} and L{ugate.modules.capturehold}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules import capturehold, capturesteps
from ugate.modules.capturehold import Hold
from ugate.modules.capturesection import CaptureSection
from ugate.modules.capturesteps import CannotCapture, Step, down, take, toolFor, up

REDIRECT = CaptureSection()
TPROXY = CaptureSection(mode="tproxy", ipv6=False)


def lines(steps: list[Step]) -> list[str]:
    """
    What they do, without what they read.
    """
    return [str(step).partition(" <<")[0] for step in steps]


class StepTests(SynchronousTestCase):
    """
    Which commands.
    """

    def test_nft(self) -> None:
        """
        All in one transaction, whatever was there before.
        """
        (step,) = up("out", REDIRECT, 1, "nft")
        self.assertEqual(step.argv, ("nft", "-f", "-"))
        fresh = "add table inet ugate_out\ndelete table inet ugate_out\n"
        self.assertTrue(step.text.startswith(f"{fresh}table inet ugate_out {{\n"))
        self.assertEqual(down("out", REDIRECT, "nft"), [Step(("nft", "-f", "-"), fresh)])
        self.assertTrue(str(step).startswith("nft -f - <<'END'\nadd table"))
        self.assertTrue(str(step).endswith("}\nEND"))

    def test_tproxy(self) -> None:
        """
        With the routing first, which nothing needs but the rules.
        """
        optional = " 2>/dev/null || true"
        self.assertEqual(
            lines(up("x", TPROXY, 1, "nft")),
            [
                f"ip -4 rule del fwmark 7567 lookup 7567{optional}",
                "ip -4 rule add fwmark 7567 lookup 7567",
                "ip -4 route replace local 0.0.0.0/0 dev lo table 7567",
                "nft -f -",
            ],
        )
        self.assertEqual(
            lines(down("x", TPROXY, "nft")),
            [
                "nft -f -",
                f"ip -4 rule del fwmark 7567 lookup 7567{optional}",
                f"ip -4 route flush table 7567{optional}",
            ],
        )
        both = lines(up("x", CaptureSection(mode="tproxy", table=9), 1, "nft"))
        self.assertIn("ip -6 route replace local ::/0 dev lo table 9", both)

    def test_iptables(self) -> None:
        """
        What was there is removed first, so that nothing is there twice.
        """
        optional = " 2>/dev/null || true"
        table = "iptables --wait 10 --table nat"
        said = lines(up("x", CaptureSection(ipv6=False), 1, "iptables"))
        self.assertEqual(said[0], f"{table} -D OUTPUT -p tcp -j ugate_x_out{optional}")
        self.assertEqual(said[1], f"{table} -F ugate_x_out{optional}")
        self.assertEqual(said[-1], "iptables-restore --wait 10 --noflush")
        self.assertEqual(said[:-1], lines(down("x", CaptureSection(ipv6=False), "iptables")))
        self.assertIn("ip6tables-restore --wait 10 --noflush", lines(up("x", REDIRECT, 1, "iptables")))

    def test_tool(self) -> None:
        """
        nft if it is there, else iptables; TPROXY with nft alone.
        """
        everywhere: Any = lambda name: name  # noqa: E731
        nowhere: Any = lambda name: None  # noqa: E731
        old: Any = lambda name: name if name == "iptables" else None  # noqa: E731
        self.assertEqual(toolFor(REDIRECT, everywhere), "nft")
        self.assertEqual(toolFor(REDIRECT, old), "iptables")
        self.assertEqual(toolFor(CaptureSection(tool="iptables"), everywhere), "iptables")
        for section, find, words in (
            (REDIRECT, nowhere, "nft and iptables cannot be found"),
            (TPROXY, old, "nft cannot be found: install nftables"),
            (CaptureSection(tool="nft"), old, "nft cannot be found"),
        ):
            self.assertIn(words, str(self.assertRaises(CannotCapture, toolFor, section, find)))

    def test_take(self) -> None:
        """
        What fails is told in the words of the tool, unless it may fail; so is what is not there, and what
        does not end.
        """
        say = "import sys; sys.stderr.write(sys.stdin.read()); sys.exit(3)"
        failing = (sys.executable, "-c", say)
        take([Step((sys.executable, "-c", "pass")), Step(failing, "x", mayFail=True)])
        error = self.assertRaises(CannotCapture, take, [Step(failing, "Operation not permitted\n")])
        self.assertIn("Operation not permitted; it needs root, or CAP_NET_ADMIN", str(error))
        self.assertIn("it failed", str(self.assertRaises(CannotCapture, take, [Step(failing)])))
        self.assertIn("/nowhere", str(self.assertRaises(CannotCapture, take, [Step(("/nowhere",))])))
        self.patch(capturesteps, "LIMIT", 0.01)
        # Nobody ever opens the other end of that.
        silent = self.mktemp()
        os.mkfifo(silent)
        waiting = Step(("cat", silent))
        self.assertIn("timed out", str(self.assertRaises(CannotCapture, take, [waiting])))


class Process:
    """
    A program that waits for more.
    """

    def __init__(self, argv: tuple[str, ...], **more: Any) -> None:
        self.argv = argv
        self.more = more
        self.stdin = BytesIO()
        self.stderr = BytesIO(b"Error:\n nothing\n")
        self.ended: int | None = None
        self.deaf = False
        self.read = b""
        close = self.stdin.close

        def closed() -> None:
            self.read = self.stdin.getvalue()
            close()

        self.stdin.close = closed  # type: ignore[method-assign]

    def poll(self) -> int | None:
        return self.ended

    def wait(self, limit: float | None = None) -> None:
        if self.deaf and self.ended is None:
            raise subprocess.TimeoutExpired("x", limit or 0)

    def kill(self) -> None:
        self.ended = -9


class HoldTests(SynchronousTestCase):
    """
    Rules that go with a process.
    """

    def setUp(self) -> None:
        self.taken: list[Step] = []
        self.patch(capturehold, "take", self.taken.extend)
        self.processes: list[Any] = []
        self.tables: list[str] = []
        self.isThere = True

    def spawn(self, argv: tuple[str, ...], **more: Any) -> Process:
        """
        Start one.
        """
        self.processes.append(Process(argv, **more))
        made: Process = self.processes[-1]
        return made

    def there(self, table: str) -> bool:
        """
        Whether there is a table; if not, the program has ended.
        """
        self.tables.append(table)
        if not self.isThere:
            self.processes[-1].ended = 1
        return self.isThere

    def hold(self, section: CaptureSection, tool: str = "nft") -> Hold:
        """
        Make one.
        """
        return Hold("out", section, 1, tool, spawn=self.spawn, isThere=self.there)

    def test_nft(self) -> None:
        """
        A table of its own name, which was checked, and what is around it; nft gets it, and waits for its
        input to end.
        """
        hold = self.hold(TPROXY)
        self.assertFalse(hold.isUp)
        hold.up()
        self.assertTrue(hold.isUp)
        (process,) = self.processes
        self.assertEqual((process.argv, process.more["start_new_session"]), (("nft", "--interactive"), True))
        self.assertEqual(
            lines(self.taken)[-4:],
            [
                "nft --check --file -",
                "ip -4 rule del fwmark 7567 lookup 7567 2>/dev/null || true",
                "ip -4 rule add fwmark 7567 lookup 7567",
                "ip -4 route replace local 0.0.0.0/0 dev lo table 7567",
            ],
        )
        hold.down()
        self.assertFalse(hold.isUp)
        self.assertTrue(process.read.startswith(b"table inet %b { flags owner;" % self.tables[0].encode()))
        hold.down()
        self.hold(TPROXY).up()
        self.assertNotEqual(*self.tables)

    def test_notMade(self) -> None:
        """
        An nft that does not make it is told of.
        """
        self.isThere = False
        hold = self.hold(REDIRECT)
        self.assertIn("Error: nothing", str(self.assertRaises(CannotCapture, hold.up)))
        self.assertFalse(hold.isUp)

    def test_late(self) -> None:
        """
        So is one that takes too long.
        """
        self.patch(capturehold, "PATIENCE", -1)
        hold = Hold("out", REDIRECT, 1, "nft", spawn=self.spawn, isThere=lambda table: False)
        self.assertRaises(CannotCapture, hold.up)

    def test_iptables(self) -> None:
        """
        A shell waits for the end, and then removes the rules.
        """
        hold = self.hold(CaptureSection(ipv6=False), "iptables")
        hold.up()
        self.assertEqual(self.taken[-1].argv[0], "iptables-restore")
        (process,) = self.processes
        shell, option, script = process.argv
        self.assertEqual((shell, option), ("sh", "-c"))
        self.assertTrue(script.startswith("cat > /dev/null\niptables --wait 10 --table nat -D OUTPUT"))
        chain = script.partition(" -j ")[2].split()[0]
        self.assertTrue(chain.startswith("ugate_out_"), chain)
        self.assertIn(f":{chain} - [0:0]", self.taken[-1].text)
        process.deaf = True
        hold.down()
        self.assertEqual(process.ended, -9)
