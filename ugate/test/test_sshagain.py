# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections of SSH whose users are believed no more, in a network in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ugate.errors import Cause
from ugate.stream import StreamInfo, Target
from ugate.test.credentialfakes import publicLine, write
from ugate.test.sshfakes import HOST, PEER
from ugate.test.sshpublishingfakes import KEYS, PublishingCase
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversation, Conversations

LOOK = 15
"""Seconds, as L{ugate.endpoints.sessions.SessionLimits} has them."""


class AgainTests(PublishingCase):
    """
    Bob is in, publishes, and has streams.
    """

    def setUp(self) -> None:
        super().setUp()
        self.served = Conversations()
        self.mesh.host("web", "93.184.216.34")
        self.mesh.serve("web", 80, self.served)
        self.revoked = write(self.mktemp(), "# nobody\n", mode=0o644)
        self.keys = self.keysFile()
        policy = {"keys": self.keys, "revoked": self.revoked, "rules": [{"action": "allow"}]}
        self.gate(policy=policy)
        self.bob, self.eve = self.login(), self.login("eve")
        for came in (self.bob, self.eve):
            self.assertIsNotNone(self.publish(came))

    def opened(self, came: Any) -> Conversation:
        """
        A stream of somebody.
        """
        conversation = Conversation()
        opened = came.link.open(StreamInfo(HOST, PEER, Target("web", 80)))
        opened.addCallbacks(lambda stream: stream.begin(conversation), conversation.failed)
        self.mesh.flush()
        return conversation

    def later(self) -> str:
        """
        Wait as long as it takes.

        @return: what the log says.
        """
        with Logged() as logged:
            self.mesh.advance(LOOK + 1)
            self.mesh.advance(1)
        return "\n".join(logged.lines)

    def test_removed(self) -> None:
        """
        Whose key is taken out of the file has no new streams, gives and gets none, and is gone with the last
        that was there; others notice nothing.
        """
        stream = self.opened(self.bob)
        write(self.keys, f"{publicLine(KEYS['eve'])} eve\n", mode=0o644)
        said = self.later()
        self.assertIn("what bob has logged in with is not good any more", said)
        stream.write(b"still here")
        self.mesh.flush()
        self.assertEqual(b"still here", self.served.last.received)
        self.assertFalse(self.ask("bob", 22).isOpen)
        self.assertIsNone(self.publish(self.bob, "wiki.bob.example", 80))
        self.assertFalse(self.opened(self.bob).isOpen)
        stream.abort()
        self.mesh.flush()
        self.assertIs(Cause.HOST_UNREACHABLE, self.cause(self.ask("bob", 22)))
        self.assertTrue(self.ask("eve", 22).isOpen)
        self.assertTrue(self.opened(self.eve).isOpen)

    def test_revoked(self) -> None:
        """
        So is whose key is revoked, at once if there are no streams; and it does not come again.
        """
        write(self.revoked, f"{publicLine(KEYS['bob'])}\n", mode=0o644)
        self.later()
        closed = self.bob.link.ping()
        self.mesh.flush()
        self.failureResultOf(closed)
        self.assertIs(Cause.HOST_UNREACHABLE, self.cause(self.ask("bob", 22)))
        self.assertTrue(self.ask("eve", 22).isOpen)

    def test_stays(self) -> None:
        """
        A file that is written again with the same keys ends nothing, nor one with mistakes.
        """
        for text in (Path(self.keys).read_text() + "\n# again\n", "no key at all\n"):
            write(self.keys, text, mode=0o644)
            with Logged():
                self.mesh.advance(LOOK + 1)
            self.assertTrue(self.ask("bob", 22).isOpen)
            self.flushLoggedErrors()
