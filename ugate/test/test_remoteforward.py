# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.remoteforward}: services of ours at a server of SSH.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.chain import Chain
from ugate.endpoints.hops import Hop
from ugate.endpoints.remoteforward import ANSWER, RemoteForwardEndpoint
from ugate.endpoints.sshstring import MAX_PLACES
from ugate.errors import Cause, ListenRefused, StringError
from ugate.test.dialfakes import Net
from ugate.test.sshpublishingfakes import PublishingCase, privateFile
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversations, Reset, Stall


class StringTests(SynchronousTestCase):
    """
    How it is written.
    """

    def test_string(self) -> None:
        """
        Where the server has to listen, and as a hop how it is reached.
        """
        endpoint: Any = serverFromString(
            Net(),
            r"remoteforward:bob@gate:2222:at=0,8022, web.example\:80:known=k:key=f:via=office:timeout=3",
        )
        self.assertIsInstance(endpoint, RemoteForwardEndpoint)
        self.assertEqual((("localhost", 0), ("localhost", 8022), ("web.example", 80)), endpoint._at)
        hop = endpoint.hop
        self.assertEqual(("bob", "k", "f", 3.0), (hop.user, hop.known, hop.key, hop.timeout))
        endpoint = serverFromString(Net(), "remoteforward:gate:22")
        self.assertEqual((("localhost", 0),), endpoint._at)
        for wrong, said in (
            ("gate", "at which server"),
            ("gate:22:to=x", "to= is not known"),
            ("gate:22:at=x", "at=x: wanted PORT"),
            ("gate:22:at=65536", "at=65536: wanted PORT"),
            (r"gate:22:at=a b\:1", "not a host name"),
            ("gate:22:at=" + ",".join(["0"] * (MAX_PLACES + 1)), "at most 16"),
            ("gate:22:password=x", "password= is not known"),
        ):
            error = self.assertRaises(StringError, serverFromString, Net(), f"remoteforward:{wrong}")
            self.assertIn(said, str(error))

    def test_noTenant(self) -> None:
        """
        Without a tenant nobody listens.
        """
        endpoint = RemoteForwardEndpoint(Net(), Chain.fromHop(Hop("ssh", "gate", 22)), [("", 0)])
        refused = self.failureResultOf(endpoint.listen(Factory()), ListenRefused).value
        self.assertIn("has no identity here", str(refused))


class ListeningTests(PublishingCase):
    """
    A node that is bob at the gate.
    """

    def known(self) -> str:
        """
        The file that has the key of the gate.
        """
        key = self.tenant.identity.sshKey().public_key()
        line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        path = Path(self.mktemp())
        path.write_text(f"[gate]:2222 {line}\n")
        return str(path)

    def node(self, at: str = "0", known: str = "") -> Conversations:
        """
        The node: what it serves is whatever comes.
        """
        served = Conversations()
        self.mesh.serve("laptop", 8080, served, "127.0.0.1")
        key = privateFile(self.mktemp(), "bob")
        where = f"known={known or self.known()}:key={key}"
        self.mesh.gateway(
            "laptop",
            listen={"in": f"remoteforward:me@gate:2222:at={at}:{where}"},
            node={"state": self.mktemp(), "drain": 1},
            policy={"rules": [{"action": "allow", "who": "key:gate"}]},
            serve={
                "ssh": {"port": 22, "to": "127.0.0.1:8080"},
                "web": {"port": 80, "to": "127.0.0.1:8080"},
                "open": {"port": 8022, "to": "127.0.0.1:8080"},
            },
        )
        self.mesh.flush()
        return served

    def test_serves(self) -> None:
        """
        A jump target, a name and a port lead to what is served there, with the principal of the gate.
        """
        self.gate()
        with Logged() as logged:
            served = self.node(r"0,wiki.bob.example\:80,8022")
        self.assertIn(
            "remoteforward:gate:2222 listens at wiki.bob.example:80 for us", "\n".join(logged.lines)
        )
        for number, (host, port) in enumerate((("bob", 22), ("wiki.bob.example", 80), ("bob", 8022)), 1):
            stream = self.ask(host, port, b"hello")
            self.assertEqual((number, b"hello"), (len(served.accepted), served.last.received))
            served.last.write(b"welcome")
            self.mesh.flush()
            self.assertEqual(b"welcome", stream.received)
        laptop: Any = self.mesh.gateways["laptop"]
        live = next(iter(laptop.flows.streams()))
        self.assertEqual(("gate", "key", "forwarded-tcpip"), _who(live))
        self.assertEqual((laptop.tenant.identity.keyid.lower(), 22), _where(live))
        self.assertTrue(live.info.hints["originator"].startswith("10."))

    def test_again(self) -> None:
        """
        When the connection is lost it is made again, at longer and longer times, and takes over what it had.
        """
        self.gate()
        served = self.node(r"wiki.bob.example\:80")
        fault = self.mesh.apply(Reset(), "laptop", "gate")
        self.mesh.flush()
        self.assertIs(Cause.HOST_UNREACHABLE, self.cause(self.ask("wiki.bob.example", 80)))
        self.mesh.advance(10)
        fault.lift()
        self.mesh.advance(60)
        self.assertTrue(self.ask("wiki.bob.example", 80).isOpen)
        self.assertEqual(1, len(served.accepted))

    def test_dead(self) -> None:
        """
        A connection on which nothing comes any more is found to be dead, by both.
        """
        self.gate()
        self.node(r"wiki.bob.example\:80")
        fault = self.mesh.apply(Stall(), "laptop", "gate")
        self.mesh.advance(90)
        self.assertIs(Cause.HOST_UNREACHABLE, self.cause(self.ask("wiki.bob.example", 80)))
        fault.lift()
        self.mesh.advance(120)
        self.assertTrue(self.ask("wiki.bob.example", 80).isOpen)

    def test_refused(self) -> None:
        """
        A server that does not listen at all places is left, and asked again.
        """
        self.gate()
        with Logged() as logged:
            self.node(r"0,wiki.eve.example\:80")
        self.assertIn("it does not listen at wiki.eve.example:80 for us", "\n".join(logged.lines))
        self.assertEqual(0, len(self.tenant.mesh.forwards))
        gate: Any = self.mesh.gateways["gate"]
        gate.store.put("root", "nodes", "bob", {"who": "key:bob", "hosts": ["*.eve.example"]})
        self.mesh.advance(65)
        self.assertEqual(2, len(self.tenant.mesh.forwards))

    def test_stranger(self) -> None:
        """
        A server with another key is told nothing.
        """
        self.gate()
        path = Path(self.mktemp())
        path.write_text("")
        with Logged() as logged:
            self.node(known=str(path))
        self.assertIn("if that is right, add it: ssh-keyscan", "\n".join(logged.lines))
        self.assertEqual(0, len(self.tenant.mesh.forwards))

    def test_silent(self) -> None:
        """
        A server that never answers is given up.
        """
        self.gate()
        self.patch(_publishing(), "publish", lambda *_: _never())
        self.node()
        with Logged() as logged:
            self.mesh.advance(ANSWER + 1)
        self.assertIn("it does not say in 30 s whether it listens for us", "\n".join(logged.lines))

    def test_kept(self) -> None:
        """
        The connection is not made anew because it is old, and ends when the node does.
        """
        self.gate()
        self.node()
        (session,) = self.tenant.links.sessions()
        for _ in range(80):
            self.mesh.advance(60)
        self.assertEqual([session], self.tenant.links.sessions())
        stopped = self.mesh.gateways.pop("laptop").stopService()
        self.mesh.advance(5)
        self.successResultOf(stopped)
        self.assertEqual([], self.tenant.links.sessions())


def _publishing() -> Any:
    from ugate.endpoints.sshpublishing import Publishing

    return Publishing


def _never() -> Any:
    from twisted.internet.defer import Deferred

    return Deferred()


def _who(live: Any) -> tuple[str, str, str]:
    principal = live.info.principal
    return principal.name, principal.method, live.info.protocol


def _where(live: Any) -> tuple[str, int]:
    target = live.info.target
    return target.host, target.port
