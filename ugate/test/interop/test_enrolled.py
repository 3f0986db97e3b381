# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Hosts whose nodes a CA certifies, that find each other by themselves, until one of them is revoked.
"""

from __future__ import annotations

import sys
from functools import partial

from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import keyidOf
from ugate.test.interop.namespaces import hosts
from ugate.test.interop.processes import Gateway, program, waitUntil
from ugate.test.interop.test_ca import AuthorityTestCase

MEMBERS = ("alice", "bob", "carol")

AUTHORITY = """
listen: {{main: "auto:tcp:1080:interface=127.0.0.1"}}
http: {{main: {{serve: modules, endpoint: "mtls:tcp:8443:anonymous=yes"}}}}
ca: {{main: {{dir: {folder}, life: 12, rules: [{{who: "enrolment:*", accounts: "{{name}}", life: 12}}]}}}}
node: {{state: {state}}}
"""

MEMBER = """
listen: {{main: "auto:tcp:1080:interface=127.0.0.1", mesh: "connect:mtls:tcp:15008"}}
identity: {{{identity}}}
trust: {{domain: corp{more}}}
nodes: {{{nodes}}}
discovery: {{lan: {{announce: "connect:15008"}}}}
serve: {{web: {{port: 80, to: "127.0.0.1:8080"}}}}
policy: {{rules: [{{action: allow, who: "certificate:spiffe://corp/ns/default/sa/*"}}]}}
node: {{state: {state}}}
"""


class EnrolledTests(AuthorityTestCase):
    """
    A host with the CA, those of the members, and that of mallory.
    """

    def setUp(self) -> None:
        super().setUp()
        self.hosts = hosts(self, ("authority", *MEMBERS, "mallory"), ipv6=False)
        self.keyids = {}
        for name in self.hosts:
            folder = self.directory / name
            folder.mkdir(0o700)
            self.keyids[name] = keyidOf(Own(str(folder), Identity()).load().certificate.public_key())

    def member(self, name: str, account: str = "") -> Gateway:
        """
        Start a node that enrols, or one that only says that it is somebody.
        """
        identity = f"domain: corp, account: {account or name}"
        # She believes the others, so that it is they who refuse her.
        more = f", roots: {self.folder / 'root.pem'}" if account else ""
        if not account:
            token = self.write(f"{name}.token", self.ucli("token", name))
            url, pin = f"https://{self.hosts['authority'].ipv4}:8443/ca", self.keyids["authority"]
            identity += f", ca: '{url}', token: {token}, caPin: '{pin}'"
        others = ", ".join(f"{each}: {{keyid: {self.keyids[each]}}}" for each in MEMBERS if each != name)
        config = MEMBER.format(identity=identity, nodes=others, more=more, state=self.directory / name)
        return self.ugate(config=config, inside=self.hosts[name].inside)

    def serveWeb(self, name: str) -> None:
        """
        Serve a page there that has the name of the host in it.
        """
        folder = self.directory / f"web-{name}"
        folder.mkdir()
        (folder / "index.html").write_text(f"this is {name}")
        server = ("http.server", "8080", "--bind", "127.0.0.1", "--directory", str(folder))
        child = self.spawn(self.hosts[name].inside(sys.executable, "-u", "-m", *server))
        child.waitFor("Serving HTTP")

    def get(self, host: str, name: str) -> str:
        """
        Ask for a page by the gateway of a host.
        """
        options = ("--socks5-hostname", "127.0.0.1:1080", "--max-time", "20", "-sS", f"http://{name}/")
        return self.finish(self.hosts[host].inside(program("curl"), *options)).stdout.decode()

    def test_revoked(self) -> None:
        """
        Three enrol, find each other and are reached by their names; mallory, who says that she is bob, gets
        nowhere.  When carol is revoked both others refuse her, and go on with each other.
        """
        config = AUTHORITY.format(folder=self.folder, state=self.directory / "authority")
        self.ugate(config=config, inside=self.hosts["authority"].inside)
        nodes = {name: self.member(name) for name in MEMBERS}
        for name, node in nodes.items():
            self.serveWeb(name)
            node.waitFor("root is certified by")
        mallory = self.member("mallory", "bob")
        for name, node in (*nodes.items(), ("mallory", mallory)):
            for other in nodes.keys() - {name}:
                node.waitFor(f"{self.keyids[other]} is at ")
        for name, node in nodes.items():
            for other in nodes.keys() - {name}:
                self.assertEqual(f"this is {other}", self.get(name, other), node.said())
        self.assertEqual("", self.get("mallory", "alice"))
        nodes["alice"].waitFor(f"its key {self.keyids['mallory']} is not pinned")
        self.ucli("revoke", self.keyids["carol"])
        for name in ("alice", "bob"):
            waitUntil(partial(self.isRefused, "carol", name), "carol is refused", 40)
            nodes[name].waitFor("it is revoked")
            self.assertEqual("", self.get(name, "carol"))
        self.assertEqual("this is bob", self.get("alice", "bob"))

    def isRefused(self, host: str, name: str) -> bool:
        """
        Whether nothing comes.
        """
        return self.get(host, name) == ""
