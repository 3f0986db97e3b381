# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What every link has to do, as far as SSH has words for it: tests to inherit.
"""

from __future__ import annotations

from ugate.protocols.muxwriting import FULL
from ugate.protocols.sshchannels import WINDOW
from ugate.test import linkcontract


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
        stream, theirs = self.givenUp()
        self.assertIsNone(theirs.lost)
        stream.accept()
        theirs.write(b"nobody wants it")
        self.settle()
        self.assertIsNotNone(theirs.lost)
        self.assertFalse(theirs.isClean)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))
