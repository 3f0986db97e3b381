# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsflows} and L{ugate.resolverway}.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from ugate.errors import Cause, Refused
from ugate.modules import dnsflows
from ugate.modules.dnsflows import Asked, Questions
from ugate.modules.dnsserving import Clients, Streams
from ugate.protocols.capsules import capsule
from ugate.protocols.dnsframes import Frames, framed
from ugate.resolverway import ResolverWay
from ugate.stream import UDP, StreamInfo
from ugate.tenancy.config.whole import Config, Route
from ugate.test.datagramfakes import PEER, flowTo
from ugate.test.dialfakes import CLIENT, streamTo
from ugate.test.dnsfakes import DnsCase, addressesIn, message, said
from ugate.test.test_dnsresolver import HOSTS, Module, ResolverCase
from ugate.test.test_dnsserving import Answers

QUESTION = message()


class Recorder(Protocol):
    """
    Who asks.
    """

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.isOver = False

    def dataReceived(self, data: bytes) -> None:
        self.got.append(data)

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        self.isOver = True


class AskedTests(DnsCase):
    """
    L{Asked}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.answers = Answers()
        streams = Streams(self.clock, self.answers, Clients([]))
        self.way = Asked(self.clock, self.answers, streams, "root dns main")

    def connect(self, info: StreamInfo) -> Any:
        """
        A stream that is led here.
        """
        connected: Any = self.successResultOf(
            self.way.endpointFor(info).connect(Factory.forProtocol(Recorder))
        )
        return connected

    def turn(self) -> None:
        """
        Let the reactor go round.
        """
        for _ in range(5):
            self.clock.advance(0)

    def test_flow(self) -> None:
        """
        Datagrams are questions, answered at once or later.
        """
        asker = self.connect(flowTo("8.8.8.8", 53))
        asker.transport.write(capsule(QUESTION))
        self.assertEqual([capsule(said(QUESTION))], asker.got)
        self.answers.isSlow = True
        asker.transport.write(capsule(QUESTION) + capsule(b"x" * 20))
        self.assertEqual(1, len(asker.got))
        self.answers.say()
        self.assertEqual(2, len(asker.got))
        self.assertEqual({False}, {isStream for _, isStream in self.answers.asked})
        self.assertEqual({PEER.host}, {*self.answers.sources})
        asker.transport.loseConnection()
        self.assertTrue(asker.isOver)
        self.answers.waiting[0][1].callback(b"late")
        self.assertEqual(2, len(asker.got))

    def test_silence(self) -> None:
        """
        What is no question is not answered.
        """
        asker = self.connect(flowTo("8.8.8.8", 53))
        asker.transport.write(capsule(b"x"))
        self.assertEqual([], asker.got)

    def test_most(self) -> None:
        """
        No more than so many wait; others are dropped, and counted.
        """
        self.patch(dnsflows, "MAX_WAITING", 2)
        self.answers.isSlow = True
        flow = Questions(flowTo("8.8.8.8", 53), self.answers)
        flow.begin(Recorder())
        for _ in range(3):
            flow.post(QUESTION)
        self.assertEqual((2, 1), (len(self.answers.waiting), flow.dropped))

    def test_stream(self) -> None:
        """
        Bytes are questions with their sizes.
        """
        asker = self.connect(streamTo("8.8.8.8:53"))
        asker.transport.write(framed(QUESTION))
        self.turn()
        self.assertEqual([said(QUESTION)], [*Frames().receive(b"".join(asker.got))])
        self.assertEqual((QUESTION, True), self.answers.asked[-1])
        self.assertEqual(CLIENT.host, self.answers.sources[-1])
        asker.transport.write(b"\0\0")
        self.turn()
        self.assertTrue(asker.isOver)
        other = self.connect(streamTo("8.8.8.8:53"))
        self.way.stop()
        self.turn()
        self.assertTrue(other.isOver)

    def test_explained(self) -> None:
        """
        In words.
        """
        self.assertEqual(["answered here, by root dns main"], self.way.explain(streamTo("8.8.8.8:53")))


class WayTests(ResolverCase):
    """
    The way C{dns} of a node's routes.
    """

    def made(self, **sections: Any) -> Config:
        """
        Whatever is for port 53 is answered here.
        """
        return replace(super().made(**sections), routes=(Route(("*:53",), ("dns",)),))

    def test_socks(self) -> None:
        """
        A stream to somebody else's server is answered by the resolver.
        """
        node = self.resolving(hosts=HOSTS)
        line = self.client(node)
        line.say(b"\x05\x01\x00")
        self.assertEqual(0, line.say(b"\x05\x01\x00\x01\x08\x08\x08\x08\x00\x35")[1])
        line.say(framed(message("printer.home")))
        for _ in range(5):
            self.reactor.advance(0)
        (answer,) = Frames().receive(line.value())
        self.assertEqual(["192.168.1.9"], addressesIn(answer))
        self.assertEqual([], self.reactor.tcpClients)

    def test_none(self) -> None:
        """
        Without a resolver it leads nowhere, and says so.
        """
        node = self.start(self.made(), modules=[Module(self.datagrams)])
        way = ResolverWay(node.tenant)
        for info in (streamTo("8.8.8.8:53"), flowTo("8.8.8.8", 53)):
            refused = self.assertRaises(Refused, way.endpointFor, info)
            self.assertIs(Cause.UNSUPPORTED, refused.cause)
            self.assertIn("add a section dns", str(refused))
            self.assertEqual([str(refused)], way.explain(info))

    def test_last(self) -> None:
        """
        Of several that run, the last one is asked; when it stops, the one before it.
        """
        node = self.start(self.made(a={}, b={"listen": ()}), modules=[Module(self.datagrams)])
        a, b = node.tenant.resolvers
        way = ResolverWay(node.tenant)
        self.assertEqual(["answered here, by root dns b"], way.explain(streamTo("x:53")))
        b.stopService()
        self.assertEqual(["answered here, by root dns a"], way.explain(streamTo("x:53")))
        self.assertIn(UDP, way.networks)
        a.stopService()
        self.assertEqual([], node.tenant.resolvers)
