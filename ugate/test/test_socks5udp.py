# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams as SOCKS5 carries them.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Refused, StringError
from ugate.protocols.socks5udp import headerEnd, headerFor, targetOf
from ugate.stream import UDP, Target

FOUR = b"\0\0\0\x01\xc0\x00\x02\x21\x00\x35"
NAME = b"\0\0\0\x03\x0bexample.com\x00\x35"
SIX = b"\0\0\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x35"
SAMPLES = ((FOUR, "192.0.2.33"), (NAME, "example.com"), (SIX, "2001:db8::1"))


class HeaderTests(SynchronousTestCase):
    """
    L{headerEnd}, L{targetOf} and L{headerFor}.
    """

    def test_each(self) -> None:
        """
        An address or a name, and a port (RFC 1928, 7), both ways.
        """
        for header, host in SAMPLES:
            self.assertEqual(headerEnd(header + b"payload"), len(header))
            self.assertEqual(headerEnd(header), len(header))
            target = Target(host, 53, UDP)
            self.assertEqual(targetOf(header), target)
            self.assertEqual(headerFor(target, "hop"), header)

    def test_cutAtEveryByte(self) -> None:
        """
        A header that is not whole is none.
        """
        for header, _ in SAMPLES:
            for end in range(len(header)):
                self.assertEqual(headerEnd(header[:end]), 0, (header, end))

    def test_fragments(self) -> None:
        """
        Fragments are not put together, and what has another version of the header is none.
        """
        for start in b"\0\0\x01\x01", b"\0\0\x81\x01", b"\x01\0\0\x01", b"\0\x01\0\x01", b"\0\0\0\x02":
            self.assertEqual(headerEnd(start + FOUR[4:]), 0)

    def test_noPlace(self) -> None:
        """
        Port 0, and what is no name.
        """
        for header in (
            FOUR[:-2] + b"\0\0",
            b"\0\0\0\x03\0\0\x35",
            b"\0\0\0\x03\x01/\0\x35",
            b"\0\0\0\x03\x01\xff\0\x35",
        ):
            self.assertEqual(headerEnd(header), len(header))
            self.assertRaises(StringError, targetOf, header)

    def test_unspeakable(self) -> None:
        """
        What SOCKS cannot say is refused.
        """
        refused = self.assertRaises(Refused, headerFor, Target("m\xfcller", 53, UDP), "the hop")
        self.assertEqual((refused.cause, refused.hop), (Cause.NAME_UNKNOWN, "the hop"))

    @given(st.binary(max_size=300))
    @example(b"\0\0\0\x03\xff" + b"a" * 257)
    def test_noise(self, datagram: bytes) -> None:
        """
        Whatever comes is a header with a target, or it is not.
        """
        end = headerEnd(datagram)
        self.assertTrue(0 <= end <= len(datagram))
        if end:
            try:
                target = targetOf(datagram[:end])
            except StringError:
                return
            self.assertEqual(targetOf(headerFor(target, "hop")).port, target.port)
