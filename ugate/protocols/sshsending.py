# -*- test-case-name: ugate.test.test_sshsending,ugate.test.test_sshbinary -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a transport of SSH sends, within its deadlines, and no more than its connection takes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any, Final

from twisted.conch.ssh import _kex
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.transport import DISCONNECT_PROTOCOL_ERROR, MSG_DISCONNECT, SSHTransportBase
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from ugate.protocols.negotiate import connectionBelow
from ugate.protocols.sockets import sendAtOnce, writePieces
from ugate.protocols.sshciphers import NoCipher, PacketCipher
from ugate.protocols.sshpackets import AUTH_SUCCESS, DATA, DATA_HEAD, U32x2
from ugate.protocols.sshsettings import WireSettings

_FRAME: Final = 64
"""Bytes that a packet takes at most besides its payload, nearly."""

_TOGETHER: Final = 1 << 18
"""Bytes that are sent in one write: with more, the connection has to say whether it takes them."""

_RECEIVE: Final = 1 << 18
"""Bytes that are received at once from a socket, once somebody is logged in."""

_NUMBERS: Final = tuple(bytes((number,)) for number in range(256))


class Sending(SSHTransportBase):  # type: ignore[misc,unused-ignore]
    """
    Packets that go.

    @ivar isAuthenticated: whether the login is over.
    @ivar isStrict: whether both sides keep to strict key exchange.
    @since: ugate NEXT
    """

    supportedCompressions = [b"none"]
    isAuthenticated = False
    isStrict = False
    _producer: Any = None

    def __init__(self, clock: IReactorTime, settings: WireSettings | None = None) -> None:
        """
        @param clock: for the deadlines, and for the age of keys.
        """
        self._clock = clock
        self.settings = settings or WireSettings()
        self._incoming: PacketCipher = NoCipher()
        self._outgoing: PacketCipher = NoCipher()
        self._nextIncoming: PacketCipher | None = None
        self._nextOutgoing: PacketCipher | None = None
        self._queue: list[tuple[int, bytes]] = []
        self._queued = self._moved = self._sealed = self._talk = 0
        self._unsent: list[bytes] = []
        self._unsentSize = self._replied = 0
        self._bare: Connection | None = None
        self._isFull = False
        self._isOver = self._inTurn = self._isWaiting = False
        self._weExchange = self._peerExchanges = False
        self._mayExchange = self._ignoreNext = False
        self._bannerSize = 0
        self._timers: dict[str, IDelayedCall] = {}

    # The connection, and its deadlines

    def connectionMade(self) -> None:
        """
        Say who we are, and what we speak.
        """
        self.supportedKeyExchanges = [each for each in self.settings.kex if each in self._possibleKex()]
        self._after("login", self.settings.loginTime, lambda: self._fail("the login took too long"))
        self._bare = connectionBelow(self.transport)
        if self._bare is not None:
            sendAtOnce(self._bare.socket)
        self.transport.registerProducer(self, True)  # type: ignore[union-attr]
        self.transport.write(self.ourVersionString + b"\r\n")  # type: ignore[union-attr]
        self.sendKexInit()

    def _possibleKex(self) -> list[bytes]:
        return _kex.getSupportedKeyExchanges()

    def _after(self, name: str, seconds: float, call: Any) -> None:
        self._stop(name)
        self._timers[name] = self._clock.callLater(seconds, call)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        Nothing waits any longer, and the service stops.
        """
        self._over()
        super().connectionLost(reason)

    def _authenticated(self) -> None:
        self.isAuthenticated = True
        self._talk = 0
        self._stop("login")
        self._incoming.largest = self.settings.largest
        if self._bare is not None:
            self._bare.bufferSize = _RECEIVE

    def _fail(self, why: str, code: int = DISCONNECT_PROTOCOL_ERROR) -> None:
        self.sendDisconnect(code, why.encode("utf-8", "replace"))

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        """
        Say why this is over, once. Who does not take it is cut.
        """
        if self._isOver:
            return
        text = desc if isinstance(desc, str) else desc.decode("utf-8", "replace")
        self.sendPacket(MSG_DISCONNECT, pack(">L", reason) + NS(desc) + NS(b""))
        self._flush()
        self._log.info("SSH ends with code {code}: {description}", code=reason, description=text)
        self._end()

    def _over(self) -> None:
        self._isOver = True
        self._queue.clear()
        for name in list(self._timers):
            self._stop(name)

    def _end(self) -> None:
        """
        Close, when the peer has taken what was sent. It does not have long for that.
        """
        self._over()
        transport: Any = self.transport
        abort = getattr(transport, "abortConnection", transport.loseConnection)
        self._after("end", self.settings.endTime, abort)
        transport.unregisterProducer()
        transport.loseConnection()

    # Whether the connection takes more

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Have a service told when it should not send.
        """
        self._producer = producer
        if self._isFull:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        The service does not want to know any longer.
        """
        self._producer = None

    def pauseProducing(self) -> None:
        """
        The peer does not read as fast as we send.
        """
        self._isFull = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The peer has read it all.
        """
        self._isFull = False
        self._replied = 0
        if self._producer is not None:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """
        Nobody reads any longer.
        """
        self._isFull = True
        if self._producer is not None:
            self._producer.stopProducing()

    # What we send

    def sendPacket(self, messageType: int, payload: bytes, *more: bytes | memoryview) -> None:
        """
        Send a packet, in one write with others of this turn; or keep it while keys are exchanged.

        @param more: the rest of its payload.
        """
        if self._isOver:
            return
        if self._weExchange and not (1 <= messageType <= 4 or 20 <= messageType <= 49):
            payload = b"".join((payload, *more))
            self._queue.append((messageType, payload))
            self._queued += len(payload)
            if self._queued > self.settings.queue:
                self._fail(f"more than {self.settings.queue} bytes wait for new keys")
            return
        self._send(messageType, payload, *more)
        if messageType == AUTH_SUCCESS and not self.isClient:
            self._authenticated()
        self._lookAtAge()

    def _reply(self, messageType: int, payload: bytes) -> None:
        """
        Answer what a peer may send without end.
        """
        if self._isFull:
            self._replied += len(payload) + _FRAME
            if self._replied > self.settings.replies:
                self._fail(f"more than {self.settings.replies} bytes of answers that nobody reads")
                return
        self.sendPacket(messageType, payload)

    def _send(self, messageType: int, payload: bytes, *more: bytes | memoryview) -> None:
        sealed = self._outgoing.sealed(_NUMBERS[messageType], payload, *more)
        size = sum(map(len, sealed))
        self._moved += size
        self._sealed += 1
        self._unsent += sealed
        self._unsentSize += size
        if self._unsentSize > _TOGETHER or not self._inTurn:
            self._flush()

    def sendData(self, channel: int, data: memoryview, most: int) -> None:
        """
        Send data of a channel, in packets that are as large as they may be.

        @param channel: its number there.
        @param most: bytes of data in a packet.
        """
        if self._isOver or self._weExchange:
            for at in range(0, len(data), most):
                self.sendPacket(DATA, U32x2.pack(channel, len(data[at : at + most])), data[at : at + most])
            return
        unsent, sealed = self._unsent, self._outgoing.sealed
        before = len(unsent)
        for at in range(0, len(data), most):
            part = data[at : at + most]
            unsent += sealed(DATA_HEAD.pack(DATA, channel, len(part)), part)
            self._sealed += 1
        size = sum(map(len, unsent[before:]))
        self._moved += size
        self._unsentSize += size
        if self._unsentSize > _TOGETHER or not self._inTurn:
            self._flush()
        self._lookAtAge()

    def together(self, call: Callable[[], object]) -> None:
        """
        Send what is sent in a call in one write.
        """
        if self._inTurn:
            call()
            return
        self._inTurn = True
        try:
            call()
        finally:
            self._inTurn = False
            self._flush()

    def _flush(self) -> None:
        if self._unsent:
            unsent, self._unsent, self._unsentSize = self._unsent, [], 0
            writePieces(self.transport, self._bare, unsent)

    def _lookAtAge(self) -> None:
        """
        Packets went either way: the keys may be old.
        """
