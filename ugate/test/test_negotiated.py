# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners with a negotiation in front of the protocol.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint, serverFromString, wrapServerTLS
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs
from twisted.protocols.haproxy import proxyEndpoint
from twisted.python.failure import Failure

from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Auth, IPending
from ugate.protocols.negotiate import LINGER
from ugate.protocols.proxyproto import ProxyHeader
from ugate.protocols.socks5 import Socks5
from ugate.stream import StreamInfo, Target
from ugate.test.dialfakes import Recorder
from ugate.test.listenfakes import (
    HEADER,
    HELLO,
    HERE,
    NO_LOGIN,
    PEER,
    REQUEST,
    ListenerCase,
    Streams,
)


class AuthTests(ListenerCase):
    """
    What a listener demands.
    """

    def mode(self, reactor: Any, interface: str = "127.0.0.1", **options: Any) -> Auth:
        """
        The mode of a listener on an interface.
        """
        inner = TCP4ServerEndpoint(reactor, 0, interface=interface)
        return NegotiatedServerEndpoint(reactor, inner, Socks5, **options).auth

    def test_nobodyChecks(self) -> None:
        """
        Without a tenant or a portal nobody could check anything.
        """
        for reactor in (self.real, self.tenant()):
            for interface in ("127.0.0.1", ""):
                self.assertIs(self.mode(reactor, interface), Auth.NONE)

    def test_byReach(self) -> None:
        """
        With a portal, those who only this machine can be may go without; others not.
        """
        reactor = self.known()
        for interface, mode in (
            ("127.0.0.1", Auth.OPTIONAL),
            ("::1", Auth.OPTIONAL),
            ("", Auth.REQUIRED),
            ("0.0.0.0", Auth.REQUIRED),
            ("192.0.2.1", Auth.REQUIRED),
        ):
            self.assertIs(self.mode(reactor, interface), mode, interface)
        unix = UNIXServerEndpoint(reactor, "/run/x")
        self.assertIs(NegotiatedServerEndpoint(reactor, unix, Socks5).auth, Auth.OPTIONAL)

    def test_doesNotAsk(self) -> None:
        """
        A PROXY header has no credentials; what comes behind one does need them.
        """
        reactor = self.known()
        self.assertIs(self.mode(reactor, "", proves=False), Auth.NONE)
        inner = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        header = NegotiatedServerEndpoint(reactor, inner, ProxyHeader, proves=False)
        self.assertIs(NegotiatedServerEndpoint(reactor, header, Socks5).auth, Auth.REQUIRED)
        self.assertIs(NegotiatedServerEndpoint(reactor, proxyEndpoint(inner), Socks5).auth, Auth.REQUIRED)

    def test_open(self) -> None:
        """
        One that is said to be open does not need them; those who have some may log in.
        """
        reactor = self.known()
        endpoint = NegotiatedServerEndpoint(reactor, TCP4ServerEndpoint(reactor, 0), Socks5)
        self.assertFalse(endpoint.open)
        endpoint.open = True
        self.assertIs(endpoint.auth, Auth.OPTIONAL)
        endpoint.reactor = self.tenant()
        self.assertIs(endpoint.auth, Auth.NONE)


class StreamTests(ListenerCase):
    """
    From a connection to a stream.
    """

    def test_stream(self) -> None:
        """
        The protocol is built when all is known, and its peer address says all of it.
        """
        server, line = self.connect(self.socks(self.tenant()))
        server.dataReceived(HELLO)
        self.assertEqual((line.take(), self.streams.made), (NO_LOGIN, []))
        server.dataReceived(REQUEST + b"early")
        stream = self.stream()
        info = StreamInfo(PEER, HERE, Target("203.0.113.9", 80), None, "socks5", layers=("socks5",))
        self.assertEqual((stream.info, self.streams.addresses, stream.here), (info, [info], HERE))
        self.assertEqual((stream.got, line.take()), (b"early", b""))
        server.dataReceived(b" and late")
        self.assertEqual(stream.got, b"early and late")
        stream.transport.write(b"hi")
        self.assertEqual(line.take(), b"hi")

    @given(st.lists(st.integers(1, len(HELLO + REQUEST) + 4)))
    def test_anyCut(self, cuts: list[int]) -> None:
        """
        However the bytes are cut, the stream is the same, and there is only one.
        """
        self.setUp()
        server, line = self.connect(self.socks(self.tenant()))
        said, begin = HELLO + REQUEST + b"early", 0
        for cut in [*sorted(cuts), len(said)]:
            if said[begin:cut]:
                server.dataReceived(said[begin:cut])
            begin = max(begin, cut)
        self.assertEqual((self.stream().got, line.take()), (b"early", NO_LOGIN))

    def test_accept(self) -> None:
        """
        The stream's transport owes an answer, and gives it in the words of the protocol.
        """
        server, line = self.connect(self.socks(self.tenant()))
        server.dataReceived(HELLO + REQUEST)
        line.take()
        transport = self.stream().transport
        self.assertTrue(IPending.providedBy(transport))
        transport.accept()
        self.assertEqual(line.take()[:2], b"\x05\x00")

    def test_refuse(self) -> None:
        """
        After a refusal the client has some time to read it.
        """
        server, line = self.connect(self.socks(self.tenant()))
        server.dataReceived(HELLO + REQUEST)
        line.take()
        self.stream().transport.refuse(Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "x"))
        self.assertEqual(line.take()[:2], b"\x05\x05")
        self.assertTrue(line.ended)
        self.assertFalse(line.disconnected)
        self.real.advance(LINGER)
        self.assertTrue(line.disconnected)

    def test_gone(self) -> None:
        """
        A stream hears why its connection is gone.
        """
        server, _ = self.connect(self.socks(self.tenant()))
        server.dataReceived(HELLO + REQUEST)
        reason = Failure(ConnectionLost())
        server.connectionLost(reason)
        self.assertEqual(self.stream().lost, [reason])

    def test_factoryIsTold(self) -> None:
        """
        The factory of the streams starts and stops with the port.
        """
        factory = self.socks(self.tenant())
        for _ in range(2):
            factory.doStart()
        self.assertEqual((self.streams.started, self.streams.stopped), (1, 0))
        for _ in range(2):
            factory.doStop()
        self.assertEqual((self.streams.started, self.streams.stopped), (1, 1))

    def test_nameInTheLog(self) -> None:
        """
        A port is named by what its streams are for.
        """

        class Named(Streams):
            def logPrefix(self) -> str:
                return "listener main"

        @implementer(IProtocolFactory)
        class Nameless:
            def buildProtocol(self, addr: IAddress | None) -> None:
                return None

            def doStart(self) -> None:
                """
                Not called.
                """

            def doStop(self) -> None:
                """
                Not called.
                """

        for factory, name in ((Named(), "listener main"), (Nameless(), "Nameless")):
            inner = TCP4ServerEndpoint(self.real, 1080)
            NegotiatedServerEndpoint(self.real, inner, Socks5).listen(factory)
            self.assertEqual(self.real.tcpServers[-1][1].logPrefix(), name)

    def test_wrap(self) -> None:
        """
        A factory in between gets the streams, and can ask what the listener demands, and
        who somebody is.
        """
        got: list[Any] = []

        def wrap(inner: Any, listener: Any) -> Any:
            got.append((inner, listener))
            return inner

        self.socks(self.known(), wrap=wrap)
        ((inner, listener),) = got
        self.assertIs(inner, self.streams)
        self.assertIs(listener.auth, Auth.OPTIONAL)

    def test_noProtocol(self) -> None:
        """
        When there is no protocol for a stream its connection is closed.
        """

        class Full(Factory):
            def buildProtocol(self, addr: IAddress | None) -> None:
                return None

        inner = TCP4ServerEndpoint(self.real, 1080)
        endpoint = NegotiatedServerEndpoint(self.real, inner, Socks5)
        self.successResultOf(endpoint.listen(Full()))
        server, line = self.connect(self.real.tcpServers[-1][1])
        with capturedLogs() as events:
            server.dataReceived(HELLO + REQUEST)
        self.assertTrue(line.disconnected or line.disconnecting)
        self.assertEqual(len(events), 1)

    def test_listenFails(self) -> None:
        """
        What the endpoint within says of a port that cannot be had is passed on.
        """

        @implementer(IStreamServerEndpoint)
        class Taken:
            def listen(self, factory: object) -> Deferred[Any]:
                return fail(OSError("taken"))

        endpoint = NegotiatedServerEndpoint(self.real, Taken(), Socks5)
        self.failureResultOf(endpoint.listen(self.streams), OSError)


class NestedTests(ListenerCase):
    """
    One negotiation after another, and Twisted's wrappers between.
    """

    def nested(self, text: str) -> Any:
        """
        Listen as a string says.
        """
        return self.listen(serverFromString(self.tenant(), text))

    def test_proxyHeader(self) -> None:
        """
        What a PROXY header says of the peer is what the stream says.
        """
        server, line = self.connect(self.nested("socks:proxyproto:tcp:1080"))
        server.dataReceived(HEADER + HELLO)
        self.assertEqual(line.take(), NO_LOGIN)
        server.dataReceived(REQUEST + b"early")
        stream = self.stream()
        self.assertEqual(stream.info.peer, IPv4Address("TCP", "203.0.113.4", 5555))
        self.assertEqual(stream.info.host, IPv4Address("TCP", "203.0.113.5", 443))
        self.assertEqual(stream.info.layers, ("proxyproto", "socks5"))
        self.assertEqual((stream.got, str(stream.info.target)), (b"early", "203.0.113.9:80"))
        stream.transport.accept()
        self.assertEqual(line.take()[:2], b"\x05\x00")

    def test_twistedsHeader(self) -> None:
        """
        And so it is when Twisted reads the header, although it makes protocols before it
        has.
        """
        factory = self.nested("socks:haproxy:tcp:1080")
        server, line = self.connect(factory)
        server.dataReceived(HEADER)
        server.dataReceived(HELLO)
        server.dataReceived(REQUEST)
        self.assertEqual(line.take(), NO_LOGIN)
        stream = self.stream()
        self.assertEqual(stream.info.peer, IPv4Address("TCP", "203.0.113.4", 5555))
        self.assertEqual(stream.info.host, IPv4Address("TCP", "203.0.113.5", 443))
        self.assertEqual(self.streams.addresses, [stream.info])

    def test_twistedsHeaderOfNobody(self) -> None:
        """
        A header that names nobody leaves the peer as it is.
        """
        server, _ = self.connect(self.nested("socks:haproxy:tcp:1080"))
        server.dataReceived(b"PROXY UNKNOWN ::1 ::1 1 1\r\n" + HELLO + REQUEST)
        self.assertEqual((self.stream().info.peer, self.stream().info.host), (PEER, HERE))

    def test_tls(self) -> None:
        """
        TLS between the negotiation and the port.
        """
        from twisted.internet.ssl import optionsForClientTLS
        from twisted.protocols.tls import TLSMemoryBIOFactory
        from twisted.test.iosim import connect, makeFakeClient, makeFakeServer

        from ugate.test.test_tlsclient import selfSigned

        certificate = selfSigned("gw.corp")
        reactor = self.tenant()
        inner: Any = wrapServerTLS(
            certificate.options(),
            TCP4ServerEndpoint(reactor, 1080),
            self.real,
        )
        factory = self.listen(NegotiatedServerEndpoint(reactor, inner, Socks5))
        client = Recorder()
        options = optionsForClientTLS("gw.corp", certificate)
        wrapped: Any = TLSMemoryBIOFactory(options, True, Factory.forProtocol(lambda: client), self.real)
        server, caller = factory.buildProtocol(PEER), wrapped.buildProtocol(HERE)
        pump = connect(server, makeFakeServer(server), caller, makeFakeClient(caller))

        def flush() -> None:
            for _ in range(5):
                self.real.advance(0)
                pump.flush()

        flush()
        assert client.transport is not None
        client.transport.write(HELLO)
        flush()
        self.assertEqual(client.got, NO_LOGIN)
        client.transport.write(REQUEST + b"early")
        flush()
        stream = self.stream()
        self.assertEqual((stream.got, str(stream.info.target)), (b"early", "203.0.113.9:80"))
        stream.transport.accept()
        flush()
        self.assertEqual(client.got[2:4], b"\x05\x00")
