# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsverify}: which alert a finding is, and what is found later.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.errors import Cause, Phase, Refused
from ugate.protocols.tlsverify import checkAgain, errorFor
from ugate.stream import Principal
from ugate.test.dialfakes import Recorders
from ugate.test.mtlsfakes import ALICE, OTHER, ROOT, SERVER, Below, Client
from ugate.test.tlsfakes import DAY, NOW, FakeTenant, FakeTrust


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


class AgainTests(SynchronousTestCase):
    """
    What is looked at once more when the handshake is long over.
    """

    def test_again(self) -> None:
        """
        It is the same certificates, and what they are worth now; who is somebody else is not who came.
        """
        trust, below, streams = FakeTrust(ROOT), Below(), Recorders()
        tenant = FakeTenant(SERVER, trust)
        self.successResultOf(MutualServerEndpoint(tenant.clock, below).listen(streams))
        Client(below, ALICE.context()).pump()
        transport = streams.made[0].transport
        checkAgain(transport)
        self.assertEqual([(2, None), (2, None)], trust.checked)
        trust.issuer = OTHER
        self.assertIn("no root of ours", str(self.assertRaises(Refused, checkAgain, transport)))
        trust.issuer = ROOT
        checkAgain(transport)
        self.patch(trust, "check", lambda *asked: Principal("bob.corp", "certificate"))
        self.assertIn("somebody else", str(self.assertRaises(Refused, checkAgain, transport)))

    def test_other(self) -> None:
        """
        Of what is no TLS nothing is known.
        """
        for transport in (None, object()):
            checkAgain(transport)
