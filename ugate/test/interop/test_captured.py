# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Programs that know nothing of ugate, on hosts of their own: the kernel leads their connections to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from ugate.test.interop.capturedhosts import PAGE, RESET, CapturedCase
from ugate.test.interop.processes import Gateway, program, waitUntil

BOTH = """
listen:
  out: "redirect:tcp:15001:interface=127.0.0.1"
  out6: 'redirect:tcp:15001:interface=\\:\\:1'
"""
SIZE = 30_000_000
"""Bytes."""


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

    def waitForRules(self, text: str) -> None:
        """
        Wait until there are rules with that in them, once for each family at most.
        """

        def there() -> bool:
            state = self.state()
            return text in state and state.count("redirect to :15001") < 3

        waitUntil(there, text)

    def test_changes(self) -> None:
        """
        A section that changes has other rules, and one that goes has none; a change that cannot be made
        leaves those of before.  By hand, rules go with a process.
        """
        gateway = self.gate(f"{BOTH}capture: {{out: {{tool: iptables}}}}")
        (path,) = self.directory.glob("gate-*.yaml")
        for section, there in (
            ("{out: {exclude: {ports: 81}}}", "dport 81"),
            ("{out: {failure: open}}", "flags owner"),
            ("{out: {failure: open, tool: iptables}}", "redirect to :15001"),
            ("{out: {exclude: {ports: 82}}}", "dport 82"),
        ):
            path.write_text(f"{BOTH}capture: {section}")
            self.waitForRules(there)
            self.assertEqual(self.get(self.urls()[0]), (0, PAGE))
        before = self.state()
        unmakeable = "bad: {include: {cgroups: no/such}}"
        path.write_text(f"{BOTH}capture: {{out: {{exclude: {{ports: 83}}}}, {unmakeable}}}")
        gateway.waitFor("capture.bad cannot start")
        waitUntil(lambda: self.state() == before, "the rules of before")
        path.write_text(BOTH)
        waitUntil(lambda: "15001" not in self.state(), "no rules")
        argv = ("capture", "up", "--failure", "open", "--pid", str(gateway.pid))
        holding = self.spawn(self.hosts["alice"].inside(sys.executable, "-m", "ugate.cli.main", *argv))
        holding.waitFor("the rules are there")
        self.assertIn("flags owner", self.state())
        gateway.kill()
        self.assertEqual(holding.wait(), 0)
        self.assertNotIn("15001", self.state())

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
