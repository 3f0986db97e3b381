# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpupstream}: how a stream begins, and what is left of it.
"""

from __future__ import annotations

import h11

from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Factory

from ugate.errors import Cause, Denied
from ugate.protocols.httpupstream import Upstream
from ugate.test.httpfakes import PROXY
from ugate.test.upstreamfakes import END, GET, INFO, Case


class NoFactory(Factory):
    """
    Builds nothing.
    """

    noisy = False

    def buildProtocol(self, addr: object) -> None:
        """
        Nothing.
        """
        return None


class OpenTests(Case):
    """
    How a stream begins.
    """

    def test_ready(self) -> None:
        """
        The target is in the peer of the transport.
        """
        self.assertEqual(self.told(), ["ready"])
        self.assertEqual(self.stream.transport.getPeer(), INFO)
        self.assertFalse(self.upstream.isReusable)

    def test_refused(self) -> None:
        """
        A refusal is a failure.
        """
        self.make(Denied("a.example:80"))
        self.assertEqual(self.told(), [Cause.DENIED])
        self.assertFalse(self.upstream.send(GET))

    def test_unanswered(self) -> None:
        """
        So is an end without an answer.
        """
        self.make(False)
        self.stream.transport.loseConnection()
        self.assertEqual(self.told(), [Cause.PEER_CLOSED])

    def test_noProtocol(self) -> None:
        """
        So is a factory that builds nothing.
        """
        upstream = Upstream(INFO, PROXY, self.clock, self.asker)
        upstream.open(NoFactory())
        self.assertEqual(self.told(), ["ready", Cause.OVERLOADED])

    def test_givenUp(self) -> None:
        """
        Who gives up hears of nothing more.
        """
        self.make(False)
        self.upstream.close(clean=False)
        self.stream.transport.accept()
        self.assertEqual(self.lost(), ConnectionAborted)
        self.assertEqual(self.told(), [])


class TunnelTests(Case):
    """
    When only bytes are left.
    """

    def test_bytes(self) -> None:
        """
        Bytes and both ends go through.
        """
        self.assertEqual(self.upstream.tunnel(self.asker), b"")
        self.told()
        self.upstream.sendRaw(b"abc")
        self.upstream.sendEnd()
        self.assertEqual((self.stream.received, self.stream.ended), (b"abc", True))
        self.stream.transport.write(b"def")
        self.stream.transport.pauseProducing()
        self.stream.transport.loseWriteConnection()
        self.stream.transport.loseConnection()
        self.assertEqual(self.told(), [b"def", ("full", True), "ended", "lost"])

    def test_ends(self) -> None:
        """
        A clean end of both directions is an end of the one first; a cut is not.
        """
        self.upstream.tunnel(self.asker)
        self.told()
        self.stream.transport.loseConnection()
        self.assertEqual(self.told(), ["ended", "lost"])
        self.make()
        self.upstream.tunnel(self.asker)
        self.told()
        self.stream.transport.abortConnection()
        self.assertEqual(self.told(), ["lost"])

    def test_upgraded(self) -> None:
        """
        What came right behind the response belongs to the tunnel.
        """
        fields = [("Host", "a"), ("Upgrade", "x"), ("Connection", "Upgrade")]
        self.ask(h11.Request(method="GET", target="/", headers=fields), END)
        self.stream.transport.write(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nearly")
        self.assertEqual(self.told(), [101])
        self.assertEqual(self.upstream.tunnel(self.asker), b"early")
