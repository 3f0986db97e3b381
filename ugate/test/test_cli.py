# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.cli}: C{ucli} against the HTTP port of a node that is none.
"""

from __future__ import annotations

import http.client
import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import msgspec

from twisted.trial.unittest import SynchronousTestCase

from ugate.cli import connection
from ugate.cli.main import main
from ugate.cli.tables import render
from ugate.flows import Totals
from ugate.modules.answers import Applied
from ugate.modules.operations import BY_NAME
from ugate.test.adminfakes import AdminCase, Client


class MemorySocket:
    """
    A connected socket, whose other side is a site.
    """

    def __init__(self, site: Any) -> None:
        self.client = Client(site)
        self.answer = b""

    def sendall(self, data: bytes) -> None:
        self.answer += self.client.say(data)

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.answer)

    def close(self) -> None:
        pass


class MemoryConnection(http.client.HTTPConnection):
    """
    A connection to a site of this process.
    """

    def __init__(self, site: Any) -> None:
        super().__init__("127.0.0.1", 15000)
        self.site = site

    def connect(self) -> None:
        self.sock = MemorySocket(self.site)


class CommandCase(AdminCase):
    """
    Commands that reach the node.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(connection.Node, "_connection", lambda node: (MemoryConnection(self.site), ""))

    def ucli(self, *arguments: str, status: int = 0, given: str = "") -> str:
        """
        Run a command.

        @param status: the exit status that it has to have.
        @param given: its standard input.
        @return: what it prints; its complaints, if there are any.
        """
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdin", io.StringIO(given))
        with redirect_stdout(out), redirect_stderr(err):
            try:
                ended: object = main(arguments)
            except SystemExit as end:
                ended = end.code
        self.assertEqual(status, ended, (out.getvalue(), err.getvalue()))
        return out.getvalue() or err.getvalue()


class CommandTests(CommandCase):
    """
    What people see.
    """

    def test_status(self) -> None:
        """
        A line for each field, and those of what is within.
        """
        self.node.flows.counted = {"root": Totals(5, 1, 2048, 20 << 20, 2)}
        said = self.ucli("status")
        self.assertRegex(said, r"caller +local:operator@root\n")
        self.assertRegex(said, r"sent +2\.0 KiB\n")
        self.assertIn("\napplied:\n  good ", said)

    def test_lines(self) -> None:
        """
        Mistakes stand below each other, and cannot move the cursor.
        """
        wrong = "u.yaml:1:1: unknown key\n  lisen: \x1b{}\n  ^^^^^"
        applied = Applied(False, 1, (), wrong, "store", 0.0)
        fields = msgspec.to_builtins(applied)
        said = render(BY_NAME["reload"], fields)
        self.assertIn(
            "error       u.yaml:1:1: unknown key\n              lisen: ?{}\n              ^^^^^\n", said
        )

    def test_table(self) -> None:
        """
        A table has its columns below each other, numbers at the right.
        """
        self.assertEqual(
            "TENANT  NAME  ENDPOINT       ADDRESS         STREAMS\n"
            "root    main  auto:tcp:1080  127.0.0.1:1080        3\n"
            "alice   own   auto:tcp:1080  127.0.0.1:1080        3\n"
            "bob     own   auto:tcp:1080  127.0.0.1:1080        3\n",
            self.ucli("listeners"),
        )
        self.assertEqual("ID  TENANT  ", self.ucli("streams")[:12])

    def test_json(self) -> None:
        """
        Programs get the answer as it is, before and behind the command.
        """
        for arguments in (("--json", "tenants"), ("tenants", "--json")):
            rows = msgspec.json.decode(self.ucli(*arguments))
            self.assertEqual("root", rows[0]["tenant"])

    def test_streams(self) -> None:
        """
        Filters are options; a stream is closed by its number.
        """
        mine = self.node.stream("alice", "carol\x1b[31m")
        self.node.stream("bob")
        said = self.ucli("streams", "--tenant", "alice", "--limit", "5")
        self.assertEqual(2, len(said.splitlines()))
        self.assertIn("carol?[31m", said)
        self.assertNotIn("\x1b", said)
        self.ucli("kill", str(mine.id))
        self.assertEqual(1, len(mine.closed))
        self.assertIn("no stream 99", self.ucli("kill", "99", status=1))

    def test_sections(self) -> None:
        """
        A section goes from a file to the node and back.
        """
        path = Path(self.mktemp())
        path.write_text("hops: socks:new:1080 # that one\nretries: 1\n")
        self.assertIn("good", self.ucli("put", "dial", "lab", str(path)))
        self.assertEqual(
            {"hops": "socks:new:1080", "retries": 1}, self.node.store.section("root", "dial", "lab")
        )
        self.assertEqual("hops: socks:new:1080\nretries: 1\n", self.ucli("get", "dial", "lab"))
        self.ucli("put", "dial", "lab", "-", given='{"hops": "socks:other:1080"}')
        self.assertIn("is there already", self.ucli("put", "dial", "lab", "-", "--new", given="{}", status=1))
        self.assertIn("no longer", self.ucli("put", "dial", "lab", "-", "--tag", '"x"', given="{}", status=1))
        self.ucli("put", "policy", "-", "--tenant", "alice", given="private: deny")
        self.assertEqual({"private": "deny"}, self.node.store.section("alice", "policy", ""))
        self.ucli("delete", "policy", "--tenant", "alice")
        self.ucli("delete", "dial", "lab")
        self.assertIn("no section", self.ucli("get", "dial", "lab", status=1))
        self.assertIn("wanted the keys", self.ucli("put", "dial", "lab", "-", given="[]", status=1))
        self.assertIn("line 1", self.ucli("put", "dial", "lab", "-", given="a: [", status=1))
        self.assertIn("cannot be read", self.ucli("put", "dial", "lab", "/none", status=1))
        self.assertIn(
            "--new or --tag", self.ucli("put", "dial", "x", "-", "--new", "--tag", "x", given="{}", status=2)
        )

    def test_mistakes(self) -> None:
        """
        Mistakes are told, and the status is 1.
        """
        self.assertIn(
            "a.yaml:3:5: bad", self.ucli("put", "dial", "x", "-", given="hops: socks:bad:1", status=1)
        )
        problem = msgspec.json.decode(
            self.ucli("put", "dial", "x", "-", "--json", given="hops: socks:bad:1", status=1)
        )
        self.assertEqual((422, "a.yaml:3:5"), (problem["status"], problem["mistakes"][0]["place"]))

    def test_tenant(self) -> None:
        """
        The options of a tenant are the keys of its section.
        """
        arguments = ["--hosts", "carl.example", "--hosts", "*.carl.example", "--streams", "5", "--up", "10M"]
        self.ucli("tenant", "add", "carl", *arguments)
        self.assertEqual(
            {"hosts": ["carl.example", "*.carl.example"], "limits": {"streams": 5, "up": "10M"}},
            self.node.store.section("root", "tenants", "carl"),
        )
        self.ucli("tenant", "add", "test", "--tenant", "alice")
        self.assertIn(
            "streams: Expected `int`", self.ucli("tenant", "add", "x", "--streams", "many", status=2)
        )

    def test_token(self) -> None:
        """
        A token is shown.
        """
        self.assertRegex(self.ucli("token", "ci", "--days", "7"), r"token +ugate_")

    def test_why(self) -> None:
        """
        What was refused, and what can be done.
        """
        self.node.refuse("bob", 1.0)
        self.assertIn("the name does not exist", self.ucli("why"))

    def test_explain(self) -> None:
        """
        The way of a stream, a line each.
        """
        said = self.ucli("explain", "db.example:5432", "--tenant", "alice")
        self.assertEqual("direct to db.example:5432", said.splitlines()[-1])

    def test_check(self) -> None:
        """
        A file is checked by the node.
        """
        path = Path(self.mktemp())
        path.write_text("listen: {main: 'socks:tcp:1080:interface=127.0.0.1'}\n")
        self.assertIn("socks:tcp:1080:interface=127.0.0.1", self.ucli("check", str(path)))
        path.write_text("bad: 1\n")
        self.assertIn(f"{path}:1:1: unknown key 'bad'", self.ucli("check", str(path), status=1))

    def test_whole(self) -> None:
        """
        The node reloads and stops.
        """
        self.assertIn("changed", self.ucli("reload"))
        self.ucli("drain")
        self.assertEqual(1, self.node.drained)

    def test_limits(self) -> None:
        """
        Numbers, and - for what there is not.
        """
        self.assertRegex(self.ucli("limits", "--tenant", "bob"), r"bob +up +0\.5 +-\n")

    def test_forbidden(self) -> None:
        """
        What one may not do has a status of its own.
        """
        self.site = self.port(isLocal=False)
        self.assertIn("log in", self.ucli("status", status=4))

    def test_schema(self) -> None:
        """
        The schema is there for programs.
        """
        self.assertIn("listen", msgspec.json.decode(self.ucli("schema", "--json"))["properties"])


class UnreachableTests(SynchronousTestCase):
    """
    Where there is no node.
    """

    def run_(self, *arguments: str) -> tuple[object, str]:
        """
        Run a command.
        """
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            try:
                return main(arguments), out.getvalue()
            except SystemExit as end:
                return end.code, out.getvalue()

    def test_nobody(self) -> None:
        """
        The status is 3, and it is said where nobody was.
        """
        path = os.path.abspath(self.mktemp())
        status, said = self.run_("--url", f"unix:{path}", "status")
        self.assertEqual(3, status)
        self.assertIn(f"no answer from unix:{path}", said)
        for url in ("ftp://x", "http://", "nonsense", "http://x:99999"):
            self.assertEqual(3, self.run_("--url", url, "status")[0], url)

    def test_check(self) -> None:
        """
        A file can be checked nevertheless.
        """
        path = Path(self.mktemp())
        path.write_text("listen: {main: 'socks:tcp:1080:interface=127.0.0.1'}\n")
        nowhere = f"unix:{os.path.abspath(self.mktemp())}"
        self.patch(os, "environ", {**os.environ, "UGATE_URL": nowhere})
        status, said = self.run_("check", str(path))
        self.assertEqual(0, status, said)
        self.assertIn("socks:tcp:1080", said)
        path.write_text("bad: 1\n")
        status, said = self.run_("check", str(path))
        self.assertEqual(1, status)
        self.assertIn(f"{path}:1:1: unknown key 'bad'", said)

    def test_usage(self) -> None:
        """
        A command line that is wrong has status 2.
        """
        for arguments in (
            (),
            ("nothing",),
            ("kill",),
            ("status", "--colour"),
            ("completion", "fish"),
            ("kill", "x"),
        ):
            self.assertEqual(2, self.run_(*arguments)[0], arguments)
