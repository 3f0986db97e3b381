# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a gate takes from nodes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Refused
from ugate.interfaces import MeshAddress, MeshNode
from ugate.tenancy.keyids import vip6Of
from ugate.tenancy.noderecords import SKEW, RecordError, sign
from ugate.tenancy.nodes import Nodes
from ugate.tenancy.registrations import BURST, EACH, SOURCE, Registrations
from ugate.test.identityfakes import Holder, certified
from ugate.test.test_nodes import BOB

START = 1_800_000_000.0
HERE = MeshAddress("connect", "", 15008)
FIXED = MeshAddress("connect", "bob.example", 15008)
SENDER = "192.0.2.2"


class Signing:
    """
    An identity that signs, and no more.
    """

    def __init__(self) -> None:
        holder: Holder = certified()
        self.certificate = holder.certificate
        self.keyid = holder.keyid
        self._key = holder.key

    def sign(self, data: bytes) -> bytes:
        """
        As L{IIdentity.sign}.
        """
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        signature: bytes = self._key.sign(data, ECDSA(SHA256()))
        return signature


class RegistrationsTests(SynchronousTestCase):
    """
    A table, and a node that says how it is reached.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.nodes = Nodes(self.clock, [MeshNode(BOB, (), ("bob",))])
        self.identity: Any = Signing()
        self.keyid = self.identity.keyid
        self.registrations = self.made([self.keyid])

    def made(self, keys: list[str], **more: Any) -> Registrations:
        """
        A gate that lets these in.
        """
        options: dict[str, Any] = {"isOpen": False, "longest": 3600, "most": 100, **more}
        return Registrations(self.nodes, self.clock, keys, now=self.now, **options)

    def now(self) -> float:
        """
        The time of day.
        """
        return START + self.clock.seconds()

    def record(self, *addresses: MeshAddress, who: Any = None, ago: float = 0.0, **more: Any) -> bytes:
        """
        What a node says.
        """
        options: dict[str, Any] = {"lifetime": 60, **more}
        return sign(who or self.identity, addresses or (HERE, FIXED), issued=self.now() - ago, **options)

    def refused(self, cause: Cause, data: bytes) -> str:
        """
        That is refused.
        """
        refused = self.assertRaises(Refused, self.registrations.take, data, SENDER)
        self.assertIs(refused.cause, cause, refused)
        return str(refused)

    def test_taken(self) -> None:
        """
        It is in the table until it is over; an empty host is where it came from.
        """
        self.registrations.take(self.record(names=["web"]), SENDER)
        node = self.nodes.find("web")
        assert node is not None
        seen = MeshAddress("connect", SENDER, 15008)
        self.assertEqual((node.keyid, node.addresses, node.source), (self.keyid, (seen, FIXED), SOURCE))
        self.assertAlmostEqual(node.expires or 0, 60, places=2)
        byAddress = self.nodes.find(vip6Of(self.identity.certificate.public_key()))
        self.assertEqual(byAddress, node)
        self.clock.advance(61)
        self.assertIsNone(self.nodes.find(self.keyid))
        self.registrations.take(self.record(), "")
        node = self.nodes.find(self.keyid)
        assert node is not None
        self.assertEqual(node.addresses, (FIXED,))

    def test_replayed(self) -> None:
        """
        The same again, and what was said before, is refused; also when what came last is over or taken back.
        """
        old, new = self.record(lifetime=3600, ago=1), self.record(sequence=1)
        self.registrations.take(new, SENDER)
        for data in (new, old):
            self.assertIn("something later", self.refused(Cause.GENERAL, data))
        self.registrations.take(self.record(sequence=2, lifetime=0), SENDER)
        self.assertIsNone(self.nodes.find(self.keyid))
        self.refused(Cause.GENERAL, old)
        self.clock.advance(3500)
        self.refused(Cause.GENERAL, old)
        self.clock.advance(100 + SKEW)
        self.assertRaises(RecordError, self.registrations.take, old, SENDER)

    def test_who(self) -> None:
        """
        Only listed keys may, or all.
        """
        other: Any = Signing()
        self.assertIn("may not register here", self.refused(Cause.DENIED, self.record(who=other)))
        self.assertIsNone(self.nodes.find(other.keyid))
        self.registrations = self.made([], isOpen=True)
        self.registrations.take(self.record(who=other), SENDER)
        self.assertIsNotNone(self.nodes.find(other.keyid))

    def test_bad(self) -> None:
        """
        What is no record, is changed, or is good for too long.
        """
        data = self.record()
        for bad in (
            b"",
            b"x" * 5000,
            data[:-1],
            data[:-1] + bytes([data[-1] ^ 1]),
            self.record(lifetime=3601),
        ):
            self.assertRaises(RecordError, self.registrations.take, bad, SENDER)
        self.assertEqual(len(self.nodes.all()), 1)

    def test_names(self) -> None:
        """
        A name of somebody else is refused, and the node may say it again without that.
        """
        self.assertIn(
            f"the name bob is that of {BOB}", self.refused(Cause.DENIED, self.record(names=["bob"]))
        )
        self.registrations.take(self.record(), SENDER)

    def test_most(self) -> None:
        """
        There is a most of nodes; those that have long said nothing make room.
        """
        self.registrations = self.made([], isOpen=True, most=1, longest=60)
        self.registrations.take(self.record(), SENDER)
        self.registrations.take(self.record(sequence=1), SENDER)
        other: Any = Signing()
        self.refused(Cause.OVERLOADED, self.record(who=other))
        self.clock.advance(61 + SKEW)
        self.registrations.take(self.record(who=other), SENDER)

    def test_rate(self) -> None:
        """
        No more come from one address than so many.
        """
        for number in range(BURST):
            self.registrations.take(self.record(sequence=number), SENDER)
        data = self.record(sequence=BURST)
        self.assertIn("too many", self.refused(Cause.OVERLOADED, data))
        self.registrations.take(data, "192.0.2.3")
        self.clock.advance(EACH)
        self.registrations.take(self.record(sequence=BURST + 1), SENDER)

    def test_network(self) -> None:
        """
        Who has a whole network of IPv6 may not send more by that.
        """
        for number in range(BURST):
            self.registrations.take(self.record(sequence=number), f"2001:db8::{number + 1:x}")
        data = self.record(sequence=BURST)
        error = self.assertRaises(Refused, self.registrations.take, data, "2001:db8::ffff")
        self.assertIn("too many records", error.detail)
        self.registrations.take(data, "2001:db8:0:1::1")
