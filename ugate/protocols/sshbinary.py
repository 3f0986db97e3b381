# -*- test-case-name: ugate.test.test_sshbinary,ugate.test.test_sshsending -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The packets that come on a transport of SSH: they are taken apart here, under all limits.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import error as StructError
from struct import pack
from typing import Any

from twisted.conch.ssh.common import NS
from twisted.conch.ssh.transport import MSG_KEXINIT, MSG_NEWKEYS

from ugate.errors import ProtocolError
from ugate.protocols.sockets import acknowledge
from ugate.protocols.sshciphers import LEAST
from ugate.protocols.sshpackets import AUTH_SUCCESS, DATA, Reader
from ugate.protocols.sshsending import Sending

PING, PONG = 192, 193
SMALL_TALK = frozenset((2, 3, 4, MSG_KEXINIT, PING, PONG))
KEX = range(30, 50)
KEX_INIT, KEX_REPLY = 30, 31
"""The only messages of key exchanges here; those that Conch knows beside them are of groups."""

SHORT = (StructError, IndexError, KeyError, ValueError, TypeError)
"""What Conch raises where a message ends too early, or names what there is not."""

NAMES = {20: "KEXINIT", 21: "NEWKEYS", 7: "EXT_INFO", 5: "SERVICE_REQUEST", 6: "SERVICE_ACCEPT"}


class PacketWire(Sending):
    """
    Packets, and what of them may come when. Keys are those of L{ugate.protocols.sshrekey.Wire}.

    @since: ugate NEXT
    """

    _takesData: Callable[[memoryview], object] | None = None
    """What takes data before all else."""

    # What comes

    def setService(self, service: Any) -> None:
        """
        All that is no matter of the transport is for another service now.
        """
        super().setService(service)  # type: ignore[no-untyped-call]
        self._takesData = getattr(service, "dataCame", None)

    def dataReceived(self, data: bytes) -> None:
        """
        Take what came apart, and answer it with one write.
        """
        if self._isOver:
            return
        self._inTurn = True
        if self._bare is not None and not self.isAuthenticated:
            acknowledge(self._bare.socket)
        try:
            if not self.gotVersion:
                self.buf += data
                if not self._takeVersion():
                    return
                data, self.buf = self.buf, b""
            self._takeAll(data)
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

    def _takeAll(self, data: bytes) -> None:
        """
        Take packets. Of a long piece nothing is copied but what belongs to a packet that is not whole.
        """
        view = memoryview(data)
        while self.buf and view and not (self._isOver or self._isWaiting):
            end = self._incoming.end(memoryview(self.buf)) or LEAST
            missing = max(1, end - len(self.buf))
            self.buf += view[:missing]
            view = view[missing:]
            self.buf = self._takePackets(memoryview(self.buf))
        if self.buf and not view:
            self.buf = self._takePackets(memoryview(self.buf))
        elif self.buf:
            self.buf += view
        else:
            self.buf = self._takePackets(view)
        self._lookAtAge()

    def _takePackets(self, view: memoryview) -> bytes:
        """
        @return: what is no whole packet yet.
        """
        at = 0
        while not (self._isOver or self._isWaiting):
            found = self._incoming.open(view[at:])
            if found is None:
                break
            payload, size = found
            at += size
            self._moved += size
            self._receive(payload[0], payload[1:])
        return bytes(view[at:])

    def _receive(self, number: int, view: memoryview) -> None:
        if number >= 50 and not self._peerExchanges and self.service is not None and number not in SMALL_TALK:
            if number == DATA and self._takesData is not None:
                self._takesData(view)
                return
            if number == AUTH_SUCCESS and self.isClient:
                self._authenticated()
            try:
                self.service.packetReceived(number, bytes(view))
            except SHORT as error:
                self._log.debug("message {number}: {error!r}", number=number, error=error)
                raise ProtocolError(f"message {number} makes no sense") from error
            return
        self._mayCome(number)
        try:
            self.dispatchMessage(number, bytes(view))
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
