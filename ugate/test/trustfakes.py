# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of trusts share.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.tenancy.config.identityschema import Trust as Section
from ugate.tenancy.identityown import selfSigned
from ugate.tenancy.keyids import namesOf
from ugate.tenancy.trust import Trust
from ugate.test.identityfakes import NOW, Holder, authority, p256

WEB = "spiffe://td.example/ns/prod/sa/web"


def alone(key: Any = None) -> Holder:
    """
    Somebody who certifies itself, as a node does.
    """
    key = key or p256()
    holder = Holder(key, selfSigned(key, (), NOW))
    return Holder(key, selfSigned(key, namesOf(holder.keyid, "prod", "web", "td.example"), NOW))


class TrustCase(SynchronousTestCase):
    """
    A trust, whose files are in a folder of the test.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.root = authority()

    def file(self, name: str, data: bytes) -> str:
        """
        Write a file.
        """
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def trust(self, *, rooted: bool = False, **section: Any) -> Trust:
        """
        A trust.

        @param rooted: whether it has our root.
        """
        if rooted:
            section["roots"] = self.file("roots.pem", self.root.pem())
        return Trust(Section(**section), now=lambda: NOW)

    def refused(self, trust: Trust, chain: Iterable[Holder], name: str | None, *texts: str) -> Refused:
        """
        A chain is refused, with a sentence that has these texts in it.
        """
        error: Refused = self.assertRaises(Refused, trust.check, [each.certificate for each in chain], name)
        self.assertEqual((Cause.AUTHENTICATION, Phase.TLS), (error.cause, error.phase))
        for text in texts:
            self.assertIn(text, str(error))
        self.assertNotEqual("check the user name and the password", error.nextStep)
        return error

    def believed(self, trust: Trust, chain: Iterable[Holder], name: str | None = None) -> str:
        """
        Who a chain is of.
        """
        principal = trust.check([each.certificate for each in chain], name)
        self.assertEqual(("certificate", "root"), (principal.method, principal.tenant))
        return principal.name
