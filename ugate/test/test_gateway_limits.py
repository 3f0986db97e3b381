# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.gateway}: streams of a tenant that has limits.
"""

from __future__ import annotations

from ugate.errors import Cause, Phase, Refused
from ugate.gateway import Gateway
from ugate.tenancy.config.schema import Limits
from ugate.tenancy.limits import TenantLimits
from ugate.test.gatewayfakes import FakeTenant, GatewayCase


class LimitedTests(GatewayCase):
    """
    The limits themselves, not something that stands for them.
    """

    def limited(self, limits: Limits) -> Gateway:
        """
        The gateway of a tenant with these.
        """
        tenant = FakeTenant(self.clock, self.rules)
        self.limits = tenant.limits = TenantLimits(self.clock, limits, path="alice")
        return Gateway(tenant, self.flows, listener="main")

    def test_streams(self) -> None:
        """
        One too many is refused; when another has ended, there is a place.
        """
        gateway = self.limited(Limits(streams=1))
        first = self.ask(gateway=gateway)
        refused = self.refusal(self.ask(gateway=gateway))
        self.assertEqual((refused.cause, refused.phase), (Cause.OVERLOADED, Phase.POLICY))
        self.assertIn("tenant alice: 1 streams are open", str(refused))
        self.rules.dials[0].down(Refused(Cause.TIMED_OUT, Phase.CONNECT, "db:5432"))
        self.assertEqual(len(first.answers), 1)
        self.ask(gateway=gateway)
        self.assertEqual((len(self.rules.dialed), self.limits.streams), (2, 1))

    def test_bytes(self) -> None:
        """
        What passes counts, and no more passes than may.
        """
        wire = self.ask(gateway=self.limited(Limits(up=1000, month=10_000)))
        self.rules.dials[0].up()
        wire.protocol.dataReceived(bytes(5000))
        snapshot = self.limits.snapshot()
        self.assertEqual((snapshot["up"]["used"], snapshot["month"]["used"]), (5000, 5000))
        self.assertEqual(self.limits.meters.up.room(), -4800)  # type: ignore[union-attr]

    def test_early(self) -> None:
        """
        What comes while the target has not answered is the tenant's memory, until it does or
        does not.
        """
        for end in ("up", "down", "gone", "broken"):
            gateway = self.limited(Limits(buffers=1000))
            wire = self.ask(gateway=gateway)
            wire.protocol.dataReceived(bytes(1000))
            self.assertEqual(self.limits.buffers.used, 1000)
            self.assertIn("streams hold 1000 bytes", str(self.refusal(self.ask(gateway=gateway))))
            if end == "up":
                self.rules.dialed[-1].up()
            elif end == "broken":
                self.patch(self.relay, "join", lambda *args: 1 / 0)
                self.rules.dialed[-1].up()
                self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            elif end == "down":
                self.rules.dialed[-1].down(Refused(Cause.TIMED_OUT, Phase.CONNECT, "db:5432"))
            else:
                wire.lost()
            self.assertEqual(self.limits.buffers.used, 0, end)
