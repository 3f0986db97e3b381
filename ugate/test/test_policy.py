# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who may use the gateway.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Denied
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.policy import KnownPrincipals

PEER = IPv4Address("TCP", "192.0.2.7", 40000)


class KnownPrincipalsTests(SynchronousTestCase):
    """
    L{KnownPrincipals}.
    """

    def test_known(self) -> None:
        """
        Whoever is known may pass, by whatever means.
        """
        for method in ("password", "local", "open"):
            KnownPrincipals().check(StreamInfo(PEER, PEER, principal=Principal("alice", method)))

    def test_unknown(self) -> None:
        """
        Nobody else may, and is told how to become known.
        """
        info = StreamInfo(PEER, PEER, Target("db", 5432), hints={"user": "alice"})
        error = self.assertRaises(Denied, KnownPrincipals().check, info)
        self.assertEqual(error.hop, "192.0.2.7:40000 -> db:5432")
        self.assertIn("log in", error.nextStep)
