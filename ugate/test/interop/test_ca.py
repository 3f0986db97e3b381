# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A CA of ours, with nodes that enrol with it, and with OpenSSL and OpenSSH, which use what it certifies.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from functools import partial
from pathlib import Path

from cryptography.x509 import load_pem_x509_crl

from ugate.tenancy.identityfiles import readKey
from ugate.tenancy.keyids import keyidOf
from ugate.test.interop.processes import (
    DEADLINE,
    HOST,
    LOOPBACK,
    Gateway,
    InteropTestCase,
    freePort,
    program,
    waitUntil,
)
from ugate.test.interop.targets import StreamServer, echo, readExactly


class AuthorityTestCase(InteropTestCase):
    """
    What these have in common: a CA in a folder, and C{ucli}.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.directory / "ca"
        about = self.ucli("init", str(self.folder), "--domain", "corp", "--json")
        self.about = json.loads(about)

    def ucli(self, *arguments: str, data: bytes = b"", fails: bool = False) -> str:
        """
        Run C{ucli ca}.
        """
        done = self.finish(
            [sys.executable, "-m", "ugate.cli.main", "ca", *arguments], data, {"UGATE_CA": str(self.folder)}
        )
        self.assertEqual(fails, done.returncode != 0, done.stderr)
        return (done.stderr if fails else done.stdout).decode()

    def openssl(self, *arguments: str | Path) -> str:
        """
        Run it.
        """
        return self.run_(program("openssl"), *arguments)

    def run_(self, *command: str | Path) -> str:
        """
        Run something, which may fail.
        """
        done = self.finish(list(command))
        return (done.stdout + done.stderr).decode()

    def pair(self, name: str) -> Path:
        """
        A key of SSH.
        """
        path = self.directory / name
        self.finish([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path])
        return path


class OpenSSLTests(AuthorityTestCase):
    """
    OpenSSL asks, and reads what it is given.
    """

    def test_certificates(self) -> None:
        """
        A request of OpenSSL is certified; OpenSSL believes it until it is revoked.
        """
        key, csr, certificate = (self.directory / each for each in ("a.key", "a.csr", "a.pem"))
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a")
        names = "subjectAltName=DNS:a.corp,URI:spiffe://corp/ns/default/sa/a"
        self.openssl("req", "-new", *curve, "-keyout", key, "-out", csr, "-addext", names)
        self.ucli("sign", str(csr), "--out", str(certificate))
        root, crl = self.folder / "root.pem", self.folder / "crl.pem"
        self.assertIn(": OK", self.openssl("verify", "-purpose", "sslserver", "-CAfile", root, certificate))
        shown = self.openssl("x509", "-in", certificate, "-noout", "-ext", "subjectAltName")
        self.assertIn("DNS:a.corp, URI:spiffe://corp/ns/default/sa/a", shown)
        serial = self.openssl("x509", "-in", certificate, "-noout", "-serial").strip()
        self.ucli("revoke", serial, "--reason", "lost")
        checked = ("-crl_check", "-CRLfile", crl, "-CAfile", root, certificate)
        self.assertIn("certificate revoked", self.openssl("verify", *checked))
        self.assertIn("verify OK", self.openssl("crl", "-in", crl, "-noout", "-CAfile", root))
        self.assertIn(serial.removeprefix("serial="), self.openssl("crl", "-in", crl, "-noout", "-text"))


class OpenSSHTests(AuthorityTestCase):
    """
    OpenSSH uses its certificates.
    """

    def setUp(self) -> None:
        super().setUp()
        self.sshd = program("sshd", "openssh-server")
        self.client = program("ssh", "openssh-client")
        self.user = getpass.getuser()

    def certify(self, path: Path, *arguments: str) -> Path:
        """
        Have a key certified.
        """
        made = path.with_name(f"{path.name}-cert.pub")
        self.ucli("sign", f"{path}.pub", *arguments, "--out", str(made))
        return made

    def served(self) -> int:
        """
        An sshd with a certified key, that lets those in whom the CA certifies.
        """
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        host = self.pair("host")
        certificate = self.certify(host, "--ssh-host", "--principal", "gate.corp")
        for name in ("ssh-user.pub", "krl"):
            # sshd reads these as another user once it knows who comes.
            self.write(name, "").write_bytes((self.folder / name).read_bytes())
        port = freePort()
        config = self.write(
            "sshd_config",
            f"Port {port}\nListenAddress {HOST}\nHostKey {host}\nHostCertificate {certificate}\n"
            f"TrustedUserCAKeys {self.directory}/ssh-user.pub\nRevokedKeys {self.directory}/krl\n"
            f"AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"UsePAM no\nStrictModes no\nPidFile none\nPermitRootLogin yes\nLogLevel VERBOSE\n",
        )
        self.server = self.serve([self.sshd, "-D", "-e", "-f", config], port)
        return port

    def login(self, port: int, key: Path, *more: str) -> str:
        """
        Log in, and say hello there.
        """
        known = self.write("known", f"@cert-authority *.corp {(self.folder / 'ssh-host.pub').read_text()}")
        options = [
            *("-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", "-i", str(key)),
            *(
                "-o",
                "GlobalKnownHostsFile=none",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "IdentitiesOnly=yes",
            ),
            *("-o", f"HostKeyAlias={more[0] if more else 'gate.corp'}", "-p", str(port)),
        ]
        return self.run_(self.client, *options, f"{self.user}@{HOST}", "echo", "hello")

    def test_login(self) -> None:
        """
        A user with a certificate gets in, to a host with one; a revoked one does not, nor one for another
        name, and a host has to be that of its certificate.
        """
        self.certify(self.pair("first"), "--ssh-user", "--principal", self.user)
        first, second, other = self.directory / "first", self.pair("second"), self.pair("other")
        self.certify(second, "--ssh-user", "--principal", self.user)
        self.certify(other, "--ssh-user", "--principal", "somebody")
        self.ucli("revoke", f"{second}-cert.pub")
        port = self.served()
        said = self.login(port, first)
        self.assertIn("hello", said, self.server.said())
        self.assertIn("denied", self.login(port, second))
        self.server.waitFor("revoked by file")
        self.assertIn("denied", self.login(port, other))
        self.assertIn("verification failed", self.login(port, first, "other.corp").lower())

    def test_lists(self) -> None:
        """
        C{ssh-keygen} reads certificates and what is revoked: by number, and by key id.
        """
        keygen = program("ssh-keygen")
        titled = self.certify(
            self.pair("titled"), "--ssh-user", "--principal", "a", "--principal", "b", "--title", "of carol"
        )
        plain = self.certify(self.pair("plain"), "--ssh-user", "--principal", "a", "--life", "1h")
        host = self.certify(self.pair("gate"), "--ssh-host", "--principal", "gate.corp")
        shown = self.run_(keygen, "-L", "-f", titled)
        for text in ("user certificate", 'Key ID: "of carol"', "permit-port-forwarding", " b\n"):
            self.assertIn(text, shown)
        self.assertIn("host certificate", self.run_(keygen, "-L", "-f", host))
        self.ucli("revoke", "of carol")
        self.ucli("revoke", str(host))
        for path, state in ((titled, "REVOKED"), (plain, ": ok"), (host, "REVOKED")):
            self.assertIn(state, self.run_(keygen, "-Q", "-f", self.folder / "krl", path))


class EnrolmentTests(AuthorityTestCase):
    """
    Nodes that a node with a CA certifies.
    """

    def setUp(self) -> None:
        super().setUp()
        self.port = freePort()

    def authority(self, life: float = 86400.0, anonymous: str = "yes") -> Gateway:
        """
        The node with the CA, whose own key certifies itself.
        """
        rule = f"{{who: 'enrolment:*', accounts: '{{name}}', names: '*.corp', life: {life:g}}}"
        config = (
            'listen: {main: "auto:tcp:0:interface=127.0.0.1"}\n'
            f"http: {{main: {{serve: modules, endpoint: "
            f"'mtls:tcp:{self.port}:{LOOPBACK}:anonymous={anonymous}'}}}}\n"
            f"ca: {{main: {{dir: {self.folder}, life: {life:g}, rules: [{rule}]}}}}\n"
            f"node: {{state: {self.directory}/authority}}\n"
        )
        return self.ugate(config=config)

    def keyidOf(self, name: str) -> str:
        """
        The KEYID of a node.
        """
        return keyidOf(readKey(str(self.directory / name / "key.pem")).public_key())

    def node(self, name: str, listen: str, *, more: str = "") -> Gateway:
        """
        A node that enrols.
        """
        token = self.write(f"{name}.token", self.ucli("token", name))
        url, pin = f"https://{HOST}:{self.port}/ca", self.keyidOf("authority")
        config = (
            f"listen: {{main: {listen}}}\n"
            f"identity: {{ca: '{url}', token: {token}, caPin: '{pin}', "
            f"domain: corp, account: {name}}}\n"
            f"node: {{state: {self.directory}/{name}}}\n{more}"
        )
        return self.ugate(config=config)

    def two(self, life: float) -> tuple[Gateway, Gateway, Gateway]:
        """
        The CA, a gate and what is beside the programs, which have been certified.
        """
        target = StreamServer(self, echo)
        authority = self.authority(life)
        rules = "policy: {rules: [{who: 'certificate:spiffe://corp/ns/default/sa/side', action: allow}]}\n"
        gate = self.node(
            "gate", f'{{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{target.port}"}}', more=rules
        )
        gate.waitFor("root is certified by")
        side = self.node(
            "side",
            f'"socks:tcp:0:{LOOPBACK}"',
            more=f"routes: [{{match: '*', via: 'mtls:{HOST}:{gate.port}:name=spiffe\\://corp/ns/default/sa/gate'}}]\n",
        )
        side.waitFor("root is certified by")
        return authority, gate, side

    def through(self, side: Gateway) -> socket.socket:
        """
        A stream through both.
        """
        connection = socket.create_connection((HOST, side.port), DEADLINE)
        self.addCleanup(connection.close)
        connection.settimeout(DEADLINE)
        connection.sendall(b"\x05\x01\x00")
        self.assertEqual(connection.recv(2), b"\x05\x00")
        connection.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50")
        self.answer = connection.recv(10)
        return connection

    def test_mutual(self) -> None:
        """
        Two nodes that were certified believe each other, and no token is in a log.
        """
        authority, _, side = self.two(86400.0)
        self.echoed(self.through(side), b"hello")
        self.assertIn("ca: enrolment:side got tls", authority.said())
        for name in ("side", "gate"):
            self.assertNotIn((self.directory / f"{name}.token").read_text().strip(), authority.said())

    def test_own(self) -> None:
        """
        The node with the CA has itself certified, on this machine, and others know it by its root, or by the
        fingerprint of that; one that pins another CA tells nobody its token.
        """
        here = freePort()
        config = (
            'listen: {main: "auto:tcp:0:interface=127.0.0.1"}\n'
            f"http: {{main: {{serve: modules, hosts: localhost, endpoint: "
            f"'mtls:tcp:{self.port}:{LOOPBACK}:anonymous=yes'}}, "
            f"here: {{serve: modules, endpoint: 'tcp:{here}:{LOOPBACK}'}}}}\n"
            f"ca: {{main: {{dir: {self.folder}, rules: ["
            "{who: 'local:operator', names: localhost}, {who: 'enrolment:*', accounts: '{name}'},"
            "{who: 'certificate:spiffe://corp/ns/default/sa/one', kinds: ssh-user, principals: git}]}}\n"
            f"identity: {{ca: 'http://{HOST}:{here}/ca', pod: localhost, domain: corp}}\n"
            f"node: {{state: {self.directory}/authority}}\n"
        )
        self.ugate(config=config).waitFor("root is certified by")
        tokens = {name: self.ucli("token", name) for name in ("one", "two", "three")}
        root = self.folder / "root.pem"
        other = "sha256:" + "0" * 64
        for name, known, text in (
            ("one", f"caRoots: {root}", "root is certified by"),
            ("two", f"caPin: '{self.about['caPin']}'", "root is certified by"),
            ("three", f"caPin: '{other}'", "it is not the CA of identity.caPin"),
        ):
            path = self.write(f"{name}.token", tokens[name])
            config = (
                f"listen: {{main: 'auto:tcp:0:{LOOPBACK}'}}\nnode: {{state: {self.directory}/{name}}}\n"
                f"identity: {{ca: 'https://localhost:{self.port}/ca', token: {path}, {known}, "
                f"domain: corp, account: {name}}}\n"
            )
            self.ugate(config=config).waitFor(text)
        listed = {each["who"] for each in json.loads(self.ucli("list", "--json"))}
        self.assertEqual({"local:operator", "enrolment:one", "enrolment:two"}, listed)
        # With its certificate the one may ask for another kind.
        key = self.pair("git").with_suffix(".pub").read_text()
        body = json.dumps({"key": key, "kind": "ssh-user", "principals": ["git"]})
        state = self.directory / "one"
        command = [program("curl"), "-sS", "--cacert", str(root), "--json", body]
        url = f"https://localhost:{self.port}/ca/ssh"
        keys = ["--cert", f"{state}/ca-cert.pem", "--key", f"{state}/key.pem"]
        self.assertEqual(403, json.loads(self.finish([*command, url]).stdout)["status"])
        given = json.loads(self.finish([*command, *keys, url]).stdout)
        self.assertIn("-cert-v01@openssh.com", given["certificate"])

    def test_renewal(self) -> None:
        """
        Certificates of a few seconds are renewed under a stream, which goes on; one that is revoked is not,
        and its peer says why.  That the CA is away is told, and the rest goes on.
        """
        authority, gate, side = self.two(6.0)
        stream = self.through(side)
        self.echoed(stream, b"hello")
        for each in (gate, side):
            waitUntil(partial(self.isOften, each, "root is certified by"), "renewals", 60)
        self.echoed(stream, b"still here")
        self.echoed(self.through(side), b"and again")
        self.ucli("revoke", self.keyidOf("side"))
        side.waitFor("was revoked")
        # The log may tell of a list from before.
        waitUntil(partial(self.isListed, self.directory / "gate" / "ca-crl.pem"), "the new list", 60)
        # With TLS 1.3 a client is through before its certificate is looked at.
        refused = self.through(side)
        if self.answer[1] == 0:
            self.assertFalse(self.isUp(refused))
        gate.waitFor("it is revoked")
        self.echoed(stream, b"not cut")
        authority.end()
        gate.waitFor("has not done what it was asked", 30)
        self.echoed(stream, b"without a CA")

    def isListed(self, path: Path) -> bool:
        """
        Whether a list of revocations has any.
        """
        return len(load_pem_x509_crl(path.read_bytes())) > 0

    def isOften(self, gateway: Gateway, text: str) -> bool:
        """
        Whether its log has something several times.
        """
        return gateway.said().count(text) >= 4

    def isUp(self, stream: socket.socket) -> bool:
        """
        Whether anything comes back.
        """
        try:
            stream.sendall(b"hello")
            return bool(stream.recv(1))
        except ConnectionError:
            return False

    def echoed(self, stream: socket.socket, data: bytes) -> None:
        """
        What is sent comes back.
        """
        self.assertEqual(0, self.answer[1])
        stream.sendall(data)
        self.assertEqual(data, readExactly(stream, len(data)))
