# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshclientauth}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Refused
from ugate.protocols.sshclient import signerOf
from ugate.protocols.sshclientauth import ClientAuth
from ugate.protocols.sshpackets import U32, string
from ugate.test.test_sshtransport import BOB, EVE


class ClientAuthTests(SynchronousTestCase):
    """
    A server that answers a login as it is told to.
    """

    sessionID = b"session"

    def setUp(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.done: list[Refused | None] = []
        signers = (signerOf("eve", EVE), signerOf("bob", BOB))
        self.auth = ClientAuth("bob", signers, b"secret", self.done.append)
        self.auth.transport = self
        self.auth.serviceStarted()

    def sendPacket(self, number: int, payload: bytes) -> None:
        self.sent.append((number, payload))

    def sendUnimplemented(self) -> None:
        self.sent.append((3, b""))

    def test_order(self) -> None:
        """
        Keys come first, asked about but for the last; then the password, once; then all is told.
        """
        no = string(b"publickey,password") + b"\0"
        for flag in (b"\0", b"\1"):
            self.assertIn(string(b"publickey") + flag, self.sent.pop()[1])
            self.auth.packetReceived(51, no)
        self.assertIn(string(b"password") + b"\0" + string(b"secret"), self.sent.pop()[1])
        self.auth.packetReceived(51, no)
        (refused,) = self.done
        self.assertIn("does not take eve, bob, a password", str(refused))
        self.auth.packetReceived(52, b"")
        self.assertEqual(1, len(self.done))

    def test_signsOnce(self) -> None:
        """
        A key signs once, however often the server wants it; one that was not asked about is not to be wanted.
        """
        eve, bob = signerOf("", EVE), signerOf("", BOB)
        wanted = string(eve.algorithm) + string(eve.blob)
        self.auth.packetReceived(60, wanted)
        self.assertEqual(2, len(self.sent))
        self.auth.packetReceived(60, wanted)
        self.assertEqual((2, 1), (len(self.sent), len(self.done)))
        self.setUp()
        self.auth.packetReceived(51, string(b"publickey") + b"\0")
        self.auth.packetReceived(60, string(bob.algorithm) + string(bob.blob))
        self.assertEqual((2, 1), (len(self.sent), len(self.done)))

    def test_methods(self) -> None:
        """
        What the server does not take is not sent.
        """
        self.auth.packetReceived(51, string(b"gssapi-with-mic,hostbased") + b"\0")
        self.assertEqual(1, len(self.sent))
        self.assertIn("it takes gssapi-with-mic,hostbased", str(self.done[0]))

    def asks(self, *prompts: tuple[bytes, bool]) -> None:
        """
        The server asks.
        """
        head = string(b"") * 3 + U32.pack(len(prompts))
        self.auth.packetReceived(
            60, head + b"".join(string(text) + bytes((shown,)) for text, shown in prompts)
        )

    def test_asked(self) -> None:
        """
        Whoever only asks has the password once, and nothing else.
        """
        only = string(b"keyboard-interactive") + b"\0"
        self.auth.packetReceived(51, only)
        self.assertIn(string(b"keyboard-interactive") + string(b"") * 2, self.sent.pop()[1])
        self.asks()
        self.assertEqual((61, U32.pack(0)), self.sent.pop())
        self.asks((b"Password: ", False))
        self.assertEqual((61, U32.pack(1) + string(b"secret")), self.sent.pop())
        self.asks((b"Code: ", False))
        self.assertIn("it asks for 1 things, and there is no more to say: Code: ", str(self.done[0]))
        self.asks((b"Password: ", False))
        self.assertEqual((1, 1), (len(self.sent), len(self.done)))

    def test_askedWrongly(self) -> None:
        """
        What would be shown, what is too much, and what does not end are not answered; after a no it is told.
        """
        only = string(b"keyboard-interactive") + b"\0"
        for questions, why in (
            ([((b"Name: ", True),)], "it would show the answer to 'Name: '"),
            ([((b"One: ", False), (b"Two: ", False))], "it asks for 2 things"),
            ([()] * 5, "it asks for 0 things"),
        ):
            self.setUp()
            self.auth.packetReceived(51, only)
            for each in questions:
                self.asks(*each)
            self.assertIn(why, str(self.done[0]))
            self.assertNotIn(string(b"secret"), b"".join(payload for _, payload in self.sent))
        self.setUp()
        for _ in range(2):
            self.auth.packetReceived(51, only)
        self.assertIn("does not take eve, a password; it takes keyboard-interactive", str(self.done[0]))

    def test_other(self) -> None:
        """
        A key that was not offered signs nothing; what is said beside it is for the log, and not for ever.
        """
        for _ in range(20):
            self.auth.packetReceived(53, string(b"welcome\x1b") + string(b""))
        self.auth.packetReceived(61, b"")
        self.assertEqual(3, self.sent.pop()[0])
        other = signerOf("", BOB)
        self.auth.packetReceived(60, string(other.algorithm) + string(other.blob))
        (refused,) = self.done
        assert refused is not None
        self.assertIs(Cause.PEER_MISBEHAVED, refused.cause)

    @given(st.lists(st.tuples(st.integers(50, 62), st.binary(max_size=30)), max_size=6), st.booleans())
    def test_anything(self, packets: list[tuple[int, bytes]], isAsking: bool) -> None:
        """
        Whatever it answers.
        """
        self.setUp()
        if isAsking:
            self.auth.packetReceived(51, string(b"keyboard-interactive") + b"\0")
        for number, packet in packets:
            self.auth.packetReceived(number, packet)
        self.assertLess(len(self.done), 2)
