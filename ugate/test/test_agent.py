# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.agent}, L{ugate.modules.loopback} and L{ugate.modules.remotes}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import FileBodyProducer, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from ugate.errors import Cause, Refused, StringError
from ugate.interfaces import INode, ITenant
from ugate.modules.agent import ModuleAgent
from ugate.modules.loopback import LoopbackEndpoint
from ugate.modules.remotes import Remote, RemotesModule
from ugate.modules.sections import RemoteSection
from ugate.tenancy.config.schema import Secret
from ugate.test.adminfakes import FakeNode
from ugate.test.test_pages import Showing


class Tenant:
    """
    A tenant that leads to its node.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reactor: Any = MemoryReactorClock()
        self.node = FakeNode(self.reactor)

    def __conform__(self, interface: Any) -> Any:
        return self.node if interface is INode else None


class AgentTests(SynchronousTestCase):
    """
    The same call, wherever the module is.
    """

    def setUp(self) -> None:
        self.tenant: Any = Tenant("alice")
        self.modules = self.tenant.node.modules
        self.modules["alice", "hello", "near"] = Showing()
        self.modules["bob", "hello", "theirs"] = Showing()
        tenant: Any = self.tenant
        self.agent = ModuleAgent(tenant)
        verifyObject(IAgent, self.agent)

    def turn(self, count: int = 30) -> None:
        """
        Let the reactor go round.
        """
        for _ in range(count):
            self.tenant.reactor.advance(0.001)

    def test_near(self) -> None:
        """
        A module of this process is asked in memory, and sees which tenant asks.
        """
        body: Deferred[bytes] = self.agent.request(b"GET", b"module://hello/near/a/b").addCallback(readBody)
        self.turn()
        self.assertEqual(b"alice@alice ['a', 'b']", self.successResultOf(body))
        self.assertEqual([], self.tenant.reactor.tcpClients)
        self.assertEqual([], self.tenant.reactor.getDelayedCalls())

    def test_body(self) -> None:
        """
        So is one that is told something long.
        """
        from io import BytesIO

        sent = b"x" * 300_000
        producer = FileBodyProducer(BytesIO(sent), cooperator=_cooperator(self.tenant.reactor))
        asked = self.agent.request(b"POST", b"module://hello/near", None, producer)
        body = asked.addCallback(readBody)
        self.turn(100)
        self.assertEqual(sent, self.successResultOf(body))

    def test_nowhere(self) -> None:
        """
        What does not exist is refused by name, and so is what another tenant has.
        """
        for uri in (b"module://hello/far/", b"module://hello/theirs/"):
            refused = self.failureResultOf(self.agent.request(b"GET", uri), Refused).value
            self.assertEqual(Cause.NAME_UNKNOWN, refused.cause)
            self.assertIn("the tenant alice has no module hello", str(refused))
        for uri in (b"http://x/", b"module://hello", b"module://../x/", b"module://a/b#c"):
            self.failureResultOf(self.agent.request(b"GET", uri), StringError)

    def test_far(self) -> None:
        """
        A module on another node is asked by HTTP, with the token that is in a file now.
        """
        path = Path(self.mktemp())
        path.write_text("ugate_abc\n")
        section = RemoteSection("http://127.0.0.1:15000/", Secret(file=str(path)))
        self.modules["alice", "remotes", "far"] = Remote(section)
        asked = self.agent.request(b"GET", b"module://hello/far/x?y=1", Headers({b"X": [b"y"]}))
        ((host, port, factory, *_),) = self.tenant.reactor.tcpClients
        self.assertEqual(("127.0.0.1", 15000), (host, port))
        transport = StringTransport()
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        head = transport.value()
        self.assertTrue(head.startswith(b"GET /modules/hello/far/x?y=1 HTTP/1.1\r\n"))
        self.assertIn(b"\r\nAuthorization: Bearer ugate_abc\r\n", head)
        self.assertIn(b"\r\nX: y\r\n", head)
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        self.assertEqual(b"hi", self.successResultOf(asked.addCallback(readBody)))


def _cooperator(reactor: Any) -> Any:
    from twisted.internet.task import Cooperator

    return Cooperator(scheduler=lambda call: reactor.callLater(0, call))


class RemotesTests(SynchronousTestCase):
    """
    Where other nodes are.
    """

    def test_urls(self) -> None:
        """
        A URL names a node; with a token it is a secure one, or here.
        """
        token = Secret(env="TOKEN")
        tenant: ITenant = Tenant("root")  # type: ignore[assignment]
        for url, secret in (
            ("http://gate.example", None),
            ("https://gate.example:15000/ugate", token),
            ("http://localhost:1", token),
            ("http://[::1]:1", token),
        ):
            RemotesModule().makeService(tenant, "far", RemoteSection(url, secret))
        for url, secret in (
            ("http://gate.example", token),
            ("http://127.0.0.1.evil.example", token),
            ("ftp://gate.example", None),
            ("https://me:secret@gate.example", None),
            ("https://", None),
            ("gate.example", None),
            ("https://gate.example?x", None),
        ):
            self.assertRaises(StringError, Remote, RemoteSection(url, secret))


class LoopbackTests(SynchronousTestCase):
    """
    L{LoopbackEndpoint}.
    """

    def test_provides(self) -> None:
        """
        It is an endpoint.
        """
        verifyObject(IStreamClientEndpoint, LoopbackEndpoint(MemoryReactorClock(), None))
