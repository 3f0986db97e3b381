# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.buffers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.buffers import Buffers


class BuffersTests(SynchronousTestCase):
    """
    L{Buffers}.
    """

    def test_limit(self) -> None:
        """
        It is full when there is no room for what is asked, to the byte.
        """
        buffers = Buffers(100)
        self.assertEqual((buffers.fits(100), buffers.fits(101)), (True, False))
        buffers.hold(60)
        self.assertEqual((buffers.fits(40), buffers.fits(41), buffers.used), (True, False, 60))
        buffers.hold(-20)
        self.assertEqual((buffers.fits(60), buffers.fits(61)), (True, False))

    def test_kept(self) -> None:
        """
        What has come is kept, also beyond the limit; then nothing more fits.
        """
        buffers = Buffers(100)
        buffers.hold(150)
        self.assertEqual((buffers.used, buffers.fits(0), buffers.fits(1)), (150, False, False))

    def test_unlimited(self) -> None:
        """
        Without a limit it is only counted; one can be set later, and another.
        """
        buffers = Buffers()
        buffers.hold(1 << 40)
        self.assertTrue(buffers.fits(1 << 40))
        buffers.limit = 1 << 40
        self.assertEqual((buffers.fits(0), buffers.fits(1)), (True, False))

    def test_parents(self) -> None:
        """
        What is held is held of all above too, and each of their limits holds.
        """
        root = Buffers(100)
        one, two = Buffers(80, root), Buffers(None, root)
        deep = Buffers(None, two)
        one.hold(50)
        deep.hold(20)
        self.assertEqual((root.used, one.used, two.used, deep.used), (70, 50, 20, 20))
        self.assertEqual((one.fits(30), one.fits(31), deep.fits(30), deep.fits(31)), (True, False) * 2)
        one.hold(-50)
        self.assertEqual((deep.fits(80), one.fits(80), one.fits(81)), (True, True, False))
