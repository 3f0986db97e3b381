# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is below a link in SSH, without keys: packets as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshpackets import DATA, U32, U32x2, string
from ugate.stream import Principal, StreamInfo

PEER = IPv4Address("TCP", "192.0.2.1", 4000)
HOST = IPv4Address("TCP", "192.0.2.2", 22)
INFO = StreamInfo(PEER, HOST, principal=Principal("bob", "key"))

FULL = 65536


class FakeWire:
    """
    One end: moves packets to C{other}, and pauses who sends more than 64 KiB in a step.

    @ivar sent: packets that were not delivered yet.
    """

    other: FakeWire | None = None
    producer: Any = None
    why = ""
    isClosed = isPaused = omitsEOF = False
    disconnected: tuple[int, bytes] | None = None

    def __init__(self, link: SSHLink) -> None:
        self.link = link
        self.transport = self
        self.sent: list[tuple[int, bytes]] = []
        self.waiting = 0

    def begin(self) -> None:
        """
        The link may send.
        """
        self.link.transport = self
        self.link.serviceStarted()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{IConsumer}.
        """
        assert streaming and self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        self.producer = None

    def together(self, call: Callable[[], object]) -> None:
        """
        There are no writes here to put together.
        """
        call()

    def sendData(self, channel: int, data: memoryview, most: int) -> None:
        """
        A packet after the other.
        """
        for at in range(0, len(data), most):
            part = data[at : at + most]
            self.sendPacket(DATA, U32x2.pack(channel, len(part)), part)

    def sendPacket(self, number: int, payload: bytes, *more: bytes | memoryview) -> None:
        """
        As Conch has it, but for more of the payload.
        """
        if self.isClosed:
            return
        payload = b"".join((payload, *more))
        self.sent.append((number, payload))
        self.waiting += len(payload)
        if self.waiting > FULL and self.producer is not None and not self.isPaused:
            self.isPaused = True
            self.producer.pauseProducing()

    def sendUnimplemented(self) -> None:
        """
        As Conch has it.
        """
        self.sendPacket(3, U32.pack(0))

    def sendDisconnect(self, code: int, text: bytes) -> None:
        """
        As Conch has it.
        """
        self.disconnected = code, text
        self.sendPacket(1, U32.pack(code) + string(text) + string(b""))
        self.isClosed = True

    def abortConnection(self) -> None:
        """
        See L{ITCPTransport}.
        """
        self.isClosed = True

    def step(self) -> bool:
        """
        Deliver what was sent, and let more be sent.
        """
        sent, self.sent = self.sent, []
        self.waiting = 0
        other = self.other
        assert other is not None
        for number, payload in sent:
            if number == 1:
                other.why = "disconnected"
                self.isClosed = True
            elif number != 3 and not other.isClosed:
                other.link.packetReceived(number, payload)
        if self.isPaused and self.producer is not None:
            self.isPaused = False
            self.producer.resumeProducing()
        if self.isClosed and not self.sent and not other.isClosed:
            other.isClosed = True
            other.link.serviceStopped()
            return True
        return bool(sent)


def linkPair(clock: Clock | None = None) -> tuple[FakeWire, FakeWire]:
    """
    Both ends of a link that is up.
    """
    clock = clock or Clock()
    client = FakeWire(SSHLink(clock, StreamInfo(HOST, PEER)))
    server = FakeWire(SSHLink(clock, INFO))
    client.other, server.other = server, client
    client.begin()
    server.begin()
    return client, server
