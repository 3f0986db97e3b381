# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of the load for resolvers: that it counts right answers, and no others.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from bench.child import SampleFailed
from bench.dial import HOST
from bench.dns.load import answersASecond, question, spelled
from bench.dns.upstream import answer

NAMES = ["a.example.com", "b.example.com"]


class LoadTests(SynchronousTestCase):
    """
    L{answersASecond}.
    """

    def serve(self, reply: Callable[[bytes], bytes]) -> int:
        """
        A server.

        @return: its port.
        """
        serving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        serving.bind((HOST, 0))
        serving.settimeout(0.1)
        ended = threading.Event()

        def run() -> None:
            while not ended.is_set():
                try:
                    data, asker = serving.recvfrom(4096)
                except TimeoutError:
                    continue
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
            self.assertGreater(answersASecond(port, NAMES, 0.3, isSpelled), 10)

    def test_wrong(self) -> None:
        """
        Other numbers, codes, and answers with nothing in them are none.
        """
        for reply in (
            lambda data: b"\xff\xff" + answer(data)[2:],
            lambda data: answer(data)[:3] + b"\x82" + answer(data)[4:],
            lambda data: answer(data)[:6] + b"\0\0" + answer(data)[8:],
        ):
            self.assertRaises(SampleFailed, answersASecond, self.serve(reply), NAMES, 5)

    def test_silence(self) -> None:
        """
        So is nothing.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((HOST, 0))
            self.assertRaises(SampleFailed, answersASecond, mute.getsockname()[1], NAMES, 0.2)

    def test_spelled(self) -> None:
        """
        Another spelling is the same name.
        """
        data = question("a.example.com", 7)
        others = {spelled(data) for _ in range(50)}
        self.assertGreater(len(others), 10)
        self.assertEqual({data.lower()}, {other.lower() for other in others})
