# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.accepting}.
"""

from __future__ import annotations

import os
import resource
import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITLSTransport
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent

from ugate.accepting import Port
from ugate.test.dialfakes import Recorder, Recorders
from ugate.test.socketfakes import Peer, SocketTestCase, congestion

HOST = "127.0.0.1"
_LOCK_FILTER = 44


class PortTestCase(SocketTestCase):
    """
    Has a port that listens.
    """

    interface = HOST

    def setUp(self) -> None:
        # Twisted keeps it for as long as the process runs.
        tcp._reservedFD.reserve()
        super().setUp()
        self.factory = Recorders()
        self.port: Any = Port(0, self.factory, 50, self.interface, self.reactor)
        self.port.startListening()
        self.number = self.port.getHost().port

    def stop(self) -> None:
        if self.port.connected:
            self.port.stopListening()
            self.reactor.advance(0)
        for recorder in self.factory.made:
            if not recorder.lost:
                recorder.transport.abortConnection()  # type: ignore[union-attr]
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getReaders(), [])

    def client(self, host: str = HOST) -> Peer:
        """
        Connect.
        """
        self.peers.append(Peer(socket.create_connection((host, self.number))))
        return self.peers[-1]

    def accepted(self, host: str = HOST) -> tuple[Peer, Any]:
        """
        Connect, and be accepted.

        @return: the client, and the transport of our end.
        """
        client = self.client(host)
        count = len(self.factory.made)
        self.until(lambda: len(self.factory.made) > count, "the connection")
        return client, self.factory.made[-1].transport


class ConnectionTests(PortTestCase):
    """
    What is accepted.
    """

    def test_bytes(self) -> None:
        """
        Bytes go both ways.
        """
        client, transport = self.accepted()
        client.give(b"question")
        self.until(lambda: self.factory.made[0].got == b"question", "the question")
        transport.write(b"answer")
        self.until(lambda: client.got == b"answer", "the answer")

    def test_addresses(self) -> None:
        """
        Each knows its two addresses.
        """
        client, transport = self.accepted()
        self.assertEqual(transport.getPeer(), IPv4Address("TCP", *client.socket.getsockname()))
        self.assertEqual(transport.getHost(), IPv4Address("TCP", HOST, self.number))
        self.assertEqual(transport.hostname, HOST)
        self.assertEqual(repr(transport), f"<connection #0 on {self.number}>")

    def test_noDelay(self) -> None:
        """
        None waits for more before it sends.
        """
        _, transport = self.accepted()
        self.assertTrue(transport.getTcpNoDelay())
        self.assertFalse(transport.socket.getblocking())

    def test_noPace(self) -> None:
        """
        None is paced, whatever the rule is on this machine, if its port can be reached from here alone.
        """
        _, transport = self.accepted()
        ruled = Port(0, self.factory, 50, "", self.reactor)
        ruled.startListening()
        self.addCleanup(ruled.stopListening)
        with socket.socket() as plain:
            rule = congestion(plain)
        self.assertEqual((b"reno", rule), (congestion(transport.socket), congestion(ruled.socket)))

    if not hasattr(socket, "TCP_CONGESTION"):
        test_noPace.skip = "this system does not let one choose"  # type: ignore[attr-defined]

    def test_ends(self) -> None:
        """
        The protocol hears how it ended.
        """
        for end, why in ((Peer.close, ConnectionDone), (Peer.reset, ConnectionLost)):
            client, _ = self.accepted()
            recorder = self.factory.made[-1]
            end(client)
            self.heard(recorder, why)

    def heard(self, recorder: Recorder, why: type[Exception]) -> None:
        """
        Wait until a protocol has heard of its end.
        """
        self.until(lambda: recorder.lost, "the end")
        self.assertTrue(recorder.lost[0].check(why), recorder.lost)

    def test_nothingToRead(self) -> None:
        """
        To be asked without cause is nothing.
        """
        _, transport = self.accepted()
        self.assertIs(transport.doRead(), None)
        self.port.doRead()
        self.assertEqual(len(self.factory.made), 1)

    def test_encrypted(self) -> None:
        """
        One that goes on in TLS is still a transport of Twisted's for that.
        """
        _, transport = self.accepted()
        self.assertTrue(ITLSTransport.providedBy(transport))
        self.assertTrue(callable(transport.startTLS))


class EverywhereTests(PortTestCase):
    """
    A port at all addresses.
    """

    interface = ""

    def test_addresses(self) -> None:
        """
        Each connection knows to which of them it came.
        """
        for host in (HOST, "127.0.0.2"):
            _, transport = self.accepted(host)
            self.assertEqual(transport.getHost(), IPv4Address("TCP", host, self.number))


class SixTests(PortTestCase):
    """
    IPv6.
    """

    interface = "::1"

    def test_addresses(self) -> None:
        """
        The addresses are of that kind.
        """
        client, transport = self.accepted("::1")
        host, port, flow, scope = client.socket.getsockname()
        self.assertEqual(transport.getPeer(), IPv6Address("TCP", host, port, flow, scope))
        self.assertIsInstance(transport.getHost(), IPv6Address)
        self.assertEqual((transport.getHost().host, transport.getHost().port), ("::1", self.number))

    def test_scope(self) -> None:
        """
        A link-local address has its scope, by which one can answer.
        """
        client = self.client("::1")
        connected, _ = self.port.socket.accept()
        self.port._accepted(connected, ("fe80::7", 40000, 0, 1))
        transport: Any = self.factory.made[0].transport
        self.assertEqual(transport.getPeer().host, f"fe80::7%{socket.if_indextoname(1)}")
        client.close()


class TroubleTests(PortTestCase):
    """
    What must not end the port.
    """

    def test_oneATurn(self) -> None:
        """
        Each time that it is asked it accepts one, so that others get their turn.
        """
        for _ in range(3):
            self.client()
        for count in (1, 2, 3):
            self.port.doRead()
            self.assertEqual(len(self.factory.made), count)

    def test_refuses(self) -> None:
        """
        A factory that wants no connection gets none.
        """
        self.patch(self.factory, "buildProtocol", lambda address: None)
        client = self.client()
        self.until(lambda: client.ended, "the end")
        self.assertEqual(self.reactor.getReaders(), [self.port])

    def test_factoryFails(self) -> None:
        """
        An error there is logged, and the next one is served.
        """
        build = self.factory.buildProtocol
        faults = [ZeroDivisionError("a fault")]

        def faulty(address: Any) -> Recorder:
            if faults:
                raise faults.pop()
            return build(address)

        self.patch(self.factory, "buildProtocol", faulty)
        client = self.client()
        self.until(lambda: client.ended or client.broken, "the end")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.accepted()

    def test_noDescriptors(self) -> None:
        """
        Without descriptors it accepts by a spare one, to close that at once, and says
        so: a client that waited would be reported for ever.
        """
        clients = [self.client(), self.client()]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        with capturedLogs() as logs:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                for _ in clients:
                    self.port.doRead()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertIn("EMFILE encountered", str(formatEvent(logs[0])))
        self.until(lambda: all(client.ended or client.broken for client in clients), "the ends")
        self.assertEqual(self.factory.made, [])
        self.accepted()

    def test_stops(self) -> None:
        """
        It can be stopped, and then listens no more.
        """
        stopped: Deferred[None] = self.port.stopListening()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertRaises(ConnectionRefusedError, self.client)

    def test_stopsUnfiltered(self) -> None:
        """
        Also where the kernel lets it set no filter, and who has connected is accepted.
        """
        self.port.socket.setsockopt(socket.SOL_SOCKET, _LOCK_FILTER, 1)
        client = self.client()
        stopped: Deferred[None] = self.port.stopListening()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertRaises(ConnectionRefusedError, self.client)
        self.factory.made[0].transport.write(b"answer")  # type: ignore[union-attr]
        self.until(lambda: client.got == b"answer", "the answer")

    def test_taken(self) -> None:
        """
        A port that another one has cannot be had.
        """
        other: Any = Port(self.number, Factory.forProtocol(Recorder), 50, HOST, self.reactor)
        self.assertRaises(CannotListenError, other.startListening)
