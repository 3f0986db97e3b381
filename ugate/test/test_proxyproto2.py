# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.proxyproto2}.
"""

from __future__ import annotations

from twisted.internet.address import HostnameAddress, IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.proxyproto2 import MAX_V2, Tlv, crc32c, encodeV2
from ugate.test.proxyfakes import A6, B6, BASE, LISTENER, LOCAL, PROXY, V2, A, B, feed, outcome, v2


class Version2Tests(SynchronousTestCase):
    """
    The binary format.
    """

    def refusedBecause(self, header: bytes, why: str) -> None:
        self.assertIn(why, str(outcome([header])))

    def test_encode(self) -> None:
        """
        The bytes are those of the specification.
        """
        self.assertEqual(encodeV2(A, B), V2)
        self.assertEqual(encodeV2(None, None), LOCAL)
        self.assertEqual(encodeV2(None, B, [(1, b"h2")]), LOCAL)
        tail = "20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 01bb"
        self.assertEqual(encodeV2(A6, B6), v2(0x21, 0x21, bytes.fromhex(tail)))

    def test_noForm(self) -> None:
        """
        What has no form is C{LOCAL}, without the fields.
        """
        long = UNIXAddress("/" + "x" * 108)
        mixed = ((A, B6), (A, None), (A, UNIXAddress("/b")), (long, long), (HostnameAddress(b"h", 1), B))
        for source, destination in mixed:
            self.assertEqual(encodeV2(source, destination, [(1, b"h2")], checksum=True), LOCAL)

    def test_unspec(self) -> None:
        """
        With C{UNSPEC} the real addresses stay, and the fields count.
        """
        self.assertEqual(feed([v2(0x21, 0, b"")])[0].peer, PROXY)
        for kind, addresses in ((0, b""), (0x10, V2[16:]), (0x01, b"")):
            info, rest = feed([v2(0x21, kind, addresses + b"\x02\x00\x01h") + b"R"])
            self.assertEqual((info.peer, info.host, info.hints["sni"], rest), (PROXY, LISTENER, "h", b"R"))

    def test_local(self) -> None:
        """
        With C{LOCAL} the rest of the header is discarded, whatever is in it.
        """
        for kind, body in ((0, b""), (0x11, V2[16:]), (0xFF, b"garbage"), (0x31, b"\x03\x00")):
            info, rest = feed([v2(0x20, kind, body) + b"R"])
            self.assertEqual(info, BASE.but(layers=("outer", "proxyproto")))
            self.assertEqual(rest, b"R")

    def test_datagram(self) -> None:
        """
        Addresses of datagram sockets say so.
        """
        info, _ = feed([v2(0x21, 0x12, V2[16:])])
        self.assertEqual(info.peer, IPv4Address("UDP", "192.0.2.1", 56324))
        self.assertEqual(info.host, IPv4Address("UDP", "198.51.100.2", 443))

    def test_unix(self) -> None:
        """
        Paths end at a zero byte or fill their place; abstract and unnamed sockets
        have their own form.
        """
        for first, second in (
            (b"/run/a", b"/" + b"x" * 107),
            (b"\x00abstract", b"/b"),
            (b"\x00a\x00b", b"/b"),
            (None, b"/b"),
        ):
            info, _ = feed([encodeV2(UNIXAddress(first), UNIXAddress(second))])
            assert isinstance(info.peer, UNIXAddress) and isinstance(info.host, UNIXAddress)
            self.assertEqual((info.peer.name, info.host.name), (first, second))
        info, _ = feed([v2(0x21, 0x31, b"/a\x00junk".ljust(108, b"\x00") + bytes(108))])
        assert isinstance(info.peer, UNIXAddress)
        self.assertEqual(info.peer.name, b"/a")

    def test_fixedPart(self) -> None:
        """
        Unknown versions, commands, families and protocols, and lengths that hold
        no addresses, are refused as soon as the length is there.
        """
        for command, kind, length, why in (
            (0x11, 0x11, 12, "version and command 0x11"),
            (0x22, 0x11, 12, "version and command 0x22"),
            (0x21, 0x41, 12, "family and protocol 0x41"),
            (0x21, 0x13, 12, "family and protocol 0x13"),
            (0x21, 0x11, 11, "11 bytes cannot hold"),
            (0x21, 0x21, 35, "35 bytes cannot hold"),
            (0x21, 0x31, 215, "215 bytes cannot hold"),
        ):
            self.refusedBecause(v2(command, kind, b"", length), why)
            self.assertEqual(outcome([v2(command, kind, b"", length)[:15]]), "more")

    def test_cap(self) -> None:
        """
        A header of 4096 bytes is read, and none longer, not even one of C{LOCAL}.
        """
        pad = MAX_V2 - 28 - 3
        self.assertEqual(feed([encodeV2(A, B, [(4, bytes(pad))]) + b"R"])[1], b"R")
        self.refusedBecause(encodeV2(A, B, [(4, bytes(pad + 1))])[:16], "at most 4096 are read")
        self.refusedBecause(v2(0x20, 0, b"", 65535), "header of 65551 bytes")

    def test_encodeTooLong(self) -> None:
        """
        Fields that the length cannot count are refused by name.
        """
        self.assertEqual(len(encodeV2(A, B, [(4, bytes(60000)), (4, bytes(5517))])), 65551)
        error = self.assertRaises(ValueError, encodeV2, A, B, [(4, bytes(60000)), (4, bytes(5518))])
        self.assertIn("65536 bytes", str(error))

    def test_hints(self) -> None:
        """
        Fields become hints besides those that were there; unknown ones are skipped.
        """
        ssl = bytes((0x07, 0, 0, 0, 0)) + b"\x21\x00\x07TLSv1.3" + b"\x22\x00\x0aclient.one"
        header = encodeV2(
            A,
            B,
            [(Tlv.ALPN, b"h2"), (Tlv.AUTHORITY, b"Example.COM."), (Tlv.SSL, ssl), (5, b"id"), (0xEA, b"")],
        )
        self.assertEqual(
            feed([header])[0].hints,
            {"user": "u", "alpn": "h2", "sni": "example.com", "cn": "client.one"},
        )
        self.assertEqual(BASE.hints, {"user": "u"})

    def test_unverifiedName(self) -> None:
        """
        A name from a certificate that the sender has not verified, or without
        one, is not even a hint.
        """
        name = b"\x22\x00\x01n"
        for start in (b"\x07\0\0\0\x01", b"\x07\x01\0\0\0", b"\x01\0\0\0\0", b"\0\0\0\0\0"):
            self.assertNotIn("cn", feed([encodeV2(A, B, [(Tlv.SSL, start + name)])])[0].hints)
        for flags in (b"\x03", b"\x05"):
            hints = feed([encodeV2(A, B, [(Tlv.SSL, flags + bytes(4) + name)])])[0].hints
            self.assertEqual(hints["cn"], "n")
        self.assertNotIn("cn", feed([encodeV2(A, B, [(Tlv.SSL, b"\x07" + bytes(4))])])[0].hints)

    def test_brokenFields(self) -> None:
        """
        A field that does not fit, or is no text where text belongs, is an error.
        """
        for tail, why in (
            (b"\x04", "type 0x04 is longer"),
            (b"\x04\x00", "type 0x04 is longer"),
            (b"\x04\x00\x01", "type 0x04 is longer"),
            (b"\x04\xff\xffx", "type 0x04 is longer"),
            (b"\x04\x00\x00\x05\x00\x02x", "type 0x05 is longer"),
            (b"\x02\x00\x00", "authority b'' is empty"),
            (b"\x02\x00\x02\xff\xff", "authority b'\\xff\\xff' is not UTF-8"),
            (b"\x01\x00\x03h2\n", "ALPN b'h2\\n' is empty or not printable"),
            (b"\x20\x00\x04\x01\x00\x00\x00", "SSL field of 4 bytes"),
            (b"\x20\x00\x08\x07\x00\x00\x00\x00\x22\x00\x01", "type 0x22 is longer"),
        ):
            self.refusedBecause(v2(0x21, 0x11, V2[16:] + tail), why)

    def test_crc32c(self) -> None:
        """
        The vectors of RFC 3720, appendix B.4.
        """
        for data, value in (
            (bytes(32), 0x8A9136AA),
            (b"\xff" * 32, 0x62A8AB43),
            (bytes(range(32)), 0x46DD794E),
            (bytes(range(31, -1, -1)), 0x113FDB5C),
            (b"123456789", 0xE3069283),
            (b"", 0),
        ):
            self.assertEqual(crc32c(data), value)

    def test_checksum(self) -> None:
        """
        A checksum is checked over the whole header, wherever it stands in it.
        """
        header = bytearray(encodeV2(A, B, [(4, b"pad")], checksum=True))
        self.assertEqual(feed([bytes(header)])[0].peer, A)
        for at in (16, 27, 31, 33, 37, 40):
            broken = bytearray(header)
            broken[at] ^= 1
            self.refusedBecause(bytes(broken), "CRC32c checksum is wrong")
        first = v2(0x21, 0x11, V2[16:] + b"\x03\x00\x04" + bytes(4) + b"\x04\x00\x01x")
        good = first[:31] + crc32c(first).to_bytes(4, "big") + first[35:]
        self.assertEqual(feed([good])[0].peer, A)
        self.refusedBecause(good[:-1] + b"y", "CRC32c checksum is wrong")
        self.refusedBecause(v2(0x21, 0x11, V2[16:] + b"\x03\x00\x03abc"), "CRC32c checksum is wrong")
