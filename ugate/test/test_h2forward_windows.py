# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2forward}: windows from end to end.
"""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2frames import DATA, RST_STREAM, Code
from ugate.protocols.h2sending import FIRST_WINDOW
from ugate.test.forwardfakes import FIRST, Chain, GateTestCase, heard
from ugate.test.h2corefakes import INITIAL_WINDOW
from ugate.test.splicefakes import noise


class WindowTests(GateTestCase):
    """
    Windows from end to end.
    """

    def send(self, size: int, stream: int = 1) -> None:
        """
        The near peer sends so much, in frames of some size.
        """
        while size:
            some = min(size, 16384)
            self.near.send(DATA, 0, stream, bytes(some))
            size -= some

    def use(self, stream: int = 1, credit: int = 0) -> int:
        """
        The near peer sends all that it may.

        @param credit: what it may send, besides what it is told now.
        @return: how much that was.
        """
        sent = 0
        while True:
            credit += self.came(self.near, stream).granted
            if not credit:
                return sent
            self.send(credit, stream)
            sent += credit
            credit = 0

    def test_nobodyReads(self) -> None:
        """
        The near peer is granted nothing for what waits here, which is a first window at most; when the far
        one takes it, as much may follow.
        """
        self.assertEqual(FIRST, self.use(credit=FIRST))
        self.assertEqual(FIRST_WINDOW, len(self.came(self.far).data))
        self.assertEqual(FIRST - FIRST_WINDOW, self.held())
        self.gate.window(self.far, 1, 1000)
        self.assertEqual(1000, len(self.came(self.far).data))
        granted = self.use()
        self.assertLessEqual(self.held(), FIRST)
        self.assertEqual(FIRST + granted, FIRST_WINDOW + 1000 + self.held())
        self.gate.window(self.far, 1, FIRST)
        self.assertLessEqual(self.held(), FIRST)
        self.assertGreater(self.use(), FIRST // 2)

    def test_large(self) -> None:
        """
        A large window at the far end becomes one at the near end, and when it is not renewed any more, no
        more than a first window stays here.
        """
        window = 1 << 22
        self.gate.window(self.far, 1, window - FIRST_WINDOW)
        credit, sent = FIRST, 0
        for _ in range(16):
            sent += self.use(credit=credit)
            credit = 0
            arrived = len(self.came(self.far).data)
            if arrived:
                self.gate.window(self.far, 1, arrived)
        self.assertGreater(sent, 2 * window)
        self.assertGreater(self.near.link.core.channels[1].credit, window // 2)
        self.near.frames()
        self.use(credit=self.near.link.core.channels[1].credit)
        self.assertLessEqual(self.held(), FIRST)

    def test_narrowConnection(self) -> None:
        """
        It counts what the far peer takes of all streams together, too.
        """
        self.far.settings((INITIAL_WINDOW, 1 << 22))
        self.far.frames()
        sent = self.use(credit=FIRST)
        self.assertLessEqual(sent, FIRST_WINDOW + FIRST)
        self.assertLessEqual(self.held(), FIRST)

    def test_smaller(self) -> None:
        """
        When the far peer makes its windows smaller than nothing, the near one waits until they are not.
        """
        self.far.settings((INITIAL_WINDOW, 100))
        self.send(60000)
        self.far.settings((INITIAL_WINDOW, 10))
        self.far.frames()
        self.use(credit=FIRST - 60000)
        self.assertLessEqual(self.held(), FIRST)
        self.gate.window(self.far, 1, 2 * FIRST)
        self.assertEqual(0, self.held())
        self.assertGreater(self.use(), 0)

    def test_others(self) -> None:
        """
        Hundred streams go on beside one that nobody reads.
        """
        self.use(credit=FIRST)
        self.came(self.far)
        for number in range(100):
            stream = 3 + 2 * number
            self.gate.up(stream)
            self.gate.window(self.far, stream, 40000)
            self.send(40000, stream)
            came = self.came(self.far, stream)
            self.assertEqual(40000, len(came.data), stream)
            self.near.send(RST_STREAM, 0, stream, struct.pack(">L", Code.CANCEL))
        self.assertEqual(FIRST - FIRST_WINDOW, self.held())

    def test_wireIsFull(self) -> None:
        """
        A wire that takes nothing for a time holds up what the far peer would take, and loses nothing.
        """
        self.far.link.pauseProducing()
        self.send(50000)
        self.assertEqual(50000, self.held())
        self.far.link.resumeProducing()
        self.assertEqual(50000, len(self.came(self.far).data))
        self.gate.window(self.far, 1, FIRST)
        self.assertGreater(self.use(credit=FIRST - 50000), FIRST - 50000)

    def test_afterOneHasEnded(self) -> None:
        """
        Who is left without the other one is a stream as all are.
        """
        inward = self.near.link.core.channels[1]
        outward = self.far.link.core.channels[1]
        self.assertIs(outward, inward.other)
        self.far.send(RST_STREAM, 0, 1, struct.pack(">L", Code.CANCEL))
        self.assertEqual([None, None], [inward.other, outward.other])


class ChainTests(SynchronousTestCase):
    """
    Links of ours on both sides.
    """

    def test_bulk(self) -> None:
        """
        Much passes, and windows grow at both ends.
        """
        chain = Chain(1, H2Limits(streamWindow=1 << 20, firstWindow=1 << 14))
        near, far = chain.near[0].transport, chain.far[0].transport
        data = noise(4 << 20)
        near.write(data)  # type: ignore[union-attr]
        far.write(data)  # type: ignore[union-attr]
        chain.flow()
        self.assertEqual([data, data], [heard(chain.near[0])[0], heard(chain.far[0])[0]])
        for link in (*chain.gate, chain.client, chain.server):
            (channel,) = link.core.channels.values()
            self.assertGreater(channel.promised, 1 << 18)

    def test_stalled(self) -> None:
        """
        When a server stops to read, who sends has about a window under way, and the gate little of it.
        """
        chain = Chain(2)
        near, far = chain.near[0].transport, chain.far[0].transport
        warm = noise(16 << 20)
        near.write(warm)  # type: ignore[union-attr]
        chain.flow()
        far.pauseProducing()  # type: ignore[union-attr]
        near.write(noise(32 << 20))  # type: ignore[union-attr]
        chain.flow()
        (sending, _) = chain.client.core.channels.values()
        inward, _ = chain.gate[0].core.channels.values()
        outward, _ = chain.gate[1].core.channels.values()
        arrived, _ = chain.server.core.channels.values()
        self.assertLessEqual(inward.unread + outward.unsent, FIRST)
        under = (32 << 20) - sending.unsent
        self.assertLessEqual(under, arrived.promised + FIRST)
        other = noise(3 << 20, 1)
        chain.near[1].transport.write(other)  # type: ignore[union-attr]
        chain.flow()
        self.assertEqual(other, heard(chain.far[1])[0])
        far.resumeProducing()  # type: ignore[union-attr]
        chain.flow()
        self.assertEqual(len(warm) + (32 << 20), len(heard(chain.far[0])[0]))
