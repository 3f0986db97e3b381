# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What comes to a host, and what passes through it, on hosts of their own: the kernel leads that to ugate.
"""

from __future__ import annotations

import sys

from ugate.test.interop.capturedhosts import ECHO, NAMES, PAGE, RESET, CapturedCase
from ugate.test.interop.processes import waitUntil

_ASK = """
import socket, sys
host = sys.argv[1]
asking = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(4)
asking.connect((host, 9999))
for word in b"one", b"two":
    asking.send(word)
    print(asking.recv(100).decode())
"""


class DatagramTests(CapturedCase):
    """
    Datagrams, by TPROXY.
    """

    def ask(self, name: str, host: str) -> str:
        """
        Send two of them, and take the answers, which have to come from there.
        """
        done = self.on(name, sys.executable, "-c", _ASK, host)
        return (done.stdout or done.stderr).decode()

    def config(self, direction: str, failure: str) -> str:
        """
        That of alice's gateway.
        """
        return (
            "listen:\n"
            "  led: {endpoint: 'tproxy:udp:15001', open: true}\n"
            "  led6: {endpoint: 'tproxy:udp:15001:interface=\\:\\:1', open: true}\n"
            "policy: {rules: [{action: allow, target: 'udp:*:9999'}]}\n"
            f"capture: {{led: {{direction: {direction}, mode: tproxy, protocols: udp, failure: {failure}}}}}"
        )

    def test_bothWays(self) -> None:
        """
        What alice's programs send, and what carol sends through her host; answers come from where it was to
        go, and who sent it is not known there.  Without the gateway they are told, or it goes past.
        """
        self.connected(*NAMES)
        self.routed()
        alice, bob, _ = (self.hosts[name] for name in NAMES)
        echo = self.spawn(bob.inside(sys.executable, "-u", "-c", ECHO))
        echo.waitFor("ready")
        before = self.state()
        for direction, name in (("out", "alice"), ("forward", "carol")):
            gateway = self.gate(self.config(direction, "closed"))
            for host in (bob.ipv4, self.six(bob)):
                self.assertEqual(self.ask(name, host), "ONE\nTWO\n", gateway.said())
            self.assertNotIn(self.hosts["carol"].ipv4, echo.said())
            self.assertIn(alice.ipv4, echo.said())
            gateway.kill()
            for host in (bob.ipv4, self.six(bob)):
                said = self.ask(name, host)
                # To its own programs the kernel has no way to say so by IPv4.
                refused = "timed out" if (direction, host) == ("out", bob.ipv4) else "ConnectionRefusedError"
                self.assertIn(refused, said, (direction, host))
            self.ucli("capture", "down", "led", "--mode", "tproxy")
            self.assertEqual(self.state(), before)
        gateway = self.gate(self.config("forward", "open"))
        self.assertEqual(self.ask("carol", bob.ipv4), "ONE\nTWO\n")
        self.assertNotIn(self.hosts["carol"].ipv4, echo.said())
        gateway.kill()
        waitUntil(lambda: "flags owner" not in self.state(), "no rules")
        self.assertEqual(self.ask("carol", bob.ipv4), "ONE\nTWO\n")
        echo.waitFor(f"from ::ffff:{self.hosts['carol'].ipv4}")


class ArrivingTests(CapturedCase):
    """
    What comes to alice's host, and what passes through it.
    """

    def test_in(self) -> None:
        """
        A gateway in front of a service: it takes what was to go there, and no listener of its own.
        """
        self.connected("alice", "bob")
        alice = self.hosts["alice"]
        self.serveWeb(alice, 8080)
        for mode, where in (("redirect", ""), ("tproxy", ":interface=127.0.0.1")):
            gateway = self.gate(
                f"listen:\n  in: {{endpoint: '{mode}:tcp:15006{where}', open: true}}\n"
                "  main: 'socks:tcp:1081:interface=127.0.0.1'\n"
                f"  mine: {{endpoint: 'forward:tcp:1080:to=nowhere.example\\:1', open: true}}\n"
                "policy: {rules: [{action: allow}]}\n"
                "routes: [{match: '*:80', via: 'forward:127.0.0.1:8080'}]\n"
                f"capture: {{in: {{direction: in, mode: {mode}, port: 15006, ipv6: false, include: {{ports: "
                "[80, 8080, 1080]}}}\n"
            )
            for port in (80, 8080):
                self.assertEqual(self.get(f"http://{alice.ipv4}:{port}/", name="bob"), (0, PAGE))
                gateway.waitFor(f" -> {alice.ipv4}:{port} ")
            self.assertIn(self.get(f"http://{alice.ipv4}:1080/", name="bob")[0], RESET)
            gateway.waitFor(f"{alice.ipv4}:1080 is a listener of this gateway")
            gateway.kill()
            self.assertEqual(self.get(f"http://{alice.ipv4}:8080/", name="bob")[0], 7)
            self.ucli("capture", "down", "in", "--mode", mode)

    def test_forward(self) -> None:
        """
        A router: by TPROXY, with the address of the client, or with its own; servers see which.  It fails as
        it was told, and is gone without a trace.
        """
        self.connected(*NAMES)
        alice, bob, carol = (self.hosts[name] for name in NAMES)
        self.routed()
        server, client = self.six(bob), self.six(carol)
        web, other = self.serveWeb(bob), self.serveWeb(bob, 81)
        urls = f"http://{bob.ipv4}/", f"http://[{server}]/"
        before = self.state()
        config = (
            "listen:\n"
            "  through: {endpoint: 'tproxy:tcp:15001:interface=127.0.0.1', open: true}\n"
            "  through6: {endpoint: 'tproxy:tcp:15001:interface=\\:\\:1', open: true}\n"
            "policy: {rules: [{action: allow}]}\n"
            "routes: [{match: '*:80', via: 'direct:asClient=yes'}]\n"
            "capture: {through: {direction: forward, mode: tproxy, failure: %s}}\n"
        )
        gateway = self.gate(config % "closed")
        for url in (*urls, f"http://{bob.ipv4}:81/"):
            self.assertEqual(self.get(url, name="carol"), (0, PAGE))
        for address in (carol.ipv4, client):
            self.assertIn(f"{address} - - ", web.said())
        self.assertIn(f"{alice.ipv4} - - ", other.said())
        gateway.waitFor(f"{carol.ipv4}:")
        gateway.kill()
        for url in urls:
            self.assertEqual(self.get(url, "--connect-timeout", "10", name="carol")[0], 7)
        gateway = self.gate(config % "open")
        self.assertEqual(self.get(urls[1], name="carol"), (0, PAGE))
        gateway.waitFor(f" -> [{server}]:80 ")
        gateway.kill()
        waitUntil(lambda: "flags owner" not in self.state(), "no rules")
        for url in urls:
            self.assertEqual(self.get(url, name="carol"), (0, PAGE))
        self.ucli("capture", "down", "through", "--mode", "tproxy")
        self.assertEqual(self.state(), before)
