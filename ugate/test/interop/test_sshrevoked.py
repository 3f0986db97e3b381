# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What C{ssh-keygen} writes of keys and certificates that are good no more, and that C{ssh:} lets nobody in by.
"""

from __future__ import annotations

from pathlib import Path

from ugate.test.interop.sshpeers import SSHTestCase


class RevokedTests(SSHTestCase):
    """
    Bob has a key and a certificate, and both let him in until a list says otherwise.
    """

    def setUp(self) -> None:
        super().setUp()
        self.plain, self.certified, self.authority = map(self.key, ("plain", "certified", "ca"))
        sign = [self.keygen, "-q", "-s", str(self.authority), "-I", "bob at work", "-n", "bob", "-z", "7"]
        done = self.finish([*sign, f"{self.certified}.pub"])
        self.assertEqual(0, done.returncode, done.stderr)
        lines = f"{self.public(self.plain)}cert-authority {self.public(self.authority)}"
        self.revoked = self.write("revoked", "")
        policy = f"keys: {self.write('keys', lines)}, revoked: {self.revoked}, rules: [{{action: allow}}]"
        self.gateway = self.gate(f"policy: {{{policy}}}\n")

    def public(self, key: Path) -> str:
        """
        The public half of a key, as a line.
        """
        return key.with_suffix(".pub").read_text()

    def list(self, *lines: str) -> None:
        """
        Write a KRL.
        """
        written = self.write("lines", "".join(lines))
        command = [
            self.keygen,
            "-q",
            "-k",
            "-f",
            str(self.revoked),
            "-s",
            f"{self.authority}.pub",
            str(written),
        ]
        done = self.finish(command)
        self.assertEqual(0, done.returncode, done.stderr)

    def assertGood(self, *good: Path) -> None:
        """
        These let in, and of the others the log says why they do not.
        """
        why = {
            self.plain: "'bob' is not let in: the key of plain is revoked",
            self.certified: "'bob' is not let in: the certificate 'bob at work': it is revoked",
        }
        for key in (self.plain, self.certified):
            before = self.gateway.said().count(why[key])
            done = self.asks(self.gateway.port, key=key)
            self.assertEqual(0 if key in good else 255, done.returncode, key)
            self.assertEqual(key not in good, self.gateway.said().count(why[key]) > before, key)

    def test_lists(self) -> None:
        """
        By a key, its hash, the id of a certificate, its serial, its CA, and by a list of public keys: the one
        that is meant does not let in, and the other does.
        """
        self.assertGood(self.plain, self.certified)
        hashed = self.finish([self.keygen, "-l", "-f", f"{self.plain}.pub"]).stdout.decode().split()[1]
        for line in (self.public(self.plain), f"sha256: {self.public(self.plain)}", f"hash: {hashed}\n"):
            self.list(line)
            self.assertGood(self.certified)
        certified = (
            f"sha1: {self.public(self.certified)}",
            "id: bob at work\n",
            "serial: 7\n",
            "serial: 5-70\n",
        )
        for line in (*certified, self.public(self.authority)):
            self.list(line)
            self.assertGood(self.plain)
        self.revoked.write_text(self.public(self.plain))
        self.assertGood(self.certified)
        self.revoked.write_text("")
        self.assertGood(self.plain, self.certified)
