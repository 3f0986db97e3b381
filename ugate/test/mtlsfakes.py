# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS clients in memory, for the tests of C{mtls:}.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from zope.interface import implementer

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.testing import StringTransport

from ugate.test.dialfakes import CLIENT, LISTENER, Recorder, Recorders
from ugate.test.tlsfakes import Issuer

ROOT = Issuer("root")
OTHER = Issuer("other")
SERVER = ROOT.identity("gw.corp")
ALICE = ROOT.identity("alice.corp")


@implementer(IStreamServerEndpoint)
class Below:
    """
    Listens in memory.
    """

    factory: Any = None

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        self.factory = protocolFactory
        return succeed(None)  # type: ignore[arg-type]


class Client:
    """
    A TLS client in memory, and the server that it talks to.
    """

    def __init__(self, below: Below, context: SSL.Context, sni: str = "gw.corp", session: Any = None) -> None:
        self.connection = SSL.Connection(context, None)
        self.connection.set_connect_state()
        if sni:
            self.connection.set_tlsext_host_name(sni.encode())
        if session is not None:
            self.connection.set_session(session)
        wire: Any = StringTransport(LISTENER, CLIENT)
        self.wire = wire
        wire.abortConnection = wire.loseConnection
        self.server = below.factory.buildProtocol(CLIENT)
        self.server.makeConnection(self.wire)
        self.error = ""
        self.received = b""
        self.ended = False

    def _out(self) -> bytes:
        sent = b""
        try:
            while True:
                sent += self.connection.bio_read(65536)
        except SSL.WantReadError:
            return sent

    def pump(self, step: int = 65536) -> Client:
        """
        Let both talk until they have said all.
        """
        for _ in range(20):
            for call in (self.connection.do_handshake, self._receive):
                try:
                    call()
                except SSL.WantReadError:
                    pass
                except SSL.ZeroReturnError:
                    self.ended = True
                except SSL.Error as e:
                    self.error = self.error or str(e)
            sent = self._out()
            for at in range(0, len(sent), step):
                self.server.dataReceived(sent[at : at + step])
            came = self.wire.value()
            self.wire.clear()
            if came:
                self.connection.bio_write(came)
            elif not sent:
                break
        return self

    def _receive(self) -> None:
        while True:
            self.received += self.connection.recv(65536)

    def send(self, data: bytes) -> Client:
        """
        Say something.
        """
        self.connection.send(data)
        return self.pump()


@implementer(IHalfCloseableProtocol)
class Half(Recorder):
    """
    Goes on when its peer has ended.
    """

    ended = 0

    def readConnectionLost(self) -> None:
        self.ended += 1

    def writeConnectionLost(self) -> None:
        pass


class Halves(Recorders):
    """
    Makes those.
    """

    def buildProtocol(self, addr: Any) -> Half:
        self.made.append(Half())
        made = self.made[-1]
        assert isinstance(made, Half)
        return made


class Talk:
    """
    A TLS client on a stream through a network in memory.
    """

    def __init__(self, mesh: Any, stream: Any, context: SSL.Context, sni: str) -> None:
        self.mesh = mesh
        self.stream = stream
        self.connection = SSL.Connection(context, None)
        self.connection.set_connect_state()
        self.connection.set_tlsext_host_name(sni.encode())
        self.error = ""
        self.received = b""
        self._taken = 0
        self._pump()

    def _pump(self) -> None:
        for _ in range(20):
            for call in (self.connection.do_handshake, self._receive):
                try:
                    call()
                except (SSL.WantReadError, SSL.ZeroReturnError):
                    pass
                except SSL.Error as e:
                    self.error = self.error or str(e)
            try:
                sent = self.connection.bio_read(65536)
            except SSL.WantReadError:
                sent = b""
            if sent and not self.stream.isOver:
                self.stream.write(sent)
            self.mesh.flush()
            came, self._taken = self.stream.received[self._taken :], len(self.stream.received)
            if came:
                self.connection.bio_write(came)
            elif not sent:
                break

    def _receive(self) -> None:
        while True:
            self.received += self.connection.recv(65536)

    def send(self, data: bytes = b"") -> Talk:
        """
        Say something, and hear what there is.
        """
        if data:
            self.connection.send(data)
        self._pump()
        return self
