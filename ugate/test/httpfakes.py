# -*- test-case-name: ugate.test.test_httpchannel -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of HTTP proxying have in common: a client's transport and a gateway,
both in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import h11
from zope.interface import implementer

from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import Auth, IPending
from ugate.protocols.httpchannel import HttpForward
from ugate.protocols.httpforward import HttpForwardFactory
from ugate.protocols.httplogin import Login
from ugate.protocols.httpstream import HttpStream
from ugate.stream import Principal, StreamInfo

CLIENT = IPv4Address("TCP", "127.0.0.1", 50000)
PROXY = IPv4Address("TCP", "127.0.0.1", 1080)
HTTP = StreamInfo(CLIENT, PROXY, protocol="http", layers=("http",))
ALICE = Principal("alice", "password")
GOOD = b"Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n"
BAD = b"Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n"


def splits(data: bytes) -> Iterator[list[bytes]]:
    """
    The data whole, a byte at a time, and in two parts at every place.
    """
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for i in range(1, len(data)):
        yield [data[:i], data[i:]]


def aliceOnly(credentials: ICredentials) -> Principal:
    """
    Knows one user.
    """
    if not IUsernamePassword.providedBy(credentials):
        raise UnauthorizedLogin()
    if not credentials.checkPassword(b"secret"):
        raise UnauthorizedLogin()
    return ALICE


@implementer(IPending)
class FakeClient(StringTransport):
    """
    The transport of a client, as a finished negotiation gives it.
    """

    def __init__(self) -> None:
        super().__init__(PROXY, HTTP)  # type: ignore[no-untyped-call]
        self.accepted = 0
        self.writeEnded = False

    def accept(self) -> None:
        """
        Count.
        """
        self.accepted += 1

    def refuse(self, reason: Refused) -> None:
        """
        No forward proxy refuses a client.
        """
        raise AssertionError(reason)

    def write(self, data: bytes) -> None:
        """
        Nothing may follow an end.
        """
        assert not self.disconnecting and not self.writeEnded
        super().write(data)  # type: ignore[no-untyped-call]

    def loseWriteConnection(self) -> None:
        """
        Note it.
        """
        self.writeEnded = True

    @property
    def aborted(self) -> bool:
        """
        Was it aborted?
        """
        return self.disconnected

    def take(self) -> bytes:
        """
        What was written since the last time.
        """
        data: bytes = self.value()
        self.clear()
        return data


@implementer(IHalfCloseableProtocol)
class FakeStream(Protocol):
    """
    What a gateway puts on a stream.
    """

    transport: HttpStream

    def __init__(self, gateway: FakeGateway, info: StreamInfo) -> None:
        self.gateway = gateway
        self.info = info
        self.received = b""
        self.ended = False
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        """
        Answer, if the gateway does so by itself.
        """
        self.gateway.streams.append(self)
        if isinstance(self.gateway.answer, Refused):
            self.transport.refuse(self.gateway.answer)
        elif self.gateway.answer:
            self.transport.accept()

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        assert isinstance(data, bytes) and data and not self.ended
        self.received += data
        if self.gateway.reflex and self.received.endswith(self.gateway.reflex[0]):
            self.transport.write(self.gateway.reflex[1])

    def readConnectionLost(self) -> None:
        """
        Note it.
        """
        assert not self.ended
        self.ended = True

    def writeConnectionLost(self) -> None:
        """
        Nothing.
        """

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        Note why.
        """
        assert self.lost is None
        self.lost = reason

    def take(self) -> bytes:
        """
        What was received since the last time.
        """
        data, self.received = self.received, b""
        return data


class FakeGateway(Factory):
    """
    A gateway: all the streams, in order.

    @ivar answer: true to accept each stream at once, a L{Refused} to refuse it, and
        false to leave that to the test.
    @ivar reflex: what each stream writes at once when it has received something
        that ends so.
    """

    noisy = False

    def __init__(self, answer: Refused | bool = True) -> None:
        self.answer = answer
        self.reflex: tuple[bytes, bytes] | None = None
        self.streams: list[FakeStream] = []
        self.started = 0

    def buildProtocol(self, addr: IAddress | None) -> FakeStream | None:
        """
        The next stream.
        """
        assert isinstance(addr, StreamInfo)
        return FakeStream(self, addr)

    def doStart(self) -> None:
        """
        Count.
        """
        self.started += 1

    def doStop(self) -> None:
        """
        Count.
        """
        self.started -= 1


class Proxy:
    """
    A forward proxy with one client.
    """

    def __init__(
        self,
        answer: Refused | bool = True,
        auth: Auth = Auth.NONE,
        login: Login | None = None,
        info: StreamInfo = HTTP,
    ) -> None:
        self.clock = Clock()
        self.gateway = FakeGateway(answer)
        self.client = FakeClient()
        factory = HttpForwardFactory(self.gateway, self.clock, auth, login)
        protocol = factory.buildProtocol(info)
        assert isinstance(protocol, HttpForward)
        self.protocol: HttpForward = protocol
        protocol.makeConnection(self.client)

    def turn(self) -> None:
        """
        What is due now happens.
        """
        for _ in range(10):
            self.clock.advance(0)

    def ask(self, *chunks: bytes) -> None:
        """
        The client sends this.
        """
        for chunk in chunks:
            self.protocol.dataReceived(chunk)
            self.turn()

    def get(self, host: str = "a.example", more: bytes = b"", path: bytes = b"/") -> None:
        """
        The client asks for a page.
        """
        name = host.encode()
        self.ask(b"GET http://%b%b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (name, path, name, more))

    def respond(self, *chunks: bytes) -> None:
        """
        The last target sends this.
        """
        for chunk in chunks:
            self.last.transport.write(chunk)
            self.turn()

    def told(self) -> bytes:
        """
        What the client got since the last time.
        """
        return self.client.take()

    def asked(self) -> bytes:
        """
        What the last target got since the last time.
        """
        return self.last.take()

    @property
    def last(self) -> FakeStream:
        """
        The last stream.
        """
        return self.gateway.streams[-1]


def readResponses(data: bytes, methods: Iterable[bytes], end: bool = False) -> list[tuple[int, bytes]]:
    """
    The statuses and contents of some responses.

    @param methods: of their requests.
    @param end: whether the connection was closed after them.
    """
    found = []
    for method in methods:
        conn = h11.Connection(h11.CLIENT)
        conn.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a")]))
        conn.send(h11.EndOfMessage())
        if data:
            conn.receive_data(data)
        if end:
            conn.receive_data(b"")
        status, body = 0, b""
        while True:
            event = conn.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif not isinstance(event, h11.InformationalResponse):
                assert isinstance(event, h11.EndOfMessage), event
                break
        found.append((status, body))
        data = conn.trailing_data[0]
    assert not data
    return found
