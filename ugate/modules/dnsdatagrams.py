# -*- test-case-name: ugate.test.test_dnsdatagrams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Servers of the DNS that are asked by datagrams, and on a stream if the answer is too large for one.

Each question has a port of its own, which the system chooses, beside its id: whoever wants to answer in the
server's place has to guess both (RFC 5452).
"""

from __future__ import annotations

from secrets import randbelow
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import DatagramProtocol

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IEgress
from ugate.modules.dnsforwarding import Server
from ugate.protocols.dnswire import Asked
from ugate.stream import Target

MAX_PORTS: Final = 512
"""Questions that wait for answers, each with a port."""

_IDS: Final = 1 << 16
_TRUNCATED: Final = 0x02
_LARGEST: Final = 65535


class _Port(DatagramProtocol):
    """
    The port of one question.
    """

    noisy = False

    def __init__(self, server: DatagramServer, asked: Asked) -> None:
        self._server = server
        self._asked = asked
        self._number = randbelow(_IDS)
        self.answered: Deferred[bytes] = Deferred(lambda _: self.close())

    def startProtocol(self) -> None:
        """
        It is open: ask.
        """
        target = self._server.target
        transport: Any = self.transport
        # Only what comes from there is heard.
        transport.connect(target.host, target.port)
        transport.write(self._asked.wire(self._number))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Somebody answers.
        """
        if self.answered.called:
            return
        isOurs = datagram[:2] == self._number.to_bytes(2, "big")
        if not isOurs or not self._asked.isAnsweredBy(datagram):
            # A guess, or an answer to an older question: the right one may still come.
            return
        self.close()
        if datagram[2] & _TRUNCATED:
            asking = self._server.onStream.ask(self._asked)
            asking.chainDeferred(self.answered)
        else:
            self.answered.callback(datagram)

    def connectionRefused(self) -> None:
        """
        Nobody listens there.
        """
        if not self.answered.called:
            self.close()
            self.answered.errback(self._server.refused(Cause.CONNECTION_REFUSED, ""))

    def close(self) -> None:
        """
        Hear no more.
        """
        transport: Any = self.transport
        if self in self._server.ports:
            self._server.ports.discard(self)
            if transport is not None:
                transport.stopListening()


class DatagramServer:
    """
    A server that is asked by datagrams.

    @ivar title: what it is called.
    @ivar ports: those that are open.
    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, target: Target, onStream: Server) -> None:
        """
        @param reactor: has ports; what it says by L{IEgress} is asked before each question.
        @param onStream: the same server, for answers that are too large.
        """
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
        port = _Port(self, asked)
        self.ports.add(port)
        try:
            egress = IEgress(self._reactor, None)
            if egress is not None:
                egress.check(self.target.host, self.target.port)
            interface = "::" if ":" in self.target.host else ""
            self._reactor.listenUDP(0, port, interface, _LARGEST)
        except Exception as error:
            # A rule forbids it, no port is left, or there is no way there.
            self.ports.discard(port)
            known = isinstance(error, Refused)
            return fail(error if known else self.refused(Cause.NETWORK_UNREACHABLE, str(error)))
        return port.answered

    def stop(self) -> None:
        """
        Close all.
        """
        for port in [*self.ports]:
            port.close()
        self.onStream.stop()
