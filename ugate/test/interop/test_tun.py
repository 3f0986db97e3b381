# -*- test-case-name: ugate.test.interop.test_tun -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{tun:} with programs that know nothing of it, on a host of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from unittest import SkipTest

from ugate.test.interop.namespaces import Host, hosts, needTun
from ugate.test.interop.processes import Child, Gateway, InteropTestCase, program, waitUntil
from ugate.test.interop.targets import BLOCK, digestOf

FAR4, FAR6 = "203.0.113.5", "2001:db8:5::5"
ASIDE = "203.0.113.6"
INNER4, INNER6, OTHER4 = "198.51.100.9", "2001:db8:7::9", "198.51.100.10"
FORGED, BESIDE = "2001:db8:9::9", "fd98::3"
FORGER = """
import socket, sys
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.bind(("fd98::1", 0))
one.sendto(b"x", (sys.argv[1], 54))
"""
"""A datagram from the address of the device, though not out of it."""

MANY = 200

PINGER = """
import socket, struct, sys
host = sys.argv[1]
family, protocol, kind = (
    (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128) if ":" in host else (socket.AF_INET, socket.IPPROTO_ICMP, 8)
)
one = socket.socket(family, socket.SOCK_RAW, protocol)
one.settimeout(10)
message = struct.pack("!BBHHH", kind, 0, 0, 7, 1) + b"hello" * 700
total = sum(struct.unpack(f"!{len(message) // 2}H", message)) % 65535
message = message[:2] + struct.pack("!H", 65535 - total) + message[4:]
one.sendto(message, (host, 0))
while True:
    answer, who = one.recvfrom(65536)
    answer = answer if family == socket.AF_INET6 else answer[20:]
    if answer[0] in (0, 129):
        break
assert who[0] == host, who
assert answer[4:] == message[4:], len(answer)
"""
"""Asks whether somebody is there, in several packets; the checksum of IPv6 is the kernel's."""

UNHEARD = """
import socket, sys
for port in sys.argv[2:]:
    one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
    one.settimeout(10)
    one.connect((sys.argv[1], int(port)))
    one.send(b"x")
    try:
        one.recv(9)
    except ConnectionRefusedError:
        pass
"""
"""Sends datagrams that nobody takes, and is told so, or fails."""

ASKER = """
import hashlib, socket, sys, threading
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
all = []
for number in range(count):
    one = socket.socket(family)
    one.settimeout(40)
    one.connect((host, port))
    all.append(one)
wrong = 0
for number, one in enumerate(all):
    one.sendall(b"%d" % number * 1000)
    one.shutdown(socket.SHUT_WR)
for number, one in enumerate(all):
    got = b"".join(iter(lambda: one.recv(65536), b""))
    wrong += got != b"%d" % number * 1000
print("wrong:", wrong)
"""
"""Many connections at once, each of which ends its direction before it is answered."""

ECHO = """
import socket, socketserver, threading
class Whole(socketserver.BaseRequestHandler):
    def handle(self):
        got = b"".join(iter(lambda: self.request.recv(65536), b""))
        self.request.sendall(got)
class Server(socketserver.ThreadingTCPServer):
    address_family, request_queue_size, allow_reuse_address = socket.AF_INET6, 500, True
server = Server(("::", 7007), Whole)
threading.Thread(target=server.serve_forever).start()
def names(host):
    heard = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    heard.bind((host, 53))
    while True:
        asked, who = heard.recvfrom(65536)
        if len(asked) > 4096:
            heard.sendto(asked, who)
            continue
        end = asked.index(b"\\0", 12) + 5
        head = asked[:2] + b"\\x84\\0\\0\\1\\0\\1\\0\\0\\0\\0" + asked[12:end]
        heard.sendto(head + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\5\\0\\4" + bytes([198, 51, 100, 7]), who)
for host in ("203.0.113.5", "2001:db8:5::5"):
    threading.Thread(target=names, args=(host,)).start()
print("Serving", flush=True)
"""
"""Says back what it was told, once that has ended; and a resolver for which every name is 198.51.100.7, and
that says long questions back."""

LONG = """
import os, socket, sys
host = sys.argv[1]
one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
one.settimeout(10)
one.connect((host, 53))
body = os.urandom(60_000)
one.send(body)
assert one.recv(65536) == body
"""
"""Asks one long question."""


NAMES = f"""
node: {{drain: 0.2}}
routes:
  - {{match: "*:53", via: dns}}
  - {{match: "*.corp.example", via: "forward:{FAR4}:8080"}}
dns: {{main: {{hosts: {{printer.home: 192.168.1.9}}, fake: 198.18.0.0/15, fakeFor: "*.corp.example"}}}}
"""
"""A resolver for those who look names up by the device."""


class TunTests(InteropTestCase):
    """
    A host with a device, and another one that is reached by it.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        needTun()
        made = hosts(self, ("near", "far", "inner"))
        self.near, self.far, self.inner = made["near"], made["far"], made["inner"]
        for number, host in enumerate((self.near, self.far), 1):
            host.ip("-6", "address", "add", f"2001:db8:1::{number}/64", "dev", "eth0", "nodad")
        for address in (f"{FAR4}/32", f"{ASIDE}/32", f"{FAR6}/128"):
            self.far.ip("address", "add", address, "dev", "lo")
        self.near.ip("route", "add", "default", "via", self.far.ipv4)
        self.near.ip("-6", "route", "add", "default", "via", "2001:db8:1::2")
        (self.directory / "body").write_bytes(BLOCK * 5)
        web = ("http.server", "8080", "--bind", "::", "--directory", str(self.directory))
        self.spawn(self.far.inside(sys.executable, "-u", "-m", *web)).waitFor("Serving HTTP")
        self.before = self.traces()

    def traces(self) -> list[str]:
        """
        What there is of devices, rules and routes on the near host.
        """
        ip = self.near.ip
        devices = ip("-o", "link", "show").splitlines()
        routes = [ip(family, "route", "show", "table", "all") for family in ("-4", "-6")]
        return [str(len(devices)), ip("-4", "rule"), ip("-6", "rule"), *routes]

    def start(self, more: str = "", rest: str = "", how: str = "") -> Gateway:
        """
        The gateway on the near host.
        """
        path = self.configured(more, rest, how)
        gateway = self.ugate("--config", str(path), listen="", inside=self.near.inside)
        self.assertIn(": ug0:", self.near.ip("-o", "link", "show"))
        return gateway

    def configured(self, more: str, rest: str = "", how: str = "") -> Path:
        """
        Write its configuration.
        """
        return self.write("near.yaml", f"listen: {{main: {{{how}endpoint: 'tun:ug0{more}'}}}}\n{rest}")

    def ask(self, *argv: str) -> str:
        """
        Run a program on the near host to its end.

        @return: what it printed.
        """
        return self.run_(self.near, *argv)

    def run_(self, host: Host, *argv: str) -> str:
        """
        The same on any host.
        """
        child = self.spawn(host.inside(*argv))
        child.process.wait(60)
        return child.said()

    def fetched(self, host: str) -> str:
        """
        The digest of what curl gets from there.
        """
        got = self.directory / "got"
        got.unlink(missing_ok=True)
        self.ask(program("curl"), "-sS", "-g", "-m", "40", "-o", str(got), f"http://{host}:8080/body")
        return digestOfFile(got)

    def test_carries(self) -> None:
        """
        Pages, datagrams, many connections at once, halves that end, and much at once both ways: all by the
        device, over IPv4 and IPv6.
        """
        self.spawn(self.far.inside(sys.executable, "-c", ECHO)).waitFor("Serving")
        # What is refused is in the log at once.
        gateway = self.start(":mtu=1420", "policy: {rules: [{action: deny, target: 'udp:*:54'}]}")
        body = digestOf(len(BLOCK) * 5)
        for host in (FAR4, f"[{FAR6}]"):
            self.assertEqual(self.fetched(host), body)
        self.forged(gateway)
        for host in (FAR4, FAR6):
            said = self.ask(sys.executable, "-c", ASKER, host, "7007", str(MANY))
            self.assertEqual(said.strip(), "wrong: 0")
        said = self.ask(program("curl"), "-sS", "-m", "40", f"http://{FAR4}:81/")
        # Whether it is told that before or after it knows that it is up, or in between, is a matter of luck.
        self.assertRegex(said, "reset by peer|onnect to server|endpoint is not connected")
        dig = program("dig", "bind9-dnsutils")
        for host in (FAR4, FAR6):
            self.assertEqual(self.ask(dig, "+short", f"@{host}", "some.example").strip(), "198.51.100.7")
            self.assertEqual(self.ask(sys.executable, "-c", PINGER, host), "")
            # The policy forbids one, and nobody listens at the other.
            self.assertEqual(self.ask(sys.executable, "-c", UNHEARD, host, "54", "55"), "")
        self.checkBulk()

    def forged(self, gateway: Gateway) -> None:
        """
        What another machine sends as if from the address of the device is passed on as ever, if at all.
        """
        self.run_(self.near, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        self.far.ip("address", "add", "fd98::1/128", "dev", "lo")
        for target in (FORGED, BESIDE):
            self.far.ip("-6", "route", "add", target, "via", "2001:db8:1::1")
            self.assertEqual(self.run_(self.far, sys.executable, "-c", FORGER, target), "")
        self.fetched(FAR4)
        waitUntil(lambda: gateway.said().count(":8080 tun operator") == 3, "lines in the log")
        for target in (FORGED, BESIDE):
            self.assertNotIn(target, gateway.said())

    def checkBulk(self) -> None:
        """
        As many bytes as were sent arrive.  The server of iperf3 counts until its client has sent all; then a
        little is still under way.
        """
        iperf = program("iperf3")
        server = self.spawn(self.far.inside(iperf, "-s", "--forceflush"))
        server.waitFor("listening")
        for direction, least in (((), 100), (("-R",), 200)):
            told = json.loads(self.ask(iperf, "-c", FAR4, "-n", "200M", "-J", *direction))
            self.assertNotIn("error", told)
            self.assertGreaterEqual(told["end"]["sum_received"]["bytes"], least * 1000 * 1000)

    def test_parts(self) -> None:
        """
        Datagrams may be in parts.  After a reload, only what is said goes there, by short packets, and who
        was there goes on; and when it is killed, nothing of it is left.
        """
        self.spawn(self.far.inside(sys.executable, "-c", ECHO)).waitFor("Serving")
        gateway = self.start()
        for host in (FAR4, FAR6):
            self.assertEqual(self.ask(sys.executable, "-c", LONG, host), "")
        slow = self.slow()
        routes = f":routes=203.0.113.0/24,2001\\:db8\\:5\\:\\:/48:exclude={ASIDE}/32:mtu=1280"
        # It is known by the mark of before until it starts anew.
        self.configured(routes, "node: {mark: 5}")
        os.kill(gateway.pid, signal.SIGHUP)
        waitUntil(lambda: "mtu 1280" in self.near.ip("link", "show", "dev", "ug0"), "the reload")
        waitUntil(lambda: "suppress_prefixlength" not in self.near.ip("rule"), "other rules")
        body = digestOf(len(BLOCK) * 5)
        for host in (FAR4, f"[{FAR6}]", ASIDE, self.far.ipv4):
            self.assertEqual(self.fetched(host), body, host)
        waitUntil(lambda: gateway.said().count(":8080 tun operator") == 2, "lines in the log")
        self.assertNotIn(ASIDE, gateway.said())
        self.assertIsNone(slow.process.poll())
        os.kill(gateway.pid, signal.SIGKILL)
        waitUntil(lambda: self.traces() == self.before, "nothing to be left of it")
        self.assertEqual(self.fetched(FAR4), body)

    def test_stops(self) -> None:
        """
        Whoever looks a name up asks the resolver of the gateway, and then asks for that name; when it
        stops, who is still there is cut, and nothing of it is left.
        """
        gateway = self.start(rest=NAMES)
        self.names(gateway)
        slow = self.slow()
        waitUntil((self.directory / "slow").exists, "the first bytes")
        os.kill(gateway.pid, signal.SIGTERM)
        self.assertEqual(gateway.process.wait(30), 0)
        slow.process.wait(30)
        self.assertIn("reset by peer", slow.said())
        self.assertEqual(self.traces(), self.before)

    def names(self, gateway: Gateway) -> None:
        """
        Names by the resolver, whoever is asked, and what is at one of them.
        """
        try:
            import dns  # noqa: F401
        except ImportError as error:
            raise SkipTest("no dnspython here: install ugate[dns]") from error
        dig = (program("dig", "bind9-dnsutils"), "+short")
        for more in ((), ("+tcp",)):
            said = self.ask(*dig, *more, f"@{FAR4}", "printer.home")
            self.assertEqual(said.strip(), "192.168.1.9")
        fake = self.ask(*dig, f"@{FAR4}", "web.corp.example").strip()
        self.assertIn(ip_address(fake), ip_network("198.18.0.0/15"))
        self.assertEqual(self.fetched(fake), digestOf(len(BLOCK) * 5))
        waitUntil(lambda: "-> web.corp.example:8080 via forward" in gateway.said(), "the name in the log")

    def test_forwards(self) -> None:
        """
        Other machines, for which this one is the router, come as streams if they are of a network that is
        named, over TCP and UDP and both versions of IP, and are what the policy says of their address.
        """
        inner = self.inner
        self.spawn(self.far.inside(sys.executable, "-c", ECHO)).waitFor("Serving")
        settings = ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/rp_filter")
        for name in settings:
            self.run_(self.near, "sh", "-c", f"echo 1 > /proc/sys/net/{name}")
        for address in (f"{INNER4}/32", f"{OTHER4}/32", f"{INNER6}/128"):
            inner.ip("address", "add", address, "dev", "eth0")
            self.near.ip("route", "add", address, "via", inner.ipv4 if "." in address else "2001:db8:1::3")
        inner.ip("-6", "address", "add", "2001:db8:1::3/64", "dev", "eth0", "nodad")
        gateway = self.start(
            f":forward={INNER4}/32,{INNER6.replace(':', chr(92) + ':')}/128",
            "policy: {rules: [{action: deny, target: 'udp:*:54'}, {action: allow, who: 'open:*'}]}",
            "open: true, ",
        )
        for host, source in ((FAR4, INNER4), (FAR6, INNER6)):
            via = ("via", self.near.ipv4) if "." in host else ("via", "2001:db8:1::1")
            inner.ip("route", "replace", host, *via, "src", source)
            python = sys.executable, "-c"
            said = self.run_(inner, *python, ASKER, host, "7007", "20")
            self.assertEqual(said.strip(), "wrong: 0")
            for argv in ((LONG, host), (UNHEARD, host, "54", "55"), (PINGER, host)):
                self.assertEqual(self.run_(inner, *python, *argv), "")
            waitUntil(partial(_isIn, source, gateway), "a line in the log")
        # The others are passed on as ever.
        inner.ip("route", "replace", FAR4, "via", self.near.ipv4, "src", OTHER4)
        self.far.ip("route", "add", OTHER4, "via", self.near.ipv4)
        said = self.run_(inner, sys.executable, "-c", ASKER, FAR4, "7007", "1")
        self.assertEqual(said.strip(), "wrong: 0")
        self.assertNotIn(OTHER4, gateway.said())
        self.assertEqual(self.fetched(FAR4), digestOf(len(BLOCK) * 5))
        os.kill(gateway.pid, signal.SIGKILL)
        waitUntil(lambda: "757" not in self.near.ip("rule") + self.near.ip("-6", "rule"), "no rules")

    def slow(self) -> Child:
        """
        A client that takes its time.
        """
        os.truncate(self.write("large", ""), 100 << 20)
        url = f"http://{FAR4}:8080/large"
        options = ("-sS", "--limit-rate", "100K", "-o", str(self.directory / "slow"), url)
        return self.spawn(self.near.inside(program("curl"), *options))


def _isIn(words: str, gateway: Gateway) -> bool:
    """
    Whether its log has some words.
    """
    return words in gateway.said()


def digestOfFile(path: Path) -> str:
    """
    The SHA-256 of what is in a file.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "nothing"
