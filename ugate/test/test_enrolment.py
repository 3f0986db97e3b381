# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.enrolment}: how a certificate is got.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from twisted.internet.error import ConnectionRefusedError

from ugate.enrolment import CRL_EVERY, FIRST, LONGEST
from ugate.tenancy.identityenrolled import crlIn
from ugate.test.enrolmentfakes import EnrolmentCase
from ugate.test.identityfakes import authority


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
