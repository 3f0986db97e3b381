# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sockets that outlive listeners.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from typing import Any

from zope.interface import implementer

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.accepting import Port
from ugate.stream import UNIX
from ugate.tenancy.egress import OwnListeners
from ugate.tenancy.listening import NOBODY, Ask, Owner, Sockets, Taken, whyCannot
from ugate.tenancy.tenant import Around, Tenant
from ugate.test.nodefakes import FakePort, Ports, inUse

A: Owner = ("root", "listen", "a")
B: Owner = ("root", "listen", "b")
ALICE: Owner = ("alice", "listen", "a")


class WhyTests(SynchronousTestCase):
    """
    L{whyCannot}.
    """

    def test_steps(self) -> None:
        """
        What the system says has a next step, if there is one.
        """
        for number, step in (
            (errno.EADDRINUSE, "; stop what listens there"),
            (errno.EACCES, "; take a port above 1023"),
            (errno.EADDRNOTAVAIL, "; take an address that this host has"),
        ):
            error = CannotListenError("127.0.0.1", 80, OSError(number, "words"))
            said = whyCannot(error)
            self.assertIn(f"Couldn't listen on 127.0.0.1:80: [Errno {number}] words{step}", said)
        self.assertEqual("listen main has it", whyCannot(Taken("", 80, "listen main has it")))
        self.assertEqual("other", whyCannot(ValueError("other")))

    def test_noFolder(self) -> None:
        """
        The folder of a UNIX socket has to be there.
        """
        error = self.assertRaises(OSError, os.symlink, "1", "/nonexistent/s.lock")
        self.assertEqual(
            "/nonexistent: No such file or directory; wanted a folder that ugate may write", whyCannot(error)
        )


class SocketsTests(SynchronousTestCase):
    """
    L{Sockets}.
    """

    def setUp(self) -> None:
        self.own = OwnListeners()
        self.sockets = Sockets(self.own)
        self.real: Any = Ports()
        self.reactor: Any = Tenant(
            self.real, around=Around(self.real, self.own, sockets=self.sockets)
        ).reactor

    def listen(self, owner: Owner, port: int = 80, interface: str = "127.0.0.1") -> Any:
        """
        Somebody listens.
        """
        with self.sockets.owned(owner):
            return self.reactor.listenTCP(port, Factory(), interface=interface)

    def retire(self, *owners: Owner) -> None:
        """
        A change begins.
        """
        self.sockets.begin(owners.__contains__)

    def test_plain(self) -> None:
        """
        Whoever listens is known by its address until it does so no more.
        """
        held = self.listen(A)
        self.assertEqual((held.getHost().port, held.place.owner), (80, A))
        self.assertTrue(self.own.holds("127.0.0.1", 80))
        held.startListening()
        self.successResultOf(held.stopListening())
        self.assertFalse(self.own.holds("127.0.0.1", 80))
        self.assertIs(held.stopListening(), None)
        self.assertEqual([port.listening for port in self.real.ports], [False])
        self.assertIn("tcp", repr(held))

    def test_takenOver(self) -> None:
        """
        A socket changes hands when the change is committed, not before; who had it cannot close it any more.
        """
        one = self.listen(A)
        self.retire(A)
        two = self.listen(B)
        (port,) = self.real.ports
        self.assertIs(port.factory, one.factory)
        self.sockets.commit()
        self.assertIs(port.factory, two.factory)
        self.assertEqual((one.factory.numPorts, two.factory.numPorts, two.place.owner), (0, 1, B))
        self.assertIs(one.stopListening(), None)
        self.assertTrue(port.listening)
        self.successResultOf(two.stopListening())
        self.assertEqual((port.listening, two.factory.numPorts), (False, 0))

    def test_rollback(self) -> None:
        """
        When the change cannot be, all is as before.
        """
        one = self.listen(A)
        self.retire(A)
        self.listen(A)
        self.listen(B, 81)
        for waiting in self.sockets.rollback():
            self.successResultOf(waiting)
        self.assertEqual([port.listening for port in self.real.ports], [True, False])
        self.assertIs(self.real.ports[0].factory, one.factory)
        self.assertEqual(self.own._byPort, {("tcp", 80): ["127.0.0.1"]})
        self.retire(A)
        self.listen(A)
        self.sockets.commit()

    def test_opened(self) -> None:
        """
        What was opened in the same change is nobody's to take over.
        """
        self.listen(A)
        self.retire(A, B)
        self.listen(A, 81)
        self.assertRaises(Taken, self.listen, B, 81)

    def test_abandoned(self) -> None:
        """
        Who was to take a socket over may think better of it.
        """
        one = self.listen(A)
        self.retire(A)
        self.listen(A).stopListening()
        self.sockets.commit()
        self.assertIs(self.real.ports[0].factory, one.factory)

    def test_sameOwner(self) -> None:
        """
        Of several that could be taken over it is one's own.
        """
        zero = [self.listen(owner, 0) for owner in (A, B)]
        self.retire(A, B)
        taken = [self.listen(owner, 0) for owner in (B, A)]
        self.assertEqual([each.place for each in taken], [zero[1].place, zero[0].place])

    def test_another(self) -> None:
        """
        What somebody else has, who does not go, is not to be had; nor is what is promised already.
        """
        self.listen(A)
        for owner, words in ((B, "listen a has it"), (ALICE, "another tenant of this gateway has it")):
            error = self.assertRaises(Taken, self.listen, owner)
            self.assertEqual((str(error), error.socketError.errno), (words, errno.EADDRINUSE))
        self.retire(A)
        self.listen(B)
        self.assertEqual(str(self.assertRaises(Taken, self.listen, ("root", "http", "x"))), "listen b has it")

    def test_beside(self) -> None:
        """
        Nor is the same port at all addresses.
        """
        self.listen(A)
        self.real.taken = inUse(80)
        error = self.assertRaises(Taken, self.listen, ALICE, 80, "")
        self.assertEqual(str(error), "another tenant of this gateway has it")
        self.real.taken = inUse(81)
        error = self.assertRaises(CannotListenError, self.listen, ALICE, 81, "")
        self.assertNotIsInstance(error, Taken)
        self.real.taken = {82: errno.EACCES}
        self.assertRaises(CannotListenError, self.listen, ALICE, 82, "")

    def test_nobody(self) -> None:
        """
        What is opened without a word is nobody's, and stays.
        """
        held = self.reactor.listenTCP(80, Factory())
        self.assertEqual(held.place.owner, NOBODY)
        self.retire(A)
        self.assertRaises(Taken, self.listen, A, 80, "")

    def test_descriptors(self) -> None:
        """
        A socket that was handed over is adopted once.
        """
        adopted: list[int] = []

        def adopt(descriptor: int, family: Any, factory: Any) -> Any:
            adopted.append(descriptor)
            return FakePort(self.real.listenTCP(1, factory).address, factory)

        self.real.adoptStreamPort = adopt
        with self.sockets.owned(A):
            self.reactor.adoptStreamPort(3, socket.AF_INET, Factory())
        self.retire(A)
        with self.sockets.owned(B):
            two = self.reactor.adoptStreamPort(3, socket.AF_INET, Factory())
        self.sockets.commit()
        self.assertEqual((adopted, two.place.owner), ([3], B))

    def test_ssl(self) -> None:
        """
        A port with TLS is a port: its socket stays when the keys change.
        """

        @implementer(IOpenSSLContextFactory)
        class Context:
            def getContext(self) -> Any:
                from OpenSSL.SSL import TLS_METHOD
                from OpenSSL.SSL import Context as Real

                return Real(TLS_METHOD)

        with self.sockets.owned(A):
            self.reactor.listenSSL(443, Factory(), Context())
        self.retire(A)
        with self.sockets.owned(A):
            two = self.reactor.listenSSL(443, Factory(), Context())
        self.sockets.commit()
        self.assertEqual(len(self.real.ports), 1)
        self.assertIs(self.real.ports[0].factory, two.factory)
        self.assertEqual(type(two.factory).__name__, "TLSMemoryBIOFactory")


class RealTests(SynchronousTestCase):
    """
    With sockets of the system.
    """

    def setUp(self) -> None:
        self.real = EPollReactor()
        self.addCleanup(self.real.waker.connectionLost, None)
        self.addCleanup(lambda: self.assertEqual([], self.real.removeAll()))
        self.own = OwnListeners()
        self.sockets = Sockets(self.own)
        self.around = Around(self.real, sockets=self.sockets)
        self.reactor: Any = Tenant(self.real, around=self.around).reactor

    def turn(self) -> None:
        """
        Let what is ready be served.
        """
        for _ in range(3):
            self.real.iterate(0)

    def port(self, reactor: Any, factory: Any, interface: str, port: int = 0) -> Any:
        """
        One of our own ports.
        """
        asked = Ask(
            "tcp",
            (port, interface),
            factory,
            lambda beside: self.opened(reactor, port, factory, interface, beside),
        )
        return self.sockets.listen(asked)

    def opened(self, reactor: Any, port: int, factory: Any, interface: str, beside: bool) -> Any:
        """
        A port that listens.
        """
        made = Port(port, factory, 5, interface, self.around.reactor)
        made.beside = beside
        made.startListening()
        return made

    def test_wider(self) -> None:
        """
        A listener can go from one address to all, while both listen; afterwards nobody else can join them.
        """
        with self.sockets.owned(A):
            one = self.port(self.reactor, Factory(), "127.0.0.1")
        number = one.getHost().port
        self.sockets.begin((A,).__contains__)
        with self.sockets.owned(A):
            all_ = self.port(self.reactor, Factory(), "", number)
        self.assertEqual(all_.getHost().port, number)
        self.sockets.commit()
        one.stopListening()
        for place in (one.place, all_.place):
            self.assertEqual(place.port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT), 0)
        all_.stopListening()
        self.turn()

    def test_emptied(self) -> None:
        """
        Who has connected before a socket is closed is still served.
        """
        made: list[Any] = []

        class Made(Factory):
            def buildProtocol(self, addr: Any) -> Any:
                made.append(addr)
                return None

        held = self.port(self.reactor, Made(), "127.0.0.1")
        clients = [socket.create_connection(("127.0.0.1", held.getHost().port), 5) for _ in range(3)]
        held.stopListening()
        self.turn()
        self.assertEqual(len(made), 3)
        for client in clients:
            client.close()

    def test_unix(self) -> None:
        """
        A path keeps its socket, and has the mode of who listens now.
        """
        # Short enough for a socket, wherever the tests run.
        path = os.path.join(tempfile.mkdtemp(prefix="ug-"), "socket")
        self.addCleanup(os.rmdir, os.path.dirname(path))
        with self.sockets.owned(A):
            self.reactor.listenUNIX(path, Factory(), mode=0o666)
        self.sockets.begin((A,).__contains__)
        with self.sockets.owned(A):
            two = self.reactor.listenUNIX(path, Factory(), mode=0o600)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)
        # No stream may lead back here.
        self.assertTrue(self.own.holds(os.path.realpath(path), 0, UNIX))
        self.sockets.commit()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        two.stopListening()
        self.turn()
        self.assertFalse(os.path.exists(path))
        self.assertFalse(self.own.holds(os.path.realpath(path), 0, UNIX))
