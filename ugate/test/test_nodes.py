# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The table of nodes.
"""

from __future__ import annotations

from base64 import b32encode
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Refused, StringError
from ugate.interfaces import INodes, MeshAddress, MeshNode
from ugate.tenancy import nodes
from ugate.tenancy.keyids import hostOf
from ugate.tenancy.nodes import Nodes, addressFromText, addressText, nodeName

LAN = MeshAddress("connect", "10.0.0.2", 15008)
FAR = MeshAddress("connect", "gate.example", 15008)
PORT = MeshAddress("tls", "2001:db8::2", 443)


def keyid(number: int) -> str:
    """
    One of many KEYIDs.
    """
    return b32encode(number.to_bytes(32, "big")).decode().rstrip("=")


BOB, EVE = keyid(1), keyid(2)


class TextTests(SynchronousTestCase):
    """
    Addresses and names as they are written.
    """

    def test_addresses(self) -> None:
        """
        They read back as they are written.
        """
        for text, address in (
            ("connect:10.0.0.2:15008", LAN),
            ("connect:gate.example:15008", FAR),
            ("tls:[2001:db8::2]:443", PORT),
        ):
            self.assertEqual(addressFromText(text), address)
            self.assertEqual(addressText(address), text)

    def test_badAddresses(self) -> None:
        """
        All else is told what is wanted.
        """
        for text in (
            "",
            "connect",
            "connect:",
            ":h:1",
            "CONNECT:h:1",
            "connect:h",
            "connect:h:0",
        ):
            self.assertIn("wanted", str(self.assertRaises(StringError, addressFromText, text)), text)

    @settings(deadline=None)
    @given(
        st.text(max_size=60) | st.from_regex(r"[a-z]{1,8}:[0-9a-z.\[\]:]{1,30}:[0-9]{1,6}", fullmatch=True)
    )
    def test_anyText(self, text: str) -> None:
        """
        It is an address, or an error of ours.
        """
        try:
            address = addressFromText(text)
        except StringError:
            return
        self.assertEqual(addressFromText(addressText(address)), address)

    def test_names(self) -> None:
        """
        Names are compared in lower case, addresses in their shortest form.
        """
        self.assertEqual(nodeName("Bob.Example."), "bob.example")
        self.assertEqual(nodeName("fd00:0::00ab"), "fd00::ab")
        for text in (
            "",
            "10.0.0.1",
            "2001:db8::1",
            "localhost",
            "a.localhost",
            hostOf(BOB),
            BOB,
            "a b",
            "x" * 254,
        ):
            self.assertRaises(StringError, nodeName, text)


class AnyOrderTests(SynchronousTestCase):
    """
    Whatever is learned and forgotten, in any order.
    """

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["learn", "forget", "wait"]),
                st.integers(1, 4),
                st.sampled_from(["discovery", "registration"]),
                st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
                st.integers(1, 5),
            ),
            max_size=30,
        )
    )
    def test_oneOwner(self, steps: list[tuple[str, int, str, list[str], int]]) -> None:
        """
        A name has one owner, who has said so and whose word still holds; nothing else is refused.
        """
        clock = Clock()
        table = Nodes(clock, [MeshNode(BOB, (), ("a",))])
        said: dict[tuple[str, str], tuple[set[str], float]] = {(BOB, "config"): ({"a"}, float("inf"))}
        for what, number, source, names, seconds in steps:
            key = keyid(number)
            if what == "wait":
                clock.advance(seconds)
            elif what == "forget":
                table.forget(key, source)
                said.pop((key, source), None)
            else:
                node = MeshNode(key, (), tuple(names), source, clock.seconds() + seconds)
                holding = {each: until for each, until in said.items() if until[1] > clock.seconds()}
                taken = any(who != key and known & set(names) for (who, _), (known, _) in holding.items())
                try:
                    table.learn(node)
                except Refused:
                    self.assertTrue(taken, steps)
                else:
                    self.assertFalse(taken, steps)
                    said[key, source] = set(names), clock.seconds() + seconds
            holding = {each: until for each, until in said.items() if until[1] > clock.seconds()}
            for name in "abc":
                owners = {who for (who, _), (known, _) in holding.items() if name in known}
                found = table.find(name)
                self.assertEqual(owners, set() if found is None else {found.keyid}, steps)
            self.assertEqual(
                sorted(holding), sorted((each.keyid, each.source) for each in table.all()), steps
            )
        self.assertLessEqual(sum(table._counts.values()), 8)


class NodesTests(SynchronousTestCase):
    """
    What is found by which name.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.nodes = Nodes(self.clock, [MeshNode(BOB, (LAN,), ("bob", "fd00::ab"))])

    def learn(self, key: str, *addresses: MeshAddress, **more: Any) -> None:
        """
        The network says so.
        """
        self.nodes.learn(MeshNode(key, addresses, **{"source": "discovery", **more}))

    def full(self, cause: Cause, text: str, *arguments: Any, **more: Any) -> None:
        """
        That is refused.
        """
        refused = self.assertRaises(Refused, self.learn, *arguments, **more)
        self.assertIs(refused.cause, cause)
        self.assertIn(text, str(refused))

    def test_provides(self) -> None:
        """
        It is a table.
        """
        verifyObject(INodes, self.nodes)

    def test_find(self) -> None:
        """
        By KEYID in any case, a host that begins with it, its address however written, and its names.
        """
        for name in (BOB, BOB.lower(), hostOf(BOB), f"{BOB}.x.y", "bob", "BOB", "bob.", "fd00:0::ab"):
            found = self.nodes.find(name)
            assert found is not None, name
            self.assertEqual(found.keyid, BOB)
        for name in ("", "bobby", "x.bob", EVE, "fd00::ac", ":", "10.0.0.2"):
            self.assertIsNone(self.nodes.find(name), name)

    def test_merged(self) -> None:
        """
        What several say is put together, the config first, each address once.
        """
        self.learn(BOB, PORT, LAN, names=("robert",), source="registration", expires=9.0)
        self.learn(BOB, FAR, expires=5.0)
        found = self.nodes.find("robert")
        assert found is not None
        self.assertEqual(found.addresses, (LAN, FAR, PORT))
        self.assertEqual(found.names, ("bob", "fd00::ab", "robert"))
        self.assertEqual((found.source, found.expires), ("config", None))
        self.assertEqual([node.source for node in self.nodes.all()], ["config", "discovery", "registration"])
        given = self.nodes.given(BOB)
        assert given is not None
        self.assertEqual(given.addresses, (LAN,))
        self.assertIsNone(self.nodes.given(EVE))
        self.learn(EVE, FAR, expires=5.0)
        self.learn(EVE, LAN, source="other", expires=7.0)
        eve = self.nodes.find(EVE)
        assert eve is not None
        self.assertEqual(eve.expires, 7.0)

    def test_replaced(self) -> None:
        """
        The same source takes back what it said before.
        """
        self.learn(EVE, LAN, names=("eve", "adam"))
        self.learn(EVE, FAR, names=("eve",))
        self.assertIsNone(self.nodes.find("adam"))
        found = self.nodes.find("eve")
        assert found is not None
        self.assertEqual(found.addresses, (FAR,))
        self.nodes.forget(EVE, "other")
        self.nodes.forget(BOB, "discovery")
        self.assertIsNotNone(self.nodes.find("eve"))
        self.nodes.forget(EVE, "discovery")
        self.assertIsNone(self.nodes.find("eve"))
        self.assertIsNone(self.nodes.find(EVE))

    def test_expires(self) -> None:
        """
        What is over is gone, and its names are free.
        """
        self.learn(EVE, LAN, names=("eve",), expires=10.0)
        self.clock.advance(9.9)
        self.assertIsNotNone(self.nodes.find("eve"))
        self.full(Cause.DENIED, f"the name eve is that of {EVE}", keyid(3), names=("eve",))
        self.clock.advance(0.1)
        self.assertIsNone(self.nodes.find("eve"))
        self.assertIsNone(self.nodes.find(EVE))
        self.assertFalse(self.nodes.leads("eve"))
        self.learn(keyid(3), names=("eve",))
        self.assertEqual([node.keyid for node in self.nodes.all()], [BOB, keyid(3)])
        found = self.nodes.find("eve")
        assert found is not None
        self.assertEqual(found.keyid, keyid(3))

    def test_taken(self) -> None:
        """
        No name of the config is taken over, and one that the config gives later is taken from who had it.
        """
        self.full(Cause.DENIED, f"the name bob is that of {BOB}", EVE, names=("Bob",))
        self.assertIsNone(self.nodes.find(EVE))
        self.learn(BOB, names=("bob",))
        self.learn(EVE, names=("carol",))
        undo = self.nodes.change([MeshNode(BOB, (), ("carol",))])
        found = self.nodes.find("carol")
        assert found is not None
        self.assertEqual(found.keyid, BOB)
        undo()
        found = self.nodes.find("carol")
        assert found is not None
        self.assertEqual(found.keyid, EVE)

    def test_bad(self) -> None:
        """
        What can be no node is refused.
        """
        self.full(Cause.UNSUPPORTED, "is no KEYID", "x" * 200)
        self.full(Cause.UNSUPPORTED, "is no KEYID", BOB.lower())
        self.full(Cause.UNSUPPORTED, "only the config speaks for the config", EVE, source="config")
        self.full(Cause.UNSUPPORTED, "is always this machine", EVE, names=("localhost",))
        self.full(Cause.UNSUPPORTED, "follows from a key", EVE, names=(BOB,))

    def test_leads(self) -> None:
        """
        Which targets go there by themselves.
        """
        self.learn(EVE, names=("eve", "www.example", "fd00::1"))
        for name in (EVE, keyid(7).lower(), hostOf(EVE), "bob", "BOB.", "fd00::AB", "eve", "fd00:0::1"):
            self.assertTrue(self.nodes.leads(name), name)
        for name in ("www.example", "bobby", "10.0.0.2", "fd00::2", "::1", "localhost"):
            self.assertFalse(self.nodes.leads(name), name)
        self.assertFalse(Nodes(self.clock).leads("bob"))
        self.assertTrue(Nodes(self.clock).leads(EVE))

    def test_caps(self) -> None:
        """
        There is a most of addresses, names, nodes and sources; who is known already may change.
        """
        many = [MeshAddress("connect", "10.0.0.2", port + 1) for port in range(nodes.MAX_ADDRESSES + 1)]
        self.full(Cause.UNSUPPORTED, "17 addresses", EVE, *many)
        names = tuple(f"n{number}" for number in range(nodes.MAX_NAMES + 1))
        self.full(Cause.UNSUPPORTED, "17 names", EVE, names=names)
        self.learn(EVE, *many[1:], names=names[1:])
        self.patch(nodes, "MAX_NODES", 3)
        self.learn(keyid(3), expires=1.0)
        self.learn(keyid(4))
        self.full(Cause.OVERLOADED, "there are 3 nodes by discovery", keyid(5))
        self.learn(keyid(4), LAN)
        self.learn(keyid(5), source="other")
        self.clock.advance(1)
        self.learn(keyid(5))
        self.patch(nodes, "MAX_SOURCES", 2)
        self.full(Cause.OVERLOADED, "there are 2 sources", keyid(6), source="third")
        self.nodes.forget(keyid(5), "other")
        self.learn(keyid(6), source="third")
