# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.captured}.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.captured import (
    Capture,
    CapturedServerEndpoint,
)
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Detached, IDetachable, IEgress
from ugate.stream import NAME, Target
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.test.dialfakes import CLIENT, LISTENER, Net, Recorders
from ugate.test.hellofakes import hello, sni

HELLO = hello(sni(b"web.example"))
REASON = Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "x")


class CapturingNet(Net):
    """
    A reactor with rules on addresses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.own = OwnListeners(lambda address: str(address) == "198.51.100.2")
        self.egress = Egress(self.own, True)

    def __conform__(self, interface: object) -> object | None:
        return self.egress if interface is IEgress else super().__conform__(interface)


@implementer(IDetachable)
class Wire(StringTransport):
    """
    A transport with a socket, as far as is asked of that.
    """

    def detach(self) -> Detached:
        """
        See L{IDetachable}.
        """
        found: Any = self.socket
        return Detached(found)

    def __init__(self) -> None:
        super().__init__(LISTENER, CLIENT)  # type: ignore[no-untyped-call]
        self.socket = object()


class Taking(Protocol):
    """
    Takes the socket at once, as a relay does.
    """

    taken: list[Any]

    def connectionMade(self) -> None:
        self.taken.append(IDetachable(self.transport).detach())


class CapturedServerCase(SynchronousTestCase):
    """
    Connections of which the test says where they were to go.
    """

    def setUp(self) -> None:
        self.net = CapturingNet()
        self.factory = Recorders()
        self.target: Target | OSError = Target("203.0.113.9", 5432)
        self.refused: list[str] = []

    def find(self, connected: object) -> Target:
        """
        Where it was to go.
        """
        if isinstance(self.target, OSError):
            raise self.target
        return self.target

    def listen(self, capture: Capture = Capture(), **more: Any) -> CapturedServerEndpoint:  # noqa: B008
        """
        Listen.
        """
        inner = TCP4ServerEndpoint(self.net, 15001, interface="127.0.0.1")
        endpoint = CapturedServerEndpoint(self.net, inner, capture, find=self.find, **more)
        self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
        self.successResultOf(endpoint.listen(self.factory))
        return endpoint

    def accept(self, *chunks: bytes) -> Wire:
        """
        A client that says something.
        """
        factory: Any = self.net.tcpServers[-1][1]

        def failed(host: Any, error: Exception) -> None:
            self.refused.append(str(error))

        self.patch(factory, "failed", failed)
        self.host: Any = factory.buildProtocol(CLIENT)
        transport = Wire()
        self.host.makeConnection(transport)
        for chunk in chunks:
            self.host.dataReceived(chunk)
        return transport

    @property
    def info(self) -> Any:
        """
        What is known of the last stream.
        """
        return self.infoOf(self.factory.made[-1])

    def infoOf(self, made: Any) -> Any:
        """
        What is known of a stream.
        """
        return made.transport.getPeer()


class StreamTests(CapturedServerCase):
    """
    Streams that go on.
    """

    def test_atOnce(self) -> None:
        """
        On most ports before the client says anything: its server may speak first.
        """
        self.listen()
        self.accept()
        info = self.info
        self.assertEqual((info.target, info.protocol, info.peer), (self.target, "redirect", CLIENT))
        self.assertEqual(info.host, IPv4Address("TCP", "203.0.113.9", 5432))
        self.assertIs(info.principal, None)

    def test_name(self) -> None:
        """
        On some ports the name is waited for.
        """
        self.target = Target("2001:db8::9", 443)
        self.listen()
        self.accept(HELLO[:20])
        self.assertEqual(self.factory.made, [])
        self.host.dataReceived(HELLO[20:])
        info = self.info
        self.assertEqual((info.target, info.hints[NAME]), (self.target, "web.example"))
        self.assertEqual(self.factory.made[0].got, HELLO)
        self.net.advance(60)
        self.assertEqual(len(self.factory.made), 1)

    def test_silence(self) -> None:
        """
        A client that does not say it goes by the address after a moment, with all that it has said.
        """
        self.target = Target("203.0.113.9", 80)
        self.listen(Capture(wait=0.25))
        self.accept()
        self.accept(b"G")
        self.net.advance(0.24)
        self.assertEqual(self.factory.made, [])
        self.net.advance(0.02)
        self.assertEqual([each.got for each in self.factory.made], [b"", b"G"])
        self.assertEqual([self.infoOf(each).target for each in self.factory.made], [self.target] * 2)
        self.net.advance(60)
        self.assertEqual(self.refused, [])

    def test_endedBefore(self) -> None:
        """
        A client that has said all goes by the address at once; one that is gone is no stream.
        """
        self.target = Target("203.0.113.9", 80)
        self.listen(Capture(wait=0.25))
        self.accept(b"GET")
        self.host.readConnectionLost()
        (made,) = self.factory.made
        self.assertEqual(made.got, b"GET")
        self.accept(b"GET")
        self.host.connectionLost(Failure(ConnectionLost()))
        self.net.advance(1)
        self.assertEqual(self.factory.made, [made])

    def test_spliced(self) -> None:
        """
        The relay gets the socket, with what was read for the name.
        """
        self.listen()
        for target, said in ((Target("203.0.113.9", 22), b""), (Target("203.0.113.9", 443), HELLO)):
            self.target = target
            taken: list[Any] = []

            def build(addr: Any, taken: list[Any] = taken) -> Any:
                made = Taking()
                made.taken = taken
                return made

            self.patch(self.factory, "buildProtocol", build)
            transport = self.accept(said)
            (detached,) = taken
            self.assertEqual((detached.socket, detached.unread), (transport.socket, said))
            self.host.silent()
            self.net.advance(60)

    def test_otherPorts(self) -> None:
        """
        Which ports these are is said.
        """
        self.target = Target("203.0.113.9", 443)
        self.listen(Capture(sniff=frozenset((8080,))))
        self.accept()
        self.assertEqual(len(self.factory.made), 1)

    def test_refused(self) -> None:
        """
        Who cannot be told why is reset; who can be, is told.
        """
        self.listen()
        transport = self.accept()
        made: Any = self.factory.made
        made[0].transport.refuse(REASON)
        self.assertEqual((transport.value(), transport.disconnected), (b"", True))
        self.target = Target("203.0.113.9", 443)
        transport = self.accept(HELLO)
        made[1].transport.refuse(REASON)
        self.assertEqual(transport.value()[:2], b"\x15\x03")


class LoopTests(CapturedServerCase):
    """
    What would come back.
    """

    def assertRefused(self, *words: str) -> None:
        """
        It comes to nothing, and the log says why.
        """
        transport = self.accept()
        self.assertEqual((self.factory.made, transport.disconnected), ([], True))
        (said,) = self.refused
        for word in words:
            self.assertIn(word, said)
        self.refused.clear()

    def test_notRedirected(self) -> None:
        """
        Who connects to the listener itself.
        """
        self.listen()
        self.target = Target(LISTENER.host, LISTENER.port)
        self.assertRefused("was not redirected", "ucli capture show")
        for number in (errno.ENOENT, errno.ENOPROTOOPT):
            self.target = OSError(number, os.strerror(number))
            self.assertRefused("was not redirected")
        self.target = OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        self.assertRefused("not connected")

    def test_ownListener(self) -> None:
        """
        A listener of ours, by whatever address of this machine.
        """
        self.listen()
        self.net.own.add("0.0.0.0", 1080)
        self.target = Target("198.51.100.2", 1080)
        self.assertRefused("198.51.100.2:1080 is a listener of this gateway", "ask for the service itself")
        self.target = Target("198.51.100.3", 1080)
        self.accept()
        self.assertEqual(len(self.factory.made), 1)

    def test_ownConnection(self) -> None:
        """
        A connection that we have just made ourselves.
        """
        self.listen()
        outgoing: Any = self.net.egress.outgoing
        with socket.create_server(("127.0.0.1", 0)) as up:
            outgoing.add((CLIENT.host, CLIENT.port, "203.0.113.9", 5432), up)
            self.assertRefused("our own connection to 203.0.113.9:5432 was captured again", "node.mark")
        self.target = Target("203.0.113.9", 5433)
        self.accept()
        self.assertEqual(len(self.factory.made), 1)

    def test_capturing(self) -> None:
        """
        Our own connections are marked, and remembered, from the moment that something listens.
        """
        self.net.own.markWith(7)
        self.assertEqual((self.net.egress.mark, self.net.egress.outgoing), (0, None))
        self.listen()
        self.assertEqual(self.net.egress.mark, 7)
        self.assertIsNot(self.net.egress.outgoing, None)
