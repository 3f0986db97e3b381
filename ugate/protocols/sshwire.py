# -*- test-case-name: ugate.test.test_sshwire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The transport of SSH: L{ServerWire} and L{ClientWire}, in the place of those of Conch.

Both are made with a clock and L{WireSettings}: C{factory.protocol = lambda: ServerWire(reactor, settings)} for
a C{twisted.conch.ssh.factory.SSHFactory}, and a subclass of C{ClientWire(reactor, settings)} that has
C{verifyHostKey} and C{connectionSecure}. Conch still makes the key exchanges, and its services run on top.
Importing this imports Conch, which takes a third of a second.
"""

from __future__ import annotations

from hashlib import md5
from struct import error as StructError
from struct import pack, unpack
from typing import Any

from twisted.conch.ssh import _kex, keys
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.transport import (
    DISCONNECT_HOST_KEY_NOT_VERIFIABLE,
    DISCONNECT_KEY_EXCHANGE_FAILED,
    DISCONNECT_PROTOCOL_ERROR,
    DISCONNECT_SERVICE_NOT_AVAILABLE,
    MSG_DISCONNECT,
    MSG_KEXINIT,
    MSG_NEWKEYS,
    MSG_SERVICE_ACCEPT,
    SSHClientTransport,
    SSHServerTransport,
    SSHTransportBase,
)
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ugate.protocols.sshciphers import BadPacket, NoCipher, PacketCipher, makeCipher
from ugate.protocols.sshkexinit import KexInit, choose, strings
from ugate.protocols.sshsettings import WEAK_KEYS, WireSettings

STRICT = {True: b"kex-strict-c-v00@openssh.com", False: b"kex-strict-s-v00@openssh.com"}
PING, PONG = 192, 193
USERAUTH_SUCCESS = 52
SMALL_TALK = frozenset((2, 3, 4, PING, PONG))
KEX = range(30, 50)
SHORT = (StructError, IndexError, KeyError, ValueError, TypeError)
"""What Conch raises where a message ends too early, or names what there is not."""

NAMES = {20: "KEXINIT", 21: "NEWKEYS", 7: "EXT_INFO", 5: "SERVICE_REQUEST", 6: "SERVICE_ACCEPT"}


class Wire(SSHTransportBase):  # type: ignore[misc,unused-ignore]
    """
    What both sides have in common.

    @ivar isAuthenticated: whether the login is over.
    @ivar isStrict: whether both sides keep to strict key exchange.
    @since: ugate NEXT
    """

    supportedCompressions = [b"none"]
    isAuthenticated = False
    isStrict = False

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
        self._isOver = True
        for name in list(self._timers):
            self._stop(name)
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
        self._isOver = True
        self._queue.clear()
        self._log.info("SSH ends with code {code}: {description}", code=reason, description=text)
        for name in list(self._timers):
            self._stop(name)
        abort = getattr(self.transport, "abortConnection", self.transport.loseConnection)  # type: ignore[union-attr]
        self._after("end", self.settings.endTime, abort)
        self.transport.loseConnection()  # type: ignore[union-attr]

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
        if messageType == USERAUTH_SUCCESS and not self.isClient:
            self._authenticated()
        self._lookAtAge()

    def _send(self, messageType: int, payload: bytes) -> None:
        sealed = self._outgoing.seal(bytes((messageType,)) + payload)
        self._moved += len(sealed)
        self._sealed += 1
        if self._inTurn:
            self._unsent.append(sealed)
        else:
            self.transport.write(sealed)  # type: ignore[union-attr]

    def _flush(self) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            self.transport.writeSequence(unsent)  # type: ignore[union-attr]

    # New keys

    def rekey(self) -> None:
        """
        Exchange keys anew, unless that is going on.
        """
        if not self._weExchange and self.sessionID is not None and not self._isOver:
            self.sendKexInit()

    def _lookAtAge(self) -> None:
        limits = self.settings
        if self._moved > limits.rekeyBytes or self._sealed > limits.rekeyPackets:
            self.rekey()

    def sendKexInit(self) -> None:
        """
        Say what we speak. Until the exchange is over, all else waits.
        """
        if self._weExchange:
            raise RuntimeError("keys are being exchanged")
        names = [*self.supportedKeyExchanges]
        if self.sessionID is None:
            names += [self._EXT_INFO_C if self.isClient else self._EXT_INFO_S, STRICT[self.isClient]]
        ciphers, macs = self.settings.ciphers, self.settings.macs
        hostKeys = tuple(each for each in self.supportedPublicKeys if each not in WEAK_KEYS)
        self._ours = KexInit(tuple(names), hostKeys, ciphers, ciphers, macs, macs)
        payload = self._ours.toBytes()
        self.ourKexInitPayload = bytes((MSG_KEXINIT,)) + payload
        self._weExchange = True
        self._send(MSG_KEXINIT, payload)
        self._stop("age")
        self._after("exchange", self.settings.exchangeTime, lambda: self._fail("new keys took too long"))

    def ssh_KEXINIT(self, packet: bytes) -> None:
        """
        The peer says what it speaks.
        """
        theirs = KexInit.fromBytes(packet)
        if self.sessionID is None:
            self.isStrict = STRICT[not self.isClient] in theirs.kex
            self._peerSupportsExtensions = (
                self._EXT_INFO_S if self.isClient else self._EXT_INFO_C
            ) in theirs.kex
            if self.isStrict and self._incoming.sequence != 1:
                raise BadPacket("something came before KEXINIT")
        self.otherKexInitPayload = bytes((MSG_KEXINIT,)) + packet
        self._peerExchanges = self._mayExchange = True
        if not self._weExchange:
            self.sendKexInit()
        client, server = (self._ours, theirs) if self.isClient else (theirs, self._ours)
        try:
            self._chosen = choose(client, server)
        except BadPacket as error:
            self._fail(str(error), DISCONNECT_KEY_EXCHANGE_FAILED)
            return
        self.kexAlg, self.keyAlg = self._chosen.kex, self._chosen.hostKey
        self._ignoreNext = theirs.follows and not self._chosen.guessed
        self._log.debug("SSH speaks {chosen}", chosen=self._chosen)

    def _keySetup(self, sharedSecret: bytes, exchangeHash: bytes) -> None:
        isFirst = self.sessionID is None
        if isFirst:
            self.sessionID = exchangeHash
        ivUp, ivDown, keyUp, keyDown, macUp, macDown = (
            self._getKey(bytes((letter,)), sharedSecret, exchangeHash) for letter in b"ABCDEF"
        )
        chosen, largest = self._chosen, self._incoming.largest
        up = (chosen.cipherUp, chosen.macUp, ivUp, keyUp, macUp)
        down = (chosen.cipherDown, chosen.macDown, ivDown, keyDown, macDown)
        ours, theirs = (up, down) if self.isClient else (down, up)
        outgoing = makeCipher(*ours, True)
        self._nextIncoming = makeCipher(*theirs, False, largest)
        self._send(MSG_NEWKEYS, b"")
        outgoing.sequence = 0 if self.isStrict else self._outgoing.sequence
        self._outgoing = outgoing
        self._moved = self._sealed = 0
        self._weExchange = False
        if isFirst and not self.isClient:
            self.sendExtInfo(
                [(b"server-sig-algs", b",".join(self.settings.userKeys)), (b"ping@openssh.com", b"0")]
            )
        queue, self._queue, self._queued = self._queue, [], 0
        for messageType, payload in queue:
            self.sendPacket(messageType, payload)

    def ssh_NEWKEYS(self, packet: bytes) -> None:
        """
        What the peer sends from now on has the new keys.
        """
        if packet or self._nextIncoming is None:
            raise BadPacket("NEWKEYS at the wrong time")
        new, self._nextIncoming = self._nextIncoming, None
        new.sequence = 0 if self.isStrict else self._incoming.sequence
        isFirst = isinstance(self._incoming, NoCipher)
        self._incoming = new
        self._peerExchanges = False
        self._stop("exchange")
        self._after("age", self.settings.rekeyTime, self.rekey)
        if isFirst and self.isClient:
            self.connectionSecure()  # type: ignore[attr-defined]

    def isEncrypted(self, direction: str = "out") -> bool:
        """
        Are there keys in this direction, C{"in"}, C{"out"} or C{"both"}?
        """
        ciphers = {"in": [self._incoming], "out": [self._outgoing], "both": [self._incoming, self._outgoing]}
        return not any(isinstance(each, NoCipher) for each in ciphers[direction])

    isVerified = isEncrypted

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
        except BadPacket as error:
            self._fail(str(error))
        finally:
            self._inTurn = False
            self._flush()

    def _takeVersion(self) -> bool:
        while not self.gotVersion:
            line, end, rest = self.buf.partition(b"\n")
            self._bannerSize += len(line) if end else 0
            if len(line) > 1024 or self._bannerSize > self.settings.banner:
                raise BadPacket("the line of the version is too long, or comes too late")
            if not end:
                return False
            self.buf = rest
            if line.startswith(b"SSH-"):
                line = line.rstrip(b"\r")
                if len(line) > 253 or not line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
                    raise BadPacket("this is no version 2.0 of SSH")
                self.otherVersionString = line
                self.gotVersion = True
            elif not self.isClient:
                raise BadPacket("this is not SSH")
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
        self.buf = bytes(whole[at:])
        self._lookAtAge()

    def _receive(self, number: int, payload: bytes) -> None:
        if number >= 50 and not self._peerExchanges and self.service is not None and number not in SMALL_TALK:
            if number == USERAUTH_SUCCESS and self.isClient:
                self._authenticated()
            try:
                self.service.packetReceived(number, payload)
            except SHORT as error:
                self._log.debug("message {number}: {error!r}", number=number, error=error)
                raise BadPacket(f"message {number} makes no sense") from error
            return
        self._mayCome(number)
        try:
            self.dispatchMessage(number, payload)
        except BadPacket:
            raise
        except Exception as error:
            # Conch makes the key exchange: what it and cryptography raise there is of many kinds.
            self._log.debug("message {number}: {error!r}", number=number, error=error)
            raise BadPacket(f"message {number} makes no sense") from error

    def _mayCome(self, number: int) -> None:
        name = NAMES.get(number, str(number))
        if number in SMALL_TALK and not self.isAuthenticated:
            self._talk += 1
            if self._talk > self.settings.smallTalk or (self.isStrict and self.sessionID is None):
                raise BadPacket(f"message {name} is too much before the login")
        if self._peerExchanges:
            isAllowed = 1 <= number <= 4 or number == MSG_NEWKEYS or (number in KEX and self._mayExchange)
            if not isAllowed or (self.isStrict and not self.isEncrypted("in") and 2 <= number <= 4):
                raise BadPacket(f"message {name} within a key exchange")
        elif number in KEX or number == MSG_NEWKEYS:
            raise BadPacket(f"message {name} without a key exchange")
        elif not self.isEncrypted("in") and not (1 <= number <= 4 or number == MSG_KEXINIT):
            raise BadPacket(f"message {name} before there are keys")

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """
        Conch's, and OpenSSH's ping.
        """
        if messageNum == PING:
            self.sendPacket(PONG, NS(strings(payload, 1)[0][0][:1024]))
        elif messageNum in KEX:
            if self._ignoreNext:
                self._ignoreNext = False
                return
            self._mayExchange = False
            super().dispatchMessage(messageNum, payload)  # type: ignore[no-untyped-call]
        elif messageNum != PONG:
            super().dispatchMessage(messageNum, payload)  # type: ignore[no-untyped-call]

    def sendUnimplemented(self) -> None:
        """
        Say that the last packet means nothing to us.
        """
        self.sendPacket(3, pack(">L", (self._incoming.sequence - 1) & 0xFFFFFFFF))

    def ssh_DISCONNECT(self, packet: bytes) -> None:
        """
        The peer ends it.
        """
        found, _rest = strings(packet[4:], 1)
        self.receiveError(unpack(">L", packet[:4])[0], found[0])
        self._isOver = True
        self.transport.loseConnection()  # type: ignore[union-attr]

    def ssh_EXT_INFO(self, packet: bytes) -> None:
        """
        What the peer can do besides.
        """
        count = unpack(">L", packet[:4])[0]
        if count > 64:
            raise BadPacket("too many extensions")
        found, _rest = strings(packet[4:], 2 * count)
        self.peerExtensions = dict(zip(found[::2], found[1::2], strict=True))


class ServerWire(Wire, SSHServerTransport):
    """
    The server's side.

    @since: ugate NEXT
    """

    def ssh_SERVICE_REQUEST(self, packet: bytes) -> None:
        """
        The login may be asked for, once.
        """
        name = strings(packet, 1)[0][0]
        if self.service is not None or name != b"ssh-userauth":
            self._fail(f"no service {name!r} now", DISCONNECT_SERVICE_NOT_AVAILABLE)
            return
        service = self.factory.getService(self, name)
        self.sendPacket(MSG_SERVICE_ACCEPT, NS(name))
        self.setService(service())


class ClientWire(Wire, SSHClientTransport):
    """
    The client's side. What is built on it has C{verifyHostKey} and C{connectionSecure}, which is called once.

    @since: ugate NEXT
    """

    instance: Any = None

    def _possibleKex(self) -> list[bytes]:
        return list(SSHClientTransport.supportedKeyExchanges)

    def ssh_KEXINIT(self, packet: bytes) -> None:
        """
        Begin with what was chosen.
        """
        Wire.ssh_KEXINIT(self, packet)
        if not self._isOver:
            self.ecPriv = self._generateECPrivateKey()
            self.ecPub = self.ecPriv.public_key()
            self._send(30, NS(self._encodeECPublicKey(self.ecPub)))

    def hostKey(self, blob: bytes) -> keys.Key:
        """
        Read the key of the host. To be replaced by who knows of certificates.
        """
        key: keys.Key = keys.Key.fromString(blob)
        return key

    def ssh_KEX_DH_GEX_GROUP(self, packet: bytes) -> Deferred[None]:
        """
        The server's part of the exchange. Until somebody has said that its key is good, nothing else is read.
        """
        (blob, public, signature), _rest = strings(packet, 3)
        secret = self._generateECSharedSecret(self.ecPriv, public)
        digest = _kex.getHashProcessor(self.kexAlg)()
        for part in (self.ourVersionString, self.otherVersionString, self.ourKexInitPayload):
            digest.update(NS(part))
        for part in (self.otherKexInitPayload, blob, self._encodeECPublicKey(self.ecPub), public):
            digest.update(NS(part))
        digest.update(secret)
        said = strings(signature, 1)[0][0]
        wanted = self.keyAlg.replace(b"-cert-v01@openssh.com", b"")
        if said != wanted or not self.hostKey(blob).verify(signature, digest.digest()):
            raise BadPacket("the signature of the host is not right")
        self._isWaiting = True
        self.transport.pauseProducing()  # type: ignore[union-attr]
        fingerprint = md5(blob, usedforsecurity=False).hexdigest()
        pairs = ":".join(fingerprint[at : at + 2] for at in range(0, 32, 2)).encode()
        verified: Deferred[Any] = maybeDeferred(self.verifyHostKey, blob, pairs)
        verified.addCallbacks(lambda _: self._keySetup(secret, digest.digest()), self._unverified)
        return verified.addErrback(self._unverified).addCallback(lambda _: self._goOn())

    def _unverified(self, failure: Failure) -> None:
        self._log.debug("the host key was refused: {error}", error=failure.getErrorMessage())
        self._fail("the host key was refused", DISCONNECT_HOST_KEY_NOT_VERIFIABLE)

    def _goOn(self) -> None:
        self._isWaiting = False
        if not self._isOver:
            self.transport.resumeProducing()  # type: ignore[union-attr]
            if not self._inTurn:
                self.dataReceived(b"")

    def ssh_SERVICE_ACCEPT(self, packet: bytes) -> None:
        """
        The service that we asked for begins, once.
        """
        instance, self.instance = self.instance, None
        if instance is None or strings(packet, 1)[0][0] != instance.name:
            raise BadPacket("a service that nobody asked for")
        self.setService(instance)
