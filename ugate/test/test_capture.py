# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.capture}.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.application.service import IService
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IEgress, IModule, INode
from ugate.modules.capture import LOOK, Capture, CaptureModule
from ugate.modules.capturesection import CaptureSection, Selection
from ugate.modules.capturesteps import CannotCapture, Step
from ugate.tenancy.config.whole import Config
from ugate.tenancy.egress import Egress, OwnListeners


class FakeTenant:
    """
    The root tenant, its reactor and its node in one.
    """

    name = "root"
    parent: Any = None

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.reactor = self
        self.own = OwnListeners()
        self.own.add("127.0.0.1", 15001)
        self.own.add("::1", 15001)
        self.running = True
        self.modules: dict[Any, Any] = {}
        self.marked(0x7567)

    def marked(self, mark: int, **sections: CaptureSection) -> None:
        """
        Change what our own connections are marked with, and what there is to capture.
        """
        modules = {("capture", name): section for name, section in sections.items()}
        self.configs = {"root": Config(modules=modules)}
        self.own.mark = mark

    def __conform__(self, interface: object) -> object | None:
        if interface is INode:
            return self
        return Egress(self.own, True) if interface is IEgress else None


class FakeHold:
    """
    Rules that go with us.
    """

    def __init__(self, *made: Any) -> None:
        self.made = made
        self.isUp = False
        self.ups = 0

    def up(self) -> None:
        self.isUp = True
        self.ups += 1

    def down(self) -> None:
        self.isUp = False


class CaptureTests(SynchronousTestCase):
    """
    L{Capture}.
    """

    def setUp(self) -> None:
        self.tenant = FakeTenant()
        self.taken: list[str] = []
        self.holds: list[FakeHold] = []
        self.error: Exception | None = None
        self.hasIPv6 = True

    def do(self, steps: list[Step]) -> None:
        """
        Write down what is to be done.
        """
        if self.error is not None:
            raise self.error
        self.taken += [step.text or " ".join(step.argv) for step in steps]

    def hold(self, *made: Any) -> Any:
        """
        Make rules.
        """
        self.holds.append(FakeHold(*made))
        return self.holds[-1]

    def capture(
        self,
        section: CaptureSection = CaptureSection(),  # noqa: B008
        *,
        starts: bool = True,
        name: str = "out",
    ) -> Capture:
        """
        A section that is started as the node does it.
        """
        tenant: Any = self.tenant
        made = Capture(
            tenant,
            name,
            section,
            do=self.do,  # type: ignore[arg-type]
            hold=self.hold,
            tool=lambda section: "nft",
            hasIPv6=lambda: self.hasIPv6,
        )
        self.assertTrue(verifyObject(IService, made))
        if starts:
            made.privilegedStartService()
            made.startService()
            self.tenant.modules["root", "capture", name] = made
        return made

    def test_closed(self) -> None:
        """
        The rules are made once; they go with the section, and stay when all of ugate stops.
        """
        made = self.capture()
        (text,) = self.taken
        self.assertIn("meta mark 0x7567 accept", text)
        self.tenant.clock.advance(LOOK)
        self.assertEqual(len(self.taken), 1)
        self.tenant.running = False
        made.stopService()
        self.assertEqual((len(self.taken), self.tenant.clock.getDelayedCalls()), (1, []))
        self.tenant.running = True
        made = self.capture()
        self.tenant.modules.clear()
        made.stopService()
        self.assertEqual(self.taken[2], "add table inet ugate_out\ndelete table inet ugate_out\n")
        self.capture(starts=False).stopService()
        self.assertEqual(len(self.taken), 3)

    def test_replaced(self) -> None:
        """
        Those of a section that has changed are not removed with the old one.
        """
        for failure in ("closed", "open"):
            section = CaptureSection(mode="tproxy", failure=failure)
            old = self.capture(section)
            self.capture(section)
            count = len(self.taken)
            old.stopService()
            self.assertEqual(len(self.taken), count)
        self.assertEqual([hold.isUp for hold in self.holds], [False, True])

    def test_replacedByAnother(self) -> None:
        """
        What the new one has no use for is removed.
        """
        old = self.capture(CaptureSection(mode="tproxy", table=9, ipv6=False))
        self.capture(CaptureSection(mode="tproxy", table=10, ipv6=False))
        self.taken.clear()
        old.stopService()
        self.assertEqual(self.taken, ["ip -4 rule del fwmark 9 lookup 9", "ip -4 route flush table 9"])

    def test_shared(self) -> None:
        """
        Nor is what a section of another name needs that has come in its place.
        """
        old = self.capture(CaptureSection(mode="tproxy", ipv6=False))
        del self.tenant.modules["root", "capture", "out"]
        self.capture(CaptureSection(mode="tproxy", ipv6=False), name="new")
        self.taken.clear()
        old.stopService()
        self.assertEqual(self.taken, ["add table inet ugate_out\ndelete table inet ugate_out\n"])

    def test_takenBack(self) -> None:
        """
        When a change is taken back, so are its rules, be it that they were made or not: those of before are
        there again.
        """
        key = "root", "capture", "out"
        old = self.capture()
        ports = Selection(ports=("80",))
        for error in (None, CannotCapture("no")):
            changed = self.capture(
                CaptureSection(mode="tproxy", table=9, exclude=ports), starts=error is None
            )
            self.tenant.modules[key] = changed
            if error is not None:
                self.error = error
                self.assertRaises(CannotCapture, changed.privilegedStartService)
                self.error = None
            self.taken.clear()
            changed.stopService()
            self.tenant.modules[key] = old
            self.tenant.clock.advance(0)
            routes = () if error else [f"ip -{each} route flush table 9" for each in (4, 6)]
            self.assertIn("delete table inet ugate_out\ntable inet ugate_out {", self.taken[0])
            self.assertEqual([each for each in self.taken[1:] if "flush" in each], [*routes])
            self.assertFalse([each for each in self.taken[1:] if "ugate_out" in each])
        del self.tenant.modules[key]
        first = self.capture()
        first.stopService()
        self.tenant.modules.clear()
        self.taken.clear()
        self.tenant.clock.advance(0)
        self.assertEqual(self.taken, ["add table inet ugate_out\ndelete table inet ugate_out\n"])

    def test_open(self) -> None:
        """
        Rules that go with us are made again if they are gone, and go when we stop, whyever.
        """
        made = self.capture(CaptureSection(failure="open", mode="tproxy"))
        (hold,) = self.holds
        self.assertEqual((hold.made[0], hold.made[2:]), ("out", (0x7567, "nft")))
        hold.isUp = False
        self.tenant.clock.advance(LOOK)
        self.assertEqual([hold.isUp for hold in self.holds], [False, True])
        self.tenant.running = False
        made.stopService()
        self.assertEqual([hold.isUp for hold in self.holds], [False, False])
        self.assertIn("ip -4 route flush table 7567", self.taken)

    def test_mark(self) -> None:
        """
        Rules for another mark are made as soon as that has changed; if they cannot be, the log says so.
        """
        self.capture()
        self.tenant.marked(5)
        self.error = CannotCapture("no")
        self.tenant.clock.advance(LOOK)
        self.error = None
        self.tenant.clock.advance(LOOK)
        self.assertIn("meta mark 0x5 accept", self.taken[1])

    def test_noIPv6(self) -> None:
        """
        Where there is no IPv6 there are no rules for it, and need not be a listener.
        """
        self.hasIPv6 = False
        self.tenant.own.remove("::1", 15001)
        self.capture()
        self.assertIn("meta nfproto ipv6 accept", self.taken[0])

    def test_refused(self) -> None:
        """
        What would cut this machine off, or come back, is not done.
        """
        out = CaptureSection()
        self.tenant.own.remove("::1", 15001)
        self.assertCannot(out, "no listener of ours is at ::1 with port 15001", "let ipv6 be false")
        self.tenant.own.remove("127.0.0.1", 15001)
        self.assertCannot(out, "{captured: 'redirect:tcp:15001:interface=127.0.0.1'}")
        ports = Selection(ports=("80",))
        self.assertCannot(CaptureSection(direction="in", mode="tproxy", include=ports), "'tproxy:tcp:15001")
        datagrams = CaptureSection(mode="tproxy", protocols=("tcp", "udp"), ipv6=False)
        self.tenant.own.add("127.0.0.1", 15001)
        self.assertCannot(datagrams, "'tproxy:udp:15001:interface=127.0.0.1'")
        self.tenant.own.add("127.0.0.1", 15001, "udp")
        self.capture(datagrams)
        self.taken.clear()
        self.tenant.marked(0)
        self.assertCannot(CaptureSection(ipv6=False), "node.mark is 0")
        through = CaptureSection(direction="forward", mode="tproxy", ipv6=False, table=9)
        self.tenant.marked(9)
        self.assertCannot(through, "node.mark is 9", "let table be another number")
        self.tenant.marked(0, out=through, other=through)
        self.assertCannot(through, "capture.other has the table 9, too")
        self.tenant.own.remove("127.0.0.1", 15001)
        self.assertEqual(self.taken, [])
        # Who listens for what comes in may do so at any address; and users may be what tells our own.
        self.capture(CaptureSection(direction="in", include=ports))
        self.tenant.own.add("0.0.0.0", 15001)
        self.capture(CaptureSection(ipv6=False, exclude=Selection(users=("1337",))))
        self.assertEqual(len(self.taken), 2)

    def assertCannot(self, section: CaptureSection, *words: str) -> None:
        """
        It does not start, and says why.
        """
        made = self.capture(section, starts=False)
        error = self.assertRaises(CannotCapture, made.privilegedStartService)
        for each in words:
            self.assertIn(each, str(error))

    def test_cannotStop(self) -> None:
        """
        What goes wrong while it stops is in the log.
        """
        made = self.capture()
        self.tenant.modules.clear()
        self.error = CannotCapture("no")
        with capturedLogs() as logs:
            made.stopService()
        self.assertEqual([each["error"] for each in logs if each["log_level"] == LogLevel.error], ["no"])


class ModuleTests(SynchronousTestCase):
    """
    L{CaptureModule}.
    """

    def test_makes(self) -> None:
        """
        It makes services of the root tenant, with names that the firewall takes.
        """
        module = CaptureModule()
        self.assertTrue(verifyObject(IModule, module))
        tenant: Any = FakeTenant()
        self.assertIsInstance(module.makeService(tenant, "out", CaptureSection()), Capture)
        for name in ("a-b", "a.b", "x" * 13, "1"):
            error = self.assertRaises(CannotCapture, module.makeService, tenant, name, CaptureSection())
            self.assertIn("wanted 1 to 12 letters", str(error))
        tenant.parent = tenant
        self.assertRaises(CannotCapture, module.makeService, tenant, "out", CaptureSection())
