# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.mtls}: the string of a listener.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.reach import certifies, onlyLocal, takesLogins
from ugate.endpoints.servers import SERVERS
from ugate.errors import StringError
from ugate.test.mtlsfakes import ROOT, SERVER, Below
from ugate.test.tlsfakes import FakeTenant, FakeTrust


class StringTests(SynchronousTestCase):
    """
    The string, and what the start of a listener knows of it.
    """

    def build(self, **own: str) -> Any:
        """
        The endpoint.
        """
        return SERVERS["mtls"].build(FakeTenant(SERVER, FakeTrust(ROOT)).clock, Below(), own)

    def test_keywords(self) -> None:
        """
        They arrive.
        """
        endpoint = self.build(alpn="h2,http/1.1", anonymous="yes", handshake="3")
        self.assertEqual(
            (endpoint.alpn, endpoint.anonymous, endpoint.deadline), ((b"h2", b"http/1.1"), True, 3.0)
        )
        asked = [self.build(anonymous=each).asksClient for each in ("no", "yes", "only")]
        self.assertEqual(asked, [True, True, False])
        for wrong in (
            {"anonymous": "maybe"},
            {"alpn": ""},
            {"alpn": "a,,b"},
            {"alpn": "h2,h2"},
            {"alpn": "x" * 256},
        ):
            self.assertRaises(StringError, self.build, **wrong)

    def test_login(self) -> None:
        """
        A certificate is a login, unless it need not be there.
        """
        endpoint = self.build()
        around = SERVERS["socks"].build(endpoint.reactor, endpoint, {})
        self.assertEqual((certifies(around), takesLogins(endpoint), onlyLocal(endpoint)), (True, True, False))
        for each in ("yes", "only"):
            anonymous = self.build(anonymous=each)
            self.assertEqual((certifies(anonymous), takesLogins(anonymous)), (False, False))
