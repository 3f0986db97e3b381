# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.capages} and L{ugate.modules.ca}: a CA by HTTP.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from twisted.internet.defer import maybeDeferred

from ugate.modules.ca import CaService
from ugate.modules.capages import MAX_BODY
from ugate.modules.tries import MAX_FAILED, PERIOD
from ugate.stream import Principal, StreamInfo
from ugate.tenancy.ca import lists
from ugate.tenancy.ca.folder import makeAuthority
from ugate.tenancy.ca.schema import CaRule, CaSection
from ugate.tenancy.ca.tlscertificates import CRL_LIFE, makeCRL
from ugate.test.adminfakes import HERE, PEER, AdminCase, Answer, Client
from ugate.test.cafakes import NODES, USERS, csrOf, logged, sshOf
from ugate.test.identityfakes import NOW, p256

LOCAL = CaRule(who=("local:*", "certificate:spiffe://corp/*"), names=("local.corp",))


def basic(name: str, password: str = "secret") -> str:
    """
    What logs somebody in.
    """
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


class CaCase(AdminCase):
    """
    A CA of the root, on a port of this machine.
    """

    def setUp(self) -> None:
        super().setUp()
        self.at = NOW
        self.folder = Path(self.mktemp()) / "ca"
        makeAuthority(str(self.folder), "test CA", "corp", NOW)
        self.key = p256()
        self.service = self.running(CaSection(str(self.folder), rules=(NODES, USERS, LOCAL)))
        self.authority: Any = self.service._pages.authority  # type: ignore[union-attr]
        self.lines = logged(self)

    def running(self, section: CaSection) -> CaService:
        """
        The module, with that section.
        """
        made = CaService(self.node.tenants["root"], section, lambda: self.at, maybeDeferred)
        made.startService()
        self.addCleanup(made.stopService)
        self.node.modules["root", "ca", "main"] = made
        return made

    def sign(self, *names: str, site: Any = None, login: str | None = None, **more: Any) -> Answer:
        """
        Ask for a certificate.
        """
        body = {"csr": csrOf(self.key, names).decode(), **more}
        return self.ask("POST", "/ca/sign", body, site=site, Authorization=login)


class ShownTests(CaCase):
    """
    What everybody may see.
    """

    def test_files(self) -> None:
        """
        Roots, keys and lists, from any page, at both places.
        """
        far = self.port(isLocal=False)
        root = self.folder.joinpath("root.pem").read_bytes()
        for place in ("/ca", "/modules/ca/main"):
            got = {
                name: self.ask("GET", f"{place}/{name}", site=far, Origin="http://evil.example")
                for name in ("roots.pem", "crl.pem", "crl.der", "krl", "ssh-user.pub", "ssh-host.pub", "")
            }
            self.assertEqual({200}, {each.status for each in got.values()})
            self.assertEqual(root, got["roots.pem"].body)
            self.assertEqual(
                x509.load_pem_x509_crl(got["crl.pem"].body).public_bytes(Encoding.DER), got["crl.der"].body
            )
            self.assertTrue(got["krl"].body.startswith(b"SSHKRL\n\0"))
            for name in ("ssh-user.pub", "ssh-host.pub"):
                kept = self.folder.joinpath(name).read_bytes()
                self.assertEqual(kept.split()[:2], got[name].body.split()[:2])
            self.assertEqual(("CN=test CA", "corp"), (got[""].json["name"], got[""].json["domain"]))
        self.assertEqual(b"", self.ask("HEAD", "/ca/krl").body)

    def test_nowhere(self) -> None:
        """
        What is not there, and not that way.
        """
        for path in ("x", "keys/root.key", "../root.key", "root.key", "%2e%2e/root.key"):
            self.trouble(404, self.ask("GET", f"/ca/{path}"))
        self.trouble(405, self.ask("POST", "/ca/krl", {}))
        self.trouble(405, self.ask("GET", "/ca/sign"))
        self.trouble(404, self.ask("GET", "/ca/krl", Host="alice.example"))
        self.trouble(421, self.ask("GET", "/ca/krl", Host="ca.example"))
        self.assertEqual(404, self.ask("GET", "/ca/krl", site=self.port(serve=("admin",))).status)
        self.node.modules["root", "ca", "other"] = self.service
        self.trouble(404, self.ask("GET", "/ca/krl"))
        self.assertEqual(200, self.ask("GET", "/modules/ca/other/krl").status)

    def test_made(self) -> None:
        """
        Lists are made once, in all their forms, and again when something was revoked, or they are old.
        """
        made: list[float] = []

        def make(key: Any, root: Any, revoked: Any, now: float, changes: int) -> Any:
            made.append(now)
            return makeCRL(key, root, revoked, now, changes)

        def notRead(data: bytes) -> None:
            raise AssertionError("what we have made ourselves is read again")

        self.patch(lists, "makeCRL", make)
        self.patch(x509, "load_pem_x509_crl", notRead)
        serial = self.sign("local.corp").json["serial"]
        for number, change in enumerate((lambda: None, lambda: self.authority.revoke(serial), self.older)):
            change()
            for _ in range(3):
                for path in ("crl.pem", "crl.der", "krl"):
                    self.assertEqual(200, self.ask("GET", f"/ca/{path}").status)
            self.assertEqual(number, len(made))

    def older(self) -> None:
        """
        Time passes.
        """
        self.at += CRL_LIFE / 4

    def test_offline(self) -> None:
        """
        What another process does with the folder is seen at once.
        """
        from ugate.tenancy.ca.authority import Authority

        other = Authority(str(self.folder), lambda: self.at)
        self.addCleanup(other.close)
        serial = self.sign("local.corp").json["serial"]
        other.revoke(serial)
        crl = x509.load_pem_x509_crl(self.ask("GET", "/ca/crl.pem").body)
        self.assertEqual([serial], [f"{each.serial_number:X}" for each in crl])
        self.assertEqual(
            200, self.sign("a.corp", token=other.token("n", 60), site=self.port(isLocal=False)).status
        )


class SignTests(CaCase):
    """
    Who gets what.
    """

    def test_token(self) -> None:
        """
        With a token from anywhere, once; then the answer has all that a node needs.
        """
        far = self.port(isLocal=False)
        token = self.authority.token("node-1", 60)
        answer = self.sign("a.corp", token=token, site=far, host=True)
        self.assertEqual(200, answer.status, answer.body)
        given = answer.json
        certificate = x509.load_pem_x509_certificate(given["certificate"].encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(given["roots"].encode()))
        self.assertEqual((["a.corp"], NOW + 7200), (given["names"], given["ends"]))
        self.assertIn("-cert-v01@openssh.com", given["host"])
        self.assertEqual("no-store", answer.fields["cache-control"])
        said = self.trouble(401, self.sign("a.corp", token=token, site=far))
        self.assertIn("used up", said)
        self.assertNotIn(token, "\n".join(self.lines) + said)

    def test_login(self) -> None:
        """
        As who has logged in, or is on this machine; else it is nobody.
        """
        far = self.port(isLocal=False)
        self.assertEqual(200, self.sign("local.corp").status)
        self.trouble(401, self.sign("local.corp", site=far))
        self.trouble(401, self.sign("local.corp", site=far, login=basic("ann", "wrong")))
        self.assertIn("no rule for password:ann", self.trouble(403, self.sign("a.corp", login=basic("ann"))))
        body = {"key": sshOf(self.key), "kind": "ssh-user", "principals": ["ann"]}
        answer = self.ask("POST", "/ca/ssh", body, site=far, Authorization=basic("ann"))
        self.assertEqual(200, answer.status, answer.body)
        self.assertTrue(answer.json["certificate"].startswith("ecdsa-sha2-nistp256-cert-v01@openssh.com "))
        self.assertEqual("", answer.json["roots"])
        answer = self.ask("POST", "/ca/ssh", {**body, "principals": ["root"]}, Authorization=basic("ann"))
        self.assertIn("'root' is in no rule", self.trouble(403, answer))

    def test_pages(self) -> None:
        """
        No page of another site uses that somebody is on this machine, or gets there by another type.
        """
        body = {"csr": csrOf(self.key, ["local.corp"]).decode()}
        self.trouble(403, self.ask("POST", "/ca/sign", body, Origin="http://evil.example"))
        self.trouble(415, self.ask("POST", "/ca/sign", body, Content_Type="text/plain"))
        self.trouble(401, self.ask("POST", "/ca/sign", body, X_Forwarded_For="192.0.2.9"))
        self.trouble(403, self.ask("POST", "/ca/revoke", {"what": "x"}, Origin="http://evil.example"))

    def test_certificate(self) -> None:
        """
        Who has come with a certificate is who that says, unless a proxy brings others.
        """
        far = self.port(isLocal=False)
        body = csrOf(self.key, ["local.corp"]).decode()
        import msgspec

        data = msgspec.json.encode({"csr": body})

        def ask(principal: Principal, more: bytes = b"") -> bytes:
            client = Client(far, StreamInfo(PEER, HERE, principal=principal))
            head = b"POST /ca/sign HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            answer = client.say(head + more + b"Content-Length: %d\r\n\r\n" % len(data) + data)
            return answer.split(b" ")[1]

        one = Principal("spiffe://corp/ns/a/sa/b", "certificate")
        self.assertEqual(b"200", ask(one))
        self.assertEqual(b"401", ask(one, b"X-Forwarded-For: 192.0.2.9\r\n"))
        self.assertEqual(b"401", ask(Principal("spiffe://corp/ns/a/sa/b", "open")))
        self.assertEqual(b"403", ask(Principal("spiffe://other/ns/a/sa/b", "certificate")))

    def test_broken(self) -> None:
        """
        What cannot be read is told so.
        """
        self.assertIn("PKCS #10", self.trouble(400, self.ask("POST", "/ca/sign", {"csr": "x"})))
        for body in (
            b"",
            b"{",
            b"[]",
            b"{}",
            b'{"csr": 1}',
            b'{"csr": "x", "more": 1}',
            b"\xff",
            b"[" * 9999,
        ):
            self.trouble(400, self.ask("POST", "/ca/sign", body))
        large = {"csr": "x" * (MAX_BODY + 1)}
        self.assertIn(str(MAX_BODY), self.trouble(413, self.ask("POST", "/ca/sign", large)))

    def test_tries(self) -> None:
        """
        Who fails too often has to wait, whatever comes next; renewals do not.
        """
        far = self.port(isLocal=False)
        good = self.authority.token("node-1", 60, None)
        first = self.sign("a.corp", token=good, site=far).json["certificate"]
        for _ in range(MAX_FAILED):
            self.trouble(401, self.sign("a.corp", token="ugate_x", site=far))
        self.trouble(429, self.sign("a.corp", token=good, site=far))
        renewal = {"csr": csrOf(self.key).decode(), "certificate": first}
        self.assertEqual(200, self.ask("POST", "/ca/renew", renewal, site=far).status)
        self.reactor.advance(PERIOD)
        self.assertEqual(200, self.sign("a.corp", token=good, site=far).status)
        for _ in range(MAX_FAILED):
            self.trouble(403, self.sign("evil.example", token=good, site=far))
        self.trouble(429, self.sign("a.corp", token=good, site=far))

    def test_renew(self) -> None:
        """
        Who has the key of a certificate gets the next one, without logging in.
        """
        far = self.port(isLocal=False)
        first = self.sign("local.corp").json
        body = {"csr": csrOf(self.key).decode(), "certificate": first["certificate"]}
        second = self.ask("POST", "/ca/renew", body, site=far).json
        self.assertEqual(first["names"], second["names"])
        self.assertNotEqual(first["serial"], second["serial"])
        other = {**body, "csr": csrOf(p256()).decode()}
        self.trouble(401, self.ask("POST", "/ca/renew", other, site=far))
        self.authority.revoke(first["serial"])
        self.trouble(403, self.ask("POST", "/ca/renew", body, site=far))

    def test_fault(self) -> None:
        """
        What is wrong with the folder is for the log.
        """
        self.authority.record._do("DROP TABLE issued")
        self.trouble(503, self.sign("local.corp"))
        self.assertIn("no such table", "\n".join(self.lines))
