# -*- test-case-name: ugate.test.test_sshbinary -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The packets of a transport of SSH: they are sent and taken apart here, under all limits.
"""

from __future__ import annotations

from struct import error as StructError
from struct import pack
from typing import Any

from twisted.conch.ssh import _kex
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.transport import (
    DISCONNECT_PROTOCOL_ERROR,
    MSG_DISCONNECT,
    MSG_KEXINIT,
    MSG_NEWKEYS,
    SSHTransportBase,
)
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ugate.errors import ProtocolError
from ugate.protocols.sshciphers import NoCipher, PacketCipher
from ugate.protocols.sshpackets import AUTH_SUCCESS, Reader
from ugate.protocols.sshsettings import WireSettings

PING, PONG = 192, 193
SMALL_TALK = frozenset((2, 3, 4, MSG_KEXINIT, PING, PONG))
KEX = range(30, 50)
KEX_INIT, KEX_REPLY = 30, 31
"""The only messages of key exchanges here; those that Conch knows beside them are of groups."""

SHORT = (StructError, IndexError, KeyError, ValueError, TypeError)
"""What Conch raises where a message ends too early, or names what there is not."""

_FRAME = 64
"""Bytes that a packet takes at most besides its payload, nearly."""

_TOGETHER = 1 << 16
"""Bytes that are sent in one write: with more, the connection has to say whether it takes them."""

NAMES = {20: "KEXINIT", 21: "NEWKEYS", 7: "EXT_INFO", 5: "SERVICE_REQUEST", 6: "SERVICE_ACCEPT"}


class PacketWire(SSHTransportBase):  # type: ignore[misc,unused-ignore]
    """
    Packets, and what of them may come when. Keys are those of L{ugate.protocols.sshrekey.Wire}.

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

    def sendPacket(self, messageType: int, payload: bytes) -> None:
        """
        Send a packet, in one write with others of this turn; or keep it while keys are exchanged.
        """
        if self._isOver:
            return
        if self._weExchange and not (1 <= messageType <= 4 or 20 <= messageType <= 49):
            self._queue.append((messageType, payload))
            self._queued += len(payload)
            if self._queued > self.settings.queue:
                self._fail(f"more than {self.settings.queue} bytes wait for new keys")
            return
        self._send(messageType, payload)
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

    def _send(self, messageType: int, payload: bytes) -> None:
        sealed = self._outgoing.seal(bytes((messageType,)) + payload)
        self._moved += len(sealed)
        self._sealed += 1
        if self._inTurn:
            self._unsent.append(sealed)
            self._unsentSize += len(sealed)
            if self._unsentSize > _TOGETHER:
                self._flush()
        else:
            self.transport.write(sealed)  # type: ignore[union-attr]

    def _flush(self) -> None:
        if self._unsent:
            unsent, self._unsent, self._unsentSize = self._unsent, [], 0
            self.transport.writeSequence(unsent)  # type: ignore[union-attr]

    def _lookAtAge(self) -> None:
        """
        Packets went either way: the keys may be old.
        """

    # What comes

    def dataReceived(self, data: bytes) -> None:
        """
        Take what came apart, and answer it with one write.
        """
        if self._isOver:
            return
        self.buf = self.buf + data if self.buf else data
        self._inTurn = True
        try:
            if self.gotVersion or self._takeVersion():
                self._takePackets()
        except ProtocolError as error:
            self._fail(str(error))
        finally:
            self._inTurn = False
            self._flush()

    def _takeVersion(self) -> bool:
        while not self.gotVersion:
            line, end, rest = self.buf.partition(b"\n")
            self._bannerSize += len(line) + 1 if end else 0
            if len(line) > 1024 or self._bannerSize > self.settings.banner:
                raise ProtocolError("the line of the version is too long, or comes too late")
            if not end:
                return False
            self.buf = rest
            if line.startswith(b"SSH-"):
                line = line.rstrip(b"\r")
                if len(line) > 253 or not line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
                    raise ProtocolError("this is no version 2.0 of SSH")
                self.otherVersionString = line
                self.gotVersion = True
            elif not self.isClient:
                raise ProtocolError("this is not SSH")
        return True

    def _takePackets(self) -> None:
        whole = memoryview(self.buf)
        at = 0
        while not (self._isOver or self._isWaiting):
            found = self._incoming.open(whole[at:])
            if found is None:
                break
            payload, size = found
            at += size
            self._moved += size
            self._receive(payload[0], payload[1:])
        if at:
            self.buf = bytes(whole[at:])
        self._lookAtAge()

    def _receive(self, number: int, payload: bytes) -> None:
        if number >= 50 and not self._peerExchanges and self.service is not None and number not in SMALL_TALK:
            if number == AUTH_SUCCESS and self.isClient:
                self._authenticated()
            try:
                self.service.packetReceived(number, payload)
            except SHORT as error:
                self._log.debug("message {number}: {error!r}", number=number, error=error)
                raise ProtocolError(f"message {number} makes no sense") from error
            return
        self._mayCome(number)
        try:
            self.dispatchMessage(number, payload)
        except ProtocolError:
            raise
        except Exception as error:
            # Conch makes the key exchange: what it and cryptography raise there is of many kinds.
            self._log.debug("message {number}: {error!r}", number=number, error=error)
            raise ProtocolError(f"message {number} makes no sense") from error

    def _mayCome(self, number: int) -> None:
        name = NAMES.get(number, str(number))
        if number in SMALL_TALK and not self.isAuthenticated:
            self._talk += 1
            if self._talk > self.settings.smallTalk or (self.isStrict and self.sessionID is None):
                raise ProtocolError(f"message {name} is too much before the login")
        if self._peerExchanges:
            isAllowed = 1 <= number <= 4 or number == MSG_NEWKEYS or (number in KEX and self._mayExchange)
            if not isAllowed or (self.isStrict and not self.isEncrypted("in") and 2 <= number <= 4):
                raise ProtocolError(f"message {name} within a key exchange")
        elif number in KEX or number == MSG_NEWKEYS:
            raise ProtocolError(f"message {name} without a key exchange")
        elif not self.isEncrypted("in") and not (1 <= number <= 4 or number == MSG_KEXINIT):
            raise ProtocolError(f"message {name} before there are keys")

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """
        Conch's, and OpenSSH's ping.
        """
        if messageNum == PING:
            self._reply(PONG, NS(Reader(payload).string()[:1024]))
        elif messageNum in KEX:
            if self._ignoreNext:
                self._ignoreNext = False
                return
            if messageNum != (KEX_REPLY if self.isClient else KEX_INIT):
                raise ProtocolError(f"message {messageNum} is of no key exchange here")
            self._mayExchange = False
            super().dispatchMessage(messageNum, payload)  # type: ignore[no-untyped-call]
        elif messageNum != PONG:
            super().dispatchMessage(messageNum, payload)  # type: ignore[no-untyped-call]

    def sendUnimplemented(self) -> None:
        """
        Say that the last packet means nothing to us.
        """
        self._reply(3, pack(">L", (self._incoming.sequence - 1) & 0xFFFFFFFF))

    def receiveUnimplemented(self, seqnum: int) -> None:
        """
        The peer does not know a message of ours: it may say so without end, and the log need not.
        """

    def ssh_DISCONNECT(self, packet: bytes) -> None:
        """
        The peer ends it.
        """
        reader = Reader(packet)
        self.receiveError(reader.number(), reader.string())
        self._end()

    def ssh_EXT_INFO(self, packet: bytes) -> None:
        """
        What the peer can do besides.
        """
        reader = Reader(packet)
        count = reader.number()
        if count > 64:
            raise ProtocolError("too many extensions")
        self.peerExtensions = {reader.string(): reader.string() for _ in range(count)}
