# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.reverselistener}: what a gate does with whatever is at the other end of a link.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory

from ugate.endpoints.published import Published
from ugate.endpoints.registry import Registry
from ugate.endpoints.reverselistener import ANSWER, Arrivals
from ugate.endpoints.session import Session
from ugate.errors import Denied
from ugate.interfaces import ITenant, MeshNode
from ugate.protocols.reversewire import PLACE
from ugate.stream import Principal
from ugate.test.sessionfakes import Settling
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.turns import MeshClock

KEY = "B" * 51 + "A"


class GateClock(MeshClock):
    """
    A reactor of the tenant that the test is.
    """

    tenant: Any = None

    def __conform__(self, interface: object) -> object | None:
        return self.tenant if interface is ITenant else None


class Nobody(Factory):
    """
    Takes no stream.
    """

    noisy = False

    def buildProtocol(self, addr: object) -> None:
        """
        None.
        """


class ArrivalTests(Settling):
    """
    Nodes of all kinds.
    """

    def setUp(self) -> None:
        self.clock = GateClock()
        self.clock.tenant = self
        self.registry = Registry(self.clock)
        self.hops = {"mesh": self}
        self.nodes = self
        self.name = "root"
        self.gone = False
        self.owner: Any = self

    def given(self, keyid: str) -> MeshNode:
        """
        What the config gives to a key.
        """
        return MeshNode(keyid, (), ("bob",), ports=(7,))

    def tenantFor(self, info: object) -> Any:
        """
        Whose it is.
        """
        if self.gone:
            raise Denied("node", "there is no tenant shop any more")
        return self.owner

    def arrive(self, keyid: str = KEY, served: Any = None) -> tuple[Session, Session, Any]:
        """
        Somebody arrives.

        @return: both ends of the link, and what takes the question.
        """
        ours, theirs = linkPair(self.clock)
        ours.info = ours.info.but(principal=Principal("bob", "certificate", keyid=keyid))
        served = Conversations() if served is None else served
        far = Session(self.clock, theirs)
        far.listener(PLACE, accepts=True).listen(served)
        near = Session(self.clock, ours)
        published = Published(self.clock, TCP4ServerEndpoint(self.clock, 1))
        Arrivals(self.clock, None, published, Factory).arrived(near)
        self.settle()
        return near, far, served

    def test_knowsNothing(self) -> None:
        """
        Who does not know the question is there, by its key.
        """
        near, _, _ = self.arrive(served=Nobody())
        self.assertEqual((near,), self.registry.sessionsOf(KEY))
        self.assertFalse(near.isClosing)

    def test_answered(self) -> None:
        """
        Who asks for what it has is told all that it has.
        """
        near, _, served = self.arrive()
        asked: Conversation = served.last
        asked.write(b'{"names": ')
        self.settle()
        self.assertEqual((), self.registry.sessionsOf(KEY))
        asked.write(b'["BOB"]}\n')
        self.settle()
        self.assertEqual(
            (b'{"names": ["bob"], "ports": []}\n', (near,)), (asked.received, self.registry.sessionsOf(KEY))
        )
        self.assertTrue(asked.isEnded)

    def test_refused(self) -> None:
        """
        What cannot be is told, and then the link goes away: a name of others, what is no wish, a key that is
        not known, and a tenant that is gone.
        """
        for key, gone, said, why in (
            (KEY, False, b'{"names": ["eve"]}\n', b"the name eve is not given to its key"),
            (KEY, False, b"hello\n", b"no JSON"),
            ("", False, b"{}\n", b"it is not known by its key"),
            (KEY, True, b"{}\n", b"there is no tenant shop any more"),
        ):
            self.setUp()
            self.gone = gone
            near, _, served = self.arrive(key)
            with Logged() as logged:
                served.last.write(said)
                self.settle()
            self.assertIn(why, served.last.received)
            self.assertIn(why.decode(), "\n".join(logged.lines))
            self.assertTrue(near.isClosing)
            served.last.close()
            self.settle()
            self.assertTrue(near.isClosed)
            self.assertEqual(0, len(self.registry))

    def test_silent(self) -> None:
        """
        Who says nothing, or ends without a word, or says too much, is cut off.
        """
        for say in ("", "end", "much"):
            self.setUp()
            near, _, served = self.arrive()
            if say == "end":
                served.last.close()
            elif say == "much":
                served.last.write(b"x" * 5000)
            self.settle()
            self.assertEqual(bool(say), near.isClosed)
            self.clock.rightNow += ANSWER
            self.settle()
            self.assertTrue(near.isClosed)
            self.assertEqual(0, len(self.registry))

    def test_goneMeanwhile(self) -> None:
        """
        A link that is lost before its node has said what it wants is no node.
        """
        near, _, _ = self.arrive()
        near.link.abort("cut")
        self.settle()
        self.assertEqual(0, len(self.registry))
        self.assertEqual([], self.flushLoggedErrors())

    def test_portOfAnother(self) -> None:
        """
        Ports are for nodes of the tenant whose listener it is.
        """
        self.owner = ArrivalTests()
        self.owner.setUp()
        self.owner.name = "shop"
        _, _, served = self.arrive()
        served.last.write(b'{"ports": [7]}\n')
        self.settle()
        self.assertIn(b"at a listener of the tenant shop", served.last.received)

    def test_full(self) -> None:
        """
        Who comes when there is no room is told so.
        """
        self.registry = Registry(self.clock, keys=0)
        _, _, served = self.arrive()
        served.last.write(b"{}\n")
        self.settle()
        self.assertIn(b"0 peers are there", served.last.received)
