# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What every link has to do, as far as SSH has words for it: tests to inherit.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from ugate.protocols.mux import MuxStream
from ugate.protocols.muxwriting import FULL
from ugate.protocols.sshchannels import WINDOW
from ugate.test import linkcontract
from ugate.testing import Conversation


class SSHContract(linkcontract.LinkContract):
    """
    As L{linkcontract.LinkContract}.
    """

    held = WINDOW + 4 * FULL

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
