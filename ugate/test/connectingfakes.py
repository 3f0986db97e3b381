# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that are about to be made, and sockets that are slow or lacking.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol

from ugate.deadlines import Deadlines
from ugate.endpoints.connecting import Connecting
from ugate.errors import Refused
from ugate.stream import Target
from ugate.test.dialfakes import Recorders
from ugate.test.socketfakes import Peer, SocketTestCase

HOST = "127.0.0.1"


class SlowSocket(socket.socket):
    """
    One whose connection is up, or refused, only in a later turn, as between machines.
    """

    _begun = False

    def connect_ex(self, address: Any) -> int:
        if self._begun:
            return errno.EALREADY
        self._begun = True
        return super().connect_ex(address)


class NoSocket:
    """
    There is none left.
    """

    def __init__(self, *args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class ConnectingTestCase(SocketTestCase):
    """
    Has a place to connect to, and what does so.
    """

    family: Any = socket.AF_INET
    host = HOST

    def setUp(self) -> None:
        super().setUp()
        self.listener = socket.create_server((self.host, 0), family=self.family)
        self.target = Target(self.host, self.listener.getsockname()[1])
        self.factory = Recorders()
        self.deadlines: Deadlines[Connecting] = Deadlines(self.reactor, 7.0, Connecting.overdue)

    def stop(self) -> None:
        self.listener.close()
        for recorder in self.factory.made:
            transport: Any = recorder.transport
            if transport.connected:
                transport.abortConnection()
        self.reactor.advance(0)
        self.deadlines.close()
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []))

    def begin(self, kind: Any = socket.socket, factory: Any = None) -> Deferred[IProtocol]:
        """
        Begin to connect.

        @param kind: what makes the socket.
        """
        self.connecting = Connecting(self.reactor, self.target, factory or self.factory, self.deadlines)
        patched = self.patch(socket, "socket", kind)
        try:
            return self.connecting.begin()
        finally:
            patched.restore()

    def refused(self, opened: Deferred[IProtocol]) -> Refused:
        """
        The refusal that it failed with.
        """
        refused = self.failureResultOf(opened, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual(refused.hop, str(self.target))
        self.assertEqual(len(self.deadlines), 0)
        return refused

    def up(self, opened: Deferred[IProtocol]) -> None:
        """
        It is up, and carries bytes both ways.
        """
        self.assertEqual(self.factory.made, [self.successResultOf(opened)])
        self.assertEqual(len(self.deadlines), 0)
        accepted, _ = self.listener.accept()
        self.peers.append(Peer(accepted))
        recorder, peer = self.factory.made[0], self.peers[0]
        recorder.transport.write(b"question")  # type: ignore[union-attr]
        self.until(lambda: peer.got == b"question", "the question")
        peer.give(b"answer")
        self.until(lambda: recorder.got == b"answer", "the answer")
