# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Nodes on hosts of their own that find each other, and talk by name.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ugate.test.interop import replaying
from ugate.test.interop.meshes import newKey
from ugate.test.interop.namespaces import hosts
from ugate.test.interop.processes import Child, Gateway, InteropTestCase, program

NAMES = ("alice", "bob", "carol")
PATIENCE = 45.0
"""Seconds that something may take that others see only after a while."""

CONFIG = """\
node: {{state: {state}}}
listen:
  main: "socks:tcp:1080:interface=127.0.0.1"
  mesh: 'connect:mtls:tcp:15008:interface=\\:\\:'
trust: {{pins: [{pins}]}}
nodes: {{{nodes}}}
serve: {{web: {{port: 80, to: "127.0.0.1:8080"}}}}
policy: {{rules: [{{action: allow}}]}}
discovery: {{lan: {{announce: "connect:15008", interval: {interval}{more}}}}}
"""


class DiscoveryCase(InteropTestCase):
    """
    Some hosts, and who is on them.
    """

    limit = 150.0

    def setUp(self) -> None:
        super().setUp()
        self.keyids = {name: newKey(self.directory / name) for name in (*NAMES, "mallory")}

    def connected(self, *names: str, ipv4: bool = True, ipv6: bool = True) -> None:
        """
        Make the hosts.
        """
        self.hosts = hosts(self, names or NAMES, ipv4=ipv4, ipv6=ipv6)

    def start(self, name: str, host: str = "", *, interval: float = 60, more: str = "") -> Gateway:
        """
        Start a node, which trusts and names all but mallory.
        """
        others = {other: self.keyids[other] for other in NAMES if other != name}
        config = CONFIG.format(
            state=self.directory / name,
            pins=", ".join(others.values()),
            nodes=", ".join(f"{other}: {{keyid: {keyid}}}" for other, keyid in others.items()),
            interval=interval,
            more=more,
        )
        return self.ugate(config=config, inside=self.hosts[host or name].inside)

    def inside(self, host: str, *argv: str) -> Child:
        """
        Start another program there.
        """
        return self.spawn(self.hosts[host].inside(*argv))

    def serveWeb(self, host: str) -> None:
        """
        Serve a page there that has the name of the host in it.
        """
        folder = self.directory / f"web-{host}"
        folder.mkdir()
        (folder / "index.html").write_text(f"this is {host}")
        server = ("http.server", "8080", "--bind", "127.0.0.1", "--directory", str(folder))
        self.inside(host, sys.executable, "-u", "-m", *server).waitFor("Serving HTTP")

    def get(self, host: str, name: str) -> tuple[str, str]:
        """
        Ask for a page by the gateway of a host.

        @return: what came, and what curl says otherwise.
        """
        options = ("--socks5-hostname", "127.0.0.1:1080", "--max-time", "30", "-sS", f"http://{name}/")
        done = self.finish(self.hosts[host].inside(program("curl"), *options))
        return done.stdout.decode(), done.stderr.decode()

    def meet(self, nodes: dict[str, Gateway]) -> None:
        """
        All of them find all others.
        """
        for name, node in nodes.items():
            for other in nodes.keys() - {name}:
                node.waitFor(f"{self.keyids[other]} is at ")


class MeetTests(DiscoveryCase):
    """
    Three nodes, three hosts.
    """

    def talk(self) -> dict[str, Gateway]:
        """
        They find each other, and then each reaches each by its name.
        """
        nodes = {name: self.start(name) for name in NAMES}
        for name in NAMES:
            self.serveWeb(name)
        self.meet(nodes)
        for name, node in nodes.items():
            for other in nodes.keys() - {name}:
                self.assertEqual((f"this is {other}", ""), self.get(name, other), node.said())
        self.assertEqual("this is bob", self.get("alice", self.keyids["bob"].lower())[0])
        return nodes

    def test_ipv6(self) -> None:
        """
        By link-local addresses, with nothing configured on any host.
        """
        self.connected(ipv4=False)
        nodes = self.talk()
        where = f"connect:[{self.hosts['bob'].ipv6}%eth0]:15008"
        self.assertIn(f"{self.keyids['bob']} is at {where}", nodes["alice"].said())

    def test_ipv4(self) -> None:
        """
        Where there is no IPv6.
        """
        self.connected(ipv6=False)
        nodes = self.talk()
        where = f"connect:{self.hosts['bob'].ipv4}:15008"
        self.assertIn(f"{self.keyids['bob']} is at {where}", nodes["alice"].said())

    def test_sameHost(self) -> None:
        """
        Several nodes of one host share the port, hear each other and others; one that does not announce
        itself hears them too.
        """
        self.connected("alice", "bob")
        alice = self.start("alice")
        carol = self.ugate(
            config=f"node: {{state: {self.directory}/carol}}\n"
            'listen: {main: "socks:tcp:1081:interface=127.0.0.1"}\n'
            "discovery: {lan: {}}\n",
            inside=self.hosts["alice"].inside,
        )
        bob = self.start("bob")
        dave = self.ugate(
            config=f"node: {{state: {self.directory}/mallory}}\n"
            'listen: {main: "socks:tcp:1082:interface=127.0.0.1"}\n'
            'discovery: {lan: {announce: "connect:15009"}}\n',
            inside=self.hosts["alice"].inside,
        )
        for node, others in (
            (alice, ("bob", "mallory")),
            (carol, ("bob", "mallory")),
            (bob, ("alice", "mallory")),
            (dave, ("alice", "bob")),
        ):
            for other in others:
                node.waitFor(f"{self.keyids[other]} is at ")
        self.assertNotIn(self.keyids["carol"], alice.said() + bob.said() + dave.said())


class ChangeTests(DiscoveryCase):
    """
    What becomes of it.
    """

    def test_gone(self) -> None:
        """
        Who is killed is forgotten after a while, who stops at once; an interface that goes and comes is
        noticed.
        """
        self.connected()
        nodes = {name: self.start(name, interval=2) for name in NAMES}
        self.meet(nodes)
        alice = nodes["alice"]
        nodes["carol"].kill()
        alice.waitFor(f"{self.keyids['carol']} is gone: it was not heard any more", PATIENCE)
        nodes["bob"].process.terminate()
        alice.waitFor(f"{self.keyids['bob']} is gone: it said goodbye")
        self.hosts["alice"].ip("link", "set", "eth0", "down")
        alice.waitFor("on no network")
        said = len(alice.said())
        self.start("carol", interval=2)
        self.hosts["alice"].ip("link", "set", "eth0", "up")
        alice.waitFor("on eth0")
        self.waitAfter(alice, said, f"{self.keyids['carol']} is at ")

    def waitAfter(self, node: Gateway, start: int, text: str) -> None:
        """
        Wait until it has said something, after the first so many characters.
        """
        later = Later(node.process, node.log, start)
        later.waitFor(text, PATIENCE)

    def test_key(self) -> None:
        """
        A node that has another key is another one, and the one that it was ends.
        """
        self.connected()
        alice, bob = (self.start(name, interval=2) for name in ("alice", "bob"))
        self.meet({"alice": alice, "bob": bob})
        before = self.keyids["bob"]
        self.keyids["other"] = newKey(self.directory / "other")
        for name in ("key.pem", "cert.pem"):
            (self.directory / "other" / name).rename(self.directory / "bob" / name)
        alice.waitFor(f"{self.keyids['other']} is at ", PATIENCE)
        alice.waitFor(f"{before} is gone: it was not heard any more", PATIENCE)
        self.assertNotIn(f"{self.keyids['other']} is at ", bob.said())


class Later(Child):
    """
    A process, without what it said before.
    """

    def __init__(self, process: object, log: Path, start: int) -> None:
        super().__init__(process, log)  # type: ignore[arg-type]
        self._start = start

    def said(self) -> str:
        """
        What it has printed since.
        """
        return super().said()[self._start :]


class OutsiderTests(DiscoveryCase):
    """
    Somebody on the link who repeats what others say.
    """

    def replay(self, what: str, address: str) -> Child:
        """
        Let mallory listen for what comes from there, or say from there what she heard.
        """
        program, kept = str(Path(replaying.__file__)), str(self.directory / "kept")
        return self.inside("mallory", sys.executable, program, what, kept, address)

    def test_replay(self) -> None:
        """
        From her own address nobody believes it. Where she takes that of bob too, she is asked, and TLS does
        not let her be him.
        """
        self.connected("alice", "bob", "mallory", ipv6=False)
        stolen = self.hosts["bob"].ipv4
        listening = self.replay("listen", stolen)
        listening.waitFor("listening")
        alice, bob = self.start("alice"), self.start("bob")
        self.meet({"alice": alice, "bob": bob})
        self.assertEqual(0, listening.wait())
        own = self.hosts["mallory"].ipv4
        self.assertEqual(0, self.replay("say", own).wait())
        alice.waitFor(f"from {own}: it is of another address")
        self.assertEqual(1, alice.said().count(" is at "))
        bob.end()
        alice.end()
        self.hosts["bob"].ip("address", "flush", "dev", "eth0")
        self.hosts["mallory"].ip("address", "add", f"{stolen}/24", "dev", "eth0")
        self.hosts["alice"].ip("neighbour", "flush", "dev", "eth0")
        self.ugate(
            config=f"node: {{state: {self.directory}/mallory}}\n"
            "listen: {mesh: 'connect:mtls:tcp:15008'}\n"
            f"trust: {{pins: [{self.keyids['alice']}]}}\n"
            "policy: {rules: [{action: allow}]}\n",
            inside=self.hosts["mallory"].inside,
        )
        alice = self.start("alice")
        self.assertEqual(0, self.replay("say", stolen).wait())
        alice.waitFor(f"{self.keyids['bob']} is at connect:{stolen}:15008")
        page, error = self.get("alice", "bob")
        self.assertEqual("", page)
        self.assertIn("Can't complete SOCKS5 connection", error)
        alice.waitFor(f"its key is {self.keyids['mallory']}, and not that of this name")
