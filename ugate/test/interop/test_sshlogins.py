# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who logs in to C{ssh:} with the client of OpenSSH: keys, passwords and certificates.
"""

from __future__ import annotations

import threading
from base64 import b64decode
from pathlib import Path

from ugate.test.fidofakes import TOUCHED, Agent, Token
from ugate.test.interop.processes import HOST, freePort, program
from ugate.test.interop.sshpeers import KINDS, SSHTestCase, without
from ugate.test.interop.targets import StreamServer, echo


class KeyTests(SSHTestCase):
    """
    Those who have to log in.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server = StreamServer(self, echo)

    def policy_(self, keys: str, rules: str = "[{action: allow, who: 'key:bob'}]") -> str:
        """
        The section, with a file of keys.
        """
        return f"policy: {{keys: {self.write('keys', keys)}, rules: {rules}}}\n"

    def test_keys(self) -> None:
        """
        Keys of each type let in, by who is in the file; nobody else does.
        """
        keys = {kind: self.key(f"k{kind}", kind) for kind in KINDS}
        stranger = self.key("stranger")
        lines = [(self.directory / f"k{kind}.pub").read_text().replace(f"k{kind}", "bob") for kind in KINDS]
        gateway = self.gate(self.policy_("".join(lines)))
        for key in keys.values():
            done = self.asks(gateway.port, key=key)
            self.assertEqual((0, b""), (done.returncode, done.stderr))
            self.assertIn(b"You are bob (key)", done.stdout)
            done = self.asks(gateway.port, "-W", f"{HOST}:{self.server.port}", key=key)
            self.assertEqual(0, done.returncode)
        for nobody in (stranger, None):
            done = self.asks(gateway.port, key=nobody)
            self.assertEqual(255, done.returncode)
            self.assertIn(b"Permission denied (publickey,password)", done.stderr)

    def test_fido(self) -> None:
        """
        Keys in FIDO tokens let in, and certificates of these, if they were touched; here an agent has them.
        """
        ed, curve = Token(), Token(True)
        authority = self.key("ca")
        public = self.write("token.pub", f"{ed.line} a token\n")
        done = self.finish([self.keygen, "-q", "-s", authority, "-I", "bob", "-n", "bob", public])
        self.assertEqual(0, done.returncode, done.stderr)
        certificate = b64decode((self.directory / "token-cert.pub").read_text().split()[1])
        lines = f"{curve.line} bob\ncert-authority {authority.with_suffix('.pub').read_text()}"
        gateway = self.gate(self.policy_(lines))
        for token, shown, method in ((curve, curve.blob, "key"), (ed, certificate, "certificate")):
            path = str(self.directory / method)
            with Agent(path, {shown: token}) as agent:
                threading.Thread(target=agent.serve_forever, daemon=True).start()
                for token.flags, status in ((TOUCHED, 0), (0, 255)):
                    options = without(self.options(gateway.port), "PubkeyAuthentication=no")
                    options = without(options, "IdentitiesOnly=yes")
                    done = self.finish(
                        [self.ssh, *options, "-o", f"IdentityAgent={path}", f"bob@{HOST}"],
                    )
                    self.assertEqual(status, done.returncode, done.stderr)
                    if not status:
                        self.assertIn(f"You are bob ({method})".encode(), done.stdout)
                agent.shutdown()
        gateway.waitFor("the token of bob was not touched")

    def test_options(self) -> None:
        """
        What stands in front of a key holds: where it may go, and until when.
        """
        key, old = self.key("bob"), self.key("old")
        public, other = (each.with_suffix(".pub").read_text() for each in (key, old))
        gateway = self.gate(
            self.policy_(f'permitopen="{HOST}:{self.server.port}" {public}expiry-time="20200101" {other}')
        )
        self.assertEqual(0, self.asks(gateway.port, "-W", f"{HOST}:{self.server.port}", key=key).returncode)
        self.assertNotEqual(0, self.asks(gateway.port, "-W", f"{HOST}:{freePort()}", key=key).returncode)
        gateway.waitFor("the key is not good for it")
        self.assertEqual(255, self.asks(gateway.port, key=old).returncode)

    def test_policy(self) -> None:
        """
        The rules hold, as for every other stream.
        """
        key = self.key("bob")
        rules = f"[{{action: allow, who: 'key:bob', target: '{HOST}:1'}}]"
        gateway = self.gate(self.policy_(key.with_suffix(".pub").read_text(), rules))
        done = self.finish(
            [
                self.ssh,
                *without(self.options(gateway.port, key), "LogLevel=ERROR"),
                *("-W", f"{HOST}:{self.server.port}", HOST),
            ]
        )
        self.assertIn(b"administratively prohibited: denied by policy", done.stderr)
        done = self.asks(gateway.port, key=key, command=f"explain {HOST}:{self.server.port}")
        self.assertEqual(1, done.returncode)

    def test_password(self) -> None:
        """
        A password lets in, and a wrong one does not.
        """
        from ugate.tenancy.passwordhashes import PasswordHash

        users = self.write("users", f"bob:{PasswordHash.ofPassword(b'secret', 10)}\n")
        gateway = self.gate(f"policy: {{users: {users}, rules: [{{action: allow}}]}}\n")
        for word, status in (("secret", 0), ("wrong", 255)):
            asking = self.write("ask", f"#!/bin/sh\necho {word}\n", 0o700)
            command = [self.ssh, *without(self.options(gateway.port), "BatchMode=yes")]
            done = self.finish(
                [*command, "-o", "NumberOfPasswordPrompts=1", f"bob@{HOST}"],
                env={"SSH_ASKPASS": str(asking), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"},
            )
            self.assertEqual(status, done.returncode, done.stderr)
        gateway.waitFor("'bob' is not let in by a password")


class CertificateTests(SSHTestCase):
    """
    Users and hosts that a CA certifies.
    """

    def setUp(self) -> None:
        super().setUp()
        self.authority = self.key("ca")
        self.bob = self.key("bob")
        public = self.authority.with_suffix(".pub").read_text()
        keys = self.write("keys", f"cert-authority {public}")
        self.revoked = self.write("revoked", "")
        self.gateway = self.gate(
            f"policy: {{keys: {keys}, revoked: {self.revoked}, "
            "rules: [{action: allow, who: 'certificate:bob'}]}\n"
        )

    def certify(self, *options: str, authority: Path | None = None) -> None:
        """
        Certify bob's key.
        """
        command = [self.keygen, "-q", "-s", str(authority or self.authority), "-I", "bob at work", *options]
        done = self.finish([*command, str(self.bob.with_suffix(".pub"))])
        self.assertEqual(0, done.returncode, done.stderr)

    def assertRefused(self, text: str) -> None:
        """
        There is no way in, and the log says why.
        """
        self.assertEqual(255, self.asks(self.gateway.port, key=self.bob).returncode)
        self.gateway.waitFor(f"'bob' is not let in: the certificate 'bob at work': {text}")

    def test_good(self) -> None:
        """
        A certificate lets in, as whom it is for, and streams go where the rules say.
        """
        server = StreamServer(self, echo)
        self.certify("-n", "bob", "-V", "-1m:+5m", "-O", "source-address=127.0.0.0/8")
        self.assertIn(b"You are bob (certificate)", self.asks(self.gateway.port, key=self.bob).stdout)
        done = self.asks(self.gateway.port, "-W", f"{HOST}:{server.port}", key=self.bob)
        self.assertEqual(0, done.returncode)
        self.certify("-n", "bob", "-O", "no-port-forwarding")
        done = self.asks(self.gateway.port, "-W", f"{HOST}:{server.port}", key=self.bob)
        self.assertNotEqual(0, done.returncode)

    def test_refused(self) -> None:
        """
        Another name, another time, another CA, a demand that nobody knows: none lets in.
        """
        self.certify("-n", "alice")
        self.assertRefused("it is for alice, and not for bob")
        self.certify("-n", "bob", "-V", "-2d:-1d")
        self.assertRefused("it has ended")
        self.certify("-n", "bob", "-V", "+1d:+2d")
        self.assertRefused("it is not good yet")
        self.certify("-n", "bob", "-O", "force-command=id")
        self.assertRefused("it demands force-command")
        self.certify("-n", "bob", "-O", "source-address=10.0.0.0/8")
        self.assertRefused("it is not good at 127.0.0.1")
        self.certify("-n", "bob", "-h")
        self.certify("-n", "bob", authority=self.key("other"))
        self.assertRefused("it is of no CA that is believed")

    def test_revoked(self) -> None:
        """
        What ssh-keygen writes of what is revoked holds at once.
        """
        self.certify("-n", "bob", "-z", "77")
        self.assertEqual(0, self.asks(self.gateway.port, key=self.bob).returncode)
        serials = self.write("serials", "serial: 70-80\n")
        authority = self.authority.with_suffix(".pub")
        done = self.finish([self.keygen, "-q", "-k", "-f", self.revoked, "-s", authority, serials])
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRefused("it is revoked")

    def test_host(self) -> None:
        """
        The gateway shows its certificate as a host, to whom believes only that.
        """
        scan = program("ssh-keyscan", "openssh-client")
        found = self.finish([scan, "-p", str(self.gateway.port), HOST]).stdout.decode().splitlines()
        line = next(each for each in found if not each.startswith("#"))
        public = self.write("gate.pub", line.split(" ", 1)[1])
        command = [self.keygen, "-q", "-s", str(self.authority), "-I", "gate", "-h", "-n", HOST, str(public)]
        self.assertEqual(0, self.finish(command).returncode)
        self.certify("-n", "bob")
        certificate = self.directory / "gate-cert.pub"
        (self.directory / "id" / "ssh-host-cert.pub").write_bytes(certificate.read_bytes())
        known = self.write("cas", f"@cert-authority * {self.authority.with_suffix('.pub').read_text()}")
        options = ("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes")
        command = [self.ssh, *options, *self.options(self.gateway.port, self.bob), f"bob@{HOST}"]
        done = self.finish(command)
        self.assertEqual(0, done.returncode, done.stderr)
