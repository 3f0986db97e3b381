# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for the keywords of C{sni:}, for what ends and what passes through.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.ending import EndingServerEndpoint
from ugate.endpoints.reach import certifies, listedTargets
from ugate.endpoints.servers import SERVERS
from ugate.errors import ListenRefused, StringError
from ugate.test.dialfakes import Net, Recorders
from ugate.test.mtlsfakes import ROOT, Below
from ugate.test.test_ending import ENDS, NAMES, WEB
from ugate.test.tlsfakes import FakeTenant, FakeTrust


class StringTests(SynchronousTestCase):
    """
    The keywords.
    """

    def build(self, tenant: Any = None, **own: str) -> Any:
        reactor = FakeTenant(WEB, FakeTrust(ROOT)).clock if tenant is None else tenant
        return SERVERS["sni"].build(reactor, Below(), own)

    def test_keywords(self) -> None:
        """
        What they mean.
        """
        endpoint = self.build(names=NAMES, ends=ENDS, certificates="optional", alpn="h2", port="8443")
        self.assertTrue(endpoint.asksClient and endpoint.anonymous and endpoint.asks)
        self.assertEqual(((b"h2",), 8443), (endpoint.alpn, endpoint.listed.port))
        self.assertEqual(f"{NAMES},{ENDS}", listedTargets(endpoint))
        self.assertFalse(certifies(endpoint))
        self.assertFalse(self.build(ends=ENDS).asksClient)
        self.assertTrue(certifies(self.build(ends=ENDS, certificates="required")))
        self.assertFalse(certifies(self.build(ends=ENDS, names=NAMES, certificates="required")))
        self.assertFalse(certifies(self.build(ends=ENDS, certificates="required", default="x:1")))
        self.assertFalse(hasattr(self.build(names=NAMES), "asksClient"))

    def test_wrong(self) -> None:
        """
        What they may not be.
        """
        for own, said in (
            ({}, "add names="),
            ({"names": ""}, "add names="),
            ({"ends": "*"}, "ends: '*'"),
            ({"ends": "a", "names": ""}, "names: ''"),
            ({"names": "a", "ends": ""}, "ends: ''"),
            ({"names": "a", "ends": "A"}, "in ends= and in names="),
            ({"names": "a", "certificates": "none"}, "certificates= is for names that end here"),
            ({"ends": "a", "certificates": "maybe"}, "wanted one of none, optional, required"),
            ({"ends": "a", "alpn": ""}, "alpn="),
        ):
            error = self.assertRaises(StringError, self.build, **own)
            self.assertIn(said, str(error))

    def test_string(self) -> None:
        """
        It is one of Twisted's strings.
        """
        endpoint: Any = serverFromString(
            Net(), f"sni:tcp:443:ends={ENDS.replace(':', chr(92) + ':')}:names=a"
        )
        self.assertIsInstance(endpoint, EndingServerEndpoint)

    def test_noIdentity(self) -> None:
        """
        Without an identity it does not listen.
        """
        failure = self.failureResultOf(self.build(Net(), ends=ENDS).listen(Recorders()), ListenRefused)
        self.assertIn("sni: has no identity here", str(failure.value))
