# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsconnection}: bytes, and whose they are.
"""

from __future__ import annotations

from dataclasses import replace
from select import POLLOUT
from typing import Any

from zope.interface import implementer

from twisted.internet.testing import StringTransport

from ugate.endpoints.links import LinkHost
from ugate.interfaces import Detached, IDetachableTLS
from ugate.protocols.h2frames import PREFACE, SETTINGS, frameHead
from ugate.protocols.h2link import H2Link
from ugate.protocols.tlsconnection import TLSConnection, onSocket
from ugate.protocols.tlsrecords import Records
from ugate.stream import StreamInfo
from ugate.test.h2fakes import HOST, PEER
from ugate.test.socketfakes import tcpPair
from ugate.test.splicefakes import noise
from ugate.test.tlsconnectionfakes import MUCH, VERSIONS, Inner, TLSConnectionTestCase
from ugate.test.tlssocketfakes import parted


@implementer(IDetachableTLS)
class Leaving(StringTransport):
    """
    A transport whose socket is to be had.
    """

    def __init__(self, detached: Detached, records: Records) -> None:
        super().__init__(HOST, PEER)  # type: ignore[no-untyped-call]
        self._parts = detached, records

    def detach(self) -> Detached:
        raise AssertionError("nobody wants that")

    def part(self) -> tuple[Detached, Records]:
        return self._parts


class TLSConnectionTests(TLSConnectionTestCase):
    """
    L{TLSConnection}, while it is up.
    """

    def test_bothWays(self) -> None:
        """
        Little and much, both ways at once, is what was sent.
        """
        for version in VERSIONS:
            peer, inner, connection = self.begin(version=version)
            self.assertEqual(
                (PEER, HOST, "TLS"), (connection.getPeer(), connection.getHost(), connection.logPrefix())
            )
            up, down = noise(3 * MUCH), noise(2 * MUCH)
            peer.give(b"question")
            self.until(lambda: inner.got, "the question")  # noqa: B023
            self.assertEqual(b"question", inner.got)
            connection.write(b"")
            connection.write(b"answer")
            peer.give(up)
            connection.writeSequence([down[:100], down[100:]])
            self.until(
                lambda: len(inner.got) >= 8 + len(up) and len(peer.got) >= 6 + len(down),  # noqa: B023
                "all of it",
            )
            self.assertTrue(inner.got == b"question" + up)
            self.assertTrue(peer.got == b"answer" + down)

    def test_early(self) -> None:
        """
        What came before is before all that comes, also if it is more than is given at once.
        """
        early = noise(16000)
        peer, inner, _ = self.begin(early=early)
        self.assertEqual(early, inner.got)
        peer.give(b"late")
        self.until(lambda: len(inner.got) > len(early), "the rest")
        self.assertEqual(early + b"late", inner.got)

    def test_unsent(self) -> None:
        """
        What was encrypted before, and is not sent, goes first.
        """
        peer, detached, records = parted(self)
        records.write(b"first ")
        unsent = records.out().tobytes()
        connection = TLSConnection(replace(detached, unsent=unsent), records, Inner(), PEER, HOST)
        self.connections.append(connection)
        connection.begin()
        connection.write(b"second")
        self.until(lambda: len(peer.got) == 12, "both")
        self.assertEqual(b"first second", bytes(peer.got))

    def test_views(self) -> None:
        """
        Who says so is given views, and everybody else what may be kept.
        """
        for views, kind in ((True, memoryview), (False, bytes)):
            peer, inner, _ = self.begin(views=views)
            data = noise(MUCH)
            peer.give(data)
            self.until(lambda: len(inner.got) == MUCH, "all of it")  # noqa: B023
            self.assertTrue(inner.got == data)
            self.assertEqual({kind}, inner.kinds)

    def test_atOnce(self) -> None:
        """
        What is written goes at once, if nothing is ahead of it.
        """
        peer, _, connection = self.begin()
        connection.write(b"now")
        self.assertEqual([], self.reactor.getWriters())
        self.until(lambda: peer.got, "it")
        self.assertEqual(b"now", bytes(peer.got))

    def test_full(self) -> None:
        """
        A peer that does not read holds up who produces, and gets everything in order when it does.
        """
        peer, inner, connection = self.begin(buffers=8192)
        peer.limit = 0
        connection.registerProducer(inner, True)
        written = b""
        while "pause" not in inner.calls:
            piece = noise(50000)
            connection.write(piece)
            written += piece
            self.assertLess(len(written), 4 * MUCH, "nothing held it up")
        self.rest()
        self.assertEqual(["pause"], inner.calls)
        more = noise(300000)
        connection.write(more)
        peer.limit = None
        self.until(lambda: len(peer.got) >= len(written) + len(more), "all of it")
        self.assertTrue(peer.got == written + more)
        self.until(lambda: "resume" in inner.calls, "it to go on")

    def test_paused(self) -> None:
        """
        Who does not want to read holds up the peer.
        """
        peer, inner, connection = self.begin(buffers=8192)
        connection.pauseProducing()
        data = noise(MUCH)
        peer.give(data)
        self.rest()
        self.assertEqual(b"", inner.got)
        self.assertTrue(peer.unsent)
        connection.resumeProducing()
        self.until(lambda: len(inner.got) == MUCH, "all of it")
        self.assertTrue(inner.got == data)

    def test_take(self) -> None:
        """
        What another socket has goes, behind what is put before it; that it has nothing is told, and its end.
        """
        peer, _, connection = self.begin()
        far, near = tcpPair()
        near.setblocking(False)
        data = noise(100000)
        try:
            self.assertRaises(BlockingIOError, connection.take, near, MUCH, 4, str)
            far.sendall(data)
            taken = 0
            while taken < len(data):
                taken += connection.take(near, 65536, 4, lambda size: size.to_bytes(4, "big"))
            self.assertTrue(connection.isFree)
            far.close()
            self.assertEqual(0, connection.take(near, 65536, 4, lambda size: b"none"))
        finally:
            far.close()
            near.close()
        self.until(lambda: len(peer.got) > len(data) and not peer.mask & POLLOUT, "all of it")
        self.rest()
        got, found = bytes(peer.got), b""
        while got:
            size = int.from_bytes(got[:4], "big")
            found, got = found + got[4 : 4 + size], got[4 + size :]
        self.assertTrue(found == data)

    def test_onSocket(self) -> None:
        """
        What is above TLS on a socket gets another transport, with the same addresses; what is not TLS stays
        what it is.
        """
        self.assertIsNone(onSocket(StringTransport(), Inner()))
        peer, detached, records = parted(self)
        inner = Inner()
        made = onSocket(Leaving(detached, records), inner)
        assert made is not None
        self.connections.append(made)
        self.assertEqual((PEER, HOST), (made.getPeer(), made.getHost()))
        made.begin()
        peer.give(b"late")
        self.until(lambda: inner.got == b"late", "it")

    def test_link(self) -> None:
        """
        A link in TLS works on its socket from the beginning, and whoever cuts its host cuts that.
        """
        links = []

        def maker(info: StreamInfo) -> Any:
            links.append(link := H2Link(self.reactor, info, False))
            return link, link.ready

        peer, detached, records = parted(self)
        host = LinkHost(maker)
        host.makeConnection(Leaving(detached, records))
        (link,) = links
        self.assertIsInstance(link.transport, TLSConnection)
        peer.give(PREFACE + frameHead(0, SETTINGS, 0, 0))
        self.until(lambda: host.up.called, "the link")
        self.assertIs(link, self.successResultOf(host.up))
        self.assertIn(frameHead(0, SETTINGS, 1, 0), bytes(peer.got))
        host.cut()
        self.until(lambda: peer.broken, "the cut")
        self.assertFalse(peer.ended)
