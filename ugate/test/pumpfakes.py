# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Joined sockets with a peer at either end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from ugate import splicing
from ugate.interfaces import Detached
from ugate.joined import Joined
from ugate.metering import Meters
from ugate.poll import asSocketReactor
from ugate.pump import Pump
from ugate.test.socketfakes import Peer, SocketTestCase, tcpPair
from ugate.test.splicefakes import QUIET

MEGABYTE = 1 << 20


class Stream:
    """
    A joined pair of sockets.

    @ivar a: the peer at the first.
    @ivar b: the peer at the second.
    @ivar reasons: why it ended; one, if all is well.
    """

    def __init__(self, a: Peer, b: Peer) -> None:
        self.a = a
        self.b = b
        self.reasons: list[str] = []
        self.joined: Joined

    @property
    def lent(self) -> tuple[bool, bool]:
        """
        Which directions a thread has: from the first, from the second.
        """
        return self.joined.a.lent is not None, self.joined.b.lent is not None

    @property
    def counts(self) -> tuple[int, int]:
        """
        How many bytes came from the first, and from the second.
        """
        return self.joined.sent, self.joined.received


class PumpTestCase(SocketTestCase):
    """
    Has a pump.
    """

    threads = 2
    process = False

    def setUp(self) -> None:
        super().setUp()
        self.patch(splicing, "_IDLE", QUIET)
        self.streams: list[Stream] = []
        self.stopped = False
        self.pump = Pump(asSocketReactor(self.reactor), self.threads, self.process)

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.pump.stop()
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual([len(stream.reasons) for stream in self.streams], [1] * len(self.streams))

    def join(
        self,
        buffers: int = 0,
        pair: Callable[[int], tuple[socket.socket, socket.socket]] = tcpPair,
        unread: tuple[bytes, bytes] = (b"", b""),
        unsent: tuple[bytes, bytes] = (b"", b""),
        early: tuple[bytes, bytes] = (b"", b""),
        meters: Meters | None = None,
    ) -> Stream:
        """
        Join two connections.

        @param buffers: bytes that the kernel should keep at each end; 0 for many.
        @param unread: what was read from either and not delivered.
        @param unsent: what was written to either and not sent.
        @param early: what was kept of either.
        @param meters: what limits it.
        """
        one, a = self.detached(pair, buffers)
        two, b = self.detached(pair, buffers)
        stream = Stream(one, two)
        self.streams.append(stream)
        stream.joined = self.pump.join(
            Detached(a.socket, unread[0], unsent[0]),
            Detached(b.socket, unread[1], unsent[1]),
            early[0],
            early[1],
            stream.reasons.append,
            meters,
        )
        return stream

    def arrive(self, peer: Peer, data: bytes) -> None:
        """
        Wait until all of this has arrived, and nothing else.
        """
        self.until(lambda: len(peer.got) >= len(data) or peer.broken, f"{len(data)} bytes")
        self.assertTrue(peer.got == data, f"{len(peer.got)} bytes arrived, not the {len(data)} sent")

    def over(self, stream: Stream, reason: str) -> None:
        """
        Wait for the end of a stream.
        """
        self.until(lambda: stream.reasons, "the end")
        self.assertEqual(stream.reasons, [reason])

    def lend(self, stream: Stream, forth: bool = True, back: bool = False) -> None:
        """
        Send so much that threads have these directions; nothing else is on its way
        afterwards.
        """
        data = bytes(MEGABYTE + MEGABYTE // 2)
        sizes = len(stream.a.got) + back * len(data), len(stream.b.got) + forth * len(data)
        if forth:
            stream.a.give(data)
        if back:
            stream.b.give(data)
        self.until(lambda: (len(stream.a.got), len(stream.b.got)) == sizes, "what was sent")
        self.assertEqual(stream.lent, (forth, back))

    def recover(self, stream: Stream) -> None:
        """
        Let the threads find the stream quiet.
        """
        self.rest()
        self.reactor.advance(QUIET * 2)
        self.until(lambda: stream.lent == (False, False), "the directions")
