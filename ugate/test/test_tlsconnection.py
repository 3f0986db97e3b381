# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsconnection}.
"""

from __future__ import annotations

from dataclasses import replace
from select import POLLOUT
from socket import SHUT_WR
from typing import Any

from OpenSSL import SSL
from zope.interface import implementer

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.endpoints.links import LinkHost
from ugate.errors import Refused
from ugate.interfaces import Detached, IDetachableTLS
from ugate.protocols.h2frames import PREFACE, SETTINGS, frameHead
from ugate.protocols.h2link import H2Link
from ugate.protocols.tlsalerts import TLSLost
from ugate.protocols.tlsconnection import TLSConnection, onSocket
from ugate.protocols.tlsmemory import out
from ugate.protocols.tlsrecords import ANSWERS, Records
from ugate.stream import StreamInfo
from ugate.test.h2fakes import HOST, PEER
from ugate.test.mtlsfakes import ALICE, SERVER
from ugate.test.socketfakes import Peer, SocketTestCase, tcpPair
from ugate.test.splicefakes import noise
from ugate.test.tlssocketfakes import TLSPeer, parted

VERSIONS = (0, SSL.OP_NO_TLSv1_3)
MUCH = 1 << 20


@implementer(IPushProducer)
class Inner(Protocol):
    """
    What is above.
    """

    takesViews = False

    def __init__(self) -> None:
        self.got = b""
        self.kinds: set[type] = set()
        self.lost: list[BaseException] = []
        self.calls: list[str] = []

    def dataReceived(self, data: bytes | memoryview) -> None:
        self.kinds.add(type(data))
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

    def __init__(self, detached: Detached, records: Records) -> None:
        super().__init__(HOST, PEER)  # type: ignore[no-untyped-call]
        self._parts = detached, records

    def detach(self) -> Detached:
        raise AssertionError("nobody wants that")

    def part(self) -> tuple[Detached, Records]:
        return self._parts


class Answering(Records):
    """
    Has something to say of its own to each byte, as to new keys.
    """

    def read(self) -> memoryview:
        data = super().read()
        said = bytes(30 * len(data))
        self._lib.BIO_write(self.connection._from_ssl, said, len(said))
        return data


class Broken(Records):
    """
    Encrypts nothing.
    """

    def write(self, data: bytes | memoryview) -> None:
        self.fault = TLSLost("it takes nothing")


def refused() -> tuple[SSL.Connection, bytes]:
    """
    A client, after its handshake, and what a server that is against its certificate says then.
    """
    context = SERVER.context()
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *arguments: False)
    client, server = SSL.Connection(ALICE.context(), None), SSL.Connection(context, None)
    client.set_connect_state()
    server.set_accept_state()
    for one, other in ((client, server), (server, client), (client, server)):
        try:
            one.do_handshake()
        except SSL.WantReadError:
            pass
        other.bio_write(out(one))
    try:
        server.do_handshake()
    except SSL.Error:
        pass
    return client, out(server)


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
        self, buffers: int = 0, version: int = 0, early: bytes = b"", unsent: bytes = b"",
        views: bool = False, kind: type[Records] = Records,
    ) -> tuple[TLSPeer, Inner, TLSConnection]:  # fmt: skip
        """
        A peer, and what is at our end.

        @param early: what the peer sent before.
        """
        peer, detached, records = parted(self, buffers, version, kind)
        if early:
            peer.connection.send(early)
            records.connection.bio_write(out(peer.connection))
        inner = Inner()
        inner.takesViews = views
        connection = TLSConnection(replace(detached, unsent=unsent), records, inner, PEER, HOST)
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
        peer.socket.shutdown(SHUT_WR)
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
        for hop, kind in (("gate", Refused), ("", TLSLost)):
            client, alert = refused()
            far, near = tcpPair()
            self.peers.append(peer := Peer(far))
            near.setblocking(False)
            inner = Inner()
            connection = TLSConnection(
                Detached(near, reactor=self.reactor), Records(client, hop), inner, PEER, HOST
            )
            self.connections.append(connection)
            connection.begin()
            peer.give(alert)
            self.until(lambda: inner.lost, "the end")  # noqa: B023
            self.assertEqual([kind], [type(each) for each in inner.lost])
            self.assertRegex(str(inner.lost[0]), "alert (unknown ca|bad certificate|certificate unknown)")

    def test_newKeys(self) -> None:
        """
        Who has keys changed over and over, and reads none of the answers, is cut.
        """
        peer, inner, connection = self.begin(buffers=8192, kind=Answering)
        peer.limit = 0
        for _ in range(ANSWERS):
            peer.give(b"x")
            self.turn(0)
            if inner.lost:
                break
        self.assertIn("it wants new keys too often", str(inner.lost[0]))
        self.assertLess(ANSWERS // 40, len(inner.got))
        self.assertLess(len(connection.dataBuffer) + connection._tempDataLen, 2 * ANSWERS)

    def test_unsealed(self) -> None:
        """
        What cannot be encrypted ends the connection: nothing may be missing in the middle.
        """
        peer, inner, connection = self.begin(kind=Broken)
        connection.write(b"lost")
        self.assertFalse(connection.isFree)
        connection.write(b"unsaid")
        self.until(lambda: inner.lost, "the end")
        self.assertEqual("TLS: it takes nothing", str(inner.lost[0]))
        self.until(lambda: peer.broken, "the reset")

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
        self.until(lambda: inner.lost, "our end")
        self.assertEqual([ConnectionDone], [type(each) for each in inner.lost])

    def test_noRoomForTheEnd(self) -> None:
        """
        An end for which there is no room is said when there is.
        """
        for method in ("loseConnection", "loseWriteConnection"):
            peer, inner, connection = self.begin(buffers=8192)
            peer.limit = 0
            data = noise(MUCH)
            connection.write(data)
            getattr(connection, method)()
            self.rest()
            self.assertEqual((False, []), (peer.ended, inner.lost))
            peer.limit = None
            self.until(lambda: peer.ended, "the end")  # noqa: B023
            self.assertTrue(peer.got == data)
            if method == "loseConnection":
                self.until(lambda: inner.lost, "our end")  # noqa: B023

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
        peer, detached, records = parted(self)
        peer.connection.send(b"early")
        records.connection.bio_write(out(peer.connection))
        inner = Inner()
        connection = TLSConnection(detached, records, inner, PEER, HOST)
        connection.abortConnection()
        connection.begin()
        self.until(lambda: inner.lost, "the end")
        self.assertEqual(b"", inner.got)

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
