# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The reactor that a host in memory has: names, listeners and connections.
"""

from __future__ import annotations

import errno

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import (
    CannotListenError,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
    IResolutionReceiver,
)
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IConfigStore
from ugate.testing import Conversation, Conversations, MemoryMesh
from ugate.testing.store import ValueStore


class Dialing(ClientFactory):
    """
    What C{connectTCP} is given: remembers how it went.
    """

    noisy = False

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.reason: Failure | None = None

    def buildProtocol(self, addr: object) -> Conversation:
        return self.conversation

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.reason = reason

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        self.reason = reason


class ReactorTests(SynchronousTestCase):
    """
    The reactor of a host.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.reactor = self.mesh.host("app", "192.0.2.1", "2001:db8::1").reactor

    def dial(self, host: str, port: int = 5432) -> Dialing:
        """
        Connect, and see what comes of it.
        """
        dialing = Dialing()
        self.reactor.connectTCP(host, port, dialing, 5)
        self.mesh.flush()
        return dialing

    def test_interfaces(self) -> None:
        """
        It is a reactor, but none that waits for descriptors.
        """
        for interface in (
            IReactorTCP,
            IReactorUNIX,
            IReactorTime,
            IReactorPluggableNameResolver,
            IReactorThreads,
        ):
            verifyObject(interface, self.reactor)
        self.assertFalse(IReactorFDSet.providedBy(self.reactor))
        verifyObject(IHostnameResolver, self.reactor.nameResolver)
        verifyObject(IListeningPort, self.mesh.serve("db", 5432, Conversations()))
        verifyObject(IConnector, self.reactor.connectTCP("10.0.0.1", 5432, Dialing()))
        verifyObject(IConfigStore, ValueStore({}, {}, (), {}, {}))

    def test_errors(self) -> None:
        """
        Nobody listens, nobody is there, nobody knows the name: the errors of Twisted,
        with the numbers of the system.
        """
        self.mesh.host("db", "192.0.2.2")
        for host, error, number in (
            ("192.0.2.2", ConnectionRefusedError, errno.ECONNREFUSED),
            ("db", ConnectionRefusedError, errno.ECONNREFUSED),
            ("198.51.100.1", NoRouteError, errno.ENETUNREACH),
        ):
            reason = self.dial(host).reason
            assert reason is not None
            reason.trap(error)
            self.assertEqual(number, reason.value.osError)  # type: ignore[union-attr]
        reason = self.dial("nobody").reason
        assert reason is not None
        reason.trap(DNSLookupError)

    def test_families(self) -> None:
        """
        IPv4 and IPv6 are two; who lacks one has no route there.
        """
        served = Conversations()
        self.mesh.host("six", "2001:db8::6")
        self.mesh.host("four", "192.0.2.4")
        self.mesh.serve("six", 1, served, interface="::")
        near = self.dial("2001:db8:0:0::6", 1).conversation
        assert near.transport is not None
        self.assertEqual(IPv6Address("TCP", "2001:db8::6", 1), near.transport.getPeer())
        self.assertEqual(IPv6Address("TCP", "2001:db8::1", 49152), near.transport.getHost())
        alone = self.mesh.client("four").connect("tcp:six:1")
        self.mesh.flush()
        assert alone.failure is not None
        alone.failure.trap(NoRouteError)

    def test_names(self) -> None:
        """
        Hosts, other names, literals and localhost; in the order given, of the types
        wanted.
        """
        self.mesh.names["db.example"] = ("2001:db8::9", "192.0.2.9")
        for name, types, wanted in (
            ("app", None, ["192.0.2.1", "2001:db8::1"]),
            ("APP.", [IPv6Address], ["2001:db8::1"]),
            ("db.example", None, ["2001:db8::9", "192.0.2.9"]),
            ("192.0.2.77", None, ["192.0.2.77"]),
            ("localhost", None, ["127.0.0.1", "::1"]),
            ("nobody", None, []),
        ):
            answer = Answer()
            self.reactor.nameResolver.resolveHostName(answer, name, 80, types)
            self.assertFalse(answer.isComplete)
            self.mesh.flush()
            self.assertEqual((wanted, True), (answer.hosts, answer.isComplete), name)

    def test_ownResolver(self) -> None:
        """
        A program may have its own way to look names up.
        """
        before = self.reactor.nameResolver
        other = self.mesh.host("other").reactor.nameResolver
        self.assertIs(before, self.reactor.installNameResolver(other))
        self.assertIs(other, self.reactor.nameResolver)

    def test_listening(self) -> None:
        """
        One listener an address and port; those of others are not to be had.
        """
        port = self.reactor.listenTCP(80, Conversations())
        for interface in ("", "198.51.100.1", "nonsense"):
            self.assertRaises(CannotListenError, self.reactor.listenTCP, 80, Conversations(), 50, interface)
        self.mesh.serve("other", 80, Conversations())
        port.stopListening()
        port.stopListening()
        self.assertIsNotNone(self.dial("192.0.2.1", 80).reason)
        chosen = self.reactor.listenTCP(0, Conversations(), interface="localhost").getHost()
        self.assertEqual(IPv4Address("TCP", "127.0.0.1", 49152), chosen)

    def test_loopback(self) -> None:
        """
        What listens on loopback is there for its own host alone.
        """
        served = Conversations()
        self.reactor.listenTCP(80, served, interface="127.0.0.1")
        self.assertTrue(self.dial("localhost", 80).conversation.isOpen)
        self.assertTrue(self.dial("0.0.0.0", 80).conversation.isOpen)
        self.assertIsNotNone(self.dial("192.0.2.1", 80).reason)
        other = self.mesh.client("other").connect("tcp:127.0.0.1:80")
        self.mesh.flush()
        assert other.failure is not None
        other.failure.trap(ConnectionRefusedError)

    def test_bindAddress(self) -> None:
        """
        A program may choose where it connects from.
        """
        served = Conversations()
        self.mesh.serve("db", 80, served)
        self.reactor.connectTCP("db", 80, Dialing(), 5, ("192.0.2.1", 1024))
        self.mesh.flush()
        assert served.last.transport is not None
        self.assertEqual(IPv4Address("TCP", "192.0.2.1", 1024), served.last.transport.getPeer())

    def test_stopConnecting(self) -> None:
        """
        An attempt can be called off, and a connector used again.
        """
        served = Conversations()
        self.mesh.serve("db", 80, served)
        dialing = Dialing()
        connector = self.reactor.connectTCP("db", 80, dialing)
        connector.stopConnecting()
        self.mesh.flush()
        assert dialing.reason is not None
        dialing.reason.trap(UserError)
        self.assertEqual([], served.accepted)
        connector.connect()
        self.mesh.flush()
        self.assertTrue(dialing.conversation.isOpen)
        connector.disconnect()
        self.mesh.flush()
        self.assertEqual([], [call for call in self.reactor.getDelayedCalls() if call.active()])
        self.assertTrue(served.last.isEnded)

    def test_timeout(self) -> None:
        """
        A lookup without an answer takes as long as the timeout.
        """

        class Silent:
            def resolveHostName(self, receiver: object, *args: object) -> None:
                """
                Nothing.
                """

        self.reactor.installNameResolver(Silent())  # type: ignore[arg-type]
        dialing = self.dial("db")
        self.mesh.advance(4.9)
        self.assertIsNone(dialing.reason)
        self.mesh.advance(0.1)
        assert dialing.reason is not None
        dialing.reason.trap(TimeoutError)

    def test_unix(self) -> None:
        """
        Paths belong to one host.
        """
        served = Conversations()
        serverFromString(self.reactor, "unix:/run/db").listen(served)
        self.assertRaises(CannotListenError, self.reactor.listenUNIX, "/run/db", served)
        near = self.mesh.client("app").connect("unix:/run/db", b"hello")
        other = self.mesh.client("other").connect("unix:/run/db")
        self.mesh.flush()
        assert near.transport is not None
        self.assertEqual((b"hello", UNIXAddress("/run/db")), (served.last.received, near.transport.getPeer()))
        self.assertIsNotNone(other.failure)

    def test_threads(self) -> None:
        """
        What is called in a thread is called in a later turn.
        """
        results: list[object] = []
        called: Deferred[int] = deferToThreadPool(self.reactor, self.reactor.getThreadPool(), lambda: 1 + 1)
        called.addCallback(results.append)
        failed: Deferred[float] = deferToThreadPool(self.reactor, self.reactor.getThreadPool(), lambda: 1 / 0)
        failed.addErrback(lambda failure: results.append(failure.type))
        self.reactor.callInThread(results.append, "called")
        self.assertEqual([], results)
        self.mesh.flush()
        self.assertEqual({2, "called", ZeroDivisionError}, set(results))

    def test_noProtocol(self) -> None:
        """
        A factory that builds nothing costs the connection.
        """

        class Nothing(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> None:
                return None

        self.mesh.serve("db", 80, Nothing())
        near = self.mesh.client("app").connect("tcp:db:80")
        self.mesh.flush()
        self.assertTrue(near.isEnded)

    def test_stoppedBeforeAccept(self) -> None:
        """
        Who is in the queue of a listener that stops is reset.
        """
        port = self.mesh.serve("db", 80, Conversations())
        dialing = Dialing()
        self.reactor.connectTCP("10.0.0.1", 80, dialing)
        dialing.conversation.connectionMade = port.stopListening  # type: ignore[method-assign,assignment]
        self.mesh.flush()
        assert dialing.conversation.lost is not None
        dialing.conversation.lost.trap(ConnectionLost)


@implementer(IResolutionReceiver)
class Answer:
    """
    Receives the answer of a resolver.
    """

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.isComplete = False

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        Nothing yet.
        """

    def addressResolved(self, address: IAddress) -> None:
        """
        One more.
        """
        assert isinstance(address, (IPv4Address, IPv6Address))
        self.hosts.append(address.host)

    def resolutionComplete(self) -> None:
        """
        That was all.
        """
        self.isComplete = True
