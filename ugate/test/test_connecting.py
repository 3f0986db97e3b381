# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.connecting}.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost, NoProtocol
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from ugate.endpoints.connecting import Connecting, Sockets, bindTo
from ugate.errors import Cause, Denied
from ugate.interfaces import IDetachable
from ugate.stream import Target
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.test.connectingfakes import HOST, ConnectingTestCase, NoSocket, SlowSocket
from ugate.test.socketfakes import Peer, congestion
from ugate.test.test_reactor import FakeEgress


class AtOnceTests(ConnectingTestCase):
    """
    Connections within this machine.
    """

    def test_up(self) -> None:
        """
        One is up without a turn of the reactor.
        """
        opened = self.begin()
        self.assertEqual(self.reactor.getWriters(), [])
        self.up(opened)

    def test_addresses(self) -> None:
        """
        It knows its two addresses, and its socket blocks nobody.
        """
        self.successResultOf(self.begin())
        transport: Any = self.factory.made[0].transport
        _, client = self.listener.accept()
        kind = IPv6Address if self.family == socket.AF_INET6 else IPv4Address
        self.assertEqual(transport.getHost(), kind("TCP", client[0], client[1]))
        self.assertEqual(transport.getPeer(), kind("TCP", self.target.host, self.target.port))
        self.assertFalse(transport.socket.getblocking())

    def test_noPace(self) -> None:
        """
        It is not paced, whatever the rule is on this machine.
        """
        self.successResultOf(self.begin())
        transport: Any = self.factory.made[0].transport
        self.assertEqual(b"reno", congestion(transport.socket))

    if not hasattr(socket, "TCP_CONGESTION"):
        test_noPace.skip = "this system does not let one choose"  # type: ignore[attr-defined]

    def test_refused(self) -> None:
        """
        One that nobody listens for is refused as soon.
        """
        self.listener.close()
        self.assertIs(self.refused(self.begin()).cause, Cause.CONNECTION_REFUSED)
        self.assertEqual(self.connecting.fileno(), -1)

    def test_noDescriptors(self) -> None:
        """
        Without descriptors there is no connection.
        """
        self.assertIs(self.refused(self.begin(NoSocket)).cause, Cause.OVERLOADED)

    def test_factoryFails(self) -> None:
        """
        A factory that raises, or builds nothing, fails the connection and closes it.
        """

        class Broken(Factory):
            def buildProtocol(self, addr: object) -> Protocol:
                raise ZeroDivisionError("a fault")

        class Empty(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        for factory, error in ((Broken(), ZeroDivisionError), (Empty(), NoProtocol)):
            self.failureResultOf(self.begin(factory=factory), error)
            accepted, _ = self.listener.accept()
            self.peers.append(Peer(accepted))
            self.until(lambda: self.peers[-1].ended, "the end")

    def test_givenAway(self) -> None:
        """
        A socket that its protocol gives away as soon as it has it never waits in the
        reactor.
        """
        taken: list[socket.socket] = []

        class Giving(Protocol):
            def connectionMade(self) -> None:
                taken.append(IDetachable(self.transport).detach().socket)

        self.successResultOf(self.begin(factory=Factory.forProtocol(Giving)))
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []))
        taken[0].close()


class SixTests(AtOnceTests):
    """
    By IPv6.
    """

    family = socket.AF_INET6
    host = "::1"


class ZoneTests(ConnectingTestCase):
    """
    An address that says on which link it is.
    """

    family = socket.AF_INET6
    host = "::1"

    def test_zone(self) -> None:
        """
        It is connected to there.
        """
        self.target = Target("::1%lo", self.target.port)
        self.up(self.begin())

    def test_noLink(self) -> None:
        """
        Where there is no such link there is no way.
        """
        self.target = Target("::1%nolink", self.target.port)
        self.assertIs(self.refused(self.begin()).cause, Cause.NETWORK_UNREACHABLE)


class LaterTests(ConnectingTestCase):
    """
    Connections that take their time.
    """

    def test_interface(self) -> None:
        """
        It waits to write.
        """
        verifyObject(IWriteDescriptor, Connecting(self.reactor, self.target, self.factory, None))

    def test_up(self) -> None:
        """
        The reactor says when it is up.
        """
        opened = self.begin(SlowSocket)
        self.assertNoResult(opened)
        self.assertEqual((self.reactor.getWriters(), len(self.deadlines)), ([self.connecting], 1))
        self.until(lambda: opened.called, "the connection")
        self.up(opened)

    def test_refused(self) -> None:
        """
        Or that it is refused.
        """
        self.listener.close()
        opened = self.begin(SlowSocket)
        self.until(lambda: opened.called, "the refusal")
        self.assertIs(self.refused(opened).cause, Cause.CONNECTION_REFUSED)

    def test_seenByTheReactor(self) -> None:
        """
        A reactor that itself sees the connection fail is told nothing new, once or twice.
        """
        self.listener.close()
        opened = self.begin(SlowSocket)
        for _ in range(2):
            self.connecting.connectionLost(Failure(ConnectionLost()))
        self.assertIs(self.refused(opened).cause, Cause.CONNECTION_REFUSED)
        self.connecting.doWrite()

    def test_overdue(self) -> None:
        """
        It has so many seconds.
        """
        opened = self.begin(SlowSocket)
        self.reactor.advance(6.9)
        self.assertNoResult(opened)
        self.reactor.advance(0.2)
        self.assertIs(self.refused(opened).cause, Cause.TIMED_OUT)

    def test_cancelled(self) -> None:
        """
        It can be cancelled.
        """
        opened = self.begin(SlowSocket)
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        self.assertEqual((self.reactor.getWriters(), len(self.deadlines)), ([], 0))
        self.assertEqual(self.connecting.fileno(), -1)

    def test_forever(self) -> None:
        """
        Without a limit it waits until it is cancelled.
        """
        connecting = Connecting(self.reactor, self.target, self.factory, None)
        patched = self.patch(socket, "socket", SlowSocket)
        opened = connecting.begin()
        patched.restore()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        opened.cancel()
        self.failureResultOf(opened, CancelledError)


class SocketsTests(ConnectingTestCase):
    """
    L{Sockets}.
    """

    def test_connect(self) -> None:
        """
        Each connection has the same limit.
        """
        self.up(Sockets(self.reactor, 7.0).connect(self.target, self.factory))

    def test_limit(self) -> None:
        """
        It is the one that was given; without it no timer runs.
        """
        for timeout, calls in ((7.0, 1), (None, 0)):
            sockets = Sockets(self.reactor, timeout)
            patched = self.patch(socket, "socket", SlowSocket)
            opened = sockets.connect(self.target, self.factory)
            patched.restore()
            self.assertEqual(len(self.reactor.getDelayedCalls()), calls)
            opened.cancel()
            self.failureResultOf(opened, CancelledError)
            self.reactor.advance(7.0)

    def test_egress(self) -> None:
        """
        The egress rules of the reactor are asked about each, before it begins.
        """
        egress = FakeEgress()
        self.reactor.__conform__ = lambda interface: egress  # type: ignore[attr-defined]
        sockets = Sockets(self.reactor, None)
        self.failureResultOf(sockets.connect(Target("192.0.2.66", 80), self.factory), Denied)
        self.up(sockets.connect(self.target, self.factory))
        self.assertEqual(egress.asked, [("192.0.2.66", 80), (HOST, self.target.port)])

    def test_outgoing(self) -> None:
        """
        They are remembered, if that is wanted.
        """
        own = OwnListeners()
        egress = Egress(own, True)
        egress.capture()
        self.reactor.__conform__ = lambda interface: egress  # type: ignore[attr-defined]
        self.up(Sockets(self.reactor, None).connect(self.target, self.factory))
        transport: Any = self.factory.made[0].transport
        here = transport.getHost()
        outgoing: Any = own.outgoing
        self.assertTrue(outgoing.holds((here.host, here.port, self.target.host, self.target.port)))
        self.assertFalse(outgoing.holds((here.host, here.port, self.target.host, self.target.port + 1)))

    def test_mark(self) -> None:
        """
        They are marked; where that is forbidden they are made all the same, and it is not tried again.
        """
        options: list[Any] = []

        class Marked(socket.socket):
            error: OSError | None = None

            def setsockopt(self, *args: Any) -> None:
                options.append(args)
                if self.error is not None:
                    raise self.error

        own = OwnListeners().markWith(0x7567)
        egress = Egress(own, True)
        egress.capture()
        self.reactor.__conform__ = lambda interface: egress  # type: ignore[attr-defined]
        sockets = Sockets(self.reactor, None)
        self.patch(socket, "socket", Marked)
        mark = (socket.SOL_SOCKET, socket.SO_MARK, 0x7567)
        for error in (None, PermissionError(errno.EPERM, "no"), None):
            Marked.error = error
            self.successResultOf(sockets.connect(self.target, self.factory))
        self.assertEqual([each for each in options if each[1] == socket.SO_MARK], [mark, mark])

    def test_source(self) -> None:
        """
        They come from another address, if that is said; the same family it has to be.
        """
        sockets = Sockets(self.reactor, None)
        try:
            with socket.socket() as probe:
                bindTo(probe, "127.0.0.9")
        except PermissionError as error:
            raise SkipTest("IP_TRANSPARENT needs CAP_NET_ADMIN") from error
        self.up(sockets.connect(self.target, self.factory, "127.0.0.9"))
        transport: Any = self.factory.made[0].transport
        self.assertEqual(transport.getHost().host, "127.0.0.9")
        refused = self.refused(sockets.connect(self.target, self.factory, "::1"))
        self.assertEqual(refused.cause, Cause.NETWORK_UNREACHABLE)
