# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of nodes share: a reactor with ports that can be taken, and configs.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.node import Node
from ugate.tenancy.config.schema import Dial, Listener, Policy, PolicyRule
from ugate.tenancy.config.schema import Node as Settings
from ugate.tenancy.config.whole import Config, Route
from ugate.tenancy.passwordhashes import PasswordHash

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
HELLO = b"\x05\x01\x00"
ALL = (PolicyRule("allow"),)
"""Whoever is known may do everything."""

REQUEST = b"\x05\x01\x00\x01\xcb\x00\x71\x09\x00\x50"
"""To 203.0.113.9:80."""


@implementer(IListeningPort)
class FakePort:
    """
    A port that listens until it is told to stop.
    """

    def __init__(self, address: IAddress, factory: Any) -> None:
        self.address = address
        self.factory = factory
        self.listening = True
        self.stops: Deferred[None] | None = None
        factory.doStart()

    def startListening(self) -> None:
        self.listening = True

    def stopListening(self) -> Deferred[None] | None:
        self.listening = False
        self.factory.doStop()
        return self.stops

    def getHost(self) -> IAddress:
        return self.address


class Ports(MemoryReactorClock):
    """
    A reactor whose ports are where they were asked for.

    @ivar taken: for which ports it says why they cannot be had.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.taken: dict[int, int] = {}
        self.ports: list[FakePort] = []
        self.running = True

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if port in self.taken:
            number = self.taken[port]
            raise CannotListenError(interface, port, OSError(number, os.strerror(number)))
        kind = IPv6Address if ":" in interface else IPv4Address
        made = FakePort(kind("TCP", interface or "0.0.0.0", port or 40001), factory)
        self.ports.append(made)
        return made

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0
    ) -> Any:
        made = FakePort(UNIXAddress(address), factory)
        self.ports.append(made)
        return made


class Line(StringTransport):
    """
    A connection of a client.
    """

    protocol: Any = None
    gone = False

    def __init__(self) -> None:
        super().__init__(IPv4Address("TCP", "198.51.100.1", 1080), PEER, lenient=True)  # type: ignore[no-untyped-call]

    def say(self, data: bytes) -> bytes:
        """
        Say something.

        @return: what is answered at once.
        """
        self.clear()
        self.protocol.dataReceived(data)
        answer: bytes = self.value()
        return answer

    def settle(self) -> None:
        """
        Do what was asked for.
        """
        if not self.gone and (self.disconnected or self.disconnecting):
            self.gone = True
            self.protocol.connectionLost(
                Failure(ConnectionAborted() if self.disconnected else ConnectionDone())
            )


class NodeCase(SynchronousTestCase):
    """
    Nodes of a config.
    """

    def setUp(self) -> None:
        self.reactor: Any = Ports()

    def config(
        self,
        listen: dict[str, str | Listener],
        dial: dict[str, str | Dial] | None = None,
        routes: tuple[Route, ...] = (),
        users: bool = False,
        private: Any = "allow",
        **node: Any,
    ) -> Config:
        """
        A config.
        """
        return Config(
            {name: each if isinstance(each, Listener) else Listener(each) for name, each in listen.items()},
            {name: each if isinstance(each, Dial) else Dial(each) for name, each in (dial or {}).items()},
            routes,
            Policy(
                users=self.passwords() if users else None,
                private=private,
                rules=(PolicyRule("allow", ("open:*", "password:*")),),
            ),
            Settings(**node),
        )

    def passwords(self) -> str:
        """
        A password file with alice in it.
        """
        path = str(self.mktemp())
        with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            out.write(f"alice:{PasswordHash.ofPassword(b'secret')}\n")
        return path

    def start(self, config: Config, **options: Any) -> Node:
        """
        A node that runs.
        """
        node = Node(self.reactor, config, threads=0, **options)
        node.privilegedStartService()
        node.startService()
        return node

    def cannotStart(self, config: Config) -> list[str]:
        """
        The sentences with which a node does not start; the log has them too.
        """
        with capturedLogs() as events:
            stopped = self.assertRaises(SystemExit, self.start, config)
        # twistd tells only such to the process that waits for the one in the background.
        self.assertIsInstance(stopped, Exception)
        sentences = str(stopped.code).split("\n")
        critical = [formatEvent(event) for event in events if event["log_level"].name == "critical"]
        self.assertEqual([f"ugate: {line}" for line in critical], sentences)
        return sentences

    def client(self, node: Node, name: str = "main") -> Line:
        """
        Somebody connects.
        """
        port: Any = node.ports[name]
        line = Line()
        line.protocol = port.factory.buildProtocol(PEER)
        line.protocol.makeConnection(line)
        return line

    def stream(self, node: Node, name: str = "main", request: bytes = REQUEST) -> tuple[Line, Line]:
        """
        A stream that is up, and its target.
        """
        line = self.client(node, name)
        line.say(HELLO)
        line.say(request)
        return line, self.target()

    def target(self) -> Line:
        """
        The last connection to a target succeeds.
        """
        line = Line()
        factory = self.reactor.tcpClients[-1][2]
        protocol = factory.buildProtocol(IPv4Address("TCP", "203.0.113.9", 80))
        line.protocol = protocol
        protocol.makeConnection(line)
        return line


def inUse(port: int) -> dict[int, int]:
    """
    That a port is taken.
    """
    return {port: errno.EADDRINUSE}
