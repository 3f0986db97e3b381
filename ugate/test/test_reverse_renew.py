# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.reverse}: links that give way to others.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError

from ugate.endpoints.reverse import LONGEST, RENEW
from ugate.endpoints.sessions import SessionLimits
from ugate.test.test_reverse import ReverseCase


class RenewTests(ReverseCase):
    """
    Links that give way to others.
    """

    def test_renew(self) -> None:
        """
        Another link is made first; then the one before goes, with its last stream.
        """
        _, old = self.up()
        stream = self.stream(old)
        self.port.renew()
        self.assertEqual(1, len(self.dials))
        self.assertFalse(old.isClosing)
        _, new = self.up()
        self.assertEqual((True, False, False), (old.isClosing, old.isClosed, new.isClosing))
        self.advance(LONGEST)
        self.assertEqual([], self.dials)
        stream.close()
        self.settle()
        self.served.last.close()
        self.settle()
        self.assertTrue(old.isClosed)
        self.advance(LONGEST)
        self.assertEqual([], self.dials)

    def test_whileDialing(self) -> None:
        """
        A link that was being made already is for who we were: another follows.
        """
        self.port.renew()
        self.assertEqual(1, len(self.dials))
        self.up()
        self.assertEqual(1, len(self.dials))
        self.up()
        self.assertEqual([], self.dials)

    def test_fails(self) -> None:
        """
        As long as no other comes up, the one that is there serves; when it goes meanwhile, one is dialed.
        """
        ours, old = self.up()
        self.port.renew()
        self.dials.pop().errback(ConnectionRefusedError())
        self.advance(1)
        self.assertEqual(1, len(self.dials))
        self.assertTrue(self.stream(old).isOpen)
        ours.cut()
        self.advance(LONGEST)
        self.assertEqual(1, len(self.dials))
        self.dials.pop().errback(ConnectionRefusedError())
        self.port.renew()
        self.advance(LONGEST)
        self.assertEqual(1, len(self.dials))

    def test_old(self) -> None:
        """
        One that is old gives way before its peer finds it too old.
        """
        self.up()
        self.assertLess(RENEW, SessionLimits().age or 0)
        self.advance(RENEW - 1)
        self.assertEqual([], self.dials)
        self.advance(1)
        self.assertEqual(1, len(self.dials))
        self.port.stopListening()
        self.assertEqual([], [each for each in self.clock.getDelayedCalls() if each.getTime() > RENEW * 1.5])
