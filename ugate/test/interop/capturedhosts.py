# -*- test-case-name: ugate.test.interop.test_captured,ugate.test.interop.test_capturedthrough -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Hosts with a gateway to which the kernel leads what programs do.
"""

from __future__ import annotations

import subprocess
import sys

from ugate.test.interop.namespaces import Host, hosts
from ugate.test.interop.processes import Child, Gateway, InteropTestCase, program

PAGE = "this is bob"

RESET = (7, 56)
"""What curl says of a connection that is reset as soon as it is there, or a moment later."""

NAMES = ("alice", "bob", "carol")

ECHO = """
import socket
bound = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
bound.bind(("::", 9999))
print("ready", flush=True)
while True:
    data, peer = bound.recvfrom(65536)
    print("from", peer[0], flush=True)
    bound.sendto(data.upper(), peer)
"""
"""Answers datagrams, and says from whom they came."""


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
        alice, bob, carol = (self.hosts[name] for name in NAMES)
        carol.ip("-4", "route", "add", bob.ipv4, "via", alice.ipv4)
        bob.ip("-4", "route", "add", carol.ipv4, "via", alice.ipv4)
        gate, server, client = (self.six(each) for each in (alice, bob, carol))
        carol.ip("-6", "route", "add", server, "via", gate)
        bob.ip("-6", "route", "add", client, "via", gate)
        for each in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.on("alice", "sh", "-c", f"echo 1 > /proc/sys/net/{each}")
        for kind in ("send", "accept"):
            for name in NAMES:
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
