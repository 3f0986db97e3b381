# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.cli.capture}: C{ucli capture}, without a kernel.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.cli import capture
from ugate.cli.main import main
from ugate.modules.capturesection import CaptureSection, Selection
from ugate.modules.capturesteps import Step, down, up

CONFIG = """\
node: {mark: 77}
listen: {}
capture:
  out: {port: 7, include: {ports: 80, users: [1000, nobody]}}
  bad: {port: seven, include: [80], exclude: {ports: null}}
  led: {mode: tproxy, protocols: udp}
"""


class FakeHold:
    """
    Rules that go with a process.
    """

    def __init__(self, *made: Any) -> None:
        self.made = made
        self.said: list[str] = []

    def up(self) -> None:
        self.said.append("up")

    def down(self) -> None:
        self.said.append("down")


class CommandTests(SynchronousTestCase):
    """
    The commands.
    """

    def setUp(self) -> None:
        self.taken: list[Step] = []
        self.holds: list[FakeHold] = []
        self.patch(capture, "take", self.taken.extend)
        self.patch(capture, "toolFor", lambda section: "nft")
        self.patch(capture, "Hold", self.hold)
        self.file = Path(self.mktemp())
        self.file.write_text(CONFIG)

    def hold(self, *made: Any) -> FakeHold:
        """
        Make rules.
        """
        self.holds.append(FakeHold(*made))
        return self.holds[-1]

    def ucli(self, *arguments: str) -> tuple[int, str, str]:
        """
        Run it.

        @return: its status, and what it says.
        """
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(["capture", *arguments])
        return status, out.getvalue(), err.getvalue()

    def test_upDown(self) -> None:
        """
        By default all that programs of this machine open.
        """
        self.assertEqual(self.ucli("up"), (0, "", ""))
        self.assertEqual(self.taken, up("out", CaptureSection(), 0x7567, "nft"))
        self.taken.clear()
        self.assertEqual(self.ucli("down", "x", "--mode", "tproxy"), (0, "", ""))
        self.assertEqual(self.taken, down("x", CaptureSection(mode="tproxy"), "nft"))

    def test_options(self) -> None:
        """
        What can be in a section can be given.
        """
        options = "--direction both --mode tproxy --port 9 --table 5 --no-ipv6 --tool nft --mark 0x10"
        lists = "--only-port 80 --only-port 443 --only-user bob --not-network 10.0.0.0/8 --not-cgroup a/b"
        self.assertEqual(self.ucli("up", "x", *options.split(), *lists.split()), (0, "", ""))
        section = CaptureSection(
            direction="both",
            mode="tproxy",
            port=9,
            table=5,
            ipv6=False,
            tool="nft",
            include=Selection(ports=("80", "443"), users=("bob",)),
            exclude=Selection(networks=("10.0.0.0/8",), cgroups=("a/b",)),
        )
        self.assertEqual(self.taken, up("x", section, 0x10, "nft"))

    def test_show(self) -> None:
        """
        The commands are printed, and nothing is done.
        """
        for more, steps in (
            ((), up("out", CaptureSection(), 0x7567, "nft")),
            (("--down",), down("out", CaptureSection(), "nft")),
        ):
            self.assertEqual(self.ucli("show", *more), (0, "".join(f"{step}\n" for step in steps), ""))
        self.assertTrue(self.ucli("show", "--failure", "open")[1].startswith("# held by a process"))
        self.assertEqual((self.taken, self.holds), ([], []))

    def test_file(self) -> None:
        """
        A section of a configuration, with options that win.
        """
        section = CaptureSection(port=8, include=Selection(ports=("80",), users=("1000", "nobody")))
        self.assertEqual(self.ucli("up", "--file", str(self.file), "--port", "8")[0], 0)
        self.assertEqual(self.taken, up("out", section, 77, "nft"))
        self.taken.clear()
        self.assertEqual(self.ucli("up", "led", "--file", str(self.file), "--only-port", "53")[0], 0)
        section = CaptureSection(mode="tproxy", protocols=("udp",), include=Selection(ports=("53",)))
        self.assertEqual(self.taken, up("led", section, 77, "nft"))
        for arguments, words in (
            (("bad", "--file", str(self.file)), "capture.bad.port is 'seven'"),
            (("bad", "--file", str(self.file)), "capture.bad.include is a list"),
            (("bad", "--file", str(self.file)), "capture.bad.exclude.ports is empty"),
            (("none", "--file", str(self.file)), "has no capture.none"),
            (("--file", "/nowhere.yaml"), "/nowhere.yaml: No such file"),
        ):
            status, _, said = self.ucli("show", *arguments)
            self.assertIn(words, said)
            self.assertNotEqual(status, 0)

    def test_wrong(self) -> None:
        """
        What cannot be is told.
        """
        for arguments, words in (
            (("up", "a-b"), "wanted 1 to 12 letters"),
            (("up", "--mark", "x"), "--mark x: wanted a number"),
            (("up", "--mark", "0"), "would be captured again"),
            (("up", "--direction", "in"), "wanted the ports"),
            (("up", "--not-port", "x"), "capture.out"),
            (("up", "--failure", "open"), "needs --pid"),
        ):
            status, _, said = self.ucli(*arguments)
            self.assertEqual(status, 2)
            self.assertIn(words, said)
        self.assertEqual(self.taken, [])

    def test_hold(self) -> None:
        """
        Rules are held as long as a process is there.
        """
        process = subprocess.Popen([sys.executable, "-c", ""])
        self.addCleanup(process.wait)
        gone = process.pid
        self.addCleanup(self.patchSignals().restore)
        status, _, said = self.ucli("up", "--failure", "open", "--mode", "tproxy", "--pid", str(gone))
        self.assertEqual((status, self.holds[0].said), (0, ["up", "down"]))
        self.assertIn(f"as long as process {gone} is", said)
        self.assertEqual(self.taken[0].argv[:4], ("ip", "-4", "rule", "del"))
        self.assertEqual(self.ucli("up", "--failure", "open", "--pid", "4194304")[0], 1)

    def patchSignals(self) -> Any:
        """
        Those of the tests stay theirs.
        """
        return self.patch(signal, "signal", lambda number, handler: None)
