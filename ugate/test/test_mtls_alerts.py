# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsverify}: which alert a finding is.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.tlsverify import errorFor
from ugate.test.mtlsfakes import ROOT
from ugate.test.tlsfakes import DAY, NOW


class AlertTests(SynchronousTestCase):
    """
    Which alert it is.
    """

    def test_each(self) -> None:
        """
        By what the trust says, or by the dates.
        """

        def number(detail: str, *chain: Any) -> int:
            return errorFor(Refused(Cause.AUTHENTICATION, Phase.TLS, "peer", detail), chain, NOW.timestamp())

        said = (
            "it is revoked",
            "leads to no root",
            "it certifies itself",
            "it is not for clients",
            "another name",
        )
        self.assertEqual([number(text) for text in said], [23, 20, 20, 26, 62])
        expired = ROOT.identity("x", ends=NOW - DAY).certificate
        self.assertEqual(number("no root", expired), 10)
        self.assertEqual(number("it is revoked", expired), 23)
