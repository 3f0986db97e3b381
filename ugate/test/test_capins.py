# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.capins}: who is a CA, before it is told a token.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Refused
from ugate.tenancy.capins import authorityCheck, isPinned
from ugate.test.identityfakes import DAY, NOW, Holder, authority, certified


def hashOf(holder: Holder) -> str:
    """
    What C{ucli ca show} shows.
    """
    return f"sha256:{sha256(holder.certificate.public_bytes(Encoding.DER)).hexdigest()}"


class PinTests(SynchronousTestCase):
    """
    By roots and by pins.
    """

    def setUp(self) -> None:
        self.root = authority()
        self.server = certified(["ca.example"], self.root)
        self.own = certified(["x"])

    def check(
        self, *chain: Holder, host: str = "ca.example", roots: tuple[Holder, ...] = (), pin: str | None = None
    ) -> None:
        """
        Check a chain.
        """
        made = authorityCheck(host, [each.certificate for each in roots], pin, lambda: NOW)
        made([each.certificate for each in chain])

    def no(
        self,
        text: str,
        *chain: Holder,
        host: str = "ca.example",
        roots: tuple[Holder, ...] = (),
        pin: str | None = None,
    ) -> None:
        """
        It is somebody else, and the error says why.
        """
        error = self.assertRaises(Refused, self.check, *chain, host=host, roots=roots, pin=pin)
        self.assertIn(text, str(error))

    def test_roots(self) -> None:
        """
        A root has to have certified it, for that name, now.
        """
        self.check(self.server, roots=(self.root,))
        self.no("is not for other.example", self.server, host="other.example", roots=(self.root,))
        self.no("none of our roots", self.own, host="x", roots=(self.root,))
        self.no("none of our roots", self.server, roots=(authority("other"),))
        old = certified(["ca.example"], self.root, ends=NOW - DAY / 2)
        self.no("ended at", old, roots=(self.root,))
        self.no("it sent no certificate", roots=(self.root,))

    def test_pins(self) -> None:
        """
        The certificate of the server itself, whatever its name, by key or fingerprint.
        """
        for pin in (
            self.own.keyid,
            self.own.keyid.lower(),
            hashOf(self.own),
            hashOf(self.own).upper().replace("SHA", "sha"),
        ):
            self.assertTrue(isPinned(self.own.certificate, pin), pin)
            self.assertFalse(isPinned(self.server.certificate, pin), pin)
            self.check(self.own, pin=pin)
            self.no("not the CA of identity.caPin", self.server, pin=pin)
        old = certified(["x"], ends=NOW - DAY / 2)
        self.no("ended at", old, pin=old.keyid)

    def test_pinnedRoot(self) -> None:
        """
        Or that of a root, which has to have certified the server for its name.
        """
        pin = hashOf(self.root)
        self.check(self.server, roots=(self.root,), pin=pin)
        self.no("is not for other", self.server, host="other", roots=(self.root,), pin=pin)
        self.no("none of our roots", self.own, self.root, host="x", roots=(self.root,), pin=pin)
