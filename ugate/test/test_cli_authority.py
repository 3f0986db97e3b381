# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.cli.authority}: C{ucli ca}, by the folder of a CA.
"""

from __future__ import annotations

import io
import sys
from argparse import ArgumentTypeError
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509

from twisted.trial.unittest import SynchronousTestCase

from ugate.cli.authorityarguments import DIR, seconds
from ugate.cli.main import main
from ugate.tenancy.ca.authority import Authority
from ugate.test.cafakes import csrOf, sshOf
from ugate.test.identityfakes import p256


class CommandTests(SynchronousTestCase):
    """
    All of its commands.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.folder = self.directory / "ca"
        self.about = self.json("init", str(self.folder), "--domain", "Corp", "--name", "our CA")

    def ucli(self, *arguments: str, status: int = 0) -> str:
        """
        Run a command.
        """
        out, errors = io.StringIO(), io.StringIO()
        if arguments[0] != "init":
            arguments = (*arguments, "--dir", str(self.folder))
        with redirect_stdout(out), redirect_stderr(errors):
            try:
                got: object = main(["ca", *arguments])
            except SystemExit as end:
                got = end.code
        self.errors = errors.getvalue()
        self.assertEqual(status, got, self.errors)
        return out.getvalue() if status == 0 else self.errors

    def json(self, *arguments: str) -> Any:
        """
        The same for programs.
        """
        return msgspec.json.decode(self.ucli(*arguments, "--json"))

    def write(self, name: str, data: bytes) -> str:
        """
        Make a file.
        """
        path = self.directory / name
        path.write_bytes(data)
        return str(path)

    def test_init(self) -> None:
        """
        It says what others have to know, and is never made twice.
        """
        self.assertEqual(("CN=our CA", "corp"), (self.about["name"], self.about["domain"]))
        self.assertEqual(self.about, self.json("show"))
        self.assertIn(self.about["caPin"], self.ucli("show"))
        for name in ("crl.pem", "krl"):
            self.assertTrue((self.folder / name).stat().st_size, name)
        self.assertIn("wanted an empty folder", self.ucli("init", str(self.folder), status=1))
        new = str(self.directory / "new")
        self.assertIn("--name", self.ucli("init", new, "--name", "", status=2))
        self.assertIn("--domain", self.ucli("init", new, "--domain", "a b", status=2))

    def test_nowhere(self) -> None:
        """
        Which CA, has to be said, there or by a variable.
        """
        from os import environ

        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        before = environ.pop(DIR, None)
        self.addCleanup(
            environ.__setitem__ if before else lambda *_: environ.pop(DIR, None), DIR, before or ""
        )
        self.assertEqual(2, main(["ca", "list"]))
        self.assertIn(f"${DIR}", errors.getvalue())
        environ[DIR] = str(self.folder)
        with redirect_stdout(io.StringIO()):
            self.assertEqual(0, main(["ca", "list"]))

    def test_tls(self) -> None:
        """
        A request is certified with its names or others, and listed, and revoked by number or file.
        """
        csr = self.write("csr.pem", csrOf(p256(), ["a.corp"]))
        first = x509.load_pem_x509_certificate(self.ucli("sign", csr).encode())
        self.assertIn("tls ", self.errors)
        out = self.directory / "b.pem"
        self.assertEqual("", self.ucli("sign", csr, "--name", "b.corp", "--life", "1h", "--out", str(out)))
        listed = {each["serial"]: each for each in self.json("list")}
        self.assertEqual({"a.corp", "b.corp"}, {each["names"][0] for each in listed.values()})
        second = x509.load_pem_x509_certificate(out.read_bytes())
        shorter = listed[f"{second.serial_number:X}"]
        self.assertEqual(3600, shorter["life"])
        self.assertIn(f"{first.serial_number:X}", self.ucli("revoke", f"{first.serial_number:x}"))
        revoked = self.json("revoke", str(out), "--reason", "lost")
        self.assertEqual(
            ([shorter["serial"]], "lost"), ([each["serial"] for each in revoked], revoked[0]["reason"])
        )
        self.assertRegex(
            self.ucli("list"), r"KIND +SERIAL +WHO +NAMES +ENDS +REVOKED\ntls .*admin .*corp .* 20\d\d-"
        )
        self.assertIn("nothing was certified", self.ucli("revoke", "12", status=1))

    def test_ssh(self) -> None:
        """
        Keys of SSH, of users and hosts.
        """
        key = self.write("a.pub", sshOf(p256()).encode())
        user = self.ucli("sign", key, "--ssh-user", "--principal", "a", "--principal", "b", "--title", "of a")
        self.assertIn("-cert-v01@openssh.com ", user)
        self.assertIn("for a, b until", self.errors)
        host = self.json("sign", key, "--ssh-host", "--principal", "a.corp")
        self.assertEqual(("ssh-host", ["a.corp"]), (host["kind"], host["names"]))
        self.assertIn("give one of", self.ucli("sign", key, "--ssh-host", "--ssh-user", status=2))
        self.assertIn("no principals", self.ucli("sign", key, "--ssh-host", status=1))
        self.assertIn("no request", self.ucli("sign", key, status=1))
        self.assertEqual(1, len(self.json("revoke", self.write("a-cert.pub", user.encode()))))
        self.assertIn("cannot be read", self.ucli("sign", str(self.directory / "not"), status=1))

    def test_token(self) -> None:
        """
        Tokens, and that they are good no more.
        """
        token = self.ucli("token", "node-1").strip()
        authority = Authority(str(self.folder))
        self.addCleanup(authority.close)
        self.assertEqual("node-1", authority._holder(token).name)
        many = self.json("token", "node-1", "--uses", "0", "--life", "7d")["token"]
        self.assertEqual("node-1", authority._holder(many).name)
        self.assertIn("2 tokens of node-1", self.ucli("token", "node-1", "--withdraw"))
        self.assertIn("wanted a life", self.ucli("token", "a", "--uses", "-1", status=1))

    def test_times(self) -> None:
        """
        Times as people write them.
        """
        for text, wanted in (("90", 90), ("90s", 90), ("1.5m", 90), ("24h", 86400), ("7d", 7 * 86400)):
            self.assertEqual(wanted, seconds(text))
        for text in ("", "0", "-1h", "x", "1y", "nan", "h"):
            self.assertRaises(ArgumentTypeError, seconds, text)
