# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Nodes without an address that are reached over the links which they have made: all pieces together.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.links import linkTo
from ugate.endpoints.muxed import MuxedServerEndpoint
from ugate.endpoints.pool import SessionKey, SessionPool
from ugate.endpoints.registry import GRACE, PATIENCE, Registry
from ugate.endpoints.reverse import ReverseServerEndpoint
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits
from ugate.errors import Cause, Refused
from ugate.gateway import Gateway
from ugate.stream import Principal, Target
from ugate.test.muxfakes import INFO
from ugate.testing import Conversation, Conversations, MemoryMesh
from ugate.testing.linkmaker import MemoryLinks

PORT = 15008
BULK = bytes(range(256)) * 4096


class ReverseTests(SynchronousTestCase):
    """
    The host C{inner} has no address that others know.  It keeps links to C{gate} up, and a gateway
    there leads streams that others open on links of theirs to it.
    """

    def setUp(self) -> None:
        """
        The gateway, and nobody who has dialed in.
        """
        self.mesh = MemoryMesh()
        node: Any = self.mesh.gateway(
            "gate", listen={"main": {"endpoint": "socks:tcp:1080:interface=127.0.0.1"}}
        )
        self.flows = node.flows
        reactor: Any = self.mesh.host("gate").reactor
        self.links = MemoryLinks(reactor)
        self.registry = Registry(reactor)
        endpoint = MuxedServerEndpoint(
            reactor, TCP4ServerEndpoint(reactor, PORT), self.links.maker, joined=self.join
        )
        self.tenant: Any = node.tenants["root"]
        # As a route to those who dialed in.
        self.tenant.dialer = self.registry
        self.listening: Any = self.successResultOf(
            endpoint.listen(
                Gateway(self.tenant, node.flows, listener="links", anonymous=Principal("anyone", "open"))
            )
        )
        self.pool = SessionPool(self.mesh.host("alice").reactor)
        self.dialer = self.pool.dialer(
            lambda info: SessionKey("root", "", "", "gate"), lambda info: self.dial("alice")
        )

    def tearDown(self) -> None:
        """
        Nothing is left.
        """
        self.mesh.stop()

    def join(self, session: Session) -> None:
        """
        Whoever comes from C{inner} is that.
        """
        if session.link.info.peer.host in self.mesh.host("inner").addresses:
            self.registry.join(session, "A" * 52, ("inner.example",))

    def dial(self, host: str) -> Deferred[Any]:
        """
        A link from a host to the gateway.
        """
        reactor: Any = self.mesh.host(host).reactor
        return linkTo(reactor, TCP4ClientEndpoint(reactor, "gate", PORT), self.links.maker, hop="gate")

    def serve(self, links: int = 1) -> Any:
        """
        C{inner} begins to serve.
        """
        self.served = Conversations()
        endpoint = ReverseServerEndpoint(
            self.mesh.host("inner").reactor,
            lambda: self.dial("inner"),
            links=links,
            limits=SessionLimits(idle=None),
            accepts=True,
        )
        port = self.successResultOf(endpoint.listen(self.served))
        self.mesh.flush()
        return port

    def ask(self) -> Conversation:
        """
        C{alice} asks for it.
        """
        conversation = Conversation()
        endpoint = self.dialer.endpointFor(INFO.but(target=Target("inner.example", 80)))
        endpoint.connect(Factory.forProtocol(lambda: conversation)).addErrback(conversation.failed)
        self.mesh.flush()
        return conversation

    def test_through(self) -> None:
        """
        Bytes go through both links, both ways.
        """
        self.serve()
        asking = self.ask()
        served = self.served.last
        asking.pour(BULK)
        served.pour(BULK[::-1])
        self.mesh.flush()
        self.assertEqual((BULK, BULK[::-1]), (served.received, asking.received))
        asking.halfClose()
        self.mesh.flush()
        self.assertTrue(served.isEnded and served.isOpen)
        served.close()
        self.mesh.flush()
        self.assertTrue(asking.isClean and served.isClean)
        self.assertEqual(0, len(self.flows))

    def test_slow(self) -> None:
        """
        Who does not read stops who writes, through both links and the gateway between.
        """
        self.serve()
        asking = self.ask()
        self.served.last.pause()
        asking.pour(BULK * 4)
        self.mesh.flush()
        self.assertGreater(len(asking.unpoured), len(BULK) * 2)
        self.served.last.resume()
        self.mesh.flush()
        self.assertEqual(BULK * 4, self.served.last.received)

    def test_notThere(self) -> None:
        """
        Who has not dialed in cannot be reached, and whoever asks is told so.
        """
        asking = self.ask()
        assert asking.failure is not None
        refused: Any = asking.failure.value
        self.assertIsInstance(refused, Refused)
        self.assertIs(Cause.HOST_UNREACHABLE, refused.cause)

    def test_comesBack(self) -> None:
        """
        When its link is lost its streams are; it dials again, and can be reached again.
        """
        self.serve()
        asking = self.ask()
        self.links.links[0][0].cut()
        self.mesh.flush()
        self.assertFalse(asking.isClean)
        self.assertIsNotNone(asking.lost)
        self.assertEqual(0, len(self.registry))
        self.mesh.advance(2)
        self.assertEqual(1, len(self.registry))
        self.assertTrue(self.ask().isOpen)

    def test_stops(self) -> None:
        """
        Who serves no more is gone when its last stream is.
        """
        port = self.serve(links=2)
        self.assertEqual(2, len(self.registry.sessionsOf("inner.example")))
        asking = self.ask()
        port.stopListening()
        self.mesh.flush()
        self.assertEqual(1, len(self.registry.sessionsOf("inner.example")))
        late = self.ask()
        self.mesh.advance(PATIENCE)
        self.assertIsNotNone(late.failure)
        asking.close()
        self.served.last.close()
        self.mesh.advance(GRACE)
        self.assertEqual(0, len(self.registry))
        self.assertEqual([], self.mesh.connections("inner"))

    def test_gatewayGoes(self) -> None:
        """
        When the listener of the gateway is closed, all links close with their streams.
        """
        self.serve()
        asking = self.ask()
        self.listening.stopListening()
        self.mesh.flush()
        self.assertTrue(asking.isOpen)
        asking.close()
        self.served.last.close()
        self.mesh.advance(GRACE)
        self.assertEqual([], self.mesh.connections("alice"))
        self.assertEqual(0, len(self.registry))
