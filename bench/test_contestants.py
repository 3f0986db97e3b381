# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for how contestants are configured and started.
"""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import contestants
from bench.captured import CapturedUgate
from bench.contestants import SNI, TLS, Hop
from bench.framed import FramedEnvoy, FramedUgate, SecureEnvoy, SecureUgate
from bench.ours import Ugate
from bench.peers import HAProxy
from bench.relayed import PlainUgate, RelayedUgate, keyid
from bench.rounds import takesPart
from bench.rows import ROWS
from bench.secure import NAME, greeting
from ugate.protocols.clienthello import ClientHelloReader


class SecureTests(SynchronousTestCase):
    """
    What the rows in TLS are made of.
    """

    def test_greeting(self) -> None:
        """A ClientHello, by which a gateway finds the name."""
        hello = ClientHelloReader().feed(greeting())
        assert hello is not None
        self.assertEqual(hello.serverName, NAME)

    def test_fronts(self) -> None:
        """Contestants are configured for what stands in front, with targets behind it."""
        place = Path(self.mktemp())
        directory = place / "round" / "hop0"
        directory.mkdir(parents=True)
        (place / "cert.pem").write_text("a certificate\n")
        (place / "key.pem").write_text("a key\n")
        for front, ours, theirs in (
            (TLS, "mtls:anonymous=only:tcp:1", "ssl crt"),
            (SNI, "sni:names=localhost", "req.ssl_sni"),
            (contestants.PLAIN, "forward:to=127.0.0.1", "server target 127.0.0.1:2"),
        ):
            hop = Hop(directory, {"echo": 1}, {"echo": 2}, front)
            command = Ugate().command(hop)
            self.assertIn(ours, " ".join(command.argv) + (directory / "ugate.yaml").read_text())
            HAProxy().command(hop)
            self.assertIn(theirs, (directory / "haproxy.cfg").read_text())


class CapturedTests(SynchronousTestCase):
    """
    Streams that the kernel leads to it.
    """

    def test_command(self) -> None:
        """Rules for the ports of the targets, and nothing else; then the listener that these lead to."""
        directory = Path(self.mktemp())
        directory.mkdir()
        command = CapturedUgate().command(Hop(directory, {"captured": 1}, {"bulk": 2, "echo": 3}))
        self.assertEqual(command.argv[:2], ["sh", "-c"])
        rules = (directory / "rules.nft").read_text()
        self.assertIn("ip daddr 127.0.0.1 tcp dport { 2, 3 } redirect to :1\n", rules)
        self.assertIn("redirect:tcp:1:interface=127.0.0.1", (directory / "ugate.yaml").read_text())


class FramedTests(SynchronousTestCase):
    """
    Chains with HTTP/2 in them.
    """

    def test_three(self) -> None:
        """Clients ask the first one; whoever has both neighbours has HTTP/2 on both sides."""
        place = Path(self.mktemp())
        listens = []
        for number, (onward, isFirst) in enumerate(((0, False), (2, False), (3, True))):
            directory = place / "round" / f"hop{number}"
            directory.mkdir(parents=True)
            hop = Hop(directory, {"socks": 1}, {"socks": onward}, "", isFirst)
            argv = FramedUgate().command(hop).argv
            listens.append(
                (argv[argv.index("--listen") + 1].partition("=")[2].partition(":")[0], "--route" in argv)
            )
        self.assertEqual([("h2connect", False), ("h2connect", True), ("socks", True)], listens)
        rows = {row.key: row for row in ROWS}
        self.assertTrue(takesPart(FramedEnvoy(), rows["bulk-3"]))
        self.assertFalse(takesPart(HAProxy(), rows["bulk-3"]))

    def test_secure(self) -> None:
        """Two of them have TLS between them, with certificates on both sides."""
        place = Path(self.mktemp())
        written = []
        for number, isFirst in enumerate((False, True)):
            directory = place / "round" / f"hop{number}"
            directory.mkdir(parents=True)
            for name in ("cert.pem", "key.pem"):
                (place / name).touch()
            hop = Hop(directory, {"socks": 1}, {"socks": 2 if isFirst else 0}, "", isFirst)
            argv = " ".join(SecureUgate().command(hop).argv)
            self.assertIn("name=localhost" if isFirst else "main=h2connect:mtls:tcp:1:", argv)
            self.assertIn(f"trust: {{roots: {place / 'cert.pem'}}}", (directory / "ugate.yaml").read_text())
            SecureEnvoy().command(Hop(directory, {"echo": 1}, {"echo": 2}, "", isFirst))
            written.append(json.loads((directory / "envoy.json").read_text())["static_resources"])
        last, first = written
        (chain,) = last["listeners"][0]["filter_chains"]
        self.assertTrue(chain["transport_socket"]["typed_config"]["require_client_certificate"])
        self.assertNotIn("transport_socket", last["clusters"][0])
        self.assertEqual("localhost", first["clusters"][0]["transport_socket"]["typed_config"]["sni"])
        self.assertNotIn("transport_socket", first["listeners"][0]["filter_chains"][0])


class RelayedTests(SynchronousTestCase):
    """
    A node that goes to its gate.
    """

    def test_both(self) -> None:
        """They meet at one port, each knows the other's key, and the gate alone has ports for clients."""
        place = Path(self.mktemp())
        ports = {"sink": 1, "source": 2, "echo": 3}, {"sink": 4, "source": 5, "echo": 6}
        commands, texts = [], []
        for number, isFirst in enumerate((False, True)):
            directory = place / f"hop{number}"
            directory.mkdir(parents=True)
            onward = ports[0] if isFirst else {"sink": 7, "source": 8, "echo": 9}
            hop = Hop(directory, ports[number], onward, contestants.RELAY, isFirst)
            commands.append(RelayedUgate().command(hop))
            texts.append((directory / "ugate.json").read_text())
            self.assertIn("forward:", " ".join(PlainUgate().command(hop).argv))
        node, gate = (json.loads(text) for text in texts)
        self.assertEqual([False, True], [each.accepts for each in commands])
        self.assertIn(f":3:gate={keyid(place / 'key-gate')}:", node["listen"]["main"]["endpoint"])
        self.assertEqual("ready:tcp:3:interface=127.0.0.1", gate["listen"].pop("ready"))
        self.assertEqual(["sink", "source", "echo"], list(gate["listen"]))
        self.assertEqual(gate["nodes"]["there"]["keyid"], keyid(place / "key-node"))

    def test_greeting(self) -> None:
        """Of each target the name is another one, and what needs no ClientHello has none."""
        hello = ClientHelloReader().feed(greeting(contestants.RELAY, "sink"))
        assert hello is not None
        self.assertEqual(hello.serverName, "sink.bench.example")
        self.assertEqual(b"", greeting(contestants.PLAIN, "sink"))
