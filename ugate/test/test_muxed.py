# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.muxed}, with real gateways in a network in memory.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.links import linkTo
from ugate.endpoints.muxed import MuxedServerEndpoint
from ugate.endpoints.reach import asksForTarget, certifies, innermost, onlyLocal, takesLogins
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits
from ugate.errors import Cause, Denied, Refused
from ugate.gateway import Gateway
from ugate.stream import Principal, StreamInfo, Target
from ugate.testing import Blackhole, Conversation, Conversations, MemoryMesh
from ugate.testing.linkmaker import MemoryLinks

PORT = 15008
TARGET = Target("db", 5432)


class MuxedCase(SynchronousTestCase):
    """
    A gateway on the host C{gate}, whose listener is one of links.
    """

    limits = SessionLimits(links=2, streams=10, pending=3, idle=50.0, ping=None)

    def setUp(self) -> None:
        """
        The gateway, and a server behind it.
        """
        self.mesh = MemoryMesh()
        self.db = Conversations()
        self.mesh.serve("db", TARGET.port, self.db)
        node: Any = self.mesh.gateway(
            "gate",
            listen={"main": {"endpoint": "socks:tcp:1080:interface=127.0.0.1"}},
            policy={"rules": [{"action": "deny", "target": "secret"}, {"action": "allow"}]},
        )
        self.node = node
        reactor: Any = self.mesh.host("gate").reactor
        self.links = MemoryLinks(reactor)
        self.joined: list[Session] = []
        self.endpoint = MuxedServerEndpoint(
            reactor,
            TCP4ServerEndpoint(reactor, PORT),
            self.links.maker,
            limits=self.limits,
            deadline=5,
            joined=self.joined.append,
        )
        self.gateway = Gateway(
            node.tenants["root"], node.flows, listener="links", anonymous=Principal("anyone", "open")
        )
        self.port: Any = self.successResultOf(self.endpoint.listen(self.gateway))

    def tearDown(self) -> None:
        """
        Nothing is left.
        """
        self.mesh.stop()

    def link(self, host: str = "alice", limits: SessionLimits | None = None) -> Session:
        """
        A link from a host.
        """
        reactor: Any = self.mesh.host(host).reactor
        linking = linkTo(
            reactor, TCP4ClientEndpoint(reactor, "gate", PORT), self.links.maker, hop="gate", deadline=60
        )
        self.mesh.flush()
        return Session(reactor, self.successResultOf(linking))

    def stream(self, session: Session, target: Target = TARGET) -> Conversation:
        """
        A stream on it.
        """
        conversation = Conversation()
        info = session.link.info.but(target=target)
        factory = Factory.forProtocol(lambda: conversation)
        session.endpointFor(info).connect(factory).addErrback(conversation.failed)
        self.mesh.flush()
        return conversation

    def refusal(self, conversation: Conversation) -> Refused:
        """
        Why it was refused.
        """
        assert conversation.failure is not None, "it was not"
        refused = conversation.failure.value
        assert isinstance(refused, Refused)
        return refused


class GatewayTests(MuxedCase):
    """
    Streams of links are decided as all others.
    """

    def test_provides(self) -> None:
        """
        It is an endpoint, and what is asked of endpoints can be asked of it.
        """
        self.assertTrue(verifyObject(IStreamServerEndpoint, self.endpoint))
        self.assertTrue(asksForTarget(self.endpoint))
        self.assertIs(self.endpoint.inner, innermost(self.endpoint))
        self.assertEqual(
            (False, False, False),
            (takesLogins(self.endpoint), certifies(self.endpoint), onlyLocal(self.endpoint)),
        )

    def test_streams(self) -> None:
        """
        Several streams of one link go through the gateway, each to its target.
        """
        session = self.link()
        ours = [self.stream(session) for _ in range(3)]
        self.assertEqual(3, len(self.db.accepted))
        for number, (one, other) in enumerate(zip(ours, self.db.accepted, strict=True)):
            one.write(b"to %d" % number)
            other.write(b"from %d" % number)
        self.mesh.flush()
        for number, (one, other) in enumerate(zip(ours, self.db.accepted, strict=True)):
            self.assertEqual((b"from %d" % number, b"to %d" % number), (one.received, other.received))
        live = list(self.node.flows.streams())
        self.assertEqual(["open"] * 3, [each.state for each in live])
        info: StreamInfo = live[0].info
        self.assertEqual((TARGET, "anyone", "memory"), (info.target, str(info.principal), info.protocol))
        self.assertEqual(1, len(self.mesh.connections("alice")))
        ours[0].halfClose()
        self.mesh.flush()
        self.assertTrue(self.db.accepted[0].isEnded)
        self.db.accepted[0].write(b"answer")
        self.db.accepted[0].close()
        self.mesh.flush()
        self.assertEqual(b"from 0answer", ours[0].received)
        self.assertTrue(ours[0].isClean and self.db.accepted[0].isClean)
        self.assertEqual(2, len(self.node.flows))

    def test_bulk(self) -> None:
        """
        Bulk passes, and who does not read stops its sender through the gateway.
        """
        session = self.link()
        ours = self.stream(session)
        bulk = bytes(range(256)) * 16384
        self.db.last.pause()
        ours.pour(bulk)
        self.mesh.flush()
        self.assertGreater(len(ours.unpoured), len(bulk) // 2)
        self.db.last.resume()
        self.db.last.pour(bulk)
        self.mesh.flush()
        self.assertEqual(bulk, self.db.last.received)
        self.assertEqual(bulk, ours.received)

    def test_refused(self) -> None:
        """
        What policy denies, and what cannot be reached, is told in the words of the link.
        """
        session = self.link()
        self.assertIs(Cause.DENIED, self.refusal(self.stream(session, Target("secret", 1))).cause)
        self.assertIs(Cause.CONNECTION_REFUSED, self.refusal(self.stream(session, Target("db", 1))).cause)
        self.assertEqual((0, 0), (session.streams, len(self.node.flows)))
        self.assertTrue(self.stream(session).isOpen)

    def test_cancelled(self) -> None:
        """
        A stream that is given up while the gateway dials is given up there, too.
        """
        session = self.link()
        self.mesh.host("slow")
        self.mesh.apply(Blackhole(), "gate", "slow")
        info = session.link.info.but(target=Target("slow", 1))
        connecting = session.endpointFor(info).connect(Factory.forProtocol(Conversation))
        self.mesh.flush()
        self.assertEqual(["dialing"], [each.state for each in self.node.flows.streams()])
        connecting.addErrback(lambda _: None)
        connecting.cancel()
        self.mesh.flush()
        self.assertEqual(0, len(self.node.flows))

    def test_linkIsCut(self) -> None:
        """
        With a connection all its streams are gone, on all sides.
        """
        session = self.link()
        ours = [self.stream(session) for _ in range(3)]
        self.links.links[0][0].cut()
        self.mesh.flush()
        for each in (*ours, *self.db.accepted):
            self.assertIsNotNone(each.lost)
            self.assertFalse(each.isClean)
        self.assertEqual(0, len(self.node.flows))
        self.assertEqual([], self.mesh.connections("alice"))

    def test_joined(self) -> None:
        """
        Whoever wants to know is told of each session; one that may not be is cut.
        """
        session = self.link()
        self.assertEqual(1, len(self.joined))
        self.assertEqual(self.joined[0].link.info.peer, session.link.info.host)

        def deny(session: Session) -> None:
            raise Denied(session.hop, "not you")

        self.port.stopListening()
        self.endpoint.joined = deny
        self.port = self.successResultOf(self.endpoint.listen(self.gateway))
        with self.assertRaises(Refused):
            other = self.link("bob")
            other.endpointFor(other.link.info.but(target=TARGET))


class LimitTests(MuxedCase):
    """
    How much there may be.
    """

    def test_links(self) -> None:
        """
        There are no more links than there may be; when one is gone, there is a place.
        """
        first, _ = self.link(), self.link()
        reactor: Any = self.mesh.host("alice").reactor
        failures: list[Failure] = []
        for _ in range(2):
            linkTo(
                reactor, TCP4ClientEndpoint(reactor, "gate", PORT), self.links.maker, hop="gate"
            ).addErrback(failures.append)
        self.mesh.flush()
        self.assertEqual(2, len(failures))
        self.assertEqual(2, len(self.joined))
        first.close()
        self.mesh.flush()
        self.link()

    def test_pending(self) -> None:
        """
        Only so many streams of a link may be dialed at once.
        """
        session = self.link()
        self.mesh.host("slow")
        self.mesh.apply(Blackhole(), "gate", "slow")
        waiting = [self.stream(session, Target("slow", 1)) for _ in range(4)]
        self.assertIs(Cause.OVERLOADED, self.refusal(waiting[-1]).cause)
        self.assertEqual([None] * 3, [each.failure for each in waiting[:3]])
        self.mesh.advance(40)
        self.assertIs(Cause.TIMED_OUT, self.refusal(waiting[0]).cause)
        self.assertTrue(self.stream(session).isOpen)

    def test_idle(self) -> None:
        """
        A link without streams is closed after a time.
        """
        session = self.link()
        self.mesh.advance(49)
        self.assertFalse(session.isClosed)
        self.mesh.advance(2)
        self.assertTrue(session.isClosed)
        self.assertEqual([], self.mesh.connections("gate"))

    def test_handshake(self) -> None:
        """
        A connection that does not become a link is cut.
        """
        self.mesh.client("alice").connect(f"tcp:gate:{PORT}", b"who knows")
        self.mesh.flush()
        self.assertEqual(1, len(self.mesh.connections("gate")))
        self.mesh.advance(5.5)
        self.assertEqual([], self.mesh.connections("gate"))
        self.assertEqual({}, self.links.waiting)


class StopTests(MuxedCase):
    """
    A listener that is closed, or replaced.
    """

    def test_drain(self) -> None:
        """
        Links of a listener that is gone keep their streams, take no new ones, and close with the last.
        """
        session, idle = self.link(), self.link("bob")
        ours = self.stream(session)
        self.port.stopListening()
        self.mesh.flush()
        self.assertTrue(idle.isClosed)
        self.assertTrue(session.isClosing and ours.isOpen)
        ours.write(b"still here")
        self.mesh.flush()
        self.assertEqual(b"still here", self.db.last.received)
        with self.assertRaises(Refused):
            session.endpointFor(session.link.info.but(target=TARGET))
        ours.close()
        self.db.last.close()
        self.mesh.flush()
        self.assertTrue(session.isClosed)
        self.assertEqual([], self.mesh.connections("gate"))

    def test_drainHandshakes(self) -> None:
        """
        Connections in the middle of their handshakes are cut at once.
        """
        self.mesh.client("alice").connect(f"tcp:gate:{PORT}")
        self.mesh.flush()
        self.port.stopListening()
        self.mesh.flush()
        self.assertEqual([], self.mesh.connections("gate"))
