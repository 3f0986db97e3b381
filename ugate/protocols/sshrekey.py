# -*- test-case-name: ugate.test.test_sshwire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Keys of SSH, the first ones and those that come later: by age, by bytes, or because the peer wants new ones.
"""

from __future__ import annotations

from twisted.conch.ssh.transport import (
    DISCONNECT_KEY_EXCHANGE_FAILED,
    MSG_KEXINIT,
    MSG_NEWKEYS,
)

from ugate.errors import ProtocolError
from ugate.protocols.sshbinary import PacketWire
from ugate.protocols.sshciphers import NoCipher, makeCipher
from ugate.protocols.sshkexinit import KexInit, choose
from ugate.protocols.sshsettings import WEAK_KEYS

STRICT = {True: b"kex-strict-c-v00@openssh.com", False: b"kex-strict-s-v00@openssh.com"}


class Wire(PacketWire):
    """
    What both sides have in common.

    @since: ugate NEXT
    """

    def rekey(self) -> None:
        """
        Exchange keys anew, unless that is going on.
        """
        isExchanging = self._weExchange or self._peerExchanges
        if not (isExchanging or self.sessionID is None or self._isOver):
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
                raise ProtocolError("something came before KEXINIT")
        self.otherKexInitPayload = bytes((MSG_KEXINIT,)) + packet
        self._peerExchanges = self._mayExchange = True
        if not self._weExchange:
            self.sendKexInit()
        client, server = (self._ours, theirs) if self.isClient else (theirs, self._ours)
        try:
            self._chosen = choose(client, server)
        except ProtocolError as error:
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
        chosen = self._chosen
        up = (chosen.cipherUp, chosen.macUp, ivUp, keyUp, macUp)
        down = (chosen.cipherDown, chosen.macDown, ivDown, keyDown, macDown)
        ours, theirs = (up, down) if self.isClient else (down, up)
        outgoing = makeCipher(*ours, True)
        self._nextIncoming = makeCipher(*theirs, False)
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
            raise ProtocolError("NEWKEYS at the wrong time")
        new, self._nextIncoming = self._nextIncoming, None
        new.sequence = 0 if self.isStrict else self._incoming.sequence
        new.largest = self._incoming.largest
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
