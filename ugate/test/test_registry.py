# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.registry}.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.protocol import Factory

from ugate.endpoints.registry import MAX_LINKS, MAX_NAMES, Registry
from ugate.endpoints.session import Session
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer, INodes, MeshAddress, MeshNode
from ugate.stream import Target
from ugate.test.muxfakes import INFO
from ugate.test.sessionfakes import Settling
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.links import MemoryLink
from ugate.testing.turns import MeshClock

ONE = "A" * 52
TWO = "B" * 52


@implementer(INodes)
class Nodes:
    """
    Nodes that remember what they are told.
    """

    def __init__(self) -> None:
        self.told: list[object] = []
        self.refused: Refused | None = None

    def find(self, name: str) -> MeshNode | None:
        """
        Nobody.
        """
        return None

    def all(self) -> list[MeshNode]:
        """
        None.
        """
        return []

    def learn(self, node: MeshNode) -> None:
        """
        Note it.
        """
        if self.refused is not None:
            raise self.refused
        self.told.append(node)

    def forget(self, keyid: str, source: str) -> None:
        """
        Note it.
        """
        self.told.append((keyid, source))


class RegistryCase(Settling):
    """
    Peers that are the test.
    """

    def setUp(self) -> None:
        """
        Nobody is there.
        """
        self.clock = MeshClock()
        self.nodes = Nodes()
        self.registry = Registry(self.clock, self.nodes, keys=2)
        self.servers: dict[Session, Conversations] = {}
        self.far: dict[Session, MemoryLink] = {}

    def session(self, room: int = 10) -> Session:
        """
        A link from somebody who serves streams.
        """
        ours, theirs = linkPair(self.clock, streams=room)
        session = Session(self.clock, ours)
        server = self.servers[session] = Conversations()
        self.far[session] = theirs
        Session(self.clock, theirs).listener(accepts=True).listen(server)
        return session

    def join(self, keyid: str = ONE, *names: str, room: int = 10) -> Session:
        """
        Somebody comes.
        """
        session = self.session(room)
        self.registry.join(session, keyid, names)
        return session

    def connect(self, host: str) -> Any:
        """
        A stream to a host.
        """
        endpoint = self.registry.endpointFor(INFO.but(target=Target(host, 80)))
        connecting = endpoint.connect(Factory.forProtocol(Conversation))
        self.settle()
        return self.successResultOf(connecting)

    def assertRefused(self, host: str, cause: Cause) -> None:
        """
        There is no way there.
        """
        with self.assertRaises(Refused) as caught:
            self.registry.endpointFor(INFO.but(target=Target(host, 80)))
        self.assertEqual((cause, host), (caught.exception.cause, caught.exception.hop))


class RegistryTests(RegistryCase):
    """
    Peers that come and go.
    """

    def test_provides(self) -> None:
        """
        It is a dialer, which says what it would do.
        """
        self.assertTrue(verifyObject(IDialer, self.registry))
        self.assertTrue(verifyObject(INodes, self.nodes))
        self.join(ONE)
        info = INFO.but(target=Target(ONE, 80))
        self.assertIn("one of the 1 links", self.registry.explain(info)[0])
        self.assertIn("no link to us", self.registry.explain(INFO)[0])
        self.assertIn("no link to us", self.registry.explain(INFO.but(target=None))[0])
        self.assertRaises(Refused, self.registry.endpointFor, INFO.but(target=None))

    def test_find(self) -> None:
        """
        A peer is found by its KEYID, by a host that begins with one, and by its names.
        """
        session = self.join(ONE, "Printer.example")
        for host in (ONE, ONE.lower(), f"{ONE}.ns.example.com", "printer.example", "PRINTER.example."):
            self.assertTrue(self.connect(host).isOpen, host)
        self.assertEqual(5, len(self.servers[session].accepted))
        for host in (TWO, "printer", "example", f"x.{ONE}"):
            self.assertRefused(host, Cause.HOST_UNREACHABLE)
        self.assertEqual((session,), self.registry.sessionsOf(ONE))

    def test_best(self) -> None:
        """
        Of several links the one with the fewest streams is used, the newest first.
        """
        old, new = self.join(ONE), self.join(ONE)
        self.assertEqual((new, old), self.registry.sessionsOf(ONE))
        used = []
        for _ in range(4):
            before = [each.streams for each in (old, new)]
            self.connect(ONE)
            used.append([each.streams for each in (old, new)] > before and (old.streams > before[0]))
        self.assertEqual([False, True, False, True], used)
        self.assertEqual(1, len(self.registry))

    def test_full(self) -> None:
        """
        Where no link has room, a stream is refused.
        """
        old, new = self.join(ONE, room=1), self.join(ONE, room=1)
        self.connect(ONE)
        self.connect(ONE)
        self.assertRefused(ONE, Cause.OVERLOADED)
        third = self.join(ONE)
        self.far[third].drain()
        self.settle()
        self.assertRefused(ONE, Cause.OVERLOADED)
        self.assertEqual((1, 1), (old.streams, new.streams))

    def test_leaves(self) -> None:
        """
        A peer is forgotten with its last link, its names too.
        """
        old, new = self.join(ONE, "printer"), self.join(ONE, "printer")
        old.link.abort("gone")
        self.connect("printer")
        new.link.abort("gone")
        self.settle()
        self.assertRefused("printer", Cause.HOST_UNREACHABLE)
        self.assertEqual(0, len(self.registry))
        self.join(TWO, "printer")
        self.connect("printer")

    def test_goneWhileDialing(self) -> None:
        """
        One that goes between the question and the connection is gone.
        """
        session = self.join(ONE)
        endpoint = self.registry.endpointFor(INFO.but(target=Target(ONE, 80)))
        session.link.abort("gone")
        self.settle()
        refused: Any = self.failureResultOf(endpoint.connect(Conversations()), Refused).value
        self.assertIs(Cause.HOST_UNREACHABLE, refused.cause)

    def test_nameOfAnother(self) -> None:
        """
        A name belongs to the key that has it, as long as that is there; a KEYID is nobody else's name.
        """
        self.join(ONE, "printer")
        other = self.session()
        for name in ("printer", "PRINTER", ONE.lower()):
            with self.assertRaises(Denied) as caught:
                self.registry.join(other, TWO, ("fax", name))
            self.assertIn(name.lower(), caught.exception.detail)
        self.assertEqual(1, len(self.registry))
        self.assertRefused("fax", Cause.HOST_UNREACHABLE)
        self.registry.join(other, TWO, ("fax",))
        self.connect("fax")

    def test_sameKeyAgain(self) -> None:
        """
        The same key takes over what it had; names that it has no more are free.
        """
        self.join(ONE, "printer", "fax")
        again = self.join(ONE, "printer")
        self.connect("printer")
        self.assertEqual(1, len(self.servers[again].accepted))
        self.assertRefused("fax", Cause.HOST_UNREACHABLE)
        self.join(TWO, "fax")

    def test_manyKeys(self) -> None:
        """
        Only so many are there at once; who is there already may have more links.
        """
        self.join(ONE)
        self.join(TWO)
        with self.assertRaises(Refused) as caught:
            self.join("C" * 52)
        self.assertEqual(
            (Cause.OVERLOADED, "2 peers are there"), (caught.exception.cause, caught.exception.detail)
        )
        self.join(ONE)

    def test_manyNames(self) -> None:
        """
        Only so many names has each.
        """
        self.join(ONE, *map(str, range(MAX_NAMES)))
        with self.assertRaises(Refused) as caught:
            self.join(TWO, *map("x{}".format, range(MAX_NAMES + 1)))
        self.assertIn(f"{MAX_NAMES} at most", caught.exception.detail)

    def test_manyLinks(self) -> None:
        """
        When a peer has one link too many, its oldest is closed; a stream on that one goes on.
        """
        first = self.join(ONE)
        stream = self.connect(ONE)
        for _ in range(MAX_LINKS):
            self.join(ONE)
        self.settle()
        self.assertTrue(first.isClosing)
        self.assertEqual(MAX_LINKS, len(self.registry.sessionsOf(ONE)))
        self.assertTrue(stream.isOpen)
        stream.close()
        self.servers[first].last.close()
        self.settle()
        self.assertTrue(first.isClosed)
        self.assertEqual(1, len(self.registry))

    def test_nodes(self) -> None:
        """
        The nodes are told who is there, and who is not any more.
        """
        session = self.join(ONE, "printer", "fax")
        session.link.abort("gone")
        self.assertEqual(
            [
                MeshNode(ONE, (MeshAddress("reverse", "10.0.0.2", 4000),), ("fax", "printer"), "reverse"),
                (ONE, "reverse"),
            ],
            self.nodes.told,
        )
        self.nodes.refused = Refused(Cause.OVERLOADED, Phase.REMOTE, "nodes", "too many")
        self.assertRaises(Refused, self.join, ONE, "printer")
        self.assertEqual(0, len(self.registry))
        self.assertRefused("printer", Cause.HOST_UNREACHABLE)
        alone = Registry(self.clock)
        alone.join(self.session(), ONE)
        self.assertEqual(1, len(alone))
