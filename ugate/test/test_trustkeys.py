# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who is believed by its key, and who is believed no more.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twisted.logger import capturedLogs

from ugate.errors import UgateError
from ugate.tenancy.config.identityschema import Trust as Section
from ugate.tenancy.identityown import selfSigned
from ugate.tenancy.keyids import hostOf, namesOf
from ugate.tenancy.trust import Trust
from ugate.test.identityfakes import DAY, NOW, Holder, authority, certified, listOf, p256
from ugate.test.trustfakes import WEB, TrustCase, alone


class KeyTests(TrustCase):
    """
    Those whose keys are known.
    """

    def test_asked(self) -> None:
        """
        Who certifies itself is believed if it was asked for by the hash of its key.
        """
        trust = self.trust()
        for peer in (alone(), alone(Ed25519PrivateKey.generate())):
            for name in (peer.keyid, peer.keyid.lower(), hostOf(peer.keyid, "prod", "td.example")):
                self.assertEqual(peer.keyid, self.believed(trust, [peer], name))

    def test_notAsked(self) -> None:
        """
        And not otherwise: neither as a client, nor by a name that anybody could have.
        """
        peer = alone()
        for trust in (self.trust(), self.trust(rooted=True)):
            self.refused(trust, [peer], None, "certifies itself", peer.keyid, "trust.pins")
            self.refused(trust, [peer], "web.example", "certifies itself", "by that name")
        self.refused(self.trust(), [peer], alone().keyid, "not that of this name")

    def test_askedUnknown(self) -> None:
        """
        Who is certified by a CA that nobody knows is refused, also if it was asked for by the hash of its
        key; unless that is pinned.
        """
        peer = certified(["web.example"], authority("unknown"))
        self.refused(self.trust(), [peer], peer.keyid, "there are no roots", "trust.pins")
        self.refused(self.trust(rooted=True), [peer], peer.keyid, "none of our roots")
        for isRooted in (False, True):
            trust = self.trust(rooted=isRooted, pins=(peer.keyid,))
            self.assertEqual(peer.keyid, self.believed(trust, [peer], peer.keyid))

    def test_hasKey(self) -> None:
        """
        Which keys are believed without more can be asked: those that are pinned, and those that were met.
        """
        one, other, third = alone(), alone(), alone()
        known = self.file("known", f"web.example {other.keyid}\n".encode())
        trust = self.trust(pins=(one.keyid.lower(),), known=known)
        self.assertEqual([True, True, False], [trust.hasKey(each.keyid) for each in (one, other, third)])
        self.assertFalse(self.trust().hasKey(one.keyid))

    def test_copied(self) -> None:
        """
        Who copies the name of another is refused, pinned or not.
        """
        peer = alone()
        key = p256()
        copy = Holder(key, selfSigned(key, namesOf(peer.keyid, "prod", "web", "td.example"), NOW))
        self.refused(self.trust(), [copy], peer.keyid, copy.keyid, "not that of this name")
        self.refused(self.trust(pins=(copy.keyid,)), [copy], None, f"says that it is {peer.keyid}")

    def test_pinned(self) -> None:
        """
        Those with pinned keys are believed, whoever certifies them; their names have to be right too.
        """
        peer, other = alone(), certified(["web.example"], authority("unknown"))
        trust = self.trust(rooted=True, pins=(peer.keyid.lower(), other.keyid))
        self.assertEqual(peer.keyid, self.believed(trust, [peer]))
        self.assertEqual(other.keyid, self.believed(trust, [other], "web.example"))
        self.refused(trust, [other], "db.example", "not of that name")
        self.refused(trust, [alone()], None, "not pinned")

    def test_pinnedDates(self) -> None:
        """
        Also a pinned certificate ends.
        """
        old = certified(["web.example"], ends=NOW - DAY / 2)
        self.refused(self.trust(pins=(old.keyid,)), [old], None, "ended at")

    def test_claims(self) -> None:
        """
        What somebody says of itself does not count: it is its key, whatever SPIFFE id it takes.
        """
        peer = certified(["spiffe://td.example/ns/istio-system/sa/admin"])
        self.assertEqual(peer.keyid, self.believed(self.trust(pins=(peer.keyid,)), [peer]))

    def test_met(self) -> None:
        """
        A server that is met for the first time is written down; later it has to have that key.
        """
        path = str(self.folder / "known")
        trust = self.trust(known=path)
        peer, other = alone(), alone()
        self.refused(trust, [peer], None, "certifies itself")
        self.assertEqual(peer.keyid, self.believed(trust, [peer], "Web.example"))
        self.assertEqual(f"web.example {peer.keyid}\n", Path(path).read_text(encoding="utf-8"))
        self.assertEqual(0o600, Path(path).stat().st_mode & 0o777)
        self.assertEqual(peer.keyid, self.believed(self.trust(known=path), [peer], "web.example"))
        self.assertEqual(peer.keyid, self.believed(trust, [peer]))
        error = self.refused(trust, [other], "web.example", "its key has changed", peer.keyid, other.keyid)
        self.assertIn(f"line 1 of {path}", error.nextStep)
        self.assertEqual(f"web.example {peer.keyid}\n", Path(path).read_text(encoding="utf-8"))

    def test_metAnew(self) -> None:
        """
        Whose line was taken out is met again.
        """
        path = self.folder / "known"
        trust = self.trust(known=str(path))
        self.believed(trust, [alone()], "web.example")
        path.write_text("# nobody\n", encoding="utf-8")
        peer = alone()
        self.assertEqual(peer.keyid, self.believed(trust, [peer], "web.example"))

    def test_metNowhere(self) -> None:
        """
        Where nothing can be written down, nobody is believed.
        """
        trust = self.trust(known=str(self.folder / "no" / "known"))
        self.refused(trust, [alone()], "web.example", "is not known", "trust.known")
        self.refused(self.trust(known=str(self.folder / "x")), [alone()], "a b", "cannot be a name")


class RevokedTests(TrustCase):
    """
    Those who are believed no more.
    """

    def test_serial(self) -> None:
        """
        By their serial numbers, also of one between.
        """
        above = authority("above", self.root, serial=0xABCDEF)
        peer, fine = certified([WEB], above, serial=0x1234), certified([WEB], self.root)
        path = self.file("revoked", b"# gone\nserial=1234\n")
        trust = self.trust(rooted=True, revoked=path)
        self.refused(trust, [peer, above], None, "revoked", "1234", "trust.revoked")
        self.assertEqual(WEB, self.believed(trust, [fine]))
        self.file("revoked", b"AB:CD:EF\n")
        self.refused(trust, [peer, above], None, "revoked", "abcdef")

    def test_keyid(self) -> None:
        """
        By their keys, even if these are pinned or asked for.
        """
        peer = alone()
        trust = self.trust(pins=(peer.keyid,), revoked=self.file("revoked", peer.keyid.encode()))
        self.refused(trust, [peer], None, "revoked", peer.keyid)
        self.refused(trust, [peer], peer.keyid, "revoked")

    def test_list(self) -> None:
        """
        By a CRL, which holds for those of its issuer, and is read again when it changes.
        """
        peer = certified([WEB], self.root, serial=77)
        trust = self.trust(rooted=True, revoked=self.file("revoked", listOf(self.root, [76])))
        self.assertEqual(WEB, self.believed(trust, [peer]))
        self.file("revoked", listOf(authority("other"), [77]) + listOf(self.root, [76, 77, 78]))
        self.refused(trust, [peer], None, "revoked", "4d, by CN=root")

    def test_stale(self) -> None:
        """
        That a CRL is too old is told once, until there is another.
        """
        peer = certified([WEB], self.root, ends=NOW + 9 * DAY)
        path = self.file("revoked", listOf(self.root, [76]))
        section = Section(roots=self.file("roots.pem", self.root.pem()), revoked=path)
        trust = Trust(section, now=lambda: NOW + DAY + 1)
        with capturedLogs() as events:
            for _ in range(3):
                self.believed(trust, [peer])
        told = [event for event in events if "was to be replaced" in event["log_format"]]
        self.assertEqual(1, len(told))

    def test_forged(self) -> None:
        """
        A CRL that a root of ours did not sign is refused; what was in force before stays.
        """
        forged = self.file("revoked", listOf(self.root, [], signer=p256()))
        self.assertIn(
            "CN=root did not sign",
            str(self.assertRaises(UgateError, self.trust, rooted=True, revoked=forged)),
        )
        peer = certified([WEB], self.root, serial=77)
        trust = self.trust(rooted=True, revoked=self.file("revoked", listOf(self.root, [77])))
        self.file("revoked", listOf(self.root, [], signer=p256()))
        self.refused(trust, [peer], None, "revoked")
