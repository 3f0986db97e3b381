# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Programs that know nothing of ugate, on hosts of their own: the kernel leads their connections to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from ugate.test.interop.namespaces import Host, hosts
from ugate.test.interop.processes import Child, Gateway, InteropTestCase, program, waitUntil

BOTH = """
listen:
  out: "redirect:tcp:15001:interface=127.0.0.1"
  out6: 'redirect:tcp:15001:interface=\\:\\:1'
"""
PAGE = "this is bob"
SIZE = 30_000_000
"""Bytes."""

RESET = (7, 56)
"""What curl says of a connection that is reset as soon as it is there, or a moment later."""

_NAMES = ("alice", "bob", "carol")

_ECHO = """
import socket
bound = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
bound.bind(("::", 9999))
print("ready", flush=True)
while True:
    data, peer = bound.recvfrom(65536)
    print("from", peer[0], flush=True)
    bound.sendto(data.upper(), peer)
"""

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


class CapturedCase(InteropTestCase):
    """
    Hosts on one link: on that of alice there is a gateway, and bob has servers.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.nft = program("nft", "nftables")
        self.curl = program("curl")

    def connected(self, *names: str) -> None:
        """
        Make the hosts; their addresses of IPv6 are in C{fd91::/64}, with the last number of that of IPv4.
        """
        self.hosts = hosts(self, names)
        for host in self.hosts.values():
            host.ip("-6", "address", "add", f"{self.six(host)}/64", "dev", "eth0", "nodad")

    def six(self, host: Host) -> str:
        """
        Its address of IPv6.
        """
        return f"fd91::{host.ipv4.rpartition('.')[2]}"

    def serveWeb(self, host: Host, port: int = 80) -> Child:
        """
        Serve a page there, over both families.
        """
        folder = self.directory / "web"
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text(PAGE)
        argv = (sys.executable, "-u", "-m", "http.server", str(port), "--bind", "::", "-d", str(folder))
        server = self.spawn(host.inside(*argv))
        server.waitFor("Serving HTTP")
        return server

    def gate(self, config: str) -> Gateway:
        """
        Start the gateway on alice's host.
        """
        return self.ugate(config=config, inside=self.hosts["alice"].inside)

    def on(self, name: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
        """
        Run a program on a host.
        """
        return self.finish(self.hosts[name].inside(*argv))

    def get(
        self, url: str, *options: str, name: str = "alice", before: tuple[str, ...] = ()
    ) -> tuple[int, str]:
        """
        Ask for a page.

        @return: the exit status of curl, and what came, or what it says.
        """
        done = self.on(name, *before, self.curl, "-gksS", "--max-time", "30", *options, url)
        return done.returncode, (done.stdout or done.stderr).decode()

    def routed(self) -> None:
        """
        Let carol and bob reach each other through alice's host alone.
        """
        alice, bob, carol = (self.hosts[name] for name in _NAMES)
        carol.ip("-4", "route", "add", bob.ipv4, "via", alice.ipv4)
        bob.ip("-4", "route", "add", carol.ipv4, "via", alice.ipv4)
        gate, server, client = (self.six(each) for each in (alice, bob, carol))
        carol.ip("-6", "route", "add", server, "via", gate)
        bob.ip("-6", "route", "add", client, "via", gate)
        for each in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.on("alice", "sh", "-c", f"echo 1 > /proc/sys/net/{each}")
        for kind in ("send", "accept"):
            for name in _NAMES:
                redirects = f"for each in /proc/sys/net/ipv4/conf/*/{kind}_redirects; do echo 0 > $each; done"
                self.on(name, "sh", "-c", redirects)

    def ucli(self, *arguments: str) -> str:
        """
        Run C{ucli} on alice's host.

        @return: what it prints.
        """
        done = self.on("alice", sys.executable, "-m", "ugate.cli.main", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def state(self) -> str:
        """
        All that rules could leave behind on alice's host.
        """
        alice = self.hosts["alice"]
        rules = self.on("alice", self.nft, "list", "ruleset").stdout.decode()
        found = [alice.ip(f"-{version}", "rule") for version in (4, 6)]
        found += [alice.ip(f"-{version}", "route", "show", "table", "all") for version in (4, 6)]
        return "\n".join([rules, *found])


class OutTests(CapturedCase):
    """
    What programs of alice's host open, by REDIRECT.
    """

    def setUp(self) -> None:
        super().setUp()
        self.connected("alice", "bob")
        self.bob = self.hosts["bob"]
        self.web = self.serveWeb(self.bob)

    def urls(self) -> tuple[str, str]:
        """
        The page, by both families.
        """
        return f"http://{self.bob.ipv4}/", f"http://[{self.six(self.bob)}]/"

    def assertSaid(self, gateway: Gateway, text: str) -> None:
        """
        It is in the log of the gateway.
        """
        gateway.waitFor(text)

    def test_programs(self) -> None:
        """
        curl by both families, with a name and without, in TLS; ssh, whose server speaks first; iperf3; and
        what is left out.
        """
        gateway = self.gate(f"{BOTH}capture: {{out: {{exclude: {{users: nobody, ports: 81}}}}}}")
        for url in self.urls():
            self.assertEqual(self.get(url), (0, PAGE))
        self.assertSaid(gateway, f" -> {self.bob.ipv4}:80 redirect operator: ")
        self.assertSaid(gateway, f" -> [{self.six(self.bob)}]:80 redirect operator: ")
        self.get(self.urls()[0], "-H", "Host: web.example")
        self.assertSaid(gateway, f" -> {self.bob.ipv4}:80 (web.example) redirect")
        self.tls(gateway)
        self.secureShell(gateway)
        self.bulk(gateway)
        self.leftOut(gateway)
        self.assertIn(self.get(f"http://{self.bob.ipv4}:82/")[0], RESET)
        self.assertIn(self.get("http://127.0.0.1:15001/")[0], RESET)
        self.assertSaid(gateway, "it connected to this listener itself, and was not redirected")

    def tls(self, gateway: Gateway) -> None:
        """
        A server in TLS.
        """
        answer = "printf 'HTTP/1.0 200 OK\\r\\n\\r\\nsecret'"
        ncat = (program("ncat"), "-v", "--ssl", "-lk", "443", "--sh-exec", answer)
        self.spawn(self.bob.inside(*ncat)).waitFor("Listening")
        resolve = ("--resolve", f"tls.example:443:{self.bob.ipv4}")
        self.assertEqual(self.get("https://tls.example/", *resolve), (0, "secret"))
        self.assertSaid(gateway, f" -> {self.bob.ipv4}:443 (tls.example) redirect")

    def secureShell(self, gateway: Gateway) -> None:
        """
        A server that speaks first.
        """
        sshd, keygen = program("sshd", "openssh-server"), program("ssh-keygen", "openssh-client")
        separated = Path("/run/sshd")
        if not separated.exists():
            separated.mkdir(mode=0o755)
            self.addCleanup(separated.rmdir)
        for name in ("host", "user"):
            self.finish([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / name)])
        config = (
            f"ListenAddress {self.bob.ipv4}:22\nHostKey {self.directory}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.directory}/user.pub\nStrictModes no\nPermitRootLogin yes\n"
        )
        path = str(self.write("sshd.conf", config))
        self.spawn(self.bob.inside(sshd, "-D", "-e", "-f", path)).waitFor("Server listening")
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"]
        argv = [program("ssh", "openssh-client"), "-F", "none", "-i", str(self.directory / "user")]
        argv += [word for option in options for word in ("-o", option)]
        done = self.on("alice", *argv, f"root@{self.bob.ipv4}", "echo", "in")
        self.assertEqual(done.stdout, b"in\n", done.stderr)
        self.assertSaid(gateway, f" -> {self.bob.ipv4}:22 redirect")

    def bulk(self, gateway: Gateway) -> None:
        """
        Many bytes, both ways.
        """
        iperf3 = program("iperf3")
        self.spawn(self.bob.inside(iperf3, "-s", "--forceflush")).waitFor("Server listening")
        for more in ((), ("-R",)):
            argv = (iperf3, "-J", "-c", self.bob.ipv4, "-n", str(SIZE), *more)
            done = self.on("alice", *argv)
            self.assertEqual(done.returncode, 0, done.stdout)
            end = json.loads(done.stdout)["end"]
            # It counts at its end, which does not wait for what is under way in between.
            self.assertGreaterEqual(end["sum_sent"]["bytes"], SIZE)
            self.assertGreater(end["sum_received"]["bytes"], 0)
        self.assertSaid(gateway, f" -> {self.bob.ipv4}:5201 redirect")
        body = os.urandom(1 << 16) * 300
        (self.directory / "web" / "body").write_bytes(body)
        done = self.on("alice", self.curl, "-sS", f"http://{self.bob.ipv4}/body")
        self.assertEqual(hashlib.sha256(done.stdout).digest(), hashlib.sha256(body).digest())

    def leftOut(self, gateway: Gateway) -> None:
        """
        Who and what is excluded goes past the gateway.
        """
        before = gateway.said().count("redirect operator")
        as_ = (program("setpriv", "util-linux"), "--reuid", "nobody", "--clear-groups")
        self.assertEqual(self.get(self.urls()[0], before=as_), (0, PAGE))
        self.serveWeb(self.bob, 81)
        self.assertEqual(self.get(f"http://{self.bob.ipv4}:81/"), (0, PAGE))
        self.assertEqual(gateway.said().count("redirect operator"), before)

    def test_closed(self) -> None:
        """
        While the gateway is not there connections are refused at once; the next one replaces the rules, and
        nothing is left of them in the end.
        """
        before = self.state()
        config = f"{BOTH}capture: {{out: {{}}}}"
        for end in ("kill", "terminate"):
            gateway = self.gate(config)
            self.assertEqual(self.get(self.urls()[0]), (0, PAGE))
            getattr(gateway.process, end)()
            gateway.process.wait()
            for url in self.urls():
                self.assertEqual(self.get(url, "--connect-timeout", "10")[0], 7)
        self.ucli("capture", "down")
        self.assertEqual(self.state(), before)
        self.assertEqual(self.get(self.urls()[0]), (0, PAGE))

    def test_open(self) -> None:
        """
        With the gateway the rules are gone, though it had no time to say goodbye.
        """
        before = self.state()
        gateway = self.gate(f"{BOTH}capture: {{out: {{failure: open}}}}")
        self.assertIn("flags owner", self.state())
        self.assertEqual(self.get(self.urls()[0]), (0, PAGE))
        self.assertSaid(gateway, f" -> {self.bob.ipv4}:80 redirect")
        gateway.kill()
        waitUntil(lambda: self.state() == before, "no rules")
        self.assertEqual([self.get(url) for url in self.urls()], [(0, PAGE)] * 2)

    def test_iptables(self) -> None:
        """
        The same by iptables, by a section that goes and comes.
        """
        save = program("iptables-save", "iptables"), program("ip6tables-save", "iptables")

        def rules() -> list[bytes]:
            found = [self.on("alice", each).stdout.splitlines() for each in save]
            return [line for lines in found for line in lines if line.startswith(b"-A")]

        with_ = f"{BOTH}capture: {{out: {{tool: iptables, failure: open, exclude: {{users: nobody}}}}}}"
        gateway = self.gate(with_)
        many = len(rules())
        self.assertGreater(many, 20)
        for url in self.urls():
            self.assertEqual(self.get(url), (0, PAGE))
        self.assertSaid(gateway, f" -> [{self.six(self.bob)}]:80 redirect")
        gateway.kill()
        waitUntil(lambda: not rules(), "no rules")
        self.ucli("capture", "up", "--tool", "iptables", "--mark", "5", "--not-user", "nobody")
        self.ucli("capture", "up", "--tool", "iptables", "--mark", "5", "--not-user", "nobody")
        self.assertEqual(len(rules()), many)
        self.assertEqual(self.get(self.urls()[0])[0], 7)
        self.ucli("capture", "down", "--tool", "iptables")
        self.assertEqual(rules(), [])

    def test_byHand(self) -> None:
        """
        What ucli shows is what it does, and nothing is left of it.
        """
        before = self.state()
        options = ("hand", "--mode", "tproxy", "--only-port", "80")
        script = self.ucli("capture", "show", *options)
        self.assertEqual(self.state(), before)
        self.ucli("capture", "up", *options)
        self.ucli("capture", "up", *options)
        done = self.state()
        self.assertEqual(self.get(self.urls()[0])[0], 7)
        self.ucli("capture", "down", *options)
        self.assertEqual(self.state(), before)
        self.on("alice", "sh", "-ec", script)
        self.assertEqual(self.state(), done)
        self.on("alice", "sh", "-ec", self.ucli("capture", "show", "--down", *options))
        self.assertEqual(self.state(), before)

    def test_loop(self) -> None:
        """
        Rules that leave nobody out cannot make it talk to itself for ever; with its own user left out it
        needs no mark.
        """
        gateway = self.gate(f"node: {{mark: 0}}\n{BOTH}capture: {{out: {{exclude: {{users: nobody}}}}}}")
        self.assertNotEqual(self.get(self.urls()[0])[0], 0)
        self.assertSaid(gateway, f"our own connection to {self.bob.ipv4}:80 was captured again")
        self.assertLess(gateway.said().count("redirect"), 10)
        gateway.kill()
        self.ucli("capture", "down")
        me = str(os.geteuid())
        gateway = self.gate(f"node: {{mark: 0}}\n{BOTH}capture: {{out: {{exclude: {{users: '{me}'}}}}}}")
        as_ = (program("setpriv", "util-linux"), "--reuid", "nobody", "--clear-groups")
        self.assertEqual(self.get(self.urls()[0], before=as_), (0, PAGE))
        self.assertSaid(gateway, f" -> {self.bob.ipv4}:80 redirect")


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
        self.connected(*_NAMES)
        self.routed()
        alice, bob, _ = (self.hosts[name] for name in _NAMES)
        echo = self.spawn(bob.inside(sys.executable, "-u", "-c", _ECHO))
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
        self.connected(*_NAMES)
        alice, bob, carol = (self.hosts[name] for name in _NAMES)
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
