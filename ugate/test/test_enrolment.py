# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.enrolment}: how a certificate is got, and kept good.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError

from ugate.caclient import Said
from ugate.enrolment import CRL_EVERY, FIRST, LONGEST, Enrolment, Enrolments
from ugate.errors import Refused, UgateError
from ugate.tenancy.ca.schema import CaRule, CaSection
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.config.identityschema import Trust as TrustSection
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityenrolled import Enrolled, crlIn
from ugate.tenancy.trust import Trust
from ugate.test.identityfakes import NOW, authority, listOf
from ugate.test.test_capages import CaCase

LIFE = 9000.0


class Client:
    """
    Asks a CA of this process.
    """

    url = "https://ca.example/ca"

    def __init__(self, case: EnrolmentCase) -> None:
        self.case = case
        self.asked: list[str] = []
        self.trouble: Exception | None = None
        self.instead: dict[str, bytes] = {}
        self.waiting: Deferred[bytes] | None = None

    def get(self, path: str, check: Any = None) -> Deferred[bytes]:
        return self._ask("GET", path, None)

    def post(self, path: str, body: object, check: Any) -> Deferred[bytes]:
        return self._ask("POST", path, msgspec.json.encode(body))

    def _ask(self, method: str, path: str, body: bytes | None) -> Deferred[bytes]:
        self.asked.append(path)
        if self.waiting is not None:
            return self.waiting
        if self.trouble is not None:
            return fail(self.trouble)
        if path in self.instead:
            return succeed(self.instead[path])
        more = {} if body is None else {"Content_Type": "application/json"}
        answer = self.case.ask(method, f"/ca/{path}", body, site=self.case.far, **more)
        if answer.status != 200:
            return fail(Said(answer.status, answer.json["detail"]))
        return succeed(answer.body)


class FakeTenant:
    """
    A tenant that has an identity.
    """

    name = "alice"

    def __init__(self, reactor: Any, identity: Identity) -> None:
        self.reactor = reactor
        self.identity: Any = identity


class EnrolmentCase(CaCase):
    """
    A CA, and somebody who has a token.
    """

    def setUp(self) -> None:
        super().setUp()
        self.far = self.port(isLocal=False)
        rule = CaRule(who=("enrolment:*",), accounts=("*",), life=LIFE)
        self.service.stopService()
        self.service = self.running(CaSection(str(self.folder), life=LIFE, rules=(rule,)))
        self.authority = self.service._pages.authority  # type: ignore[union-attr]
        self.token = Path(self.mktemp())
        self.token.write_text(self.authority.token("node-1", 60) + "\n")
        self.client = Client(self)
        self.state = Path(self.mktemp())

    def enrolment(self, **more: Any) -> Enrolment:
        """
        One that has begun.
        """
        known: Any = {} if "caPin" in more else {"caRoots": str(self.folder / "root.pem")}
        section = Section(ca=Client.url, token=str(self.token), domain="corp", **known, **more)
        source = Enrolled(str(self.state), section, lambda: self.at)
        self.identity = Identity(source, self.reactor, "alice", lambda: self.at)
        self.addCleanup(self.identity.stop)
        tenant: Any = FakeTenant(self.reactor, self.identity)
        client: Any = self.client
        made = Enrolment(self.reactor, tenant, section, client, lambda: self.at, lambda: 0.5)
        self.addCleanup(made.stop)
        made.start()
        self.reactor.advance(0)
        return made

    def pass_(self, seconds: float) -> list[str]:
        """
        Time passes.

        @return: what was asked for meanwhile.
        """
        del self.client.asked[:]
        while seconds > 0:
            step = min(seconds, 5.0)
            self.at += step
            self.reactor.advance(step)
            seconds -= step
        return self.client.asked

    @property
    def said(self) -> str:
        """
        The log.
        """
        return "\n".join(self.lines)


class EnrolTests(EnrolmentCase):
    """
    The first time.
    """

    def test_enrols(self) -> None:
        """
        The key certifies itself, then the CA does: with its roots, what is revoked, and as a host of SSH.
        """
        self.enrolment(account="web")
        self.assertEqual(["sign", "crl.pem"], self.client.asked)
        self.assertEqual("spiffe://corp/ns/default/sa/web", self.identity.principal.name)
        self.assertEqual(self.authority.keys.root, self.identity.roots[0])
        self.assertTrue((self.state / "ssh-host-cert.pub").read_text().startswith("ecdsa-sha2-nistp256-cert"))
        self.assertEqual(self.authority.lists.crl(), Path(crlIn(str(self.state))).read_bytes())
        self.assertIn("alice is certified by CN=test CA until", self.said)
        self.assertNotIn(self.token.read_text().strip(), self.said)

    def test_waits(self) -> None:
        """
        As long as the CA is away it is asked again, less and less often; the log says what is so meanwhile.
        """
        self.client.trouble = ConnectionRefusedError("not here")
        self.enrolment()
        self.assertIn("the CA at https://ca.example/ca has not done what it was asked: ", self.said)
        self.assertIn("not here", self.said)
        self.assertIn("our key certifies itself until then; again in 5 s", self.said)
        self.assertEqual(1, len(self.pass_(FIRST)))
        self.assertEqual(1, len(self.pass_(2 * FIRST)))
        self.pass_(10 * LONGEST)
        self.assertEqual(4, len(self.pass_(4 * LONGEST)))
        self.client.trouble = None
        # Its token has ended meanwhile.
        self.pass_(LONGEST)
        self.assertIn("the CA says 401: the token of node-1 ended", self.said)
        self.token.write_text(self.authority.token("node-1", 600 + 60))
        self.pass_(LONGEST)
        self.assertTrue(self.identity.principal.name.startswith("spiffe://"))

    def test_noToken(self) -> None:
        """
        A file that is not there yet is told, and looked for again.
        """
        text = self.token.read_text()
        self.token.unlink()
        self.enrolment()
        self.assertIn("the secret in", self.said)
        self.assertEqual([], self.client.asked)
        self.token.write_text(text)
        self.assertEqual(["sign", "crl.pem"], self.pass_(FIRST))

    def test_restart(self) -> None:
        """
        What the CA gave is there after a restart, without asking for it again.
        """
        self.enrolment().stop()
        keyid, number = self.identity.keyid, self.identity.certificate.serial_number
        self.token.unlink()
        self.client.asked.clear()
        self.enrolment()
        self.assertEqual(["crl.pem"], self.client.asked)
        self.assertEqual((keyid, number), (self.identity.keyid, self.identity.certificate.serial_number))

    def test_others(self) -> None:
        """
        What is not for our key, has other names, or cannot be read is not kept.
        """
        other = authority("other")
        good = self.client.case.sign("local.corp", token=self.authority.token("x", 60)).json
        assert good["status"] == 403
        for body, text in (
            (b"what", "cannot be read"),
            (b"{}", "cannot be read"),
            (self.answer("", ""), "certificates that cannot be read"),
            (self.answer(other.pem().decode(), other.pem().decode()), "not of our key"),
        ):
            self.client.instead["sign"] = body
            self.enrolment().stop()
            self.assertIn(text, self.said)
            self.assertFalse((self.state / "ca-cert.pem").exists())
            self.lines.clear()

    def answer(self, certificate: str, roots: str) -> bytes:
        """
        What no CA of ours says.
        """
        body = {
            "serial": "1",
            "names": [],
            "begins": 0,
            "ends": 0,
            "certificate": certificate,
            "roots": roots,
        }
        return msgspec.json.encode(body)

    def test_pinned(self) -> None:
        """
        With a pin the roots are asked for first, and only those that it means are believed.
        """
        pin = self.ask("GET", "/ca/").json["sha256"]
        made = self.enrolment(caPin=f"sha256:{pin}")
        self.assertEqual(
            ["roots.pem", "sign", "crl.pem"],
            self.client.asked[:1] + self.client.asked[1:2] + self.client.asked[-1:],
        )
        self.assertEqual(
            [self.authority.keys.root], made._pinned([authority("x").certificate, self.authority.keys.root])
        )
        self.pass_(CRL_EVERY)
        # From then on they are here.
        self.assertEqual(["crl.pem"], self.client.asked)


class KeepTests(EnrolmentCase):
    """
    From then on.
    """

    def test_renews(self) -> None:
        """
        When a third of its life is left, with the certificate, and no token; the list is looked at often.
        """
        self.enrolment()
        first = self.identity.certificate
        self.token.unlink()
        renewAt = first.not_valid_after_utc.timestamp() - (LIFE + 300) / 3
        asked = self.pass_(renewAt - self.at - LIFE / 9 - CRL_EVERY)
        self.assertEqual({"crl.pem"}, {*asked})
        self.assertLess(5, len(asked))
        asked = self.pass_(LIFE / 9 + CRL_EVERY)
        self.assertEqual(1, asked.count("renew"))
        self.assertNotIn("sign", asked)
        self.assertNotEqual(first, self.identity.certificate)
        self.assertTrue((self.state / "ssh-host-cert.pub").exists())

    def test_clocks(self) -> None:
        """
        Where our clock is so far ahead that a certificate is due when it comes, it is renewed now and then.
        """
        made = self.enrolment()
        made._now = lambda: self.at + LIFE * 0.7
        asked = self.pass_(LIFE / 2)
        self.assertLess(asked.count("renew"), 6)
        self.assertGreater(asked.count("renew"), 2)

    def test_away(self) -> None:
        """
        A CA that is away changes nothing; that the certificate ends then, and has ended, is told.
        """
        self.enrolment()
        certificate = self.identity.certificate
        self.client.trouble = UgateError("gone")
        self.pass_(LIFE * 0.9)
        self.assertIn("gone; our certificate ends at", self.said)
        self.assertIn("The certificate of alice ends at", self.said)
        self.pass_(LIFE * 0.2)
        self.assertEqual(certificate, self.identity.certificate)
        self.assertIn("gone; our certificate ended at", self.said)
        self.client.trouble = None
        self.token.write_text(self.authority.token("node-1", LONGEST * 2))
        asked = self.pass_(LONGEST * 1.1)
        self.assertEqual("sign", asked[0])
        self.assertNotEqual(certificate, self.identity.certificate)

    def test_unknown(self) -> None:
        """
        A CA that has forgotten it is shown a token.
        """
        self.enrolment()
        self.authority.record._do("DELETE FROM issued")
        self.token.write_text(self.authority.token("node-1", LIFE))
        asked = [each for each in self.pass_(LIFE * 0.7) if each != "crl.pem"]
        self.assertEqual(["renew", "sign"], asked)

    def test_revoked(self) -> None:
        """
        Who is revoked is told so, and gets nothing.
        """
        self.enrolment()
        self.authority.revoke(self.identity.keyid)
        asked = self.pass_(LIFE * 0.7)
        self.assertIn("renew", asked)
        self.assertNotIn("sign", asked)
        self.assertIn("the CA says 403:", self.said)

    def test_list(self) -> None:
        """
        Whom the CA has revoked is not believed any more; a list by somebody else is not taken.
        """
        self.enrolment()
        section = TrustSection()
        trust = Trust(section, own=lambda: self.identity, now=lambda: self.at, crl=crlIn(str(self.state)))
        peer = self.client.case.ask(
            "POST",
            "/ca/sign",
            {"csr": self.csr(), "token": self.authority.token("peer", 60)},
        ).json
        chain = self.chain(peer["certificate"])
        self.assertEqual("spiffe://corp/ns/default/sa/default", trust.check(chain, None).name)
        self.authority.revoke(peer["serial"])
        self.pass_(CRL_EVERY)
        self.assertIn("it is revoked", str(self.assertRaises(Refused, trust.check, chain, None)))
        self.client.instead["crl.pem"] = listOf(authority("other"), [])
        self.pass_(CRL_EVERY)
        self.assertIn("is not by it", self.said)
        self.client.instead["crl.pem"] = b"what"
        self.pass_(CRL_EVERY)
        self.assertIn("what the CA has revoked cannot be read", self.said)
        self.assertRaises(Refused, trust.check, chain, None)

    def csr(self) -> str:
        """
        Of a peer.
        """
        from ugate.test.cafakes import csrOf

        return csrOf(self.key).decode()

    def chain(self, text: str) -> Any:
        """
        Certificates in PEM.
        """
        from cryptography.x509 import load_pem_x509_certificates

        return load_pem_x509_certificates(text.encode())

    def test_noList(self) -> None:
        """
        Before there is a list, nobody is revoked.
        """
        trust = Trust(TrustSection(), crl=str(self.state / "not there"))
        error = self.assertRaises(Refused, trust.check, [self.authority.keys.root], None)
        self.assertNotIn("revoked", str(error))

    def test_stopped(self) -> None:
        """
        One that is stopped asks no more, also if it was asking.
        """
        made = self.enrolment()
        made.stop()
        self.assertEqual([], self.pass_(LIFE))
        self.client.waiting = Deferred()
        self.state = Path(self.mktemp())
        made = self.enrolment()
        made.stop()
        self.client.waiting = None
        self.assertEqual([], self.pass_(LIFE))
        self.assertNotIn("Cancelled", self.said)

    def test_broken(self) -> None:
        """
        A tenant whose identity cannot be is tried again.
        """
        made = self.enrolment()

        class Broken(FakeTenant):
            @property
            def identity(self) -> Any:
                raise UgateError("its folder is gone")

            @identity.setter
            def identity(self, value: Any) -> None:
                pass

        made._tenant = Broken(self.reactor, self.identity)  # type: ignore[assignment]
        self.pass_(CRL_EVERY * 2)
        self.assertIn("its folder is gone; our key certifies itself", self.said)
        self.assertTrue(made._timer is not None)


class AllTests(EnrolmentCase):
    """
    Those of all tenants.
    """

    def test_apply(self) -> None:
        """
        One for each tenant that has a CA, as long as its section is the same.
        """
        made = self.enrolment()
        made.stop()
        with_ = made.section
        other = Section(ca="http://127.0.0.1:1/ca")
        tenant: Any = FakeTenant(self.reactor, self.identity)
        before = len(self.reactor.getDelayedCalls())

        def count() -> int:
            return len(self.reactor.getDelayedCalls()) - before

        all_ = Enrolments(self.reactor)
        for sections, tenants, wanted in (
            ({"alice": with_, "root": Section()}, {"alice": tenant}, 1),
            ({"alice": with_}, {"alice": tenant}, 1),
            ({"alice": other}, {"alice": tenant}, 1),
            ({"alice": other, "bob": with_}, {"alice": tenant, "bob": tenant}, 2),
            ({"alice": other, "bob": Section()}, {"alice": tenant, "bob": tenant}, 1),
            ({"alice": other}, {}, 0),
            ({"alice": other}, {"alice": tenant}, 1),
        ):
            all_.apply(sections, tenants)
            self.assertEqual(wanted, count())
        all_.stop()
        self.assertEqual(0, count())
        self.assertEqual(NOW, self.at)
