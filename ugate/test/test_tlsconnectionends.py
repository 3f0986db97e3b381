# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsconnection}: its ends.
"""

from __future__ import annotations

from socket import SHUT_WR

from OpenSSL import SSL

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost

from ugate.errors import Refused
from ugate.interfaces import Detached
from ugate.protocols.tlsalerts import TLSLost
from ugate.protocols.tlsconnection import TLSConnection
from ugate.protocols.tlsmemory import out
from ugate.protocols.tlsrecords import ANSWERS, Records
from ugate.test.h2fakes import HOST, PEER
from ugate.test.mtlsfakes import ALICE, SERVER
from ugate.test.socketfakes import Peer, tcpPair
from ugate.test.splicefakes import noise
from ugate.test.tlsconnectionfakes import MUCH, VERSIONS, Inner, TLSConnectionTestCase
from ugate.test.tlssocketfakes import parted


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


class TLSConnectionEndsTests(TLSConnectionTestCase):
    """
    The ends of a L{TLSConnection}, good and bad.
    """

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
