# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Identity and trust beside OpenSSL and OpenSSH: what they make is read, and what we make they read.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from ugate.errors import Refused
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.config.identityschema import Trust as TrustSection
from ugate.tenancy.identityfiles import Files, Keypair
from ugate.tenancy.trust import Trust
from ugate.test.interop.processes import HOST, InteropTestCase, freePort, program

AUTHORITY = """\
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
certificate = {folder}/ca.crt
private_key = {folder}/ca.key
serial = {folder}/serial
default_md = sha256
default_days = 2
default_crl_days = 2
policy = any
copy_extensions = copy
[any]
commonName = optional
"""

WEB = "spiffe://td.example/ns/prod/sa/web"


class OpenSSLTests(InteropTestCase):
    """
    A CA of OpenSSL.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.directory / "ca"
        self.folder.mkdir()
        (self.folder / "index").touch()
        (self.folder / "serial").write_text("1000\n")
        self.config = self.write("ca.cnf", AUTHORITY.format(folder=self.folder))
        self.request("ca", "/CN=root", "-x509", "-days", "2")

    def openssl(self, *arguments: str | Path) -> str:
        """
        Run it.
        """
        return self.finish(["openssl", *arguments]).stdout.decode()

    def request(self, name: str, subject: str, *more: str) -> None:
        """
        Make a key, and a request for a certificate, or that itself.
        """
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject)
        key, made = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        self.openssl("req", *curve, "-keyout", key, "-out", made, *more)
        key.chmod(0o600)

    def peer(self, name: str, alternative: str) -> Keypair:
        """
        Somebody whom it certifies, as Kubernetes mounts that.
        """
        self.request(name, f"/CN={name}", "-addext", f"subjectAltName={alternative}")
        folder = self.directory / name
        folder.mkdir()
        asked, made = self.folder / f"{name}.crt", folder / "tls.crt"
        self.openssl("ca", "-batch", "-config", self.config, "-notext", "-in", asked, "-out", made)
        (self.folder / f"{name}.key").rename(folder / "tls.key")
        (folder / "ca.crt").write_bytes((self.folder / "ca.crt").read_bytes())
        return Files(Section(dir=str(folder))).load()

    def test_authority(self) -> None:
        """
        Whom it certifies is believed, and whom its CRL revokes is not; a serial number as OpenSSL prints it
        does the same.
        """
        web, other = self.peer("web", f"URI:{WEB},DNS:web.example"), self.peer("other", "DNS:other.example")
        roots = str(self.folder / "ca.crt")
        trust = Trust(TrustSection(roots=roots, domain="td.example", namespaces=("prod",)))
        self.assertEqual(web.roots[0].subject.rfc4514_string(), "CN=root")
        self.assertEqual(WEB, trust.check(web.chain, None).name)
        self.assertEqual(WEB, trust.check(web.chain, "web.example").name)
        error = self.assertRaises(Refused, trust.check, other.chain, None)
        self.assertIn("no trust domain", str(error))
        crl = self.folder / "crl.pem"
        self.openssl("ca", "-config", self.config, "-gencrl", "-out", crl)
        trust = Trust(TrustSection(roots=roots, revoked=str(crl)))
        self.assertEqual(WEB, trust.check(web.chain, None).name)
        self.openssl("ca", "-config", self.config, "-revoke", self.directory / "web" / "tls.crt")
        self.openssl("ca", "-config", self.config, "-gencrl", "-out", crl)
        self.assertIn("revoked", str(self.assertRaises(Refused, trust.check, web.chain, None)))
        self.assertTrue(trust.check(other.chain, "other.example").name)
        serial = self.openssl("x509", "-noout", "-serial", "-in", self.directory / "other" / "tls.crt")
        listed = self.write("revoked", serial)
        trust = Trust(TrustSection(roots=roots, revoked=str(listed)))
        self.assertIn("revoked", str(self.assertRaises(Refused, trust.check, other.chain, None)))
        self.assertEqual(WEB, trust.check(web.chain, None).name)

    def test_own(self) -> None:
        """
        C{ucli identity} shows a key as OpenSSL and OpenSSH do, and it is the same after a restart.
        """
        keygen = program("ssh-keygen", "openssh-client")
        port = freePort()
        state = self.directory / "state"
        config = (
            'listen: {main: "auto:tcp:0:interface=127.0.0.1"}\n'
            f'http: {{main: {{endpoint: "tcp:{port}:interface={HOST}"}}}}\n'
        )
        shown = []
        for _ in range(2):
            gate = self.ugate("--state", str(state), config=config)
            ucli = [str(Path(sys.executable).with_name("ucli")), "--url", f"http://{HOST}:{port}"]
            shown.append(json.loads(self.finish([*ucli, "--json", "identity"]).stdout))
            people = self.finish([*ucli, "identity"]).stdout.decode()
            gate.end()
        first, second = shown
        self.assertEqual(first, second)
        for each in (first["keyid"], first["vip6"], first["ssh"], first["certificate"], *first["names"]):
            self.assertIn(each, people)
        self.assertLess(first["begins"], time.time())
        certificate, key = state / "cert.pem", state / "key.pem"
        printed = self.openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", certificate)
        self.assertEqual(first["certificate"], printed.strip().rpartition("=")[2].replace(":", "").lower())
        text = self.openssl("x509", "-noout", "-ext", "subjectAltName", "-in", certificate)
        for name in first["names"]:
            self.assertIn(name, text)
        self.openssl("verify", "-CAfile", certificate, certificate)
        public = self.write("key.pub", self.finish([keygen, "-y", "-f", key]).stdout.decode())
        self.assertIn(first["ssh"], self.finish([keygen, "-lf", public]).stdout.decode())
        self.assertEqual([0o700, 0o600], [path.stat().st_mode & 0o777 for path in (state, key)])
