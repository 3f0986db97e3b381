# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams inside of TLS that give their sockets away: L{ugate.protocols.tlsstream}.
"""

from __future__ import annotations

import gc
import socket
from typing import Any
from weakref import ref

from zope.interface import directlyProvides

from twisted.internet.testing import AccumulatingProtocol, MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.errors import Refused
from ugate.interfaces import Detached, IDetachable, IDetachableTLS
from ugate.protocols import tlsstream
from ugate.protocols.tlsconnection import onSocket
from ugate.protocols.tlssocket import ROOM, Room, TLSSocket
from ugate.protocols.tlsstream import TLSStream
from ugate.protocols.tlsverify import checkAgain
from ugate.test.mtlsfakes import ALICE, OTHER, ROOT, SERVER, Below, Client, Halves
from ugate.test.test_mtlsstream import Producer
from ugate.test.tlsfakes import FakeTenant, FakeTrust


class LeavingTests(SynchronousTestCase):
    """
    Streams that give their sockets away.
    """

    def setUp(self) -> None:
        self.tenant = FakeTenant(SERVER, FakeTrust(ROOT))
        self.far, self.near = socket.socketpair()
        self.near.setblocking(False)
        self.addCleanup(self.far.close)
        self.addCleanup(self.near.close)

    def begin(self, bare: bool = True) -> TLSStream:
        """
        A client that has asked something, over what can give its socket away.
        """
        below = Below()
        self.streams = Halves()
        self.successResultOf(MutualServerEndpoint(self.tenant.clock, below).listen(self.streams))
        self.client = Client(below, ALICE.context()).pump().send(b"question")
        if bare:
            wire = self.client.wire
            directlyProvides(wire, IDetachable)
            wire.detach = self.detach
        made: Any = self.streams.made[0]
        stream: TLSStream = made.transport
        return stream

    def detach(self) -> Detached:
        """
        See L{IDetachable.detach}.
        """
        unsent = self.client.wire.value()
        self.client.wire.clear()
        return Detached(self.near, b"", unsent, "a poll", MemoryReactorClock())

    def taken(self, stream: TLSStream) -> tuple[TLSSocket, Detached]:
        """
        What is left of it.
        """
        detached = IDetachableTLS(stream).detach()
        ours: Any = detached.socket
        ours.use(Room())
        return ours, detached

    def test_leave(self) -> None:
        """
        What was written, what was read and what is still to come is all there, in order.
        """
        stream = self.begin()
        stream.write(b"answer, ")
        ours, detached = self.taken(stream)
        self.assertEqual((detached.unread, detached.unsent, detached.waiting), (b"", b"", "a poll"))
        ours.send(b"and more")
        self.client.connection.bio_write(self.far.recv(65536))
        self.client.pump()
        self.assertEqual(self.client.received, b"answer, and more")
        self.client.connection.send(b"thanks")
        self.far.sendall(self.client._out())
        self.assertEqual(bytes(ours.recv(ROOM)), b"thanks")

    def test_unread(self) -> None:
        """
        What OpenSSL holds that nobody has read goes along; an end behind it is told, too.
        """
        stream = self.begin()
        self.client.connection.send(b"more")
        connection: Any = stream._tlsConnection
        connection.bio_write(self.client._out())
        self.client.connection.shutdown()
        connection.bio_write(self.client._out())
        ours, detached = self.taken(stream)
        self.assertEqual(detached.unread, b"more")
        self.assertEqual(ours.recv(ROOM), b"")

    def test_onSocket(self) -> None:
        """
        What takes its place, for those who stay, has all that was written and read; and whether its peer is
        still believed can be looked at.
        """
        stream = self.begin()
        stream.write(b"answer")
        self.client.connection.send(b"more")
        connection: Any = stream._tlsConnection
        connection.bio_write(self.client._out())
        inner = AccumulatingProtocol()
        made = onSocket(stream, inner)
        assert made is not None
        inner.makeConnection(made)
        made.begin()
        self.assertEqual(inner.data, b"more")
        made.doWrite()
        self.client.connection.bio_write(self.far.recv(65536))
        self.client.pump()
        self.assertEqual(self.client.received, b"answer")
        checkAgain(made)
        trust: Any = self.tenant.trust
        trust.issuer = OTHER
        self.assertIn("no root of ours", str(self.assertRaises(Refused, checkAgain, made)))

    def test_dead(self) -> None:
        """
        Afterwards the stream is nobody's, and what is still asked of it does nothing.
        """
        stream = self.begin()
        factory: Any = stream.factory
        self.assertEqual(len(factory.protocols), 1)
        self.taken(stream)
        self.assertEqual(len(factory.protocols), 0)
        stream.loseConnection()
        stream.abortConnection()
        stream.readConnectionLost()
        self.assertEqual(self.streams.made[0].lost, [])
        self.assertIs(IDetachableTLS(stream, None), None)

    def test_unheld(self) -> None:
        """
        What OpenSSL has of it is free when the socket is closed, also if something was written: nothing
        waits for the collector of garbage, of which there would be much before it looks.
        """
        self.addCleanup(gc.enable)
        gc.disable()
        for written in (b"", b"answer"):
            stream = self.begin()
            if written:
                stream.write(written)
            left = [ref(stream), ref(stream.getHandle())]
            ours, _ = self.taken(stream)
            ours.close()
            self.streams.made[0].transport = None
            del stream, ours
            self.assertEqual([each() for each in left], [None, None])

    def test_bare(self) -> None:
        """
        It is no bare socket, and nobody may take it for one.
        """
        stream = self.begin()
        self.assertIs(IDetachable(stream, None), None)
        self.assertIsNot(IDetachableTLS(stream, None), None)

    def test_stays(self) -> None:
        """
        One that is on its way down, has a producer, is over what has no socket, or with a pyOpenSSL that is
        otherwise inside, stays as it is.
        """
        self.assertIs(IDetachableTLS(self.begin(bare=False), None), None)
        stream = self.begin()
        stream.registerProducer(Producer(), True)
        self.assertIs(IDetachableTLS(stream, None), None)
        stream = self.begin()
        stream.loseConnection()
        self.assertIs(IDetachableTLS(stream, None), None)
        stream = self.begin()
        self.client.connection.shutdown()
        self.client.pump()
        self.assertIs(IDetachableTLS(stream, None), None)
        stream = self.begin()
        self.patch(tlsstream, "canLeave", lambda connection: False)
        self.assertIs(IDetachableTLS(stream, None), None)
