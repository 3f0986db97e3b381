# -*- test-case-name: ugate.test.test_dnsdatagrams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Servers of the DNS that are asked by datagrams, and on a stream if the answer is too large for one.

Each question has a port of its own, which the system chooses, beside its id: whoever wants to answer in the
server's place has to guess both (RFC 5452), and has not many tries.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from secrets import randbelow
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure

from ugate.endpoints.udp import connectedSocket
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IEgress
from ugate.modules.dnsforwarding import Server
from ugate.protocols.dnswire import Asked
from ugate.stream import TCP, UDP, Target

MAX_PORTS: Final = 512
"""Questions that wait for answers, each with a port."""

MAX_GUESSES: Final = 16
"""Datagrams that are no answer to a question; after so many somebody guesses, and it is asked on a stream."""

_IDS: Final = 1 << 16
_TRUNCATED: Final = 0x02
_LARGEST: Final = 4096


@implementer(IReadDescriptor)
class _Port:
    """
    The port of one question.
    """

    def __init__(self, server: DatagramServer, asked: Asked, opened: socket.socket) -> None:
        self._server = server
        self._asked = asked
        self._socket = opened
        self._number = randbelow(_IDS)
        self._isOpen = True
        self._guesses = 0
        self._onStream: Deferred[bytes] | None = None
        self.answered: Deferred[bytes] = Deferred(lambda _: self._cancel())

    def ask(self) -> None:
        """
        Send the question.

        @raise OSError: there is no way there.
        """
        self._socket.send(self._asked.wire(self._number))

    def fileno(self) -> int:
        """
        See L{IReadDescriptor}.
        """
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "dns"

    def doRead(self) -> None:
        """
        Somebody answers.
        """
        while self._guesses < MAX_GUESSES:
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                # As when nobody listens there.
                self._fail(Cause.CONNECTION_REFUSED, str(error))
                return
            if not self._isAnswer(data):
                self._guesses += 1
            elif data[2] & _TRUNCATED:
                break
            else:
                self.close()
                self.answered.callback(data)
                return
        self._askOnStream()

    def _isAnswer(self, data: bytes) -> bool:
        """
        Whether it is no guess, and no answer to an older question: then the right one may still come.
        """
        return data[:2] == self._number.to_bytes(2, "big") and self._asked.isAnsweredBy(data)

    def _askOnStream(self) -> None:
        """
        There it may be large, and who guesses would have to see what we send.
        """
        self.close()
        self._onStream = self._server.onStream.ask(self._asked)
        self._onStream.chainDeferred(self.answered)

    def _cancel(self) -> None:
        self.close()
        if self._onStream is not None:
            self._onStream.cancel()

    def _fail(self, cause: Cause, detail: str) -> None:
        self.close()
        self.answered.errback(self._server.refused(cause, detail))

    def connectionLost(self, reason: Failure) -> None:
        """
        See L{IReadDescriptor}.
        """
        if self._isOpen:
            self._fail(Cause.GENERAL, reason.getErrorMessage())

    def close(self) -> None:
        """
        Hear no more.
        """
        if self._isOpen:
            self._isOpen = False
            self._server.closed(self)
            self._socket.close()


class DatagramServer:
    """
    A server that is asked by datagrams.

    @ivar title: what it is called.
    @ivar ports: those that are open.
    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        onStream: Server,
        opened: Callable[[Target, IEgress | None], socket.socket] = connectedSocket,
    ) -> None:
        """
        @param reactor: waits for answers; what it says by L{IEgress} is asked before each question.
        @param onStream: the same server, for answers that are too large.
        @param opened: opens a socket for datagrams with that place alone.
        """
        self._opened = opened
        self.title = f"udp:{target}"
        self.target = target
        self.onStream = onStream
        self.ports: set[_Port] = set()
        self._reactor = reactor

    def refused(self, cause: Cause, detail: str) -> Refused:
        """
        What to fail with.
        """
        return Refused(cause, Phase.REMOTE, self.title, detail)

    def ask(self, asked: Asked) -> Deferred[bytes]:
        """
        See L{ugate.modules.dnsforwarding.Server.ask}.
        """
        if len(self.ports) >= MAX_PORTS:
            return fail(self.refused(Cause.OVERLOADED, f"{MAX_PORTS} questions wait for answers"))
        try:
            egress = IEgress(self._reactor, None)
            if egress is not None:
                # Whoever listens for one of ours listens for the other, too.
                for network in (UDP, TCP):
                    egress.check(self.target.host, self.target.port, network)
            port = _Port(self, asked, self._opened(self.target, egress))
            self.ports.add(port)
            self._reactor.addReader(port)
            try:
                port.ask()
            except OSError:
                port.close()
                raise
        except Refused:
            return fail()
        except OSError as error:
            # No port is left, or there is no way there.
            return fail(self.refused(Cause.NETWORK_UNREACHABLE, str(error)))
        return port.answered

    def closed(self, port: _Port) -> None:
        """
        A port is about to be closed.
        """
        self._reactor.removeReader(port)
        self.ports.discard(port)

    def stop(self) -> None:
        """
        Close all.
        """
        for port in [*self.ports]:
            port.close()
        self.onStream.stop()
