# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.http}, with a real node.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.logger import capturedLogs, formatEvent

from ugate.errors import Denied, ListenRefused
from ugate.interfaces import IEgress
from ugate.modules.http import HttpPort
from ugate.modules.sections import AdminSection, HttpSection
from ugate.node import Node
from ugate.stream import ROOT
from ugate.tenancy.config.schema import Policy
from ugate.tenancy.config.whole import Config
from ugate.tenancy.tokens import Token, makeToken
from ugate.test.adminfakes import MODULES, Client, parse
from ugate.test.nodefakes import NodeCase, inUse

STATUS = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n%s\r\n"


class HttpCase(NodeCase):
    """
    Nodes with HTTP ports.
    """

    def made(self, users: bool = False, **sections: Struct) -> Config:
        """
        A config with a listener and HTTP ports.
        """
        config = self.config({"main": "auto:tcp:1080:interface=127.0.0.1"}, users=users)
        modules = {
            ("admin" if isinstance(each, AdminSection) else "http", name): each
            for name, each in sections.items()
        }
        return Config(
            config.listen,
            config.dial,
            config.routes,
            config.policy,
            config.node,
            modules=MappingProxyType(modules),
        )

    def http(self, node: Node, name: str = "main") -> Any:
        """
        The site that listens for a section.
        """
        service: Any = node.modules[ROOT, "http", name]
        return service.port.factory

    def status(self, node: Node, name: str = "main", fields: bytes = b"") -> Any:
        """
        Ask how the node does.
        """
        return parse(Client(self.http(node, name)).say(STATUS % fields))


class PortTests(HttpCase):
    """
    L{HttpPort}.
    """

    def test_listens(self) -> None:
        """
        It listens when the node starts, and is one of those where no stream may go.
        """
        with capturedLogs() as events:
            node = self.start(self.made(main=HttpSection()), modules=MODULES)
        self.assertIn("root http main: HTTP on 127.0.0.1:15000", [formatEvent(event) for event in events])
        answer = self.status(node)
        self.assertEqual(("local:operator@root", 1), (answer.json["caller"], answer.json["listeners"]))
        self.assertRaises(Denied, IEgress(node.tenant.reactor).check, "127.0.0.1", 15000)

    def test_stops(self) -> None:
        """
        It stops with the node.
        """
        node = self.start(self.made(main=HttpSection()), modules=MODULES)
        port = next(each for each in self.reactor.ports if each.address.port == 15000)
        node.stopService()
        self.reactor.advance(60)
        self.assertFalse(port.listening)

    def test_taken(self) -> None:
        """
        If it cannot listen, the node does not start, and says why.
        """
        self.reactor.taken = inUse(15000)
        with capturedLogs():
            stopped = self.assertRaises(
                SystemExit, self.start, self.made(main=HttpSection()), modules=MODULES
            )
        self.assertIn("http.main", str(stopped.code))
        self.assertIn("in use", str(stopped.code))

    def test_open(self) -> None:
        """
        One that others reach does not start while nobody could tell who they are.
        """
        section = HttpSection("tcp:15000")
        for made in (section, HttpSection("tcp:15000", ("metrics",))):
            node = Node(self.reactor, self.made(main=made), threads=0, modules=MODULES)
            (mistake,) = node.mistakes()
            self.assertIn("tcp:15000 would let anybody look after root", mistake)
        for config in (self.made(main=HttpSection("tcp:15000", ("modules",))), self.made(True, main=section)):
            node = Node(self.reactor, config, threads=0, modules=MODULES)
            self.assertEqual([], list(node.mistakes()))
        self.assertRaises(ListenRefused, HttpPort, node.tenant.__class__(self.reactor), "x", section)

    def test_tokens(self) -> None:
        """
        There, who has a token looks after the node if an admin section names them, and others do not.
        """
        secrets = [makeToken() for _ in range(3)]
        path = Path(self.mktemp())
        path.touch(0o600)
        names = ("ops", "watch", "user")
        path.write_text(
            "".join(
                f"{Token(name, sha256(secret.encode()).digest())}\n"
                for name, secret in zip(names, secrets, strict=True)
            )
        )
        config = self.made(
            main=HttpSection("tcp:15000"),
            ops=AdminSection(("token:ops",)),
            watch=AdminSection(("watch",), "look"),
        )
        node = self.start(replace(config, policy=Policy(tokens=str(path))), modules=MODULES)
        self.assertEqual(401, self.status(node).status)
        fields = [f"Authorization: Bearer {secret}\r\n".encode() for secret in secrets]
        answers = [self.status(node, fields=each) for each in fields]
        self.assertEqual([200, 200, 403], [answer.status for answer in answers])
        self.assertEqual("token:ops@root", answers[0].json["caller"])
        reload = (STATUS % fields[1]).replace(b"GET", b"POST").replace(b"status", b"reload")
        self.assertEqual(403, parse(Client(self.http(node)).say(reload)).status)
        self.assertEqual(401, self.status(node, fields=fields[0].replace(b"ugate_", b"ugate-")).status)

    def test_unix(self) -> None:
        """
        A UNIX socket is for who may open it.
        """
        node = self.start(self.made(main=HttpSection("unix:/run/ugate/admin:mode=600")), modules=MODULES)
        client = Client(self.http(node), UNIXAddress(None))
        self.assertEqual(200, parse(client.say(STATUS % b"")).status)

    def test_replaced(self) -> None:
        """
        A section that changes gives the socket to its follower, and what was being answered is.
        """
        configs = [self.made(main=HttpSection())]
        node = self.start(configs[0], modules=MODULES, read=lambda before, changed: {ROOT: configs[-1]})
        ports = list(self.reactor.ports)
        idle, first = Client(self.http(node)), self.http(node)
        configs.append(self.made(main=HttpSection(serve=("metrics",))))
        outcome = self.successResultOf(node.reload("test"))
        self.assertEqual((True, ("http main",), ""), (outcome.good, outcome.changed, outcome.error))
        self.assertEqual(ports, self.reactor.ports)
        self.assertTrue(all(each.listening for each in ports))
        self.assertIsNot(first, self.http(node))
        self.assertTrue(idle.transport.disconnecting)
        self.assertEqual(404, self.status(node).status)
        configs.append(self.made())
        self.successResultOf(node.reload("test"))
        self.assertFalse(ports[-1].listening)
        self.assertEqual(IPv4Address("TCP", "127.0.0.1", 15000), ports[-1].address)
