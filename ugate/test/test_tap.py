# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{twistd ugate}: its options.
"""

from __future__ import annotations

import os

from twisted.python import usage

from ugate.tap import Options, unwritable
from ugate.tenancy.config.schema import Listener
from ugate.test.tapfakes import TapCase

TEN = """\
listen:
  main: nonsense:tcp:1080
  other: [auto, tcp]
  third:
    endpoint: tcp:80
    too: db:5432
dial:
  office: socks:proxy
  direct: socks:a:1080
routes:
  - match: 10.0.0.0/99
    via: office
  - match: "*"
    via: offise
policy:
  users: /nowhere/passwords
  private: maybe
node:
  idle: soon
"""


class OptionsTests(TapCase):
    """
    L{Options}.
    """

    def test_nothing(self) -> None:
        """
        Without any option there is one listener, on this machine.
        """
        config = self.config()
        self.assertEqual(config.listen, {"main": Listener("auto:tcp:1080:interface=127.0.0.1")})
        self.assertEqual((config.dial, config.routes), ({}, ()))
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), ("", ""))

    def test_unwritable(self) -> None:
        """
        Where twistd could not write its files, ugate says so before it tries.
        """
        foreground = {"nodaemon": True, "pidfile": "twistd.pid", "rundir": "."}
        for changes, said in (
            ({}, ""),
            ({"nodaemon": False}, ""),
            ({"rundir": "/nowhere"}, "/nowhere/twistd.pid: there is no such folder; go to another folder"),
            ({"rundir": "/nowhere", "pidfile": None}, ""),
            ({"rundir": "/nowhere", "chroot": "/nowhere"}, ""),
            ({"logfile": "-"}, ""),
            ({"logfile": "/nowhere/log"}, "/nowhere/log: there is no such folder"),
            ({"nodaemon": False, "logfile": "/nowhere/log", "syslog": True}, "/nowhere/log: there is no"),
        ):
            self.assertTrue(" ".join(unwritable({**foreground, **changes})).startswith(said), changes)
            self.assertEqual(bool(said), bool(list(unwritable({**foreground, **changes}))), changes)
        self.patch(os, "access", lambda path, mode: path != ".")
        (said,) = unwritable(foreground)
        self.assertIn("/twistd.pid: it may not be written; go to another folder, or twistd --pidfile=", said)

    def test_unwritableEnds(self) -> None:
        """
        Then nothing is started, unless it is a check.
        """
        options = Options()
        options.parent = {"nodaemon": True, "pidfile": "/nowhere/pid"}  # type: ignore[assignment]
        ended = self.assertRaises(SystemExit, options.parseOptions, [])
        self.assertEqual(1, ended.code)
        self.assertIn("/nowhere/pid: there is no such folder", self.err.getvalue())
        options = Options()
        options.parent = {"nodaemon": True, "pidfile": "/nowhere/pid"}  # type: ignore[assignment]
        self.assertEqual(0, self.assertRaises(SystemExit, options.parseOptions, ["--check"]).code)

    def test_state(self) -> None:
        """
        C{--state} wins over C{node.state}, and what else a file has of the node stays; from where ugate is
        started it is the same folder all the time.
        """
        path = self.write("node: {idle: 5, state: /elsewhere}\n")
        node = self.config("--config", path, "--state", "here").node
        self.assertEqual((os.path.abspath("here"), 5.0), (node.state, node.idle))
        self.assertEqual("/elsewhere", self.config("--config", path).node.state)

    def test_listenAndRoute(self) -> None:
        """
        Both may be repeated, and their order is kept.
        """
        config = self.config(
            "--listen",
            "a=socks:tcp:1:interface=127.0.0.1",
            "--listen=b=connect:unix:/run/b",
            "--route",
            "*.corp=socks:proxy:1080",
            "--route",
            "*=direct",
        )
        self.assertEqual(list(config.listen), ["a", "b"])
        self.assertEqual(
            [(route.match, route.via) for route in config.routes],
            [(("*.corp",), ("socks:proxy:1080",)), (("*",), ("direct",))],
        )

    def test_config(self) -> None:
        """
        Files too; the command line is on top of them.
        """
        one = self.write("listen: {main: socks:tcp:1:interface=127.0.0.1}\nnode: {idle: 5}\n")
        two = self.write("listen: {main: socks:tcp:2:interface=127.0.0.1}\n")
        self.assertEqual(
            self.config("--config", one).listen["main"].endpoint, "socks:tcp:1:interface=127.0.0.1"
        )
        both = self.config("--config", one, "--config", two, "--listen", "more=socks:unix:/run/x")
        self.assertEqual(both.listen["main"].endpoint, "socks:tcp:2:interface=127.0.0.1")
        self.assertEqual((list(both.listen), both.node.idle), (["main", "more"], 5.0))

    def test_unknown(self) -> None:
        """
        What it does not know it does not take.
        """
        for arguments in (("--nonsense",), ("nonsense",), ("--listen",)):
            self.assertRaises(usage.UsageError, self.parse, *arguments)
        error = self.assertRaises(usage.UsageError, self.parse, "ugate.yaml", "more")
        self.assertIn("--config ugate.yaml", str(error))

    def test_help(self) -> None:
        """
        Each option says what it is for, and what it takes looks like.
        """
        said = str(Options())
        for words in ("--listen", "--route", "--config", "--check", "--explain", "HOST:PORT", "*.corp"):
            self.assertIn(words, said)


class CheckTests(TapCase):
    """
    C{--check} and C{--explain}, and mistakes.
    """

    def test_check(self) -> None:
        """
        The normal form is printed, and can be read again.
        """
        self.assertEqual(self.ends("--check", "--route", "*.corp=socks:proxy:1080"), 0)
        printed = self.out.getvalue()
        self.assertIn("endpoint: auto:tcp:1080:interface=127.0.0.1", printed)
        self.assertIn("drain: 30", printed)
        self.assertEqual(self.err.getvalue(), "")
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(self.ends("--check", "--config", self.write(printed)), 0)
        self.assertEqual(self.out.getvalue(), printed)

    def test_tenMistakes(self) -> None:
        """
        All mistakes are told at once, each with its place; nothing else is printed.
        """
        path = self.write(TEN)
        self.assertEqual(self.ends("--config", path), 1)
        self.assertEqual(self.out.getvalue(), "")
        places = [line for line in self.err.getvalue().split("\n") if line.startswith(f"{path}:")]
        found = [tuple(line.removeprefix(f"{path}:").split(":")[:2]) for line in places]
        self.assertEqual([line for line, _ in found], ["2", "3", "6", "8", "9", "11", "14", "16", "17", "19"])
        for words in (
            "nonsense",
            "listen.other",
            "did you mean 'to'?",
            "dial.office",
            "another name",
            "10.0.0.0/99",
            "did you mean 'office'?",
            "/nowhere/passwords",
            "allow",
            "node.idle",
        ):
            self.assertIn(words, self.err.getvalue())

    def test_mistakesOfOptions(self) -> None:
        """
        Those of the command line are told in the same way.
        """
        self.assertEqual(self.ends("--listen", "tcp:80", "--route", "nonsense", "--check"), 1)
        said = self.err.getvalue()
        self.assertIn("--listen", said)
        self.assertIn("NAME=STRING", said)
        self.assertIn("PATTERN=HOPS", said)
        self.assertEqual(self.out.getvalue(), "")

    def test_openRelay(self) -> None:
        """
        What would be refused at the start is refused by the check, each at its place.
        """
        path = self.write("listen:\n  one: auto:tcp:1080\n  two: tcp:80\n")
        self.assertEqual(self.ends("--config", path, "--check"), 1)
        one, two, _ = self.err.getvalue().split("\n")
        self.assertTrue(one.startswith(f"{path}:2:3: listener one (auto:tcp:1080) would carry"), one)
        self.assertTrue(two.startswith(f"{path}:3:3: listener two (tcp:80) cannot know"), two)

    def test_twoInOnePlace(self) -> None:
        """
        Two listeners cannot be at one address, and one of another tenant is not named.
        """
        at = "auto:tcp:1080:interface=127.0.0.1"
        path = self.write(
            f"listen:\n  one: {at}\n  two: socks{at[4:]}\n"
            "  three: auto:tcp:0:interface=127.0.0.1\n  four: auto:tcp:0:interface=127.0.0.1\n"
            f"tenants:\n  alice: {{listen: {{own: {at}}}}}\n"
        )
        self.assertEqual(self.ends("--config", path, "--check"), 1)
        two, own, _ = self.err.getvalue().split("\n")
        self.assertTrue(two.startswith(f"{path}:3:3: listener two (socks:tcp:1080"), two)
        self.assertTrue(two.endswith("cannot listen: listen one has it"), two)
        self.assertIn("tenant alice: listener own", own)
        self.assertTrue(own.endswith("cannot listen: another tenant of this gateway has it"), own)

    def test_circle(self) -> None:
        """
        Hops that need each other are told at their place.
        """
        path = self.write("dial:\n  a: b -> socks:x:1\n  b: a -> socks:y:1\n")
        self.assertEqual(self.ends("--config", path), 1)
        said = self.err.getvalue()
        self.assertTrue(said.startswith(f"{path}:3:3: dial.b: it needs itself: a -> b -> a"), said)

    def test_unknownHop(self) -> None:
        """
        So is a name that no hop has, inside of a way.
        """
        path = self.write("dial:\n  a: socks:x:1\nroutes:\n  - {match: '*', via: b -> socks:y:1}\n")
        self.assertEqual(self.ends("--config", path), 1)
        said = self.err.getvalue()
        self.assertTrue(said.startswith(f"{path}:4:"), said)
        self.assertIn("no hop is named 'b'", said)

    def test_noFile(self) -> None:
        """
        A file that is not there.
        """
        path = str(self.mktemp())
        self.assertEqual(self.ends("--config", path), 1)
        self.assertIn(path, self.err.getvalue())

    def test_explain(self) -> None:
        """
        Who may, which rule, which hops.
        """
        self.assertEqual(self.ends("--explain", "db.corp:5432", "--route", "*.corp=socks:proxy:1080"), 0)
        lines = self.out.getvalue().split("\n")
        self.assertEqual(lines[0], "policy: operator (local) may, since no rule says otherwise")
        self.assertEqual(lines[1], "route 1 of 2: *.corp via socks:proxy:1080")
        self.assertIn("proxy:1080", lines[2])
        self.assertEqual(self.err.getvalue(), "")

    def test_explainTenant(self) -> None:
        """
        For a tenant: what comes in by its listener.
        """
        path = self.write(
            "tenants:\n  alice:\n    hosts: ['*.alice.example']\n"
            "    policy: {rules: [{action: deny, target: '*:25', reason: no mail}]}\n"
        )
        self.assertEqual(self.ends("--config", path, "--explain", "9.9.9.9:25", "--tenant", "alice"), 0)
        lines = self.out.getvalue().split("\n")
        self.assertEqual(lines[0], "tenant: alice")
        self.assertIn("may not, by rule 1 of 1", lines[1])
        self.assertIn("no mail", lines[2])
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(self.ends("--config", path, "--explain", "x.alice.example:80"), 0)
        self.assertTrue(self.out.getvalue().startswith("tenant: alice\n"))
        self.assertEqual(self.ends("--config", path, "--explain", "x:1", "--tenant", "alise"), 1)
        self.assertIn("there is no tenant 'alise'; did you mean 'alice'?", self.err.getvalue())

    def test_explainListed(self) -> None:
        """
        For each listener that lists its targets: whether it lists this one, and what would become
        of the stream of anybody.
        """
        path = self.write(
            "listen:\n  web: sni:tcp:443:names=www.example,*.corp\n"
            "  here: sni:tcp:8443:interface=127.0.0.1:names=www.example\n"
            "policy: {rules: [{action: allow, who: 'open:*', protocol: sni, target: 'www.example:443'}]}\n"
        )
        self.assertEqual(self.ends("--config", path, "--explain", "www.example:443"), 0)
        lines = self.out.getvalue().split("\n")
        self.assertIn("listener web: its names= list www.example:443, by www.example", lines)
        self.assertIn("listener here: its names= list www.example:443, by www.example", lines)
        at = lines.index("listener web: its names= list www.example:443, by www.example")
        self.assertEqual("  TLS passes through unopened", lines[at + 1])
        self.assertIn("  policy: anyone (open) may, by rule 1 of 1", lines[at + 2])
        self.assertIn("  route 1 of 1", lines[at + 3])
        self.out.truncate(0)
        self.out.seek(0)
        self.assertEqual(self.ends("--config", path, "--explain", "a.corp:443"), 0)
        text = self.out.getvalue()
        self.assertIn("listener here: its names= do not list a.corp:443\n", text)
        self.assertIn("  policy: anyone (open) may not", text)
        self.assertIn('add to policy.rules: {action: allow, who: "open:anyone", target: "a.corp:443"}', text)

    def test_explainForbidden(self) -> None:
        """
        What the egress rules forbid is told, too.
        """
        self.assertEqual(self.ends("--explain", "169.254.169.254:80"), 0)
        self.assertIn("the metadata service of a cloud", self.out.getvalue())

    def test_explainWhat(self) -> None:
        """
        A target is a host and a port.
        """
        self.assertEqual(self.ends("--explain", "db.corp"), 1)
        self.assertIn("wanted HOST:PORT", self.err.getvalue())

    def test_both(self) -> None:
        """
        Both questions are answered.
        """
        self.assertEqual(self.ends("--explain", "a:1", "--check"), 0)
        self.assertIn("route 1 of 1", self.out.getvalue())
        self.assertIn("listen:", self.out.getvalue())
