# -*- test-case-name: ugate.test.test_h2link,ugate.test.test_h2link_answering -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is between a connection in HTTP/2 and its transport.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet import tcp
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol

from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2core import H2Core
from ugate.protocols.h2frames import Code, ConnectionFault
from ugate.protocols.sockets import sendNow, writePieces
from ugate.protocols.tlsconnection import TLSConnection

RECEIVE: Final = 1 << 18
"""Bytes that are received at once from a socket."""


@implementer(IPushProducer)
class H2Wire(Protocol, ABC):
    """
    The bytes of a connection.

    @ivar core: what knows the protocol.
    @ivar bare: the transport, if it is a socket and nothing more.
    @ivar secure: the transport, if that is TLS and right above a socket.
    @ivar splicer: the L{ugate.framing.LinkSplicer}, once there is one.
    """

    core: H2Core
    bare: tcp.Connection | None = None
    splicer: Any = None
    takesViews = True
    """See L{TLSConnection}."""
    secure: TLSConnection | None = None
    _isClosed = _isLeaving = False
    _theirs = _ours = False
    """Whether the settings of the peer came, and its word on ours."""
    _unread = 0
    """Bytes that were sent because of the peer, though the transport has enough."""
    _isHearing = False
    """Whether something comes now."""
    _timer: IDelayedCall | None = None

    def __init__(self, clock: IReactorTime, limits: H2Limits) -> None:
        self._clock = clock
        self._limits = limits

    @abstractmethod
    def _broke(self, fault: ConnectionFault) -> None:
        """
        The peer broke the protocol.
        """

    def connectionMade(self) -> None:
        """
        Begin.
        """
        transport: Any = self.transport
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self.bare = transport
            transport.bufferSize = RECEIVE
            transport.setTcpNoDelay(True)
        self.secure = transport if isinstance(transport, TLSConnection) else None
        transport.registerProducer(self, True)
        self._after(self._limits.handshake, self._late)
        self.core.start()

    def dataReceived(self, data: bytes | memoryview) -> None:
        """
        Bytes of frames.
        """
        if self._isLeaving:
            return
        self._isHearing = True
        try:
            self.core.receive(data)
            # While a frame is spliced nothing goes to the transport, and pieces wait in the core.
            most = self._limits.unread
            if self._unread > most or len(self.core.out) << 6 > most:
                raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "it wants answers, and reads none")
        except ConnectionFault as fault:
            self._broke(fault)
        self._isHearing = False

    def passed(self, channel: H2Channel, count: int) -> None:
        """
        So many bytes of a stream were spliced to where they go.
        """
        try:
            self.core.splicedTo(channel, count)
        except ConnectionFault as fault:
            self._broke(fault)

    def pauseProducing(self) -> None:
        """
        The transport has enough for now.
        """
        self.core.blocked = True

    def resumeProducing(self) -> None:
        """
        The transport takes more.
        """
        self._unread = 0
        self.core.blocked = False
        self.core.pump()

    def stopProducing(self) -> None:
        """
        The transport takes no more; why, is said by C{connectionLost}.
        """
        self.core.blocked = True

    def flush(self) -> None:
        """
        Send what is to go.
        """
        core = self.core
        if self.splicer is not None and self.splicer.isBusy:
            return
        pieces, core.out = core.out, []
        if not pieces or self._isClosed:
            return
        if core.blocked and (self._isHearing or not core.client):
            # A client asks for more besides.
            self._unread += sum(map(len, pieces))
        if self.secure is not None:
            self.secure.writeSequence(pieces)
        elif len(pieces) == 1 and self.bare is not None:
            sendNow(self.bare, pieces[0])
        else:
            writePieces(self.transport, self.bare, pieces)

    def _late(self) -> None:
        """
        The settings of the peer, or its word on ours, did not come in time.
        """
        what = "our settings were not acknowledged" if self._theirs else "no settings came"
        self._broke(ConnectionFault(Code.SETTINGS_TIMEOUT, f"{what} in time"))

    def _after(self, seconds: float, call: Callable[[], object]) -> None:
        self._rest()
        self._timer = self._clock.callLater(seconds, call)

    def _rest(self) -> None:
        """
        Nothing is waited for.
        """
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def lostWords(error: BaseException | None) -> str:
    """
    Why a connection is gone; whoever tells a stream says himself that it is lost.
    """
    if type(error) is ConnectionLost:
        return " ".join(map(str, error.args)).rstrip(".") or "without a reason"
    return str(error)
