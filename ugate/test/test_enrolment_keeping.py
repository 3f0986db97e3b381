# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.enrolment}: how a certificate is kept good.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from ugate.enrolment import CRL_EVERY, LONGEST, Enrolments
from ugate.errors import Refused, UgateError
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.config.identityschema import Trust as TrustSection
from ugate.tenancy.identityenrolled import crlIn
from ugate.tenancy.trust import Trust
from ugate.test.enrolmentfakes import LIFE, EnrolmentCase, FakeTenant
from ugate.test.identityfakes import NOW, Holder, authority, listOf


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

    def test_notRenewed(self) -> None:
        """
        Who is not renewed still asks whom not to believe.
        """
        self.enrolment()
        self.authority.revoke(self.identity.keyid)
        while "renew" not in self.pass_(CRL_EVERY):
            pass
        for _ in range(3):
            self.assertIn("crl.pem", self.pass_(CRL_EVERY * 3))
        self.assertNotIn("Traceback", self.said)

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

    def test_older(self) -> None:
        """
        A list that is older than the one that we have is not taken, which the log says once; and again only
        after a newer one.
        """
        self.enrolment()
        path = Path(crlIn(str(self.state)))
        before = path.read_bytes()
        number = int(self.at * 1000) + 1
        keys = self.authority.keys
        root = Holder(keys.rootKey, keys.root)

        def get(data: bytes) -> bytes:
            self.client.instead["crl.pem"] = data
            self.pass_(CRL_EVERY)
            return path.read_bytes()

        def warned() -> int:
            return sum("which stays" in line for line in self.lines)

        self.assertEqual(before, get(listOf(root, [1], number=5)))
        self.assertEqual(before, get(before))
        self.assertEqual(before, get(listOf(root, [1], number=6)))
        self.assertEqual(1, warned())
        # The number counts, and not the time; where there is none, the time.
        newer = listOf(root, [1], number=number, age=9)
        self.assertEqual(newer, get(newer))
        self.assertEqual(newer, get(listOf(root, [2], number=number - 1)))
        self.assertEqual(2, warned())
        bare = listOf(root, [2])
        self.assertEqual(bare, get(bare))
        self.assertEqual(bare, get(listOf(root, [3], number=number, age=9)))
        # What is not by the CA is as good as none.
        path.write_bytes(listOf(authority("other"), [], number=number * 2))
        self.assertEqual(before, get(before))
        path.write_bytes(b"what")
        self.assertEqual(before, get(before))

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
