# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The sections C{nodes} and C{serve}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.checks import stringChecks
from ugate.interfaces import MeshAddress, MeshNode
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.jsonschema import jsonSchema
from ugate.tenancy.config.mesh import nodesFrom, publishersFrom
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.normal import normalForm
from ugate.tenancy.config.whole import Config, readConfigs
from ugate.tenancy.publishers import Publisher
from ugate.tenancy.who import parseWho

BOB, EVE = "A" * 52, "B" * 51 + "A"


class MeshSectionTests(SynchronousTestCase):
    """
    What may be written, and which mistakes are told where.
    """

    def read_(self, text: str) -> Config:
        """
        Read a file, with the checks of strings.
        """
        path = Path(self.mktemp())
        path.mkdir()
        (path / "u.yaml").write_text(text)
        return readConfigs(FileStore(str(path / "u.yaml")), stringChecks(MemoryReactorClock()))["root"]

    def wrong(self, text: str, *said: str) -> None:
        """
        That has these mistakes.
        """
        error: Any = self.assertRaises(ConfigError, self.read_, text)
        told = [str(each).partition("u.yaml:")[2] for each in error.mistakes]
        self.assertEqual(len(said), len(told), told)
        for wanted, was in zip(said, told, strict=True):
            self.assertIn(wanted, was)

    def test_good(self) -> None:
        """
        Short and long; the normal form reads back.
        """
        config = self.read_(
            f"nodes:\n  bob: {BOB.lower()}\n  eve: {{keyid: {EVE}, addresses: ['connect:10.0.0.2:15008', "
            "'tls:[2001:db8::2]:443'], names: [Eve.example, 'fd00::AB']}\n"
            "serve: {ssh: '127.0.0.1:22', web: {port: 80, to: '127.0.0.1:8080'}}\n"
        )
        eve = (MeshAddress("connect", "10.0.0.2", 15008), MeshAddress("tls", "2001:db8::2", 443))
        self.assertEqual(
            nodesFrom(config.nodes),
            [MeshNode(BOB, (), ("bob",)), MeshNode(EVE, eve, ("eve", "eve.example", "fd00::ab"))],
        )
        self.assertEqual({name: each.at for name, each in config.serve.items()}, {"ssh": 22, "web": 80})
        self.assertEqual(self.read_(normalForm(config)), config)
        self.assertNotIn("nodes", normalForm(Config()))

    def test_one(self) -> None:
        """
        A list of one may be written without brackets.
        """
        config = self.read_(f"nodes: {{bob: {{keyid: {BOB}, addresses: 'connect:h:1', names: b}}}}")
        self.assertEqual(config.nodes["bob"].addresses, ("connect:h:1",))

    def test_mistakes(self) -> None:
        """
        Each is told at its place.
        """
        self.wrong("nodes: {bob: nobody}", "1:14: nodes.bob is 'nobody'; wanted a KEYID")
        self.wrong(
            "nodes:\n  bob: {addresses: []}", "2:8: nodes.bob: wanted either keyid, for a node, or who"
        )
        self.wrong(
            f"nodes:\n  bob:\n    keyid: {BOB}\n    addresses: [connect:h:1, ssh:h:22, nowhere]\n"
            "    names: [ok, localhost]\n",
            "4:30: nodes.bob.addresses: 'ssh:h:22': no transport 'ssh'; "
            "wanted one of connect, h2connect, tls, ready",
            "4:40: nodes.bob.addresses: 'nowhere': wanted TRANSPORT:HOST:PORT",
            "5:17: nodes.bob.names: 'localhost' is always this machine",
        )
        self.wrong("serve: {web: nowhere}", "1:14: serve.web: 'nowhere': wanted HOST:PORT")
        self.wrong("serve: {web: {port: 0, to: 'h:1'}}", "1:21: serve.web.port is 0; wanted")

    def test_users(self) -> None:
        """
        In place of a node there may be users: whom it means, and what they may have; the normal form reads
        back.
        """
        text = "nodes: {people: {who: ['key:bob', 'certificate:*'], hosts: '*.Bob.example', ports: [8022]}}"
        config = self.read_(text)
        self.assertEqual([], nodesFrom(config.nodes))
        wanted = Publisher((parseWho("key:bob"), parseWho("certificate:*")), ("*.bob.example",), (8022,))
        self.assertEqual([wanted], publishersFrom(config.nodes))
        self.assertEqual(config, self.read_(normalForm(config)))
        both = "1:14: nodes.bob: wanted either keyid, for a node, or who, for users"
        self.wrong(f"nodes: {{bob: {{who: bob, keyid: {BOB}}}}}", both)
        self.wrong("nodes: {bob: {who: []}}", "wanted either keyid")
        self.wrong("nodes: {bob: {who: 'nokind:bob'}}", "'nokind' proves nobody")
        self.wrong(
            "nodes: {bob: {who: bob, names: x}}", "1:14: nodes.bob: users have neither addresses nor names"
        )
        self.wrong("nodes: {bob: {who: bob, hosts: '1.2.3.4'}}", "1:32: nodes.bob.hosts")

    def test_sockets(self) -> None:
        """
        Users, and no nodes, may have UNIX sockets in folders.
        """
        config = self.read_("nodes: {people: {who: bob, sockets: [/run/a, /run/b]}}")
        (found,) = publishersFrom(config.nodes)
        self.assertEqual(("/run/a", "/run/b"), found.sockets)
        self.assertEqual(config, self.read_(normalForm(config)))
        for text in ("run/a", "/run/", "/run/../etc", "~/x", "/run/*"):
            self.wrong(f"nodes: {{bob: {{who: bob, sockets: '{text}'}}}}", "1:34: nodes.bob.sockets")
        self.wrong(f"nodes: {{bob: {{keyid: {BOB}, sockets: /run/a}}}}", "sockets are for users; wanted who")

    def test_twice(self) -> None:
        """
        What two sections have is told at the second.
        """
        self.wrong(
            f"nodes:\n  bob: {BOB}\n  robert: {BOB.lower()}\n", "3:3: nodes.robert: nodes.bob has that KEYID"
        )
        self.wrong(
            f"nodes:\n  bob: {BOB}\n  eve: {{keyid: {EVE}, names: [x, BOB]}}\n",
            "called 'bob' too; wanted one of both",
        )
        self.wrong(
            f"nodes:\n  localhost: {BOB}\n", "2:3: nodes.localhost: 'localhost' is always this machine"
        )
        self.wrong(
            "serve:\n  a: 127.0.0.1:80\n  b: {to: '10.0.0.1:81', port: 80}\n",
            "serve.b: serve.a has port 80 too; wanted each port once",
        )

    def test_reserved(self) -> None:
        """
        C{mesh} is a way, and so no name of a hop.
        """
        config = self.read_("routes: [{match: '*.mesh', via: mesh}]")
        self.assertEqual(config.routes[0].via, ("mesh",))
        self.wrong("dial: {mesh: 'socks:h:1'}", "'mesh' has a meaning of its own in routes")

    def test_schema(self) -> None:
        """
        Other programs are told both forms.
        """
        schema = jsonSchema()
        kinds = schema["properties"]["nodes"]["additionalProperties"]["anyOf"]
        self.assertEqual(len(kinds), 2)
        self.assertIn("serve", schema["$defs"]["tenant"]["properties"])
