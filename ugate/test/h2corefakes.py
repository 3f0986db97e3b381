# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A link of HTTP/2 in front of a peer that the test plays.
"""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2frames import (
    DATA,
    WINDOW_UPDATE,
    Code,
)
from ugate.test.h2fakes import RawPeer, Upper

FIRST = H2Limits().firstWindow

INITIAL_WINDOW, MAX_FRAME_SIZE = 4, 5


class CoreTestCase(SynchronousTestCase):
    """
    A link of a server, and its peer.
    """

    limits: H2Limits | None = None

    def setUp(self) -> None:
        self.peer = RawPeer(limits=self.limits)
        self.peer.frames()
        self.core = self.peer.link.core

    def up(self, stream: int = 1, takes: bool = True) -> Upper:
        """
        A stream that is up.
        """
        self.peer.headers(stream)
        upper = Upper(self.core.channels[stream], takes)
        upper.channel.accept()
        self.peer.frames()
        return upper

    def data(self, stream: int, size: int, flags: int = 0) -> None:
        """
        Send so much data.
        """
        self.peer.send(DATA, flags, stream, bytes(size))

    def window(self, stream: int, more: int) -> None:
        """
        Let the link send more.
        """
        self.peer.send(WINDOW_UPDATE, 0, stream, struct.pack(">L", more))

    def updates(self) -> dict[int, int]:
        """
        By how much windows were enlarged.
        """
        found: dict[int, int] = {}
        for kind, _, stream, payload in self.peer.frames():
            if kind == WINDOW_UPDATE:
                found[stream] = found.get(stream, 0) + struct.unpack(">L", payload)[0]
        return found

    def sent(self) -> dict[int, int]:
        """
        How many bytes of data came of each stream.
        """
        found: dict[int, int] = {}
        for kind, _, stream, payload in self.peer.frames():
            if kind == DATA:
                found[stream] = found.get(stream, 0) + len(payload)
        return found

    def assertGone(self, code: Code, peer: RawPeer | None = None) -> None:
        """
        The link is ended, with that code.
        """
        peer = peer or self.peer
        gone = peer.goneAway()
        self.assertIsNotNone(gone)
        assert gone is not None
        self.assertEqual(code, Code(gone[1]), gone[2])
        self.assertTrue(peer.wire.halfClosed)
