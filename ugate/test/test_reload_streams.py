# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What another configuration does to streams.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs

from ugate.tenancy.config.schema import Delegation, Limits, PolicyRule
from ugate.test.nodefakes import HELLO, REQUEST
from ugate.test.reloadfakes import (
    ALICE,
    DENY,
    MAIN,
    OTHER,
    PUBLIC,
    ReloadCase,
    config,
)


class StreamTests(ReloadCase):
    """
    What becomes of streams.
    """

    DENIED = (PolicyRule("deny", reason="not any more"),)

    def test_goOn(self) -> None:
        """
        No change cuts a stream, whatever it would be told now.
        """
        node = self.run_(config({"main": MAIN}))
        line, target = self.stream(node)
        self.good(node, config({}, routes=DENY, rules=self.DENIED))
        line.say(b"hello")
        self.assertEqual((target.value(), len(node.flows)), (b"hello", 1))

    def test_close(self) -> None:
        """
        Unless the policy says so, of the streams that it refuses; with the reason.
        """
        node = self.run_(config({"main": MAIN}))
        self.stream(node)
        waiting = self.client(node)
        waiting.say(HELLO)
        waiting.say(REQUEST)
        self.good(node, config({"main": MAIN}, rules=self.ports(80), close=True))
        self.assertEqual(len(node.flows), 2)
        self.good(node, config({"main": MAIN}, rules=self.ports(81), close=True))
        self.assertEqual(len(node.flows), 0)
        self.assertIn("the policy has changed: rule 2: not any more", "\n".join(self.said()))
        self.assertEqual(waiting.value()[:2], b"\x05\x02")

    def ports(self, port: int) -> tuple[PolicyRule, ...]:
        """
        Rules that allow one port.
        """
        return (PolicyRule("allow", target=(f"*:{port}",)), *self.DENIED)

    def test_removedTenant(self) -> None:
        """
        The streams of a tenant that is gone go on with it, unless a policy says that they end.
        """
        for close in (False, True):
            self.setUp()
            node = self.run_(
                config({"main": MAIN}, tenants=ALICE), alice=config({"own": OTHER}, close=close, rules=())
            )
            alice = node.tenants["alice"]
            self.stream(node, "alice/own", PUBLIC)
            (stream,) = node.flows.streams()
            self.assertIs(stream.owner, alice)
            changed = self.good(node, config({"main": MAIN}), alice=None)
            self.assertEqual(set(changed) - {"policy alice"}, {"listen alice/own", "tenants alice"})
            self.assertEqual((list(node.tenants), list(node.ports)), (["root"], ["main"]))
            self.assertEqual(len(node.flows), 0 if close else 1)
            if not close:
                self.assertIs(stream.owner, alice)
                self.assertEqual(node.flows.totals("alice").opened, 1)
                stream.close("enough")
                self.good(node)
            self.assertEqual(node.flows.totals("alice").opened, 0)

    def test_limits(self) -> None:
        """
        Other limits hold at once, and nothing that counts is forgotten.
        """

        def limited(streams: int) -> Any:
            tenants = {"alice": Delegation(limits=Limits(streams=streams))}
            return config({"main": MAIN}, tenants=tenants)

        node = self.run_(limited(1), alice=config({"own": OTHER}))
        self.stream(node, "alice/own", PUBLIC)
        self.assertEqual(self.refused(node), b"\x05\x01")
        self.good(node, limited(2))
        self.stream(node, "alice/own", PUBLIC)
        self.assertEqual(self.refused(node), b"\x05\x01")
        refusal = node.flows.refusals()[0]
        self.assertIn("tenant alice: 2 streams are open", refusal.detail)
        for stream in node.flows.streams():
            stream.close("enough")
        limits: Any = node.tenants["alice"].limits
        self.assertEqual((limits.streams, len(node.flows)), (0, 0))

    def test_month(self) -> None:
        """
        When the bytes of a month are used up, the streams of that tenant end, and of those below it.
        """
        tenants = {"alice": Delegation(limits=Limits(month=10)), "bob": Delegation()}
        node = self.run_(
            config(tenants=tenants),
            alice=config(tenants={"dev": Delegation()}),
            alice__dev=config({"own": MAIN}),
            bob=config({"own": OTHER}),
        )
        line, _ = self.stream(node, "alice/dev/own", PUBLIC)
        self.stream(node, "bob/own", PUBLIC)
        line.say(b"0123456789ab")
        with capturedLogs() as events:
            self.reactor.advance(0)
        self.assertEqual([stream.tenant for stream in node.flows.streams()], ["bob"])
        self.assertIn("month's bytes used up", str([event.get("flow") for event in events]))

    def refused(self, node: Any) -> bytes:
        """
        What one more stream is told.
        """
        line = self.client(node, "alice/own")
        line.say(HELLO)
        return line.say(PUBLIC)[:2]
