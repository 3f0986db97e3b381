# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.sshpublishing}: C{ssh -R} at a gate, in a network in memory.
"""

from __future__ import annotations

from ugate.endpoints import forwards
from ugate.endpoints.forwards import FIRST_PORT
from ugate.errors import Cause, Phase, Refused
from ugate.modules.meshstates import nodesOf
from ugate.protocols import sshlink
from ugate.protocols.sshforwards import MOST
from ugate.stream import Principal, StreamInfo, Target
from ugate.test.sshfakes import HOST, PEER
from ugate.test.sshpublishingfakes import PublishingCase
from ugate.test.tlsfakes import Logged
from ugate.testing import Stall


class JumpTests(PublishingCase):
    """
    Users who are jump targets, which everybody may be who has logged in.
    """

    def test_any(self) -> None:
        """
        C{-R 0}: the answer has a port, no port is opened, and the user is reached by its name and 22, or that
        port; the client hears the words that it has asked with.
        """
        self.gate()
        eve = self.login("eve")
        self.assertEqual(Target("localhost", FIRST_PORT), self.publish(eve))
        for port in (22, FIRST_PORT):
            stream = self.ask("eve", port, b"hello")
            self.assertEqual(Target("localhost", FIRST_PORT), eve.infos[-1].target)
            self.assertEqual(b"hello", eve.last.received)
            eve.last.write(b"welcome")
            self.mesh.flush()
            self.assertEqual(b"welcome", stream.received)
        self.assertIs(Cause.CONNECTION_REFUSED, self.cause(self.ask("eve", 80)))
        refused = self.mesh.client("alice").connect(f"tcp:gate:{FIRST_PORT}")
        self.mesh.flush()
        self.assertIsNotNone(refused.failure)

    def test_several(self) -> None:
        """
        With several, 22 is the first; each has its own port. A second connection of the user comes before the
        first, as long as it is there.
        """
        self.gate()
        eve = self.login("eve")
        for port in (15022, 18080, 0):
            self.assertIsNotNone(self.publish(eve, port=port))
        for port, wanted in ((22, 15022), (15022, 15022), (18080, 18080), (FIRST_PORT, FIRST_PORT)):
            self.ask("EVE.", port)
            self.assertEqual(wanted, eve.infos[-1].target.port)
        other = self.login("eve", host="train")
        self.assertEqual(Target("*", FIRST_PORT + 1), self.publish(other, host="*"))
        self.ask("eve", 22)
        self.assertEqual(1, len(other.infos))
        self.cut(other)
        self.ask("eve", 22)
        self.assertEqual(15022, eve.infos[-1].target.port)

    def test_dead(self) -> None:
        """
        A connection that was quiet is asked before it is used; if it is dead, the one before has the streams,
        and if there is none, the user is away.
        """
        self.gate()
        eve, other = self.login("eve"), self.login("eve", host="train")
        for each in (eve, other):
            self.publish(each)
        self.mesh.advance(20)
        self.mesh.apply(Stall(), "train", "gate")
        stream = self.mesh.client("alice").connect(r"socks:gate:1080:to=eve\:22:timeout=30")
        self.mesh.flush()
        self.assertFalse(stream.isOpen)
        self.mesh.advance(11)
        self.assertEqual((True, 1, 0), (stream.isOpen, len(eve.infos), len(other.infos)))
        self.mesh.apply(Stall(), "eve", "gate")
        self.mesh.advance(16)
        self.ask("eve", 22)
        self.mesh.advance(11)
        self.assertIs(Cause.HOST_UNREACHABLE, self.cause(self.ask("eve", 22)))

    def test_full(self) -> None:
        """
        A client whose connection is full, or going away, is refused as that.
        """
        self.patch(sshlink, "MOST", 2)
        self.gate()
        eve = self.login("eve")
        self.publish(eve)
        for _ in range(2):
            self.assertTrue(self.ask("eve", 22).isOpen)
        with Logged() as logged:
            self.assertIsNotNone(self.ask("eve", 22).failure)
        self.assertIn("all its connections are full or going away", "\n".join(logged.lines))

    def test_window(self) -> None:
        """
        Who does not read holds up its own stream alone, and little is kept for it.
        """
        self.gate()
        eve = self.login("eve")
        self.publish(eve)
        stuck, other = self.ask("eve", 22), self.ask("eve", 22)
        eve.conversations[0].pause()
        stuck.pour(b"x" * (16 << 20))
        self.mesh.flush()
        self.assertGreater(len(stuck.unpoured), 8 << 20)
        other.write(b"hello")
        self.mesh.flush()
        self.assertEqual(b"hello", eve.last.received)
        eve.conversations[0].resume()
        self.mesh.flush()
        self.assertEqual(16 << 20, len(eve.conversations[0].received))

    def test_ends(self) -> None:
        """
        Each direction ends by itself, and a cut is one.
        """
        self.gate()
        eve = self.login("eve")
        self.publish(eve)
        stream = self.ask("eve", 22, b"question")
        stream.halfClose()
        self.mesh.flush()
        self.assertEqual((b"question", True), (eve.last.received, eve.last.isEnded))
        eve.last.write(b"answer")
        eve.last.close()
        self.mesh.flush()
        self.assertEqual((b"answer", True), (stream.received, stream.isClean))
        stream = self.ask("eve", 22)
        eve.last.abort()
        self.mesh.flush()
        self.assertFalse(stream.isClean)

    def test_refused(self) -> None:
        """
        What the client refuses is refused, with its cause.
        """
        self.gate()
        eve = self.login("eve")
        self.publish(eve)
        eve.refuses = Refused(Cause.CONNECTION_REFUSED, Phase.REMOTE, "localhost:22")
        self.assertIs(Cause.CONNECTION_REFUSED, self.cause(self.ask("eve", 22)))

    def test_proxy(self) -> None:
        """
        A client that is a proxy, as C{ssh -R PORT} alone makes it, is a hop; C{ucli explain} names it.
        """
        self.gate(routes=[{"match": "far.example", "via": "mesh -> socks:bob:1080"}])
        bob = self.login()
        self.assertIsNotNone(self.publish(bob, port=1080))
        self.ask("far.example", 80)
        self.assertEqual(b"\5\1\0", bob.last.received)
        info = StreamInfo(HOST, PEER, Target("bob", 1080), Principal("eve", "key"))
        said = "\n".join(self.tenant.dialer.explain(info))
        self.assertIn("known by ssh", said)
        self.assertIn("open a stream on the connection of bob (key) from 10.", said)
        (state,) = [each for each in nodesOf(self.tenant) if each.source == "ssh"]
        self.assertEqual(("bob",), state.names)
        self.assertIsNone(state.expires)
        self.cut(bob)
        (state,) = [each for each in nodesOf(self.tenant) if each.source == "ssh"]
        self.assertEqual(forwards.KEPT, state.expires)
        self.assertIn("bob is away", "\n".join(self.tenant.dialer.explain(info)))

    def test_noName(self) -> None:
        """
        Whose user name is no name of a host is reached by nothing, and a name with a dot is only given.
        """
        self.gate()
        with Logged() as logged:
            self.assertIsNone(self.publish(self.login("Carol Smith")))
        self.assertIn("Carol Smith has no name to be reached by", "\n".join(logged.lines))

    def test_policy(self) -> None:
        """
        Whoever comes is asked about by the name.
        """
        self.gate(rules=[{"action": "allow", "target": "eve:2222"}])
        eve = self.login("eve")
        self.publish(eve)
        self.publish(eve, port=2222)
        self.assertTrue(self.ask("eve", 2222).isOpen)
        self.assertIs(Cause.DENIED, self.cause(self.ask("eve", 22)))


class TenantTests(PublishingCase):
    """
    Users of tenants, and those who have no credentials.
    """

    def test_below(self) -> None:
        """
        What a user of another tenant publishes is there, by the section of that one, and nowhere else; ports
        are for users of the listener's.
        """
        below = {
            "policy": {"keys": self.keysFile(), "rules": [{"action": "allow"}]},
            "nodes": {"bob": {"who": "key:bob", "hosts": "*.bob.example", "ports": 8023}},
        }
        self.gate(tenants={"alice": below})
        bob = self.login(user="bob@alice")
        self.assertIsNotNone(self.publish(bob))
        self.assertIsNone(self.publish(bob, "shop.example", 80))
        self.assertIsNotNone(self.publish(bob, "wiki.bob.example", 80))
        self.assertFalse(self.tenant.nodes.leads("wiki.bob.example"))
        self.assertTrue(self.tenant.children["alice"].nodes.leads("wiki.bob.example"))
        with Logged() as logged:
            self.assertIsNone(self.publish(bob, port=8023))
        self.assertIn("ports are for users of the tenant whose listener it is", "\n".join(logged.lines))
        self.assertIsNotNone(self.come(8023).failure)
        ours = self.login()
        self.assertIsNotNone(self.publish(ours, "wiki.bob.example", 80))
        self.assertTrue(self.ask("wiki.bob.example", 80).isOpen)
        self.assertEqual((0, 1), (len(bob.infos), len(ours.infos)))

    def test_gone(self) -> None:
        """
        When the tenant is gone, its users may take back what they publish, and are told why there is no more.
        """
        rules = {"action": "allow"}
        gate = self.gate(tenants={"alice": {"policy": {"keys": self.keysFile(), "rules": [rules]}}})
        bob = self.login(user="bob@alice")
        at = self.publish(bob)
        assert at is not None
        gate.store.delete("root", "tenants", "alice")
        self.mesh.advance(2)
        self.assertEqual({}, self.tenant.children)
        self.withdraw(bob, at)
        self.assertIsNone(self.publish(bob))
        self.assertTrue(bob.link.room)

    def test_operator(self) -> None:
        """
        Without credentials, on this machine, it is the operator, and a section may mean it.
        """
        listen = {"main": "ssh:tcp:2222:interface=127.0.0.1"}
        nodes = {"us": {"who": "local:operator", "hosts": "*.test"}}
        self.gate(listen=listen, nodes=nodes, policy={})
        came = self.login(host="gate")
        self.assertIsNotNone(self.publish(came))
        self.assertIsNotNone(self.publish(came, "wiki.test", 80))
        self.assertIsNone(self.publish(came, "wiki.example", 80))
        names = [name for node in self.tenant.nodes.all() for name in node.names]
        self.assertEqual(["operator", "wiki.test"], names)


class PortTests(PublishingCase):
    """
    Ports of the gate.
    """

    def test_port(self) -> None:
        """
        Who may have a port has it opened; streams are those of anybody, for the user's name.
        """
        gate = self.gate()
        bob = self.login()
        at = self.publish(bob, port=8022)
        assert at is not None
        stream = self.come(8022, b"hello")
        self.assertEqual(b"hello", bob.last.received)
        (live,) = gate.flows.streams()
        self.assertEqual((Target("bob", 8022), "anyone"), (live.info.target, live.info.principal.name))
        self.assertTrue(stream.isOpen)
        self.withdraw(bob, at)
        self.assertIsNotNone(self.come(8022).failure)

    def test_gone(self) -> None:
        """
        It is there as long as a connection of the user wants it.
        """
        self.gate()
        one, two = self.login(), self.login(host="train")
        self.assertIsNotNone(self.publish(one, port=8022))
        self.assertIsNotNone(self.publish(two, port=8022))
        self.cut(two)
        self.assertTrue(self.come(8022).isOpen)
        self.cut(one)
        self.assertIsNotNone(self.come(8022).failure)

    def test_taken(self) -> None:
        """
        What something else listens on cannot be had, and leaves nothing behind.
        """
        self.gate(nodes={"bob": {"who": "bob", "ports": [1080]}})
        bob = self.login()
        with Logged() as logged:
            self.assertIsNone(self.publish(bob, port=1080))
        self.assertIn("port 1080 cannot be listened on", "\n".join(logged.lines))
        self.assertEqual(0, len(self.tenant.mesh.forwards))
        self.assertFalse(self.tenant.nodes.leads("bob"))

    def test_reload(self) -> None:
        """
        Nor has it what a reload takes away.
        """
        gate = self.gate()
        self.publish(self.login(), port=8022)
        gate.store.put("root", "nodes", "bob", {"who": "key:bob"})
        self.mesh.advance(2)
        self.assertIsNotNone(self.come(8022).failure)


class LimitTests(PublishingCase):
    """
    How much there may be.
    """

    def test_most(self) -> None:
        """
        Forwards of a connection, and of all.
        """
        self.gate()
        eve = self.login("eve")
        for _ in range(MOST):
            self.assertIsNotNone(self.publish(eve))
        self.assertIsNone(self.publish(eve))
        self.patch(forwards, "MAX_FORWARDS", MOST + 1)
        bob = self.login()
        self.assertIsNotNone(self.publish(bob))
        self.assertIsNone(self.publish(bob))
        self.cut(eve)
        self.assertIsNotNone(self.publish(bob))

    def test_ofUser(self) -> None:
        """
        Forwards of one user, on all of its connections.
        """
        self.patch(forwards, "MAX_OF_USER", 2)
        self.gate()
        for isGood in (True, True, False):
            self.assertIs(isGood, self.publish(self.login("eve")) is not None)
        self.assertIsNotNone(self.publish(self.login()))

    def test_users(self) -> None:
        """
        Who has been away for longest makes place for others, and nobody who is there.
        """
        self.patch(forwards, "MAX_USERS", 1)
        self.gate()
        bob, eve = self.login(), self.login("eve")
        self.assertIsNotNone(self.publish(bob))
        self.assertIsNone(self.publish(eve))
        self.cut(bob)
        self.assertIsNotNone(self.publish(eve))
        self.assertFalse(self.tenant.nodes.leads("bob"))

    def test_twice(self) -> None:
        """
        The same is forwarded once, by whichever word for the gate.
        """
        self.gate()
        eve = self.login("eve")
        for host, isGood in (("localhost", True), ("localhost", False), ("*", False), ("eve", False)):
            self.assertIs(isGood, self.publish(eve, host, 2222) is not None)
        self.assertIsNone(self.publish(eve, port=1 << 16))


class KeyTests(PublishingCase):
    """
    What a key is good for.
    """

    options = {"bob": 'permitlisten="wiki.bob.example:80",permitlisten="8022"', "eve": "restrict"}

    def test_options(self) -> None:
        """
        C{permitlisten} and C{restrict} hold, whatever the section says.
        """
        self.gate()
        bob, eve = self.login(), self.login("eve")
        for came, host, port, isGood in (
            (bob, "wiki.bob.example", 80, True),
            (bob, "wiki.bob.example", 81, False),
            (bob, "shop.example", 80, False),
            (bob, "localhost", 8022, True),
            (bob, "localhost", 0, False),
            (eve, "localhost", 0, False),
        ):
            self.assertIs(isGood, self.publish(came, host, port) is not None, (host, port))
