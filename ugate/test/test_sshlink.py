# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshlink}: the contract of links.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure

from ugate.errors import Cause
from ugate.protocols.mux import MuxStream
from ugate.protocols.muxwriting import FULL
from ugate.protocols.sshchannels import WINDOW
from ugate.test import linkcontract
from ugate.test.sshfakes import FakeWire, linkPair
from ugate.testing import Conversation


class SSHLinkContractTests(linkcontract.LinkContract):
    """
    What every link has to do, by SSH.
    """

    causes = (
        Cause.DENIED,
        Cause.CONNECTION_REFUSED,
        Cause.TIMED_OUT,
        Cause.NAME_UNKNOWN,
        Cause.HOST_UNREACHABLE,
        Cause.NETWORK_UNREACHABLE,
        Cause.UNSUPPORTED,
        Cause.OVERLOADED,
    )
    held = WINDOW + 4 * FULL
    wires: tuple[FakeWire, FakeWire]

    def makeLinks(self) -> tuple[Any, Any]:
        self.wires = linkPair()
        return self.wires[0].link, self.wires[1].link

    def step(self) -> bool:
        client, server = self.wires
        return bool(client.step() | server.step())

    def test_cancel(self) -> None:
        """
        Who gives a stream up before the answer takes it away at the other end with the answer: SSH has no
        words for it before.
        """
        streams: list[MuxStream] = []
        self.server.incoming = streams.append
        opened = self.client.open(self.info())
        failures: list[Failure] = []
        opened.addErrback(failures.append)
        self.settle()
        theirs = Conversation()
        streams[0].begin(theirs)
        opened.cancel()
        self.settle()
        self.assertEqual((1, None), (len(failures), theirs.lost))
        streams[0].accept()
        theirs.write(b"nobody wants it")
        self.settle()
        self.assertIsNotNone(theirs.lost)
        self.assertFalse(theirs.isClean)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))
