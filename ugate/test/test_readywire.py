# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a gate and a node say to each other before a connection is kept ready.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis.strategies import binary

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.protocols import readywire
from ugate.protocols.readywire import (
    MAX_PROOF,
    REFUSED,
    WELCOME,
    ReadyGate,
    ReadyNode,
    _Proof,
    frame,
    unframe,
)
from ugate.stream import Principal, StreamInfo
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import keyidOf
from ugate.test.dialfakes import CLIENT, LISTENER

GATE = "G" * 51 + "A"
INFO = StreamInfo(CLIENT, LISTENER)


class WireTests(SynchronousTestCase):
    """
    Both sides, without a connection.
    """

    def setUp(self) -> None:
        self.identity = Identity(Own(self.mktemp(), Section()), Clock())
        self.refuse: Refused | None = None

    def believe(self, keyid: str, chain: Any) -> Principal:
        """
        Whoever has the key that it names.
        """
        if keyid != keyidOf(chain[0].public_key()):
            raise Refused(Cause.AUTHENTICATION, Phase.TLS, "node", "another key")
        return Principal(keyid, "certificate")

    def gate(self, **more: Any) -> ReadyGate:
        """
        The side of the gate.
        """

        def believe(keyid: str, chain: Any) -> Principal:
            if self.refuse is not None:
                raise self.refuse
            return self.believe(keyid, chain)

        return ReadyGate(INFO, GATE, believe, **more)

    def node(self, gate: str = "") -> ReadyNode:
        """
        The side of the node.
        """
        return ReadyNode(self.identity, "gate:15007", gate)

    def proof(self, gate: ReadyGate) -> bytes:
        """
        What a node answers.
        """
        node = self.node()
        self.assertEqual(node.start(), b"")
        return node.receive(gate.start()).send

    def test_splits(self) -> None:
        """
        Cut anywhere, it is the same.
        """
        for way in range(2):
            gate, node = self.gate(), self.node(GATE)
            hello = gate.start()
            proof = b""
            for at in range(len(hello)):
                self.assertEqual(proof, b"")
                proof = node.receive(hello[at : at + 1]).send
            for at in range(len(proof) - 1):
                self.assertFalse(gate.receive(proof[at : at + 1]).done)
            step = gate.receive(proof[-1:] + (b"" if way else b"rest"))
            self.assertTrue(step.done)
            self.assertEqual(step.rest, b"" if way else b"rest")
            assert step.info is not None and step.info.principal is not None
            self.assertEqual(step.info.principal.name, self.identity.keyid)
            self.assertEqual(gate.keyid, self.identity.keyid)
            for at in range(len(step.send) - 1):
                self.assertFalse(node.receive(step.send[at : at + 1]).done)
            last = node.receive(step.send[-1:] + b"rest")
            self.assertEqual((last.done, last.rest), (True, b"rest"))

    def test_replay(self) -> None:
        """
        A proof is none a second time, nor at another gate.
        """
        first = self.gate()
        proof = self.proof(first)
        self.assertTrue(first.receive(proof).done)
        for gate in (self.gate(), ReadyGate(INFO, "H" * 51 + "A", self.believe)):
            gate.start()
            error = self.assertRaises(ProtocolError, gate.receive, proof)
            self.assertEqual(str(error), "its signature is wrong")
            self.assertEqual(error.reply, frame(REFUSED, b"its signature is wrong"))
        # With the same random bytes another gate is still another.
        one, other = (ReadyGate(INFO, each, self.believe, bytes) for each in (GATE, "H" * 51 + "A"))
        self.assertRaises(ProtocolError, other.receive, self.proof(one))

    def test_broken(self) -> None:
        """
        With any bit of it changed, a proof is none.  What a certificate says beside its key is not for the
        wire to judge; but nobody becomes another by it.
        """
        proof = self.proof(self.gate(random=bytes))
        der = self.identity.chain[0].public_bytes(Encoding.DER)
        start = proof.index(der)
        for at in range(len(proof)):
            gate = self.gate(random=bytes)
            changed = bytearray(proof)
            changed[at] ^= 1
            try:
                isDone = gate.receive(bytes(changed)).done
            except ProtocolError:
                continue
            if start <= at < start + len(der):
                self.assertEqual(self.identity.keyid, gate.keyid)
            else:
                self.assertFalse(isDone, at)

    def test_claim(self) -> None:
        """
        Who has a key, and says that it is another one, is not even that.
        """
        self.patch(readywire, "_Proof", lambda keyid, *more: _Proof(GATE, *more))
        gate = self.gate()
        error = self.assertRaises(ProtocolError, gate.receive, self.proof(gate))
        self.assertIn("another key", str(error))
        self.assertEqual("", gate.keyid)

    def test_refused(self) -> None:
        """
        The node hears why.
        """
        self.refuse = Refused(Cause.DENIED, Phase.NEGOTIATE, "node", "not\nyou")
        gate, node = self.gate(), self.node()
        proof = node.receive(gate.start()).send
        reply = self.assertRaises(ProtocolError, gate.receive, proof).reply
        refused = self.assertRaises(Refused, node.receive, reply)
        self.assertEqual((refused.hop, refused.detail), ("gate:15007", "notyou"))

    def test_otherGate(self) -> None:
        """
        A node that was told which gate proves nothing to another.
        """
        node = self.node("H" * 51 + "A")
        refused = self.assertRaises(Refused, node.receive, self.gate().start())
        self.assertIn(f"it says that it is {GATE}, and not", refused.detail)

    def test_others(self) -> None:
        """
        Who speaks something else is found out by the first byte.
        """
        error = self.assertRaises(ProtocolError, self.gate().receive, b"GET / HTTP/1.1\r\n")
        self.assertIn("no proof", str(error))
        error = self.assertRaises(ProtocolError, self.node().receive, b"\x15\x03")
        self.assertIn("no gate", str(error))
        self.assertRaises(ProtocolError, self.node().receive, frame(WELCOME))
        self.assertRaises(ProtocolError, self.node().receive, self.gate().start() + frame(WELCOME))
        self.assertRaises(ProtocolError, self.node().receive, frame(b"H", b"\2" + bytes(84)))

    def test_caps(self) -> None:
        """
        What is too long is refused before it has come.
        """
        head = b"P" + (MAX_PROOF + 1).to_bytes(2, "big")
        self.assertIn("wanted at most", str(self.assertRaises(ProtocolError, self.gate().receive, head)))
        self.assertRaises(ProtocolError, self.node().receive, b"H\xff\xff")
        self.assertEqual(unframe(frame(WELCOME) + b"x"), (WELCOME, b"", b"x"))
        self.patch(readywire, "MAX_CERTIFICATES", 0)
        self.assertRaises(Refused, self.node().receive, self.gate().start())

    @given(binary(max_size=300))
    @settings(max_examples=200, deadline=None)
    def test_fuzz(self, data: bytes) -> None:
        """
        Whatever comes, it is more to wait for or an error that says so.
        """
        for each in (
            ReadyGate(INFO, GATE, self.believe),
            ReadyNode(None, "gate"),  # type: ignore[arg-type]
        ):
            for said in (data, frame(b"P", data), frame(b"R", data)):
                try:
                    self.assertFalse(each.receive(said).done)
                except (ProtocolError, Refused):
                    pass
