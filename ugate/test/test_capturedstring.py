# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.capturedstring}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.captured import Capture
from ugate.endpoints.reach import asksForTarget, onlyLocal, takesLogins
from ugate.errors import StringError
from ugate.test.dialfakes import Net


class StringTests(SynchronousTestCase):
    """
    As they are written.
    """

    def read(self, text: str) -> Any:
        """
        The endpoint of a string.
        """
        return serverFromString(Net(), text)

    def test_both(self) -> None:
        """
        What they are, and who reaches them: with TPROXY other machines do, even on loopback.
        """
        redirect = self.read("redirect:tcp:15001:interface=127.0.0.1")
        tproxy = self.read("tproxy:tcp:15001:interface=127.0.0.1:sniff=80,8080:by=name:wait=2:handshake=5")
        self.assertEqual(redirect.capture, Capture())
        self.assertEqual(tproxy.capture, Capture("tproxy", frozenset((80, 8080)), True, 2.0))
        self.assertEqual(tproxy.deadline, 5)
        self.assertEqual(self.read("redirect:tcp6:1:sniff=none").capture.sniff, frozenset())
        for each, local in ((redirect, True), (tproxy, False)):
            self.assertEqual(onlyLocal(each), local)
            self.assertTrue(asksForTarget(each))
            self.assertFalse(takesLogins(each))

    def test_wrong(self) -> None:
        """
        Mistakes name the part.
        """
        for text, words in (
            ("redirect:socks:tcp:1", "redirect: the kernel leads TCP here"),
            ("tproxy:unix:/x", "tproxy: the kernel leads TCP here"),
            ("redirect:tcp:1:by=both", "by=both: wanted address or name"),
            ("redirect:tcp:1:sniff=x", "sniff=x: wanted ports"),
            ("redirect:tcp:1:sniff=0", "sniff=0: wanted ports"),
            ("redirect:tcp:1:sniff=" + ",".join(map(str, range(1, 67))), "at most 64 ports"),
            ("redirect:tcp:1:wait=0", "wait=0: wanted seconds"),
            ("redirect:tcp:1:to=x", "redirect itself takes by=, handshake=, sniff=, wait="),
            ("redirect:", "redirect: on what?"),
        ):
            error = self.assertRaises(StringError, self.read, text)
            self.assertIn(words, str(error))
