# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tunroutes}.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import ip_interface, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.tunroutes import PATIENCE, Routes, Way, downLines, loosen, upLines
from ugate.errors import ListenRefused

WAY = Way(
    "ug0",
    (ip_interface("10.98.0.1/30"), ip_interface("fd98::1/126")),
    (ip_network("0.0.0.0/0"), ip_network("2001:db8::/32")),
    (ip_network("192.0.2.0/24"), ip_network("2001:db8:1::/48")),
    1420,
    7567,
)

ROUTER = replace(
    WAY,
    forward=(ip_network("192.168.0.0/24"), ip_network("192.168.7.0/24"), ip_network("fd07::/16")),
)
"""The same for other machines."""


class LinesTests(SynchronousTestCase):
    """
    What C{ip} is told.
    """

    def test_up(self) -> None:
        """
        IPv4, of which all goes there: the neighbours do not, nor what is excluded, what has our mark, or
        what comes from an address that somebody has chosen.
        """
        self.assertEqual(
            list(upLines(WAY, 0x7567, 4)),
            [
                "link set ug0 addrgenmode none",
                "link set ug0 up mtu 1420",
                "address replace 10.98.0.1/30 dev ug0 noprefixroute",
                "route replace 10.98.0.2 dev ug0 table 7567",
                "route replace 0.0.0.0/0 dev ug0 table 7567",
                "route replace throw 192.0.2.0/24 table 7567",
                "route replace throw 169.254.0.0/16 table 7567",
                "route replace throw 224.0.0.0/4 table 7567",
                "route replace throw 255.255.255.255/32 table 7567",
                "rule add pref 7567 lookup main suppress_prefixlength 0",
                "rule add pref 7568 fwmark 0x7567 goto 7572",
                "rule add pref 7569 from 10.98.0.1 iif lo lookup 7567",
                "rule add pref 7570 from 0.0.0.0/32 lookup 7567",
                "rule add pref 7572 nop",
            ],
        )

    def test_up6(self) -> None:
        """
        IPv6, of which a part goes there, wherever else it might.
        """
        lines = list(upLines(WAY, 1, 6))
        self.assertIn("address replace fd98::1/126 dev ug0 noprefixroute nodad", lines)
        self.assertIn("route replace 2001:db8::/32 dev ug0 table 7567", lines)
        self.assertEqual(
            [line for line in lines if line.startswith("rule")],
            [
                "rule add pref 7568 fwmark 0x1 goto 7572",
                "rule add pref 7569 from fd98::1 iif lo lookup 7567",
                "rule add pref 7570 from ::/1 goto 7572",
                "rule add pref 7570 from 8000::/1 goto 7572",
                "rule add pref 7571 lookup 7567",
                "rule add pref 7572 nop",
            ],
        )

    def test_forward(self) -> None:
        """
        What other machines send through this one is led there by where it comes from; what this machine says
        itself from such an address is not, nor are answers that have just come out of the device.
        """
        for version, own, networks in (
            (4, "10.98.0.1", ("192.168.0.0/24", "192.168.7.0/24")),
            (6, "fd98::1", ("fd07::/16",)),
        ):
            made = [line for line in upLines(ROUTER, 1, version) if "pref 7569" in line]
            self.assertEqual(
                made,
                [
                    f"rule add pref 7569 from {own} iif lo lookup 7567",
                    "rule add pref 7569 iif lo goto 7570",
                    "rule add pref 7569 iif ug0 goto 7570",
                    *(f"rule add pref 7569 from {network} lookup 7567" for network in networks),
                ],
            )

    def test_down(self) -> None:
        """
        As many rules are removed as were made, by their numbers.
        """
        for way in (WAY, ROUTER):
            for version in (4, 6):
                made = [line.split()[3] for line in upLines(way, 1, version) if line.startswith("rule")]
                gone = [line.split()[3] for line in downLines(way, version) if line.startswith("rule")]
                for number in set(made):
                    self.assertGreaterEqual(gone.count(number), made.count(number))
                self.assertEqual(list(downLines(way, version))[-1], "route flush table 7567")


class LoosenTests(SynchronousTestCase):
    """
    L{loosen}.
    """

    def setting(self, all: str, own: str) -> str:
        """
        What is in the setting of a device then.
        """
        base = Path(self.mktemp())
        for name, text in (("all", all), ("ug0", own)):
            (base / name).mkdir(parents=True)
            (base / name / "rp_filter").write_text(f"{text}\n")
        loosen("ug0", base)
        return (base / "ug0" / "rp_filter").read_text().strip()

    def test_settings(self) -> None:
        """
        A strict look, by all devices or by this one, is none any more; all else is left alone.
        """
        self.assertEqual([self.setting("1", own) for own in "012"], ["2", "2", "2"])
        self.assertEqual([self.setting("0", own) for own in "012"], ["0", "0", "0"])
        self.assertEqual([self.setting("2", own) for own in "012"], ["0", "1", "2"])

    def test_cannot(self) -> None:
        """
        If that cannot be, it is said what to do.
        """
        error = self.assertRaises(ListenRefused, loosen, "ug0", Path(self.mktemp()))
        self.assertIn("leave out forward=", str(error))


class Stdin:
    """
    That of a process.
    """

    closed = False

    def close(self) -> None:
        """
        As of files.
        """
        self.closed = True


class Process:
    """
    A shell that waits.
    """

    def __init__(self, isStubborn: bool = False) -> None:
        self.stdin = Stdin()
        self.waited: list[float | None] = []
        self.killed = False
        self._isStubborn = isStubborn

    def wait(self, timeout: float | None = None) -> int:
        """
        As of L{subprocess.Popen}.
        """
        self.waited.append(timeout)
        if self._isStubborn and timeout is not None:
            raise subprocess.TimeoutExpired("sh", timeout)
        return 0

    def kill(self) -> None:
        """
        As of L{subprocess.Popen}.
        """
        self.killed = True


class RoutesTests(SynchronousTestCase):
    """
    L{Routes}, whose programs are fakes.
    """

    def setUp(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.process = Process()
        self.spawned: list[Any] = []
        self.fails: dict[str, Any] = {}
        self.shown = ""
        self.loosened: list[str] = []
        self.routes = self.make()

    def make(self, way: Way = WAY) -> Routes:
        """
        Some routes.
        """
        return Routes(way, 0x7567, loosen=self.loosened.append, run=self.run_, spawn=self.spawn)

    def run_(self, argv: tuple[str, ...], **options: Any) -> Any:
        """
        Run a program.
        """
        if "show" not in argv:
            self.ran.append(argv)
            self.texts.append(options["input"])
        self.assertEqual(options["timeout"], PATIENCE)
        if "show" in argv:
            return SimpleNamespace(returncode=not self.shown, stdout=self.shown, stderr="")
        said = self.fails.get(argv[1])
        if isinstance(said, Exception):
            raise said
        return SimpleNamespace(returncode=said is not None, stderr=said or "")

    def spawn(self, argv: tuple[str, ...], **options: Any) -> Process:
        """
        Start one.
        """
        self.spawned.append(argv)
        self.assertTrue(options["start_new_session"])
        return self.process

    def test_upAndDown(self) -> None:
        """
        What is left of somebody is removed first; who shall remove ours is there before they are.
        """
        self.routes.up()
        self.assertEqual([argv[:2] for argv in self.ran], [("sh", "-c"), ("ip", "-4"), ("ip", "-6")])
        self.assertEqual(self.spawned, [self.ran[0]])
        self.assertEqual(self.texts[1].splitlines(), list(upLines(WAY, 0x7567, 4)))
        self.assertFalse(self.process.stdin.closed)
        self.routes.down()
        self.assertTrue(self.process.stdin.closed)
        self.assertEqual(self.process.waited, [PATIENCE])
        self.routes.down()
        self.assertEqual(len(self.process.waited), 1)

    def test_loosened(self) -> None:
        """
        Only answers for others have to get out; if they cannot, there are no routes.
        """
        self.routes.up()
        self.assertEqual(self.loosened, [])
        self.make(ROUTER).up()
        self.assertEqual(self.loosened, ["ug0"])
        self.make(replace(WAY, forward=(ip_network("fd07::/16"),))).up()
        self.assertEqual(self.loosened, ["ug0"])

        def refuse(device: str) -> None:
            raise ListenRefused("no")

        self.process.stdin.closed = False
        routes = Routes(ROUTER, 1, loosen=refuse, run=self.run_, spawn=self.spawn)
        self.assertRaises(ListenRefused, routes.up)
        self.assertTrue(self.process.stdin.closed)

    def test_script(self) -> None:
        """
        The shell waits for the end of its input, and then does what it is there for, whatever fails of it.
        """
        self.routes.up()
        first, *others = self.spawned[0][2].splitlines()
        self.assertEqual(first, "cat > /dev/null")
        for version in (4, 6):
            self.assertIn(f"ip -{version} -force -batch -", "\n".join(others))
        self.assertEqual(others.count("rule del pref 7570"), 4)

    def test_oneVersion(self) -> None:
        """
        Of what has no address, nothing is touched.
        """
        way = replace(WAY, addresses=WAY.addresses[:1], routes=WAY.routes[:1], exclude=())
        self.make(way).up()
        self.assertEqual([argv[:2] for argv in self.ran], [("sh", "-c"), ("ip", "-4")])

    def test_refused(self) -> None:
        """
        What C{ip} has against it is told, and what was made is removed.
        """
        self.fails["-6"] = "RTNETLINK answers:\n  Permission denied\nCommand failed -:3"
        error = self.assertRaises(ListenRefused, self.routes.up)
        self.assertEqual(
            str(error),
            "the routes of ug0 (IPv6) cannot be set: RTNETLINK answers: Permission denied Command failed -:3"
            "; without IPv6, let it be addresses=10.98.0.1/30",
        )
        self.assertTrue(self.process.stdin.closed)

    def test_taken(self) -> None:
        """
        A table with routes of another device is left alone.
        """
        self.shown = "throw 10.0.0.0/8\ndefault dev ug7 scope link\n"
        error = self.assertRaises(ListenRefused, self.routes.up)
        self.assertIn("the routing table 7567 has routes of ug7: give this device another", str(error))
        self.assertEqual((self.ran, self.spawned), ([], []))
        self.shown = "throw 10.0.0.0/8\n"
        self.routes.up()

    def test_missing(self) -> None:
        """
        What to do where there is no such program, or it hangs; or says nothing.
        """
        for said, words in (
            (FileNotFoundError(), "there is no program ip: install iproute2"),
            (subprocess.TimeoutExpired("ip", PATIENCE), "timed out after 10.0 seconds"),
            ("", "ip says nothing"),
        ):
            self.fails["-4"] = said
            self.assertIn(words, str(self.assertRaises(ListenRefused, self.make().up)))

    def test_noShell(self) -> None:
        """
        Nothing is led away if nobody would lead it back.
        """

        def spawn(*arguments: Any, **options: Any) -> Any:
            raise OSError("no shell")

        routes = Routes(WAY, 1, run=self.run_, spawn=spawn)
        self.assertIn("no shell", str(self.assertRaises(ListenRefused, routes.up)))
        self.assertEqual([argv[0] for argv in self.ran], ["sh"])

    def test_stubborn(self) -> None:
        """
        A shell that does not end is ended.
        """
        self.process = Process(isStubborn=True)
        self.routes.up()
        self.routes.down()
        self.assertTrue(self.process.killed)
        self.assertEqual(self.process.waited, [PATIENCE, None])
