# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of the load for resolvers: that it counts right answers, and no others.
"""

from __future__ import annotations

import socket
import threading
from array import array
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from bench.dial import HOST, DialFailed
from bench.dns.load import ask, question, spelled
from bench.dns.upstream import answer

NAMES = ["a.example.com", "b.example.com"]


class Enough(Exception):
    """
    All names are known.
    """


def enough() -> None:
    """
    @raise Enough: always.
    """
    raise Enough


class LoadTests(SynchronousTestCase):
    """
    L{ask}.
    """

    def serve(self, reply: Callable[[bytes], bytes], mute: int = 0) -> int:
        """
        A server.

        @param mute: how many questions it does not answer.
        @return: its port.
        """
        serving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        serving.bind((HOST, 0))
        serving.settimeout(0.1)
        ended = threading.Event()

        def run() -> None:
            heard = 0
            while not ended.is_set():
                try:
                    data, asker = serving.recvfrom(4096)
                except TimeoutError:
                    continue
                heard += 1
                if heard > mute:
                    serving.sendto(reply(data), asker)
            serving.close()

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(ended.set)
        port: int = serving.getsockname()[1]
        return port

    def test_counts(self) -> None:
        """
        Answers are counted, of both sorts of questions.
        """
        port = self.serve(answer)
        for isSpelled in (False, True):
            counts = memoryview(array("Q", (0, 0)))
            self.assertRaises(Enough, ask, port, NAMES, isSpelled, counts, 1, enough)
            self.assertGreater(counts[1], len(NAMES))
            self.assertEqual(counts[0], 0)

    def test_wrong(self) -> None:
        """
        Other numbers, codes, and answers with nothing in them are none.
        """
        for reply in (
            lambda data: b"\xff\xff" + answer(data)[2:],
            lambda data: answer(data)[:3] + b"\x82" + answer(data)[4:],
            lambda data: answer(data)[:6] + b"\0\0" + answer(data)[8:],
        ):
            counts = memoryview(array("Q", (0,)))
            self.assertRaises(DialFailed, ask, self.serve(reply), NAMES, False, counts, 0, enough)

    def test_silence(self) -> None:
        """
        What was lost is asked again.
        """
        counts = memoryview(array("Q", (0,)))
        self.assertRaises(Enough, ask, self.serve(answer, mute=40), NAMES, False, counts, 0, enough)

    def test_spelled(self) -> None:
        """
        Another spelling is the same name.
        """
        data = question("a.example.com", 7)
        others = {spelled(data) for _ in range(50)}
        self.assertGreater(len(others), 10)
        self.assertEqual({data.lower()}, {other.lower() for other in others})
