# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.guard} and L{ugate.modules.hosts}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary, integers, lists, text

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.guard import Place, checkKind, checkOrigin, placeOf
from ugate.modules.hosts import Hosts
from ugate.modules.problems import Trouble


class PlaceTests(SynchronousTestCase):
    """
    What C{Host} says.
    """

    def test_read(self) -> None:
        """
        Names and addresses, with and without a port, and whether a name server had a say.
        """
        for field, host, port, isFixed in (
            (b"localhost", "localhost", None, True),
            (b"LOCALHOST.:15000", "localhost", 15000, True),
            (b"app.localhost", "app.localhost", None, True),
            (b"127.0.0.1:1", "127.0.0.1", 1, True),
            (b"[::1]", "::1", None, True),
            (b"[FE80::1]:65535", "fe80::1", 65535, True),
            (b"www.Alice.example.:80", "www.alice.example", 80, False),
            (b"127.0.0.1.evil.example", "127.0.0.1.evil.example", None, False),
            (b"evillocalhost", "evillocalhost", None, False),
            (b"127.1", "127.1", None, False),
            (b"2130706433", "2130706433", None, False),
            (b"0x7f000001", "0x7f000001", None, False),
        ):
            place = placeOf([field])
            self.assertEqual((Place(host, port), isFixed), (place, place.isFixed))

    @given(binary(max_size=40))
    def test_any(self, field: bytes) -> None:
        """
        Whatever it says, it is read or refused.
        """
        try:
            place = placeOf([field])
        except Trouble as trouble:
            self.assertEqual(400, trouble.status)
        else:
            self.assertTrue(place.host == "" or place.host.isascii())

    @given(text("abcXYZ-_.", min_size=1, max_size=30), integers(1, 65535))
    def test_names(self, name: str, port: int) -> None:
        """
        A name is one in small letters.
        """
        place = placeOf([f"{name}:{port}".encode()])
        self.assertEqual((name.lower().rstrip("."), port), (place.host, place.port))

    def test_count(self) -> None:
        """
        There is exactly one.
        """
        for fields in (None, [], [b"localhost", b"localhost"]):
            self.assertRaises(Trouble, placeOf, fields)


class OriginTests(SynchronousTestCase):
    """
    Where a request comes from.
    """

    def test_tls(self) -> None:
        """
        The scheme counts.
        """
        checkOrigin([b"a.example"], [b"https://a.example"], None, secure=True)
        self.assertRaises(Trouble, checkOrigin, [b"a.example"], [b"http://a.example"], None, secure=True)

    @given(lists(binary(max_size=20), min_size=1, max_size=3))
    def test_any(self, origins: list[bytes]) -> None:
        """
        No other text than that of the host itself will do.
        """
        self.assertRaises(Trouble, checkOrigin, [b"127.0.0.1"], origins, None, secure=False)

    def test_kinds(self) -> None:
        """
        JSON is JSON by its name.
        """
        for kind in (b"application/json", b"Application/JSON ; Charset=UTF-8"):
            checkKind([kind])
        for kinds in (None, [], [b"application/json"] * 2, [b"text/json"], [b"application/json2"], [b""]):
            self.assertRaises(Trouble, checkKind, kinds)


class HostsTests(SynchronousTestCase):
    """
    Whose a name is.
    """

    def test_longest(self) -> None:
        """
        The name itself, else the longest suffix; a suffix is not its own.
        """
        hosts = Hosts(
            {
                "alice": ["alice.example", "*.alice.example"],
                "alice/dev": ["*.dev.alice.example", "one.alice.example"],
                "bob": ["*.Bob.Example."],
            }
        )
        for host, tenant in (
            ("alice.example", "alice"),
            ("www.alice.example", "alice"),
            ("a.b.alice.example", "alice"),
            ("one.alice.example", "alice/dev"),
            ("dev.alice.example", "alice"),
            ("x.dev.alice.example", "alice/dev"),
            ("bob.example", None),
            ("x.bob.example", "bob"),
            ("evilalice.example", None),
            ("example", None),
            ("", None),
        ):
            self.assertEqual(tenant, hosts.tenantOf(host), host)

    def test_all(self) -> None:
        """
        A tenant may have all names.
        """
        self.assertEqual("x", Hosts({"x": ["*"]}).tenantOf("any.example"))
