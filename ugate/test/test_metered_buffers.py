# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump} and L{ugate.buffers}: the memory that streams hold.
"""

from __future__ import annotations

from ugate import splice
from ugate.buffers import Buffers
from ugate.metering import Meters
from ugate.splice import PIPE_SIZE
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase
from ugate.test.splicefakes import QUIET, noise


class BuffersTests(PumpTestCase):
    """
    The memory that streams hold.
    """

    def setUp(self) -> None:
        super().setUp()
        self.buffers = Buffers(2 * PIPE_SIZE)
        self.meters = Meters(buffers=self.buffers)

    def stop(self) -> None:
        super().stop()
        self.assertEqual(self.buffers.used, 0)

    def test_rest(self) -> None:
        """
        What the kernel does not take counts until it does.
        """
        stream = self.join(buffers=8192, meters=self.meters)
        stream.b.limit = 0
        data = noise(MEGABYTE // 2)
        stream.a.give(data)
        self.rest()
        self.assertEqual(self.buffers.used, len(stream.joined.b.out))
        self.assertGreater(self.buffers.used, 0)
        stream.b.limit = None
        self.arrive(stream.b, data)
        self.assertEqual(self.buffers.used, 0)

    def test_early(self) -> None:
        """
        So does what came before.
        """
        stream = self.join(
            buffers=8192, meters=self.meters, early=(noise(MEGABYTE), b""), unsent=(noise(MEGABYTE, 2), b"")
        )
        waiting = len(stream.joined.a.out) + len(stream.joined.b.out)
        self.assertGreater(waiting, MEGABYTE)
        self.assertEqual(self.buffers.used, waiting)
        self.arrive(stream.a, noise(MEGABYTE, 2))
        self.arrive(stream.b, noise(MEGABYTE))
        self.assertEqual(self.buffers.used, 0)

    def test_cut(self) -> None:
        """
        What is dropped does not count any more.
        """
        stream = self.join(buffers=8192, meters=self.meters)
        stream.b.limit = 0
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.joined.close("idle", abort=True)
        self.assertEqual(self.buffers.used, 0)


class PipeTests(BuffersTests):
    """
    Pipes count with their size.
    """

    skip = None if splice.available else "this system has no splice(2)"

    def test_pipes(self) -> None:
        """
        There are as many as there is room for; all others go on, only slower, and have one
        when there is room again.
        """
        streams = [self.join(meters=self.meters) for _ in range(3)]
        for stream in streams[:2]:
            self.lend(stream)
        self.assertEqual(self.buffers.used, 2 * PIPE_SIZE)
        data = noise(4 * MEGABYTE)
        streams[2].a.give(data)
        self.arrive(streams[2].b, data)
        self.assertEqual(streams[2].lent, (False, False))
        self.assertFalse(streams[2].joined.a.copyOnly)
        self.recover(streams[0])
        self.recover(streams[1])
        self.assertEqual(self.buffers.used, 0)
        self.reactor.advance(QUIET)
        self.lend(streams[2])
        self.assertEqual(self.buffers.used, PIPE_SIZE)
