# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Peers that speak TLS over a real socket, and our ends of their connections.
"""

from __future__ import annotations

import socket
from typing import Any, cast

from OpenSSL import SSL

from ugate.interfaces import Detached
from ugate.protocols.tlsmemory import out
from ugate.protocols.tlsrecords import Records
from ugate.protocols.tlssocket import TLSSocket
from ugate.test.mtlsfakes import ALICE, SERVER
from ugate.test.socketfakes import Peer, tcpPair


def shaken(version: int = 0) -> tuple[SSL.Connection, SSL.Connection]:
    """
    A client and a server, in memory, that have shaken hands and sent nothing else.

    @param version: an option that leaves one out.
    """
    context = ALICE.context()
    context.set_options(version)
    client, server = SSL.Connection(context, None), SSL.Connection(SERVER.context(), None)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            if data := out(one):
                other.bio_write(data)
    return client, server


class TLSPeer(Peer):
    """
    One that speaks TLS: C{ended} is what TLS calls an end, and one without that breaks it.
    """

    def __init__(self, connected: socket.socket, connection: SSL.Connection) -> None:
        super().__init__(connected)
        self.connection = connection

    def give(self, data: bytes, end: bool = False) -> None:
        sent = []
        for at in range(0, len(data), 16384):
            self.connection.send(data[at : at + 16384])
            sent.append(out(self.connection))
        if end:
            self.connection.shutdown()
            sent.append(out(self.connection))
        super().give(b"".join(sent))

    def _receive(self) -> None:
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = error
            return
        if not data:
            self.broken = self.broken or OSError("the connection has ended")
            return
        self.connection.bio_write(data)
        try:
            while True:
                self.got += self.connection.recv(65536)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as error:
            # An alert: it was cut.
            self.broken = OSError(str(error))


def secure(test: Any, buffers: int = 0, version: int = 0) -> tuple[TLSPeer, Detached]:
    """
    A connection in TLS: a peer, and our end of it.

    @param test: a L{ugate.test.socketfakes.SocketTestCase}.
    """
    peer, near, server = _between(test, buffers, version)
    return peer, Detached(cast(socket.socket, TLSSocket(near, server)))


def parted(
    test: Any, buffers: int = 0, version: int = 0, kind: type[Records] = Records
) -> tuple[TLSPeer, Detached, Records]:
    """
    The same, with what encrypts beside its socket.

    @param kind: what that is.
    """
    peer, near, server = _between(test, buffers, version)
    return peer, Detached(near, reactor=test.reactor), kind(server)


def _between(test: Any, buffers: int, version: int) -> tuple[TLSPeer, socket.socket, SSL.Connection]:
    client, server = shaken(version)
    far, near = tcpPair(buffers)
    near.setblocking(False)
    peer = TLSPeer(far, client)
    test.peers.append(peer)
    return peer, near, server
