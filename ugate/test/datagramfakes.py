# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams in memory, and sockets of peers.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address

from ugate.errors import Denied
from ugate.interfaces import IEgress
from ugate.protocols.datagrams import DatagramStream
from ugate.stream import UDP, Principal, StreamInfo, Target
from ugate.test.dialfakes import Resolver
from ugate.test.socketfakes import SocketReactor

PEER = IPv4Address("UDP", "192.0.2.7", 40000)
HERE = IPv4Address("UDP", "198.51.100.1", 53)
ALICE = Principal("alice", "password")


def flowTo(host: str, port: int) -> StreamInfo:
    """
    A flow of alice's.
    """
    return StreamInfo(PEER, HERE, Target(host, port, UDP), ALICE, "udp")


class NamedReactor(SocketReactor):
    """
    One that knows names, and has rules on addresses.
    """

    mark = 0
    outgoing: Any = None

    def __init__(self) -> None:
        super().__init__()
        names = {"both.example": ["::1", "127.0.0.1"], "four.example": ["127.0.0.1"]}
        self.nameResolver = Resolver(names)
        self.asked: list[tuple[str, int, str]] = []
        self.denied = ""
        self.unmarked = 0

    def __conform__(self, interface: object) -> object | None:
        return self if interface is IEgress else None

    def cannotMark(self) -> None:
        """
        See L{IEgress}.
        """
        self.unmarked += 1

    def check(self, host: str, port: int, network: str = "tcp") -> None:
        """
        See L{IEgress}.
        """
        self.asked.append((host, port, network))
        if host == self.denied:
            raise Denied(host, "not there")


class MemoryDatagrams(DatagramStream):
    """
    A flow that remembers what was sent.
    """

    def __init__(self, info: StreamInfo | None = None) -> None:
        super().__init__(flowTo("db.example", 53) if info is None else info, HERE)
        self.sent: list[bytes] = []
        self.ends = 0

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        self.sent += datagrams

    def closed(self) -> None:
        self.ends += 1


class Peer:
    """
    A program that sends datagrams and gets some.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.host, self.port, *_ = self.socket.getsockname()

    def send(self, data: bytes, port: int) -> None:
        """
        Send one to a port of the same address.
        """
        self.socket.sendto(data, (self.host, port))

    def take(self) -> list[bytes]:
        """
        All that is there.
        """
        found = []
        while True:
            try:
                found.append(self.socket.recv(65536))
            except BlockingIOError:
                return found

    def close(self) -> None:
        """
        Give the socket back.
        """
        self.socket.close()


def turn(reactor: SocketReactor, times: int = 3) -> None:
    """
    Serve what is there: on one machine, what was sent has come.
    """
    for _ in range(times):
        reactor.turn()
