# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of listeners share: clients of them, and the streams that they ask for.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress, IHalfCloseableDescriptor, IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.protocols.socks5 import Socks5
from ugate.stream import StreamInfo
from ugate.tenancy.passwords import portalFor
from ugate.tenancy.policy import KnownPrincipals
from ugate.tenancy.tenant import Tenant
from ugate.test.dialfakes import Recorder, Recorders

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
HERE = IPv4Address("TCP", "198.51.100.1", 1080)

HELLO = b"\x05\x01\x00"
HELLO_LOGIN = b"\x05\x01\x02"
NO_LOGIN = b"\x05\x00"
LOGIN = b"\x01\x05alice\x06secret"
WRONG = b"\x01\x05alice\x05other"
REQUEST = b"\x05\x01\x00\x01\xcb\x00\x71\x09\x00\x50"
HEADER = b"PROXY TCP4 203.0.113.4 203.0.113.5 5555 443\r\n"


@implementer(IHalfCloseableDescriptor)
class Line(StringTransport):
    """
    A connection of a client; what ends it is written down.
    """

    ended = False

    def __init__(self, peer: IAddress = PEER) -> None:
        super().__init__(HERE, peer, lenient=True)  # type: ignore[no-untyped-call]

    def loseWriteConnection(self) -> None:
        self.ended = True

    def readConnectionLost(self, reason: Failure) -> None:
        """
        Not called by what is tested here.
        """

    def writeConnectionLost(self, reason: Failure) -> None:
        """
        Not called by what is tested here.
        """

    def take(self) -> bytes:
        """
        What was written since the last time.
        """
        data: bytes = self.value()
        self.clear()
        return data


@implementer(ICredentialsChecker)
class Checker:
    """
    Knows alice; answers when it is told to, if C{later}.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, later: bool = False) -> None:
        self.later = later
        self.asked: list[Any] = []
        self.answers: list[Deferred[Any]] = []
        self.cancelled = 0

    def _cancel(self, answer: Deferred[Any]) -> None:
        self.cancelled += 1

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        self.asked.append(credentials)
        if self.later:
            self.answers.append(Deferred(self._cancel))
            return self.answers[-1]
        if (credentials.username, credentials.password) == (b"alice", b"secret"):
            return succeed(b"alice")
        return fail(UnauthorizedLogin())


class Pending(Recorder):
    """
    What a stream is for: it looks at its transport, and answers when it is told to.
    """

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.info: StreamInfo = transport.getPeer()
        self.here = transport.getHost()


class Streams(Recorders):
    """
    Makes them.
    """

    made: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[Any] = []
        self.stopped = 0

    def stopFactory(self) -> None:
        self.stopped += 1

    def buildProtocol(self, addr: IAddress | None) -> Pending:
        self.addresses.append(addr)
        made = Pending()
        self.made.append(made)
        return made


class ListenerCase(SynchronousTestCase):
    """
    What the tests here need.
    """

    def setUp(self) -> None:
        self.real: Any = MemoryReactorClock()
        self.streams = Streams()
        self.checker = Checker()

    def tenant(self, portal: Portal | None = None) -> Any:
        """
        The reactor of a tenant.
        """
        return Tenant(self.real, KnownPrincipals(), portal=portal).reactor

    def known(self) -> Any:
        """
        The reactor of a tenant in which alice can log in.
        """
        return self.tenant(portalFor(self.checker))

    def listen(self, endpoint: IStreamServerEndpoint) -> Any:
        """
        Listen, and give the factory that a port would have.
        """
        self.successResultOf(endpoint.listen(self.streams))
        return self.real.tcpServers[-1][1]

    def socks(self, reactor: Any, interface: str = "127.0.0.1", **options: Any) -> Any:
        """
        Listen for SOCKS5.
        """
        inner = TCP4ServerEndpoint(reactor, 1080, interface=interface)
        return self.listen(NegotiatedServerEndpoint(reactor, inner, Socks5, **options))

    def connect(self, factory: Any, peer: IAddress = PEER) -> tuple[Any, Line]:
        """
        A client connects.
        """
        protocol = factory.buildProtocol(peer)
        line = Line(peer)
        protocol.makeConnection(line)
        return protocol, line

    def stream(self) -> Any:
        """
        The one stream that there is.
        """
        (made,) = self.streams.made
        return made
