# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How links that nodes keep to a gate come and go, and what their streams notice of that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ugate.endpoints.registry import GRACE
from ugate.endpoints.sessions import DEFAULT
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.config.sections import ONLY, ROOT
from ugate.tenancy.identityown import Own
from ugate.test.linkedfakes import LinkedCase
from ugate.test.tlsfakes import Logged
from ugate.testing import Reset

LOOK = DEFAULT.look


class LifeTests(LinkedCase):
    """
    A gate, and bob.
    """

    def store(self, host: str) -> Any:
        """
        What the configuration of a host is read from.
        """
        node: Any = self.mesh.gateways[host]
        return node.store

    def stop(self, host: str) -> None:
        """
        Stop one gateway.
        """
        node: Any = self.mesh.gateways.pop(host)
        stopped = node.stopService()
        self.mesh.advance(3)
        self.successResultOf(stopped)

    def test_cut(self) -> None:
        """
        With its link gone a node is not there, and its streams are cut; who asks is refused at once and told
        why.  It comes back.
        """
        gate = self.gate()
        self.node()
        stream = self.ask()
        self.mesh.apply(Reset(), "bob", "gate", None).lift()
        fault = self.mesh.apply(Reset(), "bob", "gate")
        self.mesh.flush()
        self.assertFalse(stream.isOpen or stream.isClean)
        self.assertEqual(0, self.links())
        self.assertEqual(["config"], [each.source for each in gate.tenant.nodes.all()])
        with Logged() as logged:
            self.assertIsNotNone(self.ask().failure)
            self.assertIsNotNone(self.ask(self.keys["bob"]).failure)
        said = "\n".join(logged.lines)
        self.assertIn("it has no address here, and no link to here", said)
        fault.lift()
        self.mesh.advance(60)
        self.assertTrue(self.ask().isOpen)

    def test_gateStops(self) -> None:
        """
        A node tries again until its gate is back, at longer and longer times.
        """
        self.gate()
        self.node()
        self.stop("gate")
        with Logged() as logged:
            self.mesh.advance(300)
        self.assertIn(sum("no link" in line for line in logged.lines), range(7, 15), logged.lines)
        self.gate()
        self.mesh.advance(61)
        self.assertTrue(self.ask().isOpen)

    def test_nodeStops(self) -> None:
        """
        A node that stops lets its streams end; it is forgotten a little later.
        """
        self.gate()
        served = self.node()
        stream = self.ask()
        bob: Any = self.mesh.gateways["bob"]
        stopped = bob.stopService()
        self.mesh.flush()
        served.last.write(b"last words")
        served.last.halfClose()
        self.mesh.flush()
        stream.halfClose()
        self.mesh.advance(1)
        self.assertEqual((b"last words", True), (stream.received, stream.isClean))
        self.successResultOf(stopped)
        self.mesh.gateways.pop("bob")
        self.mesh.advance(GRACE)
        self.assertEqual(0, self.links())
        self.assertIsNotNone(self.ask().failure)

    def test_renewed(self) -> None:
        """
        When the node is somebody else, it is that at the gate; what is up goes on.
        """
        self.gate()
        served = self.node()
        stream = self.ask()
        bob: Any = self.mesh.gateways["bob"]
        bob.tenant.identity.change(Own(self.states["eve"], Identity()))
        self.mesh.advance(1)
        self.assertEqual((1, 1), (self.links("eve"), self.links("bob")))
        stream.write(b"still")
        self.mesh.flush()
        self.assertEqual(b"still", served.last.received)
        self.assertTrue(self.ask(self.keys["eve"]).isOpen)
        stream.abort()
        served.accepted[0].abort()
        self.mesh.advance(GRACE)
        self.assertEqual((1, 0), (self.links("eve"), self.links("bob")))

    def reload(self, kind: str, name: str, section: Any) -> None:
        """
        With another section of the gate, links are made anew; who asks meanwhile waits, and all goes on.
        """
        self.gate()
        served = self.node()
        before = self.ask()
        self.store("gate").put(ROOT, kind, name, section)
        self.mesh.flush()
        after = self.ask()
        self.mesh.advance(2)
        self.assertEqual(2, len(served.accepted))
        self.assertEqual(2, self.links())
        for stream, server in zip((before, after), served.accepted, strict=True):
            stream.write(b"question")
            self.mesh.flush()
            self.assertEqual(b"question", server.received)

    def test_listener(self) -> None:
        """
        So it is when the listener of the gate is another one.
        """
        self.reload("listen", "in", {"endpoint": "reverse:mtls:tcp:15009:handshake=7"})

    def test_trust(self) -> None:
        """
        And when others are believed.
        """
        self.reload("trust", ONLY, {"pins": [self.keys["bob"], self.keys["alice"]]})

    def test_believedNoMore(self) -> None:
        """
        A node that the gate believes no more is not back.
        """
        self.gate()
        self.node()
        self.assertTrue(self.ask().isOpen)
        self.store("gate").put(ROOT, "trust", ONLY, {"pins": [self.keys["eve"]]})
        self.mesh.advance(5)
        refused = self.ask()
        self.mesh.advance(5)
        self.assertIsNotNone(refused.failure)

    def revoke(self, host: str, name: str) -> None:
        """
        Say in a file that it has read before whom a host believes no more.
        """
        Path(self.states[host], "revoked").write_text(f"{self.keys[name]}\n")
        self.mesh.advance(LOOK + 1)

    def revoking(self, host: str) -> dict[str, str]:
        """
        What has a host read such a file.
        """
        path = Path(self.states[host], "revoked")
        path.write_text("# nobody\n")
        return {"revoked": str(path)}

    def test_revoked(self) -> None:
        """
        Whom a list revokes has no new streams soon, though nothing is reloaded, and its names are not its any
        more; others go on.
        """
        pins = [self.keys["bob"], self.keys["eve"]]
        self.gate(trust={"pins": pins, **self.revoking("gate")})
        bob, eve = self.node(), self.node("eve")
        self.mesh.advance(10 * LOOK)
        self.assertTrue(self.ask().isOpen)
        with Logged() as logged:
            self.revoke("gate", "bob")
        self.assertIn("it is revoked: its KEYID", "\n".join(logged.lines))
        refused = self.ask()
        self.assertTrue(self.ask(self.keys["eve"]).isOpen)
        self.mesh.advance(GRACE)
        self.assertIsNotNone(refused.failure)
        self.assertEqual((1, 1), (len(bob.accepted), len(eve.accepted)))
        self.assertEqual(1, self.links("eve"))

    def test_gateRevoked(self) -> None:
        """
        So has a gate that its node believes no more.
        """
        self.gate()
        served = self.node(trust=self.revoking("bob"))
        self.mesh.advance(10 * LOOK)
        self.assertTrue(self.ask().isOpen)
        self.revoke("bob", "gate")
        refused = self.ask()
        self.mesh.advance(GRACE)
        self.assertIsNotNone(refused.failure)
        self.assertEqual(1, len(served.accepted))

    def test_nameTaken(self) -> None:
        """
        A name that the gate gives to another key is that of the other, at once.
        """
        self.gate()
        bob, eve = self.node(), self.node("eve")
        self.ask("bob.corp")
        self.store("gate").put(ROOT, "nodes", "bob", {"keyid": self.keys["bob"]})
        self.store("gate").put(ROOT, "nodes", "eve", {"keyid": self.keys["eve"], "names": ["bob.corp"]})
        self.mesh.advance(1)
        self.ask("bob.corp")
        self.assertEqual((1, 1), (len(bob.accepted), len(eve.accepted)))

    def test_long(self) -> None:
        """
        Links are made anew again and again, and nobody is refused for that.
        """
        self.gate()
        served = self.node()
        for number in range(1, 40):
            self.mesh.advance(251)
            stream = self.ask()
            self.assertTrue(stream.isOpen, number)
            self.assertEqual(number, len(served.accepted))
            stream.abort()
            self.mesh.flush()
        self.assertEqual(1, self.links())

    def test_stops(self) -> None:
        """
        Nothing is left when all stop.
        """
        self.gate()
        self.node(more=":links=4")
        self.ask()
        self.mesh.stop()
        self.assertEqual([], [each for each in self.mesh.connections() if ":15009" in each])
