# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.dnswire}.
"""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.update
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.dnswire import HEADER, PAYLOAD, Asked, Query, questionOf, readQuery


def query(name: str = "db.example", kind: str = "A", **options: Any) -> Any:
    """
    A question as a client makes it.
    """
    return dns.message.make_query(name, kind, **options)


def wireOf(message: Any) -> bytes:
    """
    It as it is sent.
    """
    wire: bytes = message.to_wire()
    return wire


class ReadTests(SynchronousTestCase):
    """
    L{readQuery}.
    """

    def refused(self, data: bytes) -> Any:
        """
        What is answered to a message at once; L{None} for nothing.
        """
        error = self.assertRaises(ProtocolError, readQuery, data)
        return dns.message.from_wire(error.reply) if error.reply else None

    def test_plain(self) -> None:
        """
        A question without EDNS.
        """
        message = query("DB.Example.", "AAAA", id=0x1234)
        read = readQuery(wireOf(message))
        self.assertEqual((0x1234, "db.example", 28), (read.number, read.name, read.type))
        self.assertEqual(b"\x02DB\x07Example\x00\x00\x1c\x00\x01", read.question)
        self.assertEqual(Asked(b"\x02db\x07example\x00\x00\x1c\x00\x01"), read.asked)
        self.assertEqual((512, False, True), (read.payload, read.hasEDNS, read.isPlain))
        self.assertEqual((int(dns.flags.RD), False), (read.flags, read.wantsAuthentic))

    def test_edns(self) -> None:
        """
        What EDNS says: sizes within bounds, signatures wanted, and options.
        """
        for size, taken in ((100, 512), (1000, 1000), (4096, PAYLOAD)):
            read = readQuery(wireOf(query(use_edns=0, payload=size)))
            self.assertEqual((taken, True, True), (read.payload, read.hasEDNS, read.isPlain))
        read = readQuery(wireOf(query(want_dnssec=True, flags=dns.flags.CD)))
        self.assertEqual((True, True), (read.asked.isSecure, read.asked.isUnchecked))
        self.assertTrue(read.wantsAuthentic)
        cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
        self.assertFalse(readQuery(wireOf(query(use_edns=0, options=[cookie]))).isPlain)

    def test_silence(self) -> None:
        """
        Nothing is said to what is too short, or is an answer.
        """
        self.assertIsNone(self.refused(b""))
        self.assertIsNone(self.refused(b"\x00" * 11))
        self.assertIsNone(self.refused(wireOf(dns.message.make_response(query()))))

    def test_codes(self) -> None:
        """
        What cannot be is refused with the code for it, and the id of the question.
        """
        other = query(id=7)
        other.set_opcode(dns.opcode.STATUS)
        update: Any = dns.update.UpdateMessage("example", id=7)
        update.add("a", 60, "A", "192.0.2.1")
        wire = wireOf(query(id=7))
        for data, code in (
            (wireOf(other), dns.rcode.NOTIMP),
            (wireOf(update), dns.rcode.NOTIMP),
            (wire[:-1], dns.rcode.FORMERR),
            (wire + b"x", dns.rcode.FORMERR),
            (HEADER.pack(7, 0, 0, 0, 0, 0), dns.rcode.FORMERR),
            (HEADER.pack(7, 0, 2, 0, 0, 0) + wire[12:] * 2, dns.rcode.FORMERR),
            (HEADER.pack(7, 0, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01", dns.rcode.FORMERR),
            (wireOf(query(id=7, use_edns=1)), dns.rcode.BADVERS),
            (wireOf(query(kind="AXFR", id=7)), dns.rcode.REFUSED),
            (wireOf(query("version.bind", "TXT", rdclass="CH", id=7)), dns.rcode.REFUSED),
            (wireOf(query(kind="TYPE0", id=7)), dns.rcode.FORMERR),
            (wireOf(query(kind="TYPE200", id=7)), dns.rcode.FORMERR),
        ):
            answer = self.refused(data)
            self.assertEqual((code, 7), (answer.rcode(), answer.id), data)
            self.assertTrue(answer.flags & dns.flags.QR)

    @given(st.binary(max_size=200))
    def test_garbage(self, data: bytes) -> None:
        """
        Whatever comes is read or refused.
        """
        self.check(data)

    @given(st.integers(0, 60), st.binary(min_size=1, max_size=4))
    def test_mangled(self, at: int, data: bytes) -> None:
        """
        So is what was a question once.
        """
        wire = wireOf(query("a.b.example", use_edns=0, want_dnssec=True))
        self.check(wire[:at] + data + wire[at + len(data) :])

    def check(self, data: bytes) -> None:
        """
        It is read or refused.
        """
        try:
            read = readQuery(data)
        except ProtocolError as error:
            if error.reply:
                self.assertEqual(data[:2], error.reply[:2])
                dns.message.from_wire(error.reply)
        else:
            self.assertIsInstance(read, Query)


class AskedTests(SynchronousTestCase):
    """
    L{Asked}.
    """

    def test_wire(self) -> None:
        """
        What another server is asked has what matters, and nothing of the client.
        """
        asked = readQuery(wireOf(query("DB.Example", want_dnssec=True))).asked
        sent = dns.message.from_wire(asked.wire(77))
        self.assertEqual((77, "db.example. IN A"), (sent.id, str(sent.question[0])))
        self.assertEqual(dns.flags.RD | dns.flags.AD, sent.flags)
        self.assertEqual((0, PAYLOAD, True), (sent.edns, sent.payload, bool(sent.ednsflags & dns.flags.DO)))
        self.assertEqual((), sent.options)
        unchecked = dns.message.from_wire(Asked(asked.question, isUnchecked=True).wire(0))
        self.assertTrue(unchecked.flags & dns.flags.CD)
        self.assertFalse(unchecked.ednsflags & dns.flags.DO)

    def test_padded(self) -> None:
        """
        Padded questions of different names have one length.
        """
        for name in ("a.example", "b.corp.example", "x" * 63):
            wire = Asked(questionOf(name, 1)).wire(0, padded=True)
            self.assertEqual(128, len(wire), name)
            self.assertEqual(1, len(dns.message.from_wire(wire).options))
        self.assertEqual(256, len(Asked(questionOf("x" * 60 + "." + "y" * 60, 1)).wire(0, padded=True)))

    def test_answered(self) -> None:
        """
        An answer has the question in it, whatever the case of its letters.
        """
        asked = Asked(questionOf("db.example", 65))
        good = wireOf(dns.message.make_response(query("DB.example", "TYPE65")))
        self.assertTrue(asked.isAnsweredBy(good))
        self.assertFalse(asked.isAnsweredBy(wireOf(query("db.example", "TYPE65"))))
        for name, kind in (("db.example", "TYPE97"), ("db.exampl", "TYPE65"), ("de.example", "TYPE65")):
            other = wireOf(dns.message.make_response(query(name, kind)))
            self.assertFalse(asked.isAnsweredBy(other), (name, kind))
        status = dns.message.make_response(query("db.example", "TYPE65"))
        status.set_opcode(dns.opcode.STATUS)
        self.assertFalse(asked.isAnsweredBy(wireOf(status)))
        for end in range(len(good)):
            self.assertFalse(asked.isAnsweredBy(good[:end]))

    def test_noName(self) -> None:
        """
        What is no name cannot be asked for.
        """
        for bad in ("a..b", "x" * 64, ".".join(["x" * 60] * 5)):
            self.assertRaises(ValueError, questionOf, bad, 1)
