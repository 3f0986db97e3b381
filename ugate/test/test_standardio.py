# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Standard input and output as a connection.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any

from zope.interface import implementer

from twisted.internet.endpoints import StandardIOEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.standardio import Stdio, serveOnce


@implementer(IHalfCloseableProtocol)
class Listener(Protocol):
    """
    Writes down what happens.
    """

    def __init__(self) -> None:
        self.happened: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.happened.append(data.decode())

    def readConnectionLost(self) -> None:
        self.happened.append("end")

    def writeConnectionLost(self) -> None:
        self.happened.append("ended")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.happened.append(reason.type.__name__ if reason.type else "")


class StdioTests(SynchronousTestCase):
    """
    L{Stdio}, on pipes.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.stdin, self.toStdin = os.pipe()
        self.fromStdout, self.stdout = os.pipe()
        os.set_blocking(self.fromStdout, False)
        self.open = {self.stdin, self.toStdin, self.fromStdout, self.stdout}
        self.addCleanup(self._closeAll)
        self.over = 0
        self.protocol = Listener()
        self.stdio: Any = Stdio(self.protocol, self.stdin, self.stdout, self.reactor, over=self._over)

    def _closeAll(self) -> None:
        for each in self.open:
            os.close(each)

    def _over(self) -> None:
        self.over += 1
        self.assertIn("Connection", self.protocol.happened[-1])

    def close(self, descriptor: int) -> None:
        """
        Close one of our ends.
        """
        self.open.remove(descriptor)
        os.close(descriptor)

    def turn(self) -> None:
        """
        What a turn of a reactor does with what is ready.
        """
        for reader in [each for each in self.reactor.readers if each.fileno() == self.stdin]:
            reason = reader.doRead()
            if reason is not None:
                self.reactor.removeReader(reader)
                reader.connectionLost(Failure(reason))
        for writer in list(self.reactor.writers):
            reason = writer.doWrite()
            if reason is not None:
                self.reactor.removeWriter(writer)
                writer.connectionLost(Failure(reason))
        self.reactor.advance(0)

    def test_data(self) -> None:
        """
        Bytes go both ways.
        """
        os.write(self.toStdin, b"hello")
        self.turn()
        self.stdio.write(b"good")
        self.stdio.writeSequence([b" ", b"bye"])
        self.turn()
        self.assertEqual(self.protocol.happened, ["hello"])
        self.assertEqual(os.read(self.fromStdout, 100), b"good bye")
        self.assertEqual(self.over, 0)

    def test_close(self) -> None:
        """
        It closes after what was written, once.
        """
        self.stdio.write(b"bye")
        self.stdio.loseConnection()
        self.stdio.loseConnection()
        self.assertEqual(self.protocol.happened, [])
        self.turn()
        self.turn()
        self.assertEqual(os.read(self.fromStdout, 100), b"bye")
        self.assertEqual((self.protocol.happened, self.over), (["ConnectionDone"], 1))
        self.assertEqual((self.reactor.readers, self.reactor.writers), (set(), set()))
        self.stdio.loseConnection()
        self.stdio.abortConnection()
        self.reactor.advance(1)
        self.assertEqual(self.over, 1)

    def test_halfClose(self) -> None:
        """
        Who reads our output sees its end while its input still comes; after that a close
        is the end of all.
        """
        self.stdio.write(b"bye")
        self.stdio.loseWriteConnection()
        self.turn()
        self.turn()
        self.assertEqual(os.read(self.fromStdout, 100), b"bye")
        self.close(self.stdout)
        self.assertEqual(os.read(self.fromStdout, 100), b"")
        os.write(self.toStdin, b"more")
        self.turn()
        self.assertEqual(self.protocol.happened, ["ended", "more"])
        self.stdio.loseConnection()
        self.assertEqual(self.over, 0)
        self.turn()
        self.assertEqual((self.protocol.happened[2:], self.over), (["ConnectionDone"], 1))

    def test_outputLeadsNowhere(self) -> None:
        """
        After its end the descriptor is still taken, so that what is printed by mistake
        reaches nobody.
        """
        self.stdio.loseWriteConnection()
        self.turn()
        self.turn()
        self.assertEqual(os.write(self.stdout, b"printed"), 7)
        self.assertEqual(os.read(self.fromStdout, 100), b"")

    def test_bothEnd(self) -> None:
        """
        Both directions may end one after the other.
        """
        self.close(self.toStdin)
        self.turn()
        self.turn()
        self.assertEqual((self.protocol.happened, self.over), (["end"], 0))
        self.stdio.write(b"answer")
        self.turn()
        self.stdio.loseConnection()
        self.turn()
        self.turn()
        self.assertEqual(os.read(self.fromStdout, 100), b"answer")
        self.assertEqual((self.protocol.happened, self.over), (["end", "ConnectionDone"], 1))

    def test_bothEndTheOtherWay(self) -> None:
        """
        The same with our direction first.
        """
        self.stdio.loseWriteConnection()
        self.turn()
        self.turn()
        self.close(self.toStdin)
        self.turn()
        self.turn()
        self.assertEqual((self.protocol.happened, self.over), (["ended", "end"], 0))
        self.stdio.loseConnection()
        self.turn()
        self.assertEqual((self.protocol.happened[2:], self.over), (["ConnectionDone"], 1))

    def test_abort(self) -> None:
        """
        It can be aborted; what was not written is dropped, and the protocol is not called
        from inside.
        """
        self.stdio.write(b"never")
        self.stdio.abortConnection()
        self.stdio.abortConnection()
        self.assertEqual(self.protocol.happened, [])
        self.reactor.advance(0)
        self.assertEqual((self.protocol.happened, self.over), (["ConnectionAborted"], 1))
        self.assertEqual((self.reactor.readers, self.reactor.writers), (set(), set()))
        self.assertRaises(BlockingIOError, os.read, self.fromStdout, 100)

    def test_abortAfterHalfClose(self) -> None:
        """
        An abort also ends what is half closed, and what is closing.
        """
        self.stdio.loseWriteConnection()
        self.turn()
        self.turn()
        self.stdio.loseConnection()
        self.stdio.abortConnection()
        self.turn()
        self.assertEqual(self.over, 1)

    def test_nobodyReads(self) -> None:
        """
        When nobody reads our output any more, the connection is gone, whatever may still
        come in.
        """
        self.close(self.fromStdout)
        self.stdio.write(b"hello?")
        self.turn()
        self.assertEqual((len(self.protocol.happened), self.over), (1, 1))
        self.assertEqual((self.reactor.readers, self.reactor.writers), (set(), set()))

    def test_socket(self) -> None:
        """
        Where input and output are one socket, its direction is ended.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(5)
            output = os.dup(theirs.fileno())
            self.open.add(output)
            protocol = Listener()
            stdio: Any = Stdio(protocol, theirs.fileno(), output, self.reactor, over=lambda: None)
            stdio.loseWriteConnection()
            self.turn()
            self.turn()
            self.assertEqual(ours.recv(1), b"")
            ours.sendall(b"more")
            stdio._reader.doRead()
            self.assertEqual(protocol.happened, ["ended", "more"])
            stdio.abortConnection()
            self.turn()


class ServeOnceTests(SynchronousTestCase):
    """
    L{serveOnce}.
    """

    def test_endpoint(self) -> None:
        """
        The endpoint of Twisted's makes a connection of ours.
        """
        reactor: Any = MemoryReactorClock()
        ends: list[str] = []
        ours, theirs = socket.socketpair()
        with ours, theirs:
            endpoint: Any = StandardIOEndpoint(reactor)
            serveOnce(endpoint, lambda: ends.append("over"))
            ones = {"stdin": theirs.fileno(), "stdout": os.dup(theirs.fileno())}
            endpoint._stdio = partial(endpoint._stdio, **ones)
            protocol = Listener()
            stdio = self.successResultOf(endpoint.listen(Factory.forProtocol(lambda: protocol)))
            self.addCleanup(os.close, stdio._output)
            self.assertIsInstance(stdio, Stdio)
            self.assertIs(protocol.transport, stdio)
            stdio.abortConnection()
            reactor.advance(0)
        self.assertEqual((ends, protocol.happened), (["over"], [ConnectionAborted.__name__]))
