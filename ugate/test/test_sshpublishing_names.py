# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.forwards}: the names under which users publish, and whose these are.
"""

from __future__ import annotations

from pathlib import Path

from ugate.endpoints import forwards
from ugate.errors import Cause
from ugate.stream import Target
from ugate.tenancy.nodes import MAX_NODES
from ugate.test.howtofakes import clientHello
from ugate.test.sshpublishingfakes import PublishingCase
from ugate.test.tlsfakes import Issuer, Logged

KEYID = "A" * 52


class NameTests(PublishingCase):
    """
    Host names, for who may have them.
    """

    def test_everywhere(self) -> None:
        """
        By TLS that names it, by a proxy, and by whatever else the gate takes in; each with its port.
        """
        self.gate()
        bob = self.login()
        for name, port in (("Wiki.bob.example", 80), ("wiki.bob.example", 443), ("shop.example", 80)):
            self.assertEqual(Target(name, port), self.publish(bob, name, port))
        self.come(443, clientHello("wiki.bob.example"))
        self.assertIn(b"wiki.bob.example", bob.last.received)
        self.assertEqual(Target("wiki.bob.example", 443), bob.infos[-1].target)
        self.come(3128, b"GET http://wiki.bob.example/page HTTP/1.1\r\nHost: wiki.bob.example\r\n\r\n")
        self.assertIn(b"GET /page", bob.last.received)
        self.assertEqual(Target("Wiki.bob.example", 80), bob.infos[-1].target)
        self.ask("SHOP.example", 80)
        self.assertEqual(Target("shop.example", 80), bob.infos[-1].target)
        self.assertIs(Cause.CONNECTION_REFUSED, self.cause(self.ask("shop.example", 22)))
        self.assertEqual(b"\x15", self.come(443, clientHello("other.bob.example")).received[:1])

    def test_notGiven(self) -> None:
        """
        A name that is not given to the user is refused, be it an address or none at all, and the log says why
        and what to do; the connection goes on.
        """
        self.gate()
        for name in ("bob", "eve"):
            came = self.login(name)
            for host in ("bob.example", "wikibob.example", "192.0.2.7", "a b", "eve.example", "\xff", KEYID):
                with Logged() as logged:
                    self.assertIsNone(self.publish(came, host, 80), host)
                self.assertIn(f"{name} may not publish", "\n".join(logged.lines))
            self.assertIn(f'with who: "key:{name}" have it', "\n".join(logged.lines))
            self.assertIsNotNone(self.publish(came))

    def test_ours(self) -> None:
        """
        Our own name is no user's who is called so, nor by a suffix; the config may give it.
        """
        self.folder = Path(self.mktemp())
        Issuer("root").write(self.folder, "gate", "eve", "wiki.bob.example", "shop.example")
        self.gate()
        with Logged() as logged:
            self.assertIsNone(self.publish(self.login("eve")))
            self.assertIsNone(self.publish(self.login(), "wiki.bob.example", 80))
        self.assertIn("eve, which is a name of our own, is not given to eve", "\n".join(logged.lines))
        self.assertIsNotNone(self.publish(self.login(), "shop.example", 80))

    def test_twoUsers(self) -> None:
        """
        Of two who may have a name, the first has it, and keeps it while away, for a time; the same user takes
        it over, also while its old connection still seems to be there.
        """
        self.patch(forwards, "KEPT", 3600.0)
        self.gate(nodes={"all": {"who": "key:*", "hosts": "*.shared.example"}})
        bob, eve = self.login(), self.login("eve")
        self.assertIsNotNone(self.publish(bob, "a.shared.example", 80))
        with Logged() as logged:
            self.assertIsNone(self.publish(eve, "a.shared.example", 80))
        self.assertIn("the name a.shared.example is that of", "\n".join(logged.lines))
        again = self.login(host="train")
        self.assertIsNotNone(self.publish(again, "a.shared.example", 80))
        self.ask("a.shared.example", 80)
        self.assertEqual((0, 1), (len(bob.infos), len(again.infos)))
        for each in (bob, again):
            self.cut(each)
        self.assertIs(Cause.HOST_UNREACHABLE, self.cause(self.ask("a.shared.example", 80)))
        self.assertIsNone(self.publish(eve, "a.shared.example", 80))
        bob = self.login()
        self.assertIsNotNone(self.publish(bob, "a.shared.example", 80))
        self.assertTrue(self.ask("a.shared.example", 80).isOpen)
        self.cut(bob)
        self.cut(eve)
        self.mesh.advance(3500)
        self.assertIsNone(self.publish(self.login("eve"), "a.shared.example", 80))
        self.mesh.advance(101)
        eve = self.login("eve")
        self.assertIsNotNone(self.publish(eve, "a.shared.example", 80))

    def test_cancel(self) -> None:
        """
        Who withdraws a name gives it up; to withdraw what is not there is refused.
        """
        self.gate(nodes={"all": {"who": "key:*", "hosts": "*.shared.example"}})
        bob, eve = self.login(), self.login("eve")
        at = self.publish(bob, "a.shared.example", 80)
        also = self.publish(bob, "a.shared.example", 81)
        assert at is not None and also is not None
        stream = self.ask("a.shared.example", 80)
        self.withdraw(bob, at)
        self.assertTrue(stream.isOpen)
        self.assertIs(Cause.CONNECTION_REFUSED, self.cause(self.ask("a.shared.example", 80)))
        self.assertIsNone(self.publish(eve, "a.shared.example", 80))
        self.withdraw(bob, also)
        self.assertIsNotNone(self.publish(eve, "a.shared.example", 80))
        self.withdraw(bob, at)
        self.assertTrue(self.ask("a.shared.example", 80).isOpen)
        self.assertEqual(1, len(eve.infos))

    def test_reload(self) -> None:
        """
        What a reload does not give any more is gone at once, also of who is away; the rest stays.
        """
        gate = self.gate()
        bob = self.login()
        for name in ("wiki.bob.example", "shop.example", "localhost"):
            self.assertIsNotNone(self.publish(bob, name, 80))
        stream = self.ask("shop.example", 80)
        gate.store.put("root", "nodes", "bob", {"who": ["key:bob"], "hosts": ["*.bob.example"]})
        self.mesh.advance(2)
        self.assertTrue(stream.isOpen)
        self.assertFalse(self.tenant.nodes.leads("shop.example"))
        for name in ("wiki.bob.example", "bob"):
            self.assertTrue(self.ask(name, 80).isOpen)
        self.cut(bob)
        self.assertTrue(self.tenant.nodes.leads("wiki.bob.example"))
        gate.store.delete("root", "nodes", "bob")
        self.mesh.advance(2)
        self.assertFalse(self.tenant.nodes.leads("wiki.bob.example"))
        self.assertTrue(self.tenant.nodes.leads("bob"))

    def test_names(self) -> None:
        """
        A user has so many names; of those that lead nowhere the oldest makes place.
        """
        self.patch(forwards, "MAX_NAMES", 2)
        self.gate()
        bob = self.login()
        first = self.publish(bob, "a.bob.example", 80)
        self.assertIsNotNone(first)
        self.assertIsNotNone(self.publish(bob, "b.bob.example", 80))
        self.assertIsNone(self.publish(bob, "c.bob.example", 80))
        self.cut(bob)
        again = self.login()
        self.assertIsNotNone(self.publish(again, "c.bob.example", 80))
        self.assertFalse(self.tenant.nodes.leads("a.bob.example"))

    def test_ofNode(self) -> None:
        """
        A name that the config gives to a node is no user's, whatever it may have; also if it has it already,
        or is away.
        """
        gate = self.gate(nodes={**self.nodes(), "node": {"keyid": KEYID, "names": ["x.bob.example"]}})
        bob = self.login()
        self.assertIsNone(self.publish(bob, "x.bob.example", 80))
        for number in range(2):
            self.assertIsNotNone(self.publish(bob, "y.bob.example", 80 + number))
            self.assertIsNotNone(self.publish(bob, port=80 + number))
        self.assertIsNotNone(self.publish(self.login("eve")))
        for name, isThere in (("y.bob.example", True), ("bob", True), ("eve", False)):
            if not isThere:
                self.cut(bob)
            gate.store.put("root", "nodes", "node", {"keyid": KEYID, "names": [name]})
            self.mesh.advance(2)
            found = self.tenant.nodes.find(name)
            self.assertEqual(KEYID, found.keyid)
        self.assertIs(Cause.HOST_UNREACHABLE, self.cause(self.ask("y.bob.example", 80)))
        self.assertEqual(0, len(self.tenant.mesh.forwards))


class RoomTests(PublishingCase):
    """
    Who makes place for whom.
    """

    def test_noPlace(self) -> None:
        """
        Nobody makes place for one who is refused.
        """
        self.patch(forwards, "MAX_USERS", 1)
        self.gate(nodes={"all": {"who": "*", "hosts": ["shop.example"]}})
        bob, eve = self.login(), self.login("eve")
        self.assertIsNotNone(self.publish(bob, "shop.example", 80))
        self.cut(bob)
        self.assertIsNone(self.publish(eve, "shop.example", 80))
        self.assertTrue(self.tenant.nodes.leads("shop.example"))
        self.assertIsNotNone(self.publish(self.login(), "shop.example", 80))

    def test_room(self) -> None:
        """
        One more is told of before another one is forgotten for it.
        """
        self.assertLess(forwards.MAX_USERS, MAX_NODES)
