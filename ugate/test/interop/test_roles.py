# -*- test-case-name: ugate.test.interop.test_roles -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The recipe of the roles: hosts that reach each other by gateways alone, whose configurations are those of the
page, and programs on them that know of no gateway.
"""

from __future__ import annotations

import os
import sys

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ugate.test.docpages import CERTS, SERVERS, listing
from ugate.test.identityfakes import Holder
from ugate.test.interop.domains import SERVER, TrustDomain
from ugate.test.interop.namespaces import hosts
from ugate.test.interop.processes import Child, Gateway, InteropTestCase, program, waitUntil

NAMES = ("shop", "orders", "edge", "lab", "world", "printer")
PUBLIC = "93.184.216.34"
ORDERS = "203.0.113.5"
PRINTER = "10.20.0.20"
AUTHORIZED = "/etc/ugate/authorized_keys"
KNOWN = "/etc/ugate/known_hosts"


def sshKey(holder: Holder) -> str:
    """
    The public key of somebody, as OpenSSH has it.
    """
    text: bytes = holder.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return text.decode()


class RolesTests(InteropTestCase):
    """
    A shop, its orders, the edge to the world, and a lab with a printer.
    """

    limit = 180.0

    def setUp(self) -> None:
        super().setUp()
        self.domain = TrustDomain(self.directory)
        self.hosts = hosts(self, NAMES)
        self.webs = {
            "orders": self.web("orders", ORDERS, 8080),
            "world": self.web("world", PUBLIC, 80),
            "printer": self.web("printer", PRINTER, 80),
        }
        lab, printer = self.hosts["lab"], self.hosts["printer"]
        lab.ip("address", "add", "10.20.0.1/24", "dev", "eth0")
        printer.ip("address", "delete", f"{printer.ipv4}/24", "dev", "eth0")
        self.hosts["edge"].ip("route", "add", f"{PUBLIC}/32", "via", self.hosts["world"].ipv4)
        self.members = {
            "shop": self.domain.member("shop"),
            "orders": self.domain.member("orders"),
            "edge": self.domain.member("edge", "edge"),
            "lab": self.domain.member("lab"),
        }
        self.write("authorized_keys", f"{sshKey(self.members['shop'])} shop\n")
        self.write("known_hosts", f"[10.91.7.4]:2222 {sshKey(self.members['lab'])}\n")
        servers = self.directory / "servers"
        servers.mkdir(0o700)
        site = self.domain.member("www", names=["www.corp.example"], purpose=SERVER)
        os.rename(self.domain.pem("www", site), servers / "www.pem")

    def web(self, name: str, address: str, port: int) -> Child:
        """
        A web server, which says where it is, and who asked.
        """
        host = self.hosts[name]
        prefix = "24" if address == PRINTER else "32"
        host.ip("address", "add", f"{address}/{prefix}", "dev", "eth0" if address == PRINTER else "lo")
        folder = self.directory / f"web-{name}"
        folder.mkdir()
        (folder / "index.html").write_text(f"this is {name}")
        server = ("http.server", str(port), "--bind", address, "--directory", str(folder))
        child = self.spawn(host.inside(sys.executable, "-u", "-m", *server))
        child.waitFor("Serving HTTP")
        return child

    def gateway(self, name: str, role: str) -> Gateway:
        """
        A gateway of the page, on its host.
        """
        certs = self.domain.istio(name, self.members[name])
        text = listing(f"roles-{role}.yaml")
        self.assertLess(len(text.splitlines()), 20)
        for written, real in (
            (CERTS, certs),
            (SERVERS, self.directory / "servers"),
            (AUTHORIZED, self.directory / "authorized_keys"),
            (KNOWN, self.directory / "known_hosts"),
        ):
            text = text.replace(written, str(real))
        return self.ugate(config=text, inside=self.hosts[name].inside)

    def curl(self, host: str, url: str, *options: str) -> str:
        """
        What a program gets that knows nothing.
        """
        child = self.spawn(
            self.hosts[host].inside(program("curl"), "-sS", "-m", "40", "--noproxy", "*", *options, url)
        )
        child.process.wait(60)
        return child.said()

    def check(self, url: str, name: str, asker: str) -> None:
        """
        The shop gets a page, by a gateway.

        @param asker: the address that its server sees.
        """
        self.assertEqual(self.curl("shop", url), f"this is {name}")
        waitUntil(lambda: self.webs[name].said().rstrip().count("GET") > 0, "the line of the server")
        last = self.webs[name].said().rstrip().splitlines()[-1]
        self.assertEqual(last.split()[0], asker)

    def test_all(self) -> None:
        """
        Each role, by a program that simply connects.
        """
        orders = self.gateway("orders", "orders")
        edge = self.gateway("edge", "egress")
        lab = self.gateway("lab", "lab")
        self.gateway("edge", "ingress")
        self.assertIn("Failed to connect", self.curl("shop", f"http://{ORDERS}:8080/"))
        shop = self.gateway("shop", "shop")
        self.waysOut(orders, edge, lab)
        root = self.write("root.pem", self.domain.root.pem().decode())
        resolve = f"www.corp.example:443:{self.hosts['edge'].ipv4}"
        self.assertEqual(
            self.curl("world", "https://www.corp.example/", "--resolve", resolve, "--cacert", str(root)),
            "this is orders",
        )
        self.assertIn("spiffe://corp.example/ns/edge/sa/edge: ", orders.said())
        shop.end()
        waitUntil(lambda: "ug0" not in self.hosts["shop"].ip("link"), "the device to be gone")
        # Rules of the firewall are asked for what has a way, and no one else.
        self.hosts["shop"].ip("route", "add", "default", "dev", "lo")
        self.gateway("shop", "capture")
        self.waysOut(orders, edge, lab)

    def waysOut(self, orders: Gateway, edge: Gateway, lab: Gateway) -> None:
        """
        All that the shop may reach, and what it may not.
        """
        self.check(f"http://{ORDERS}:8080/", "orders", ORDERS)
        self.check(f"http://{PUBLIC}/", "world", self.hosts["edge"].ipv4)
        self.check(f"http://{PRINTER}/", "printer", "10.20.0.1")
        spiffe = "spiffe://corp.example/ns/shop/sa/shop"
        for gateway, who in ((orders, spiffe), (edge, spiffe), (lab, "shop")):
            self.assertIn(who, gateway.said())
        for url in (f"http://{ORDERS}:22/", f"http://{PUBLIC}:25/", "http://10.20.0.21/"):
            self.assertNotIn("this is", self.curl("shop", url))
