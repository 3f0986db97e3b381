# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of gateways in a mesh have in common: a chain of them, the ways into
it, and a service at its end with which nothing can be lost unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.testing import Conversation, MemoryMesh

OPEN: Final = {"endpoint": "auto:tcp:1080", "open": True}
ALLOW: Final = {"rules": [{"action": "allow"}]}
"""A policy that lets everybody in."""
PORT: Final = 5432
DB: Final = "192.0.2.9"

HELLO: Final = b"hello\n"
WELCOME: Final = b"welcome\n"

WAYS: Final[Mapping[str, str]] = {
    "socks4": f"socks4:gate1:1080:to={DB}\\:{PORT}",
    "socks4a": f"socks4:gate1:1080:to=db\\:{PORT}",
    "socks5": f"socks:gate1:1080:to=db\\:{PORT}",
    "connect": f"connect:gate1:1080:to=db\\:{PORT}",
}
"""The client strings of each protocol that ends in a stream of bytes."""


def socks5(host: str) -> bytes:
    """
    A request without a login.
    """
    name = host.encode()
    return b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(name)]) + name + PORT.to_bytes(2, "big")


def socks4a(host: str) -> bytes:
    """
    A request without a user.
    """
    return b"\x04\x01" + PORT.to_bytes(2, "big") + b"\0\0\0\1\0" + host.encode() + b"\0"


def connect(host: str) -> bytes:
    """
    A C{CONNECT}.
    """
    return f"CONNECT {host}:{PORT} HTTP/1.1\r\nHost: {host}:{PORT}\r\n\r\n".encode()


def forward(host: str) -> bytes:
    """
    A request for a page.
    """
    return f"GET http://{host}:{PORT}/ HTTP/1.1\r\nHost: {host}:{PORT}\r\n\r\n".encode()


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """
    Greets who says hello, and when that has said all, says all of it again.
    """

    def __init__(self, made: list[Echo]) -> None:
        self.heard = b""
        self.isEnded = False
        self.lost: Failure | None = None
        made.append(self)

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        before = len(self.heard)
        self.heard += data
        if before < len(HELLO) <= len(self.heard):
            self.transport.write(WELCOME)

    def readConnectionLost(self) -> None:
        assert self.transport is not None
        self.isEnded = True
        self.transport.write(self.heard[len(HELLO) :])
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Nothing is left to do.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    def cut(self) -> None:
        """
        Reset the connection, if it is up.
        """
        transport: Any = self.transport
        if self.lost is None:
            transport.abortConnection()


class Echoes(Factory):
    """
    The service.

    @ivar made: its protocols.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[Echo] = []

    def buildProtocol(self, addr: IAddress | None) -> Echo:
        return Echo(self.made)


class Asking(Conversation):
    """
    The client of that service.
    """

    def __init__(self, body: bytes) -> None:
        """
        @param body: what to say after the greeting.
        """
        super().__init__(HELLO)
        self._body = body
        self._asked = False

    @property
    def isWhole(self) -> bool:
        """
        Whether all has come back.
        """
        return self.received == WELCOME + self._body

    @property
    def isPrefix(self) -> bool:
        """
        Whether what has come is right as far as it goes.
        """
        return (WELCOME + self._body).startswith(self.received)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if not self._asked and self.received == WELCOME:
            self._asked = True
            self.pour(self._body)
            self.halfClose()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.close()

    def buildProtocol(self, addr: IAddress | None) -> Asking:
        """
        As the factory of itself.
        """
        return self


class One(Factory):
    """
    The factory of a protocol that is there already.
    """

    noisy = False

    def __init__(self, protocol: Conversation) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Conversation:
        return self._protocol


class MeshCase(SynchronousTestCase):
    """
    A chain of gateways between C{alice} and C{db}.
    """

    def setUp(self) -> None:
        self.build(1)

    def build(self, gates: int, hop: str = "socks", **more: Any) -> MemoryMesh:
        """
        Make a new mesh.

        @param gates: how many gateways there are in the chain.
        @param hop: what each of them speaks to the next.
        @param more: other sections of the configuration of the last one.
        """
        self.mesh = mesh = MemoryMesh()
        mesh.host("alice")
        mesh.host("db", DB)
        self.echoes = Echoes()
        mesh.serve("db", PORT, self.echoes)
        self.gates = [f"gate{number}" for number in range(1, gates + 1)]
        for name, following in pairwise(self.gates):
            mesh.gateway(
                name,
                listen={"main": OPEN},
                routes=[{"match": "*", "via": f"{hop}:{following}:1080"}],
                policy=ALLOW,
                node={"idle": 60},
            )
        mesh.gateway(
            self.gates[-1], **{"listen": {"main": OPEN}, "policy": ALLOW, "node": {"idle": 60}, **more}
        )
        return mesh

    def ask(self, way: str, body: bytes = b"body") -> Asking:
        """
        Begin to talk to the service.

        @param way: one of L{WAYS}, or another client string.
        """
        asking = Asking(body)
        self.mesh.client("alice").endpoint(WAYS.get(way, way)).connect(One(asking)).addErrback(asking.failed)
        return asking

    def assertDone(self, message: object = None) -> None:
        """
        No gateway holds anything.
        """
        held = {name: self.mesh.connections(name) for name in self.gates}
        self.assertEqual({name: [] for name in self.gates}, held, message)
        flows = [(len(node.flows), len(node.relay)) for node in self.mesh.gateways.values()]
        self.assertEqual([(0, 0)] * len(flows), flows, message)

    def assertWell(self, asking: Asking, message: object = None) -> None:
        """
        All has come back, cleanly, and nothing is left.
        """
        self.assertIsNone(asking.failure, message)
        self.assertTrue(asking.isWhole, (message, asking.received[:50], len(asking.received)))
        self.assertTrue(asking.isClean, message)
        self.assertDone(message)
        self.assertEqual([], self.mesh.connections(), message)
