# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.proxyproto1}.
"""

from __future__ import annotations

from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.proxyproto1 import MAX_V1, encodeV1
from ugate.test.proxyfakes import A6, B6, PROXY, V1, A, B, feed, outcome


class Version1Tests(SynchronousTestCase):
    """
    The text format.
    """

    def refusedBecause(self, header: bytes, why: str) -> None:
        self.assertIn(why, str(outcome([header])))

    def test_tcp6(self) -> None:
        """
        IPv6 addresses get their canonical text; a mapped IPv4 address stays one.
        """
        info, _ = feed([b"PROXY TCP6 2001:DB8:0:0::1 ::FFFF:192.0.2.1 0 65535\r\n"])
        self.assertEqual(info.peer, IPv6Address("TCP", "2001:db8::1", 0))
        self.assertEqual(info.host, IPv6Address("TCP", "::ffff:192.0.2.1", 65535))

    def test_unknown(self) -> None:
        """
        All that follows C{UNKNOWN} is ignored, and the real addresses stay.
        """
        for tail in (b"", b" ", b" x y", b" " + b"f" * (MAX_V1 - 16)):
            header = b"PROXY UNKNOWN" + tail + b"\r\n"
            self.assertEqual(feed([header])[0].peer, PROXY)
        self.assertEqual(len(header), MAX_V1)

    def test_cap(self) -> None:
        """
        A line of 107 bytes is read; without its CRLF by then it is an error, with
        not a byte more.
        """
        line = b"PROXY UNKNOWN " + b"f" * (MAX_V1 - 16)
        self.assertEqual(outcome([line]), "more")
        self.assertEqual(feed([line + b"\r\n"])[1], b"")
        self.assertEqual(outcome([line + b"f"]), "more")
        self.refusedBecause(line + b"f\r", "no CRLF in the first 107 bytes")
        self.refusedBecause(line + b"f\r\n", "no CRLF in the first 107 bytes")

    def test_lineEnd(self) -> None:
        """
        A line ends with CRLF, neither with LF nor with CR.
        """
        self.refusedBecause(V1.replace(b"\r", b""), "ends without CR")
        self.refusedBecause(V1.replace(b"\r\n", b"\rX\r\n"), "destination port b'443\\rX'")
        self.assertEqual(outcome([V1[:-1]]), "more")

    def test_shape(self) -> None:
        """
        A line of another shape is an error that names the field.
        """
        good = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443"
        for old, new, why in (
            (b"TCP4", b"UDP4", "wanted TCP4, TCP6 or UNKNOWN"),
            (b"TCP4", b"tcp4", "wanted TCP4, TCP6 or UNKNOWN"),
            (b"TCP4", b"UNKNOWNS", "wanted TCP4, TCP6 or UNKNOWN"),
            (b"TCP4 ", b"", "wanted TCP4, TCP6 or UNKNOWN"),
            (b"TCP4", b" TCP4", "wanted TCP4, TCP6 or UNKNOWN"),
            (b"TCP4", b"TCP6", "source b'192.0.2.1' is not an IPv6 address"),
            (b"192.0.2.1", b"2001:db8::1", "source b'2001:db8::1' is not an IPv4 address"),
            (b"192.0.2.1", b"192.0.2.01", "source b'192.0.2.01'"),
            (b"192.0.2.1", b"192.0.2", "source b'192.0.2'"),
            (b"192.0.2.1", b"192.0.2.1\x00", "source b'192.0.2.1\\x00'"),
            (b"192.0.2.1", b"\xd9\xa192.0.2.1", "source"),
            (b"198.51.100.2", b"host", "destination b'host'"),
            (b"56324", b"065", "source port b'065'"),
            (b"56324", b"+65", "source port b'+65'"),
            (b"56324", b"", "source port b''"),
            (b"443", b"65536", "destination port b'65536'"),
            (b"443", b"000443", "destination port b'000443'"),
            (b" 443", b"", "wanted two addresses and two ports"),
            (b"443", b"443 ", "wanted two addresses and two ports"),
            (b"198.51", b" 198.51", "wanted two addresses and two ports"),
        ):
            line = good.replace(old, new, 1)
            self.assertNotEqual(line, good)
            self.refusedBecause(line + b"\r\n", why)
        self.refusedBecause(b"PROXY \r\n", "wanted TCP4, TCP6 or UNKNOWN")

    def test_encode(self) -> None:
        """
        The example of the specification, and IPv6.
        """
        example = IPv4Address("TCP", "192.168.0.1", 56324), IPv4Address("TCP", "192.168.0.11", 443)
        self.assertEqual(encodeV1(*example), b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n")
        self.assertEqual(encodeV1(A6, B6), b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n")

    def test_encodeScope(self) -> None:
        """
        The scope of an address means nothing elsewhere and is left out.
        """
        scoped = IPv6Address("TCP", "fe80::1%eth0", 1)
        self.assertEqual(encodeV1(scoped, B6), b"PROXY TCP6 fe80::1 2001:db8::2 1 443\r\n")

    def test_encodeUnknown(self) -> None:
        """
        What the format cannot say is C{UNKNOWN}; no host text gets into the line.
        """
        bad = IPv4Address("TCP", "1.2.3.4 5.6.7.8 1 2\r\n", 1)
        for pair in (
            (None, None),
            (A, None),
            (None, B),
            (A, B6),
            (A6, B),
            (UNIXAddress("/a"), UNIXAddress("/b")),
            (HostnameAddress(b"h", 1), B),
            (bad, B),
            (IPv4Address("TCP", "1.2.3.4", 65536), B),
        ):
            self.assertEqual(encodeV1(*pair), b"PROXY UNKNOWN\r\n")
