# -*- test-case-name: bench.test_dns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who asks: a few clients, each with several questions under way, one for each answer that comes.
"""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Callable, Sequence

from bench.dial import HOST, DialFailed

NAMES = [f"host{number}.example.com" for number in range(100)]
"""What is asked about."""

_CLIENTS = 4
_WINDOW = 8
_LOST = 0.5


def question(name: str, number: int) -> bytes:
    """
    A question as the C library asks it: no EDNS, an address of IPv4.
    """
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        number.to_bytes(2, "big")
        + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        + labels
        + b"\0\x00\x01\x00\x01"
    )


def spelled(data: bytes) -> bytes:
    """
    The same question with another spelling, as some ask to be harder to cheat: nobody has seen these bytes.
    """
    name = bytes(
        byte ^ 0x20 if chr(byte).isalpha() and random.random() < 0.5 else byte for byte in data[12:-4]
    )
    return data[:12] + name + data[-4:]


class Client:
    """
    One socket.
    """

    def __init__(self, port: int, names: Sequence[str], isSpelled: bool) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((HOST, port))
        self.answered = 0
        self._questions = [question(name, 0)[2:] for name in names]
        self._isSpelled = isSpelled
        self._number = 0
        self._waiting: set[int] = set()

    def ask(self) -> None:
        """
        Ask the next question.
        """
        self._number = (self._number + 1) & 0xFFFF
        data = self._number.to_bytes(2, "big") + self._questions[self._number % len(self._questions)]
        self._waiting.add(self._number)
        self.socket.send(spelled(data) if self._isSpelled else data)

    def take(self) -> None:
        """
        Take what has come, and ask as much again.
        """
        while True:
            try:
                data = self.socket.recv(4096)
            except BlockingIOError:
                return
            number = int.from_bytes(data[:2], "big")
            if number not in self._waiting or data[3] & 15 or data[6:8] != b"\0\1":
                raise DialFailed(f"a wrong answer: {data[:12].hex()}")
            self._waiting.discard(number)
            self.answered += 1
            self.ask()

    def again(self) -> None:
        """
        What was lost is not waited for.
        """
        self._waiting.clear()
        for _ in range(_WINDOW):
            self.ask()


def ask(
    port: int,
    names: Sequence[str],
    isSpelled: bool,
    counts: memoryview,
    slot: int,
    ready: Callable[[], None],
) -> None:
    """
    Ask for ever, one question for each answer.

    @param port: of the resolver.
    @param isSpelled: whether each has a spelling of its own.
    @param counts: the shared counters.
    @param slot: the one for answers.
    @param ready: called once, when all names are known.
    @raise DialFailed: an answer is wrong.
    """
    clients = [Client(port, names, isSpelled) for _ in range(_CLIENTS)]
    byNumber = {client.socket.fileno(): client for client in clients}
    isReady = False
    try:
        with select.epoll() as poll:
            for client in clients:
                poll.register(client.socket, select.EPOLLIN)
                client.again()
            while True:
                events = poll.poll(_LOST)
                for number, _ in events:
                    byNumber[number].take()
                counts[slot] = sum(client.answered for client in clients)
                if not isReady and max(client.answered for client in clients) > len(names):
                    isReady = True
                    ready()
                if not events:
                    for client in clients:
                        client.again()
    finally:
        for client in clients:
            client.socket.close()
