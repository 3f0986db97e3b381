# -*- test-case-name: ugate.test.test_sockshost -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sockshost}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.protocols.sockshost import MAX_FIELD, hostFromWire, hostToWire
from ugate.stream import Target


class FromWireTests(SynchronousTestCase):
    """
    L{hostFromWire}.
    """

    def test_name(self) -> None:
        """
        A name is taken as the client wrote it.
        """
        for name in "example.com", "Example.COM.", "_dns.x", "xn--bcher-kva.example", "a":
            self.assertEqual(hostFromWire(name.encode("ascii")), name)

    def test_address(self) -> None:
        """
        An address in the place of a name is that address, in its usual form.
        """
        for raw, host in (
            (b"192.0.2.1", "192.0.2.1"),
            (b"::1", "::1"),
            (b"[::1]", "::1"),
            (b"[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"),
            (b"::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ):
            self.assertEqual(hostFromWire(raw), host)

    def test_notASCII(self) -> None:
        """
        A name in another encoding is refused; the error shows it and the way out.
        """
        for raw in "bücher.example".encode(), b"\xff", "münchen".encode("latin-1"):
            self.assertIn("xn--", str(self.assertRaises(StringError, hostFromWire, raw)))

    def test_colons(self) -> None:
        """
        What has colons must be an IPv6 address.
        """
        for raw in b"a:80", b":", b"[::1", b"::1]", b"[]:", b"fe80::1%eth0", b"::1\0", b"::g", b"1:2:3":
            error = self.assertRaises(StringError, hostFromWire, raw)
            self.assertIn("wanted a host name or an IPv6 address", str(error))

    @settings(deadline=None)
    @given(st.binary(max_size=MAX_FIELD))
    def test_anything(self, raw: bytes) -> None:
        """
        Whatever comes is a host that a target can be made of, or a L{StringError}.
        """
        try:
            target = Target.checked(hostFromWire(raw), 1)
        except StringError:
            return
        self.assertEqual(hostFromWire(hostToWire(target, "hop")), target.host)


class ToWireTests(SynchronousTestCase):
    """
    L{hostToWire}.
    """

    def test_name(self) -> None:
        """
        A name goes as its ASCII bytes, up to the longest that there is.
        """
        self.assertEqual(hostToWire(Target("db.example", 1), "hop"), b"db.example")
        self.assertEqual(hostToWire(Target("a" * 255, 1), "hop"), b"a" * 255)

    def test_length(self) -> None:
        """
        A name that is too long or empty is refused, and the error says how long it is.
        """
        for length in 0, 256:
            error = self.assertRaises(Refused, hostToWire, Target("a" * length, 1), "socks:p:1")
            self.assertEqual(
                (error.cause, error.phase, error.hop), (Cause.NAME_UNKNOWN, Phase.NEGOTIATE, "socks:p:1")
            )
            self.assertIn(f"{length} bytes", error.detail)

    def test_characters(self) -> None:
        """
        A name that SOCKS has no bytes for is refused, with the way out.
        """
        for host in "bücher.example", "a\0b", "a\nb":
            error = self.assertRaises(Refused, hostToWire, Target(host, 1), "socks:p:1")
            self.assertEqual((error.cause, error.hop), (Cause.NAME_UNKNOWN, "socks:p:1"))
            self.assertIn(repr(host), error.detail)
            self.assertIn("xn--", error.nextStep)
