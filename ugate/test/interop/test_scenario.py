# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A small mesh of one trust domain: alice and bob, a gate between them, and evie, who does not belong to it.
"""

from __future__ import annotations

import json
import socket
import threading

from ugate.tenancy.keyids import hostOf
from ugate.test.interop.asking import connected, curl, isCut
from ugate.test.interop.domains import TrustDomain
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, InteropTestCase, waitUntil
from ugate.test.interop.taps import Tap
from ugate.test.interop.targets import StreamServer, readAll, readExactly, webServer

MARKER = b"the queen paints the roses red; "
OUTSIDE = "outside.example"


def greet(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: speak first, and be the first to end.
    """
    connection.sendall(b"220 hello\r\n")
    readExactly(connection, 4)
    connection.sendall(b"bye\r\n")
    connection.shutdown(socket.SHUT_WR)
    # The other direction goes on.
    assert readAll(connection) == b"still here"


class ScenarioTests(InteropTestCase):
    """
    Bob serves, the gate forwards, and alice asks: each with HTTP/2 in TLS.

    @ivar wire: between the gate and bob.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.domain = TrustDomain(self.directory)
        self.keys: dict[str, str] = {}
        self.web = webServer(self)
        self.greeter = StreamServer(self, greet)
        self.wire = Tap(self)
        self.bob = self.node("bob", self.serving())
        self.wire.to = self.bob.ports["mesh"]
        self.outside = webServer(self, "outside")
        self.gate = self.node("gate", self.forwarding())

    def node(self, name: str, config: str, domain: TrustDomain | None = None) -> Gateway:
        """
        Start a node with a certificate.

        @param domain: who certifies it; it believes the members of our own one all the same.
        """
        holder = (domain or self.domain).member(name)
        self.keys[name] = holder.keyid
        trust = f"roots: {self.domain.roots}" if domain else f"domain: {self.domain.name}"
        folder = (domain or self.domain).istio(name, holder)
        who = f"identity: {{dir: {folder}}}\ntrust: {{{trust}}}\n"
        return self.ugate("--state", str(self.directory / f"state-{name}"), config=who + config)

    def serving(self) -> str:
        """
        The configuration of bob, who serves alice under his own name.
        """
        allowed = [{"action": "allow", "who": f"certificate:{self.domain.spiffe('alice')}"}]
        return (
            f"listen: {{mesh: 'h2connect:mtls:tcp:0:{LOOPBACK}'}}\n"
            f"policy: {{rules: {json.dumps(allowed)}}}\n"
            f"serve: {{web: {{port: 80, to: '{HOST}:{self.web.port}'}}, "
            f"mail: {{port: 25, to: '{HOST}:{self.greeter.port}'}}}}\n"
        )

    def forwarding(self) -> str:
        """
        The configuration of the gate: members get to bob's port, and alice outside; TLS in bob's name passes
        through.
        """
        bob = hostOf(self.keys["bob"])
        spiffe, at = self.domain.spiffe, f"{HOST}:{self.wire.port}"
        allowed = [
            {"action": "allow", "who": f"certificate:{spiffe('*')}", "target": at},
            {"action": "allow", "who": f"certificate:{spiffe('alice')}", "target": f"{OUTSIDE}:80"},
        ]
        return (
            f"listen:\n  mesh: 'h2connect:mtls:tcp:0:{LOOPBACK}'\n"
            f"  names: 'sni:tcp:0:{LOOPBACK}:names=*.default.cluster.local'\n"
            f"policy: {{rules: {json.dumps(allowed)}}}\n"
            f"dial: {{outside: 'forward:{HOST}:{self.outside.port}', bob: 'forward:{at}'}}\n"
            f"routes:\n  - {{match: '{OUTSIDE}', via: outside}}\n  - {{match: '{bob}', via: bob}}\n"
        )

    def asking(self, name: str = "alice", domain: TrustDomain | None = None, way: str = "") -> Gateway:
        """
        Start who asks: all goes to the gate, and what is for bob's name on to him.

        @param way: another way to bob.
        """
        bob = hostOf(self.keys["bob"])
        way = way or f"gate -> h2connect:{HOST}:{self.wire.port}:name={self.keys['bob']}"
        config = (
            f"listen:\n  main: 'auto:tcp:0:{LOOPBACK}'\n"
            f"  web: 'forward:tcp:0:{LOOPBACK}:to={bob}\\:80'\n"
            f"  mail: 'forward:tcp:0:{LOOPBACK}:to={bob}\\:25'\n"
            "dial:\n"
            f"  gate: 'h2connect:{HOST}:{self.gate.ports['mesh']}:name={self.keys['gate']}'\n"
            f"  bob: '{way}'\n"
            f"routes:\n  - {{match: '{bob}', via: bob}}\n  - {{match: '*', via: gate}}\n"
        )
        return self.node(name, config, domain)

    def test_members(self) -> None:
        """
        By bob's name with HTTP, on a fixed port, with a server that speaks first and ends first, all through
        the gate, which cannot read it; and outside, by the gate.
        """
        alice = self.asking()
        bob = hostOf(self.keys["bob"])
        body = MARKER * 1000
        for scheme in ("socks5h", "http"):
            answer = curl(self, "-x", alice.url(scheme), "-T", "-", f"http://{bob}/put", data=body)
            self.assertEqual(200, answer.status, (answer.errors, alice.said(), self.gate.said()))
        self.assertEqual(200, curl(self, f"http://{HOST}:{alice.ports['web']}/bytes/1000000").status)
        for port in (alice.ports["mail"],) * 3:
            self.spoken(connected(port))
        self.greeter.ended()
        self.assertGreater(len(self.wire.seen()), 1000000)
        self.assertNotIn(MARKER, self.wire.seen())
        self.assertIn(f"via serve h2connect {self.domain.spiffe('alice')}", self.bob.said())
        answer = curl(self, "-x", alice.url("socks5h"), f"http://{OUTSIDE}/facts")
        self.assertEqual(200, answer.status, (answer.errors, self.gate.said()))
        self.assertEqual(0, curl(self, "-x", alice.url("socks5h"), "http://elsewhere.example/").status)
        self.gate.waitFor("elsewhere.example:80")

    def spoken(self, connection: socket.socket) -> None:
        """
        The server greets, and ends first; what is sent after that arrives.
        """
        self.addCleanup(connection.close)
        self.assertEqual(b"220 hello\r\n", readExactly(connection, 11))
        connection.sendall(b"QUIT")
        self.assertEqual(b"bye\r\n", readAll(connection))
        connection.sendall(b"still here")
        connection.shutdown(socket.SHUT_WR)

    def test_many(self) -> None:
        """
        Streams at once share one link to the gate, and one to bob inside of it.
        """
        alice = self.asking()
        streams = [connected(alice.ports["mail"]) for _ in range(20)]
        threads = [threading.Thread(target=self.spoken, args=(each,)) for each in streams]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
        self.greeter.ended()
        self.assertEqual(20, len(self.greeter.threads))
        self.assertEqual(1, self.wire.count)

    def test_passedThrough(self) -> None:
        """
        The gate leads TLS to bob by the name in it, and takes no part: he sees alice's certificate.
        """
        bob = hostOf(self.keys["bob"])
        alice = self.asking(way=f"h2connect:{HOST}:{self.gate.ports['names']}:name={bob}")
        for _ in range(2):
            self.spoken(connected(alice.ports["mail"]))
        self.greeter.ended()
        waitUntil(lambda: "via serve h2connect" in self.bob.said(), "bob's log")
        self.assertIn(f"via serve h2connect {self.domain.spiffe('alice')}", self.bob.said())
        alice.end()
        self.gate.waitFor(f"names: {HOST}:")
        self.assertIn(f"-> {bob}:443 via bob", self.gate.said())

    def test_outsiders(self) -> None:
        """
        Who has a certificate of another root with a name as members have it, or one of another trust domain
        below the same root, is not let in by the gate, and bob hears of nobody.
        """
        for name, domain, text in (
            ("evie", TrustDomain(self.directory), "leads to none of our roots"),
            (
                "eve",
                TrustDomain(self.directory, "evil.example", self.domain.root),
                "it is of the trust domain evil.example",
            ),
        ):
            evie = self.asking(name, domain)
            answer = curl(self, "-x", evie.url("socks5h"), f"http://{OUTSIDE}/facts")
            self.assertEqual(0, answer.status)
            # She believes the gate, and it is the gate that refuses her.
            self.gate.waitFor(text)
        self.assertEqual(b"", self.wire.seen())
        self.assertNotIn(" -> ", self.bob.said())

    def test_notAlice(self) -> None:
        """
        A member whom bob has in no rule gets to him, and no further.
        """
        carol = self.asking("carol")
        connection = connected(carol.ports["mail"])
        self.addCleanup(connection.close)
        self.assertTrue(isCut(connection))
        said = self.bob.waitFor("refused: ")
        self.assertIn(f"certificate:{self.domain.spiffe('carol')}", said)
        self.assertEqual([], self.greeter.threads)
