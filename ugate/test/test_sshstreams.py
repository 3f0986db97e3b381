# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshchannels} with all that is below: data that cannot be, and data that nobody
takes.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

from ugate.protocols.sshchannels import WINDOW
from ugate.protocols.sshclient import Account, signerOf
from ugate.protocols.sshpackets import DATA, U32x2
from ugate.stream import Target
from ugate.test.test_sshtransport import BOB, INFO, PairCase
from ugate.testing import Conversation


class DataTests(PairCase):
    """
    Data, and who takes it.
    """

    def setUp(self) -> None:
        self.connect(Account("bob", (signerOf("", BOB),)))
        self.ours: Any = self.successResultOf(self.clientUp)
        self.theirs: Any = self.successResultOf(self.serverUp)

    def test_broken(self) -> None:
        """
        Data that cannot be ends the link, and says why.
        """
        for payload, text in (
            (U32x2.pack(9, 1) + b"x", "channel 9 is not open"),
            (b"\0\0\0", "a packet that is cut off"),
            (U32x2.pack(0, 2) + b"x", "a packet that is cut off"),
        ):
            self.setUp()
            self.theirs.incoming = lambda stream: (stream.accept(), stream.begin(Conversation()))
            self.ours.open(INFO.but(target=Target("db", 1)))
            self.flush()
            client: Any = self.client
            client._send(DATA, payload)
            self.flush()
            self.assertIn(text, self.successResultOf(self.theirs.whenClosed()))

    def test_stopped(self) -> None:
        """
        A stream whose reader has stopped takes no more memory than its window and a little, at both ends
        together, however much there is to send; what is read then is whole.
        """
        streams = 2
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for isUp in (True, False):
            accepted: list[Conversation] = []

            def accept(stream: Any, accepted: list[Conversation] = accepted) -> None:
                accepted.append(Conversation())
                stream.accept()
                stream.begin(accepted[-1])

            self.theirs.incoming = accept
            opened = [Conversation() for _ in range(streams)]
            for each in opened:
                self.ours.open(INFO.but(target=Target("db", 1))).addCallback(lambda s, e=each: s.begin(e))
            self.flush()
            senders, readers = (opened, accepted) if isUp else (accepted, opened)
            data = bytes(range(256)) * (1 << 14)
            before, _ = tracemalloc.get_traced_memory()
            for reader, sender in zip(readers, senders, strict=True):
                reader.pause()
                sender.pour(data)
            self.flush()
            held, _ = tracemalloc.get_traced_memory()
            held -= sum(len(sender.unpoured) for sender in senders)
            self.assertLess(held - before, streams * (WINDOW + (1 << 20)))
            readers[0].resume()
            self.flush()
            self.assertTrue(data == readers[0].received)
