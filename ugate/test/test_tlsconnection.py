# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsconnection}.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from OpenSSL import SSL
from zope.interface import implementer

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.endpoints.links import LinkHost
from ugate.errors import Cause, Refused
from ugate.interfaces import Detached, IDetachableTLS
from ugate.protocols.h2frames import PREFACE, SETTINGS, frameHead
from ugate.protocols.h2link import H2Link
from ugate.protocols.sockets import RefusedBelow
from ugate.protocols.tlsalerts import TLSLost, refusalBy
from ugate.protocols.tlsconnection import TLSConnection, onSocket
from ugate.stream import StreamInfo
from ugate.test.h2fakes import HOST, PEER
from ugate.test.socketfakes import SocketTestCase
from ugate.test.splicefakes import noise
from ugate.test.tlssocketfakes import TLSPeer, secure

VERSIONS = (0, SSL.OP_NO_TLSv1_3)
MUCH = 1 << 20


@implementer(IPushProducer)
class Inner(Protocol):
    """
    What is above.
    """

    def __init__(self) -> None:
        self.got = b""
        self.lost: list[BaseException] = []
        self.calls: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.value is not None
        self.lost.append(reason.value)

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


@implementer(IDetachableTLS)
class Leaving(StringTransport):
    """
    A transport whose socket is to be had.
    """

    def __init__(self, detached: Detached) -> None:
        super().__init__(HOST, PEER)  # type: ignore[no-untyped-call]
        self.detached = detached

    def detach(self) -> Detached:
        return self.detached


class TLSConnectionTests(SocketTestCase):
    """
    L{TLSConnection}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.connections: list[TLSConnection] = []

    def stop(self) -> None:
        for each in self.connections:
            each.abortConnection()
        self.rest()
        self.assertEqual([], self.reactor.getReaders() + self.reactor.getWriters())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def begin(
        self, buffers: int = 0, version: int = 0, unread: bytes = b""
    ) -> tuple[TLSPeer, Inner, TLSConnection]:
        """
        A peer, and what is at our end.
        """
        peer, detached = secure(self, buffers, version)
        inner = Inner()
        connection = TLSConnection(replace(detached, unread=unread, reactor=self.reactor), inner, PEER, HOST)
        self.connections.append(connection)
        inner.makeConnection(connection)
        connection.begin()
        return peer, inner, connection

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

    def test_unread(self) -> None:
        """
        What came before is before all that comes, and nothing is given to what is above until it begins.
        """
        peer, inner, _ = self.begin(unread=b"early ")
        self.assertEqual(b"early ", inner.got)
        peer.give(b"late")
        self.until(lambda: len(inner.got) == 10, "the rest")
        self.assertEqual(b"early late", inner.got)

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

    def test_ended(self) -> None:
        """
        A peer that ends as TLS has it has ended well, and is told the same.
        """
        for version in VERSIONS:
            peer, inner, _ = self.begin(version=version)
            peer.give(b"last" * 9000, end=True)
            self.until(lambda: inner.lost, "the end")  # noqa: B023
            self.assertEqual(b"last" * 9000, inner.got)
            self.assertEqual([ConnectionDone], [type(each) for each in inner.lost])
            self.until(lambda: peer.ended, "our end")  # noqa: B023

    def test_truncated(self) -> None:
        """
        A connection that ends without an end in TLS was cut.
        """
        peer, inner, _ = self.begin()
        peer.give(b"half of it")
        self.until(lambda: inner.got, "it")
        peer.socket.shutdown(socket.SHUT_WR)
        self.until(lambda: inner.lost, "the end")
        (lost,) = inner.lost
        assert isinstance(lost, TLSLost)
        self.assertEqual((True, "TLS: it ended without saying so"), (lost.isTruncated, str(lost)))

    def test_broken(self) -> None:
        """
        What is no TLS ends it, with what is wrong in words.
        """
        peer, inner, _ = self.begin()
        peer.socket.send(b"GET / HTTP/1.0\r\n\r\n")
        self.until(lambda: inner.lost, "the end")
        (lost,) = inner.lost
        assert isinstance(lost, TLSLost)
        self.assertFalse(lost.isTruncated)
        self.assertRegex(str(lost), "^TLS: [^T]")

    def test_reset(self) -> None:
        """
        A reset is a loss; so it is for who is about to write.
        """
        peer, inner, connection = self.begin()
        peer.reset()
        self.until(lambda: inner.lost, "the end")
        self.assertEqual([ConnectionLost], [type(each) for each in inner.lost])
        connection.write(b"too late")
        connection.abortConnection()
        peer, inner, connection = self.begin()
        connection.pauseProducing()
        peer.reset()
        connection.write(b"question")
        connection.write(b"question")
        self.until(lambda: inner.lost, "the end")
        self.assertIsInstance(inner.lost[0], ConnectionLost)

    def test_refused(self) -> None:
        """
        A server that is against our certificate says so when the handshake is over.
        """
        _, inner, connection = self.begin()
        real = connection.socket

        class Refusing:
            """
            Has an alert to read.
            """

            fileno, setsockopt, close, settle, use = (
                real.fileno, real.setsockopt, real.close, real.settle, real.use
            )  # fmt: skip

            def recv(self, size: int) -> Any:
                raise RefusedBelow(refusalBy("certificate expired", "gate"))

        connection.socket = Refusing()
        self.assertIsInstance(reason := connection.doRead(), Refused)
        connection.connectionLost(Failure(reason))
        (lost,) = inner.lost
        assert isinstance(lost, Refused)
        self.assertIs(Cause.AUTHENTICATION, lost.cause)

    def test_loseConnection(self) -> None:
        """
        It is closed when all is sent that was written, and the peer hears that it was all.
        """
        peer, inner, connection = self.begin(buffers=8192)
        peer.limit = 0
        data = noise(MUCH)
        connection.write(data)
        connection.loseConnection()
        self.rest()
        self.assertEqual([], inner.lost)
        peer.limit = None
        self.until(lambda: peer.ended, "the end")
        self.assertTrue(peer.got == data)
        self.until(lambda: inner.lost, "our end")
        self.assertEqual([ConnectionDone], [type(each) for each in inner.lost])

    def test_loseWriteConnection(self) -> None:
        """
        Who sends no more still reads.
        """
        peer, inner, connection = self.begin()
        connection.write(b"all of it")
        connection.loseWriteConnection()
        self.until(lambda: peer.ended, "the end")
        connection.write(b"no more")
        peer.give(b"answer")
        self.until(lambda: inner.got, "the answer")
        self.assertEqual((b"all of it", b"answer", []), (bytes(peer.got), inner.got, inner.lost))
        connection.loseConnection()
        self.assertEqual([ConnectionDone], [type(each) for each in inner.lost])

    def test_noRoomForTheEnd(self) -> None:
        """
        An end for which there is no room is said when there is.
        """
        for method in ("loseConnection", "loseWriteConnection"):
            peer, inner, connection = self.begin()
            real = connection.socket
            calls: list[int] = []

            class Full:
                """
                Has no room for an end, for a while.
                """

                fileno, setsockopt, close, settle, use, recv, send = (
                    real.fileno, real.setsockopt, real.close, real.settle, real.use, real.recv, real.send
                )  # fmt: skip

                wantsRoom = False

                def shutdown(self, how: int) -> None:
                    calls.append(how)  # noqa: B023
                    if len(calls) < 3:  # noqa: B023
                        raise BlockingIOError
                    real.shutdown(how)  # noqa: B023

            connection.socket = Full()
            getattr(connection, method)()
            self.until(lambda: peer.ended, "the end")  # noqa: B023
            self.assertEqual(3, len(calls))
            self.assertEqual(method == "loseConnection", bool(inner.lost))

    def test_wantsRoom(self) -> None:
        """
        TLS that has to send before it reads on is asked again when it can, and not over and over before.
        """
        peer, inner, connection = self.begin()
        real = connection.socket
        asked: list[bool] = []

        class Answering:
            """
            Has to answer something first.
            """

            fileno, setsockopt, close, settle, use, shutdown = (
                real.fileno, real.setsockopt, real.close, real.settle, real.use, real.shutdown
            )  # fmt: skip
            wantsRoom = False

            def recv(self, size: int) -> Any:
                asked.append(True)
                self.wantsRoom = len(asked) == 1
                if self.wantsRoom:
                    raise BlockingIOError
                return real.recv(size)

        connection.socket = Answering()
        peer.give(b"question")
        self.until(lambda: asked, "it to be asked")
        self.assertEqual(([], [connection]), (self.reactor.getReaders(), self.reactor.getWriters()))
        self.until(lambda: inner.got, "the question")
        self.assertEqual((2, []), (len(asked), self.reactor.getWriters()))

    def test_abortConnection(self) -> None:
        """
        Whoever cuts it hears no more, and the peer finds no clean end.
        """
        peer, inner, connection = self.begin()
        peer.give(b"unheard")
        connection.abortConnection()
        self.assertEqual([], inner.lost)
        connection.abortConnection()
        connection.write(b"unsaid")
        self.assertEqual((None, None), (connection.doRead(), connection.doWrite()))
        self.until(lambda: inner.lost, "the end")
        self.assertEqual((b"", [ConnectionAborted]), (inner.got, [type(each) for each in inner.lost]))
        self.until(lambda: peer.broken, "the reset")
        self.assertEqual((False, b""), (peer.ended, bytes(peer.got)))

    def test_abortedBefore(self) -> None:
        """
        Whoever cuts it before it begins is given nothing.
        """
        _, detached = secure(self)
        inner = Inner()
        connection = TLSConnection(
            replace(detached, unread=b"early", reactor=self.reactor), inner, PEER, HOST
        )
        connection.abortConnection()
        connection.begin()
        self.until(lambda: inner.lost, "the end")
        self.assertEqual(b"", inner.got)

    def test_onSocket(self) -> None:
        """
        What is above TLS on a socket gets another transport, with the same addresses; what is not TLS stays
        what it is.
        """
        self.assertIsNone(onSocket(StringTransport(), Inner()))
        peer, detached = secure(self)
        inner = Inner()
        made = onSocket(Leaving(replace(detached, unread=b"early ", reactor=self.reactor)), inner)
        assert made is not None
        self.connections.append(made)
        self.assertEqual((PEER, HOST), (made.getPeer(), made.getHost()))
        made.begin()
        peer.give(b"late")
        self.until(lambda: inner.got == b"early late", "all of it")

    def test_link(self) -> None:
        """
        A link in TLS works on its socket from the beginning, and whoever cuts its host cuts that.
        """
        links = []

        def maker(info: StreamInfo) -> Any:
            links.append(link := H2Link(self.reactor, info, False))
            return link, link.ready

        peer, detached = secure(self)
        host = LinkHost(maker)
        host.makeConnection(Leaving(replace(detached, unread=PREFACE, reactor=self.reactor)))
        (link,) = links
        self.assertIsInstance(link.transport, TLSConnection)
        peer.give(frameHead(0, SETTINGS, 0, 0))
        self.until(lambda: host.up.called, "the link")
        self.assertIs(link, self.successResultOf(host.up))
        self.assertIn(frameHead(0, SETTINGS, 1, 0), bytes(peer.got))
        host.cut()
        self.until(lambda: peer.broken, "the cut")
        self.assertFalse(peer.ended)
