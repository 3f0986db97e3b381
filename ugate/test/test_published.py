# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.published}, and for names that a node may choose: services of nodes without an
address, on ports and under host names of a gate.
"""

from __future__ import annotations

from typing import Any

from ugate.endpoints.registry import GRACE
from ugate.tenancy.config.sections import ROOT
from ugate.test.howtofakes import clientHello
from ugate.test.linkedfakes import LinkedCase
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversation, Conversations, Reset

SERVE = {
    "ssh": {"port": 2222, "to": "127.0.0.1:8080"},
    "web": {"port": 80, "to": "127.0.0.1:8080"},
    "tls": {"port": 443, "to": "127.0.0.1:8080"},
}


class PublishedCase(LinkedCase):
    """
    A gate where bob may have a port and some names, and eve nothing.
    """

    def grant(self, **more: Any) -> dict[str, Any]:
        """
        The section of bob.
        """
        return {"keyid": self.keys["bob"], "hosts": ["*.bob.example"], "ports": [2222, 1080], **more}

    def gate(self, endpoint: str = "reverse:mtls:tcp:15009", host: str = "gate", **more: Any) -> Any:
        """
        The gate.
        """
        sections = {
            "listen": {
                "socks": "socks:tcp:1080:interface=127.0.0.1",
                "in": endpoint,
                "tls": "sni:tcp:443:names=*.bob.example",
                "web": {"endpoint": "connect:tcp:3128", "open": True},
            },
            "nodes": {"bob": self.grant()},
            **more,
        }
        return super().gate(endpoint, host, **sections)

    def node(self, name: str = "bob", more: str = "", host: str = "", **sections: Any) -> Conversations:
        """
        A node, which serves three ports.
        """
        return super().node(name, more, host, **{"serve": SERVE, **sections})

    def come(self, port: int = 2222, hello: bytes = b"") -> Conversation:
        """
        Somebody from elsewhere connects to the gate.
        """
        stream = self.mesh.client("alice").connect(f"tcp:gate:{port}", hello)
        self.mesh.flush()
        return stream


class PortTests(PublishedCase):
    """
    Ports of the gate.
    """

    def test_port(self) -> None:
        """
        Whoever connects there gets to the node, also if its server speaks first.
        """
        self.gate()
        self.assertIsNotNone(self.come().failure)
        with Logged() as logged:
            served = self.node(more=":ports=2222:links=2")
        self.assertIn("by our key, and bob, port 2222", "\n".join(logged.lines))
        stream = self.come()
        served.last.write(b"SSH-2.0-bob")
        self.mesh.flush()
        self.assertEqual(b"SSH-2.0-bob", stream.received)
        stream.write(b"SSH-2.0-alice")
        stream.halfClose()
        self.mesh.flush()
        self.assertEqual((b"SSH-2.0-alice", True), (served.last.received, served.last.isEnded))
        bob: Any = self.mesh.gateways["bob"]
        (alice,) = self.mesh.host("alice").addresses
        (live,) = bob.flows.streams()
        self.assertEqual(f"for={alice}", live.info.hints["forwarded"])

    def test_notGiven(self) -> None:
        """
        A port that is not given to the key, be it one of two, or to one that has no section, is refused, and
        the link with it.
        """
        self.gate()
        for name, ports in (("bob", "2222,2223"), ("eve", "2222")):
            with Logged() as logged:
                self.node(name, f":ports={ports}")
            said = "\n".join(logged.lines)
            self.assertIn(f"port {ports[-4:]} is not given to its key", said)
            self.assertIn("linked:gate:15009 refuses us", said)
            self.assertEqual(0, self.links(name))
        self.assertIsNotNone(self.come().failure)

    def test_taken(self) -> None:
        """
        A port that something else listens on, or that another node has, is refused, and why is said.
        """
        gate = self.gate(
            nodes={"bob": self.grant(), "eve": {"keyid": self.keys["eve"], "ports": [2222]}},
        )
        self.mesh.serve("gate", 1080, Conversations())
        with Logged() as logged:
            self.node(more=":ports=2222,1080")
        self.assertIn("port 1080 cannot be listened on", "\n".join(logged.lines))
        self.assertIsNotNone(self.come().failure)
        self.mesh.gateways.pop("bob").stopService()
        self.mesh.advance(5)
        self.node("eve", ":ports=2222")
        with Logged() as logged:
            self.node(host="bob2", more=":ports=2222")
        self.assertIn("port 2222 is that of another node", "\n".join(logged.lines))
        self.assertTrue(self.come().isOpen)
        self.assertEqual(1, len(gate.tenant.mesh.registry))

    def test_gone(self) -> None:
        """
        With the node its port is gone, and comes back with it.
        """
        self.gate()
        served = self.node(more=":ports=2222")
        self.assertTrue(self.come().isOpen)
        fault = self.mesh.apply(Reset(), "bob", "gate")
        self.mesh.flush()
        self.assertIsNotNone(self.come().failure)
        fault.lift()
        self.mesh.advance(60)
        self.assertTrue(self.come().isOpen)
        self.assertEqual(2, len(served.accepted))

    def test_other(self) -> None:
        """
        A node that asks for others gives up those that it had.
        """
        self.gate(nodes={"bob": self.grant(ports=[2222, 443, 80])})
        self.node(more=":ports=2222")
        self.node(host="bob2", more=":ports=80")
        self.assertIsNotNone(self.come(2222).failure)
        self.assertTrue(self.come(80).isOpen)

    def test_reload(self) -> None:
        """
        What a reload gives to a key no more, it has not for long.
        """
        gate = self.gate()
        self.node(more=":ports=2222:names=wiki.bob.example")
        stream = self.come()
        gate.store.put(ROOT, "nodes", "bob", {"keyid": self.keys["bob"]})
        self.mesh.advance(2)
        self.assertTrue(stream.isOpen)
        self.assertFalse(self.come().isOpen and len(gate.tenant.mesh.registry.sessionsOf("bob")))
        stream.abort()
        self.mesh.advance(GRACE + 5)
        self.assertIsNotNone(self.come().failure)
        self.assertEqual(0, self.links())

    def test_policy(self) -> None:
        """
        Who may use it is a matter of the gate's policy, too.
        """
        self.gate(policy={"rules": [{"action": "deny", "who": "open:*"}, {"action": "allow"}]})
        served = self.node(more=":ports=2222")
        with Logged() as logged:
            stream = self.come()
            self.mesh.advance(3)
        self.assertIn("denied by policy", "\n".join(logged.lines))
        self.assertTrue(stream.isEnded)
        self.assertEqual([], served.accepted)

    def test_stops(self) -> None:
        """
        When the gate stops, nobody new comes in by its ports.
        """
        gate = self.gate(node={"state": self.states["gate"], "drain": 30})
        self.node(more=":ports=2222")
        stream = self.come()
        stopped = gate.stopService()
        self.mesh.flush()
        self.assertIsNotNone(self.come().failure)
        self.assertTrue(stream.isOpen)
        stream.abort()
        self.mesh.advance(5)
        self.successResultOf(stopped)
        del self.mesh.gateways["gate"]

    def test_interface(self) -> None:
        """
        It is on the address where nodes dial in.
        """
        (address,) = self.mesh.host("gate").addresses
        self.gate(f"reverse:mtls:tcp:15009:interface={address}")
        self.node(more=":ports=2222")
        self.assertTrue(self.come().isOpen)
        stream = self.mesh.client("gate").connect("tcp:127.0.0.1:2222")
        self.mesh.flush()
        self.assertIsNotNone(stream.failure)


class NameTests(PublishedCase):
    """
    Host names of the gate.
    """

    def test_everywhere(self) -> None:
        """
        By TLS that names it, by a proxy, and by whatever else the gate takes in.
        """
        self.gate()
        served = self.node(more=":names=wiki.bob.example")
        self.come(443, clientHello("wiki.bob.example"))
        self.assertIn(b"wiki.bob.example", served.last.received)
        self.come(3128, b"GET http://wiki.bob.example/page HTTP/1.1\r\nHost: wiki.bob.example\r\n\r\n")
        self.assertIn(b"GET /page", served.last.received)
        self.assertTrue(self.ask("WIKI.bob.example").isOpen)
        self.assertEqual(3, len(served.accepted))
        self.assertEqual(b"\x15", self.come(443, clientHello("other.bob.example")).received[:1])

    def test_notGiven(self) -> None:
        """
        A name that fits nothing that is given is refused, also one that only ends so.
        """
        self.gate()
        for name in ("bob.example", "wikibob.example", "wiki.eve.example"):
            with Logged() as logged:
                self.node(host=f"host-{name}", more=f":names={name}")
            self.assertIn(f"the name {name} is not given to its key", "\n".join(logged.lines))
        self.assertEqual(0, self.links())

    def test_ofAnother(self) -> None:
        """
        Of two keys that may have a name, who has it keeps it as long as it is there.
        """
        hosts = {"hosts": "*.shared.example"}
        self.gate(
            nodes={
                "bob": {"keyid": self.keys["bob"], **hosts},
                "eve": {"keyid": self.keys["eve"], **hosts},
            }
        )
        bob = self.node(more=":names=a.shared.example")
        with Logged() as logged:
            eve = self.node("eve", ":names=a.shared.example")
        self.assertIn("the name a.shared.example is that of", "\n".join(logged.lines))
        self.ask("a.shared.example")
        self.assertEqual((1, 0), (len(bob.accepted), len(eve.accepted)))
        self.mesh.apply(Reset(), "bob", "gate")
        self.mesh.advance(60)
        self.ask("a.shared.example")
        self.assertEqual((1, 1), (len(bob.accepted), len(eve.accepted)))

    def test_gone(self) -> None:
        """
        With its node a name is nobody's, and leads where any other leads.
        """
        gate = self.gate()
        self.node(more=":names=wiki.bob.example")
        self.assertTrue(gate.tenant.nodes.leads("wiki.bob.example"))
        self.mesh.apply(Reset(), "bob", "gate")
        self.mesh.flush()
        self.assertFalse(gate.tenant.nodes.leads("wiki.bob.example"))
        self.assertIsNotNone(self.ask("wiki.bob.example").failure)
