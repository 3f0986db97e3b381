# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshagent}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.sshagent import Agent
from ugate.protocols.sshpackets import U32, string

ED = string(b"ssh-ed25519") + string(b"k" * 32)
RSA = string(b"ssh-rsa") + string(b"e") + string(b"n")
KEYS = b"\x0c" + U32.pack(2) + string(ED) + string(b"mine") + string(RSA) + string(b"old")


class AgentTests(SynchronousTestCase):
    """
    An agent that answers as it is told to.
    """

    def setUp(self) -> None:
        self.agent = Agent()
        self.transport = StringTransport()
        self.agent.makeConnection(self.transport)

    def said(self) -> bytes:
        """
        What it was asked.
        """
        asked: bytes = self.transport.value()
        self.transport.clear()
        return asked

    def test_keys(self) -> None:
        """
        Its keys are listed, and sign; RSA by SHA-2; whatever pieces the answers come in.
        """
        listed = self.agent.signers()
        self.assertEqual(string(b"\x0b"), self.said())
        for number in string(KEYS):
            self.agent.dataReceived(bytes([number]))
        mine, old = self.successResultOf(listed)
        self.assertEqual(("the agent's mine", b"ssh-ed25519", ED), (mine.name, mine.algorithm, mine.blob))
        self.assertEqual(b"rsa-sha2-512", old.algorithm)
        for signer, flags in ((mine, 0), (old, 4)):
            signed = signer.sign(b"data")
            wanted = b"\x0d" + string(signer.blob) + string(b"data") + U32.pack(flags)
            self.assertEqual(string(wanted), self.said())
            self.agent.dataReceived(string(b"\x0e" + string(b"signature")))
            self.assertEqual(b"signature", self.successResultOf(signed))

    def test_refuses(self) -> None:
        """
        An agent may say no.
        """
        listed = self.agent.signers()
        self.agent.dataReceived(string(b"\x05"))
        self.failureResultOf(listed, ProtocolError)
        listed = self.agent.signers()
        self.agent.dataReceived(string(KEYS))
        signed = self.successResultOf(listed)[0].sign(b"x")
        self.agent.dataReceived(string(b"\x05"))
        self.failureResultOf(signed, ProtocolError)

    def test_gone(self) -> None:
        """
        One that goes answers nothing; one that says what nobody asked for, or without end, is left.
        """
        listed = self.agent.signers()
        self.agent.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(listed, ConnectionDone)
        for isAsked, data in ((False, string(KEYS)), (True, U32.pack(1 << 30)), (True, U32.pack(0))):
            self.setUp()
            if isAsked:
                self.agent.signers().addErrback(lambda _: None)
            self.agent.dataReceived(data)
            self.assertTrue(self.transport.disconnected)

    @given(st.binary(max_size=80))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever it answers.
        """
        self.setUp()
        listed = self.agent.signers()
        listed.addErrback(lambda failure: failure.trap(ProtocolError))
        self.agent.dataReceived(string(b"\x0c" + data))
