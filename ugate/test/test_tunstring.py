# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tunstring}.
"""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.captured import SNIFFED, WAIT
from ugate.endpoints.reach import onlyLocal
from ugate.endpoints.tun import TunServerEndpoint
from ugate.endpoints.tunport import FLOWS
from ugate.endpoints.tunroutes import Way
from ugate.endpoints.tunstring import MOST_NETWORKS
from ugate.errors import StringError
from ugate.test.dialfakes import Net


def nets(*texts: str) -> Any:
    """
    Networks.
    """
    return tuple(map(ip_network, texts))


class StringTests(SynchronousTestCase):
    """
    C{tun:}, written.
    """

    def read(self, text: str) -> Any:
        """
        A string.
        """
        return serverFromString(Net(), text)

    def wrong(self, text: str) -> str:
        """
        What is said of one that cannot be read.
        """
        return str(self.assertRaises(StringError, self.read, text))

    def test_short(self) -> None:
        """
        All goes there unless it is said what.
        """
        endpoint = self.read("tun:ug0")
        self.assertIsInstance(endpoint, TunServerEndpoint)
        self.assertEqual(
            endpoint.inner.way,
            Way(
                "ug0",
                (ip_interface("10.98.0.1/30"), ip_interface("fd98::1/126")),
                nets("0.0.0.0/0", "::/0"),
                (),
                1500,
                7577,
            ),
        )
        self.assertEqual(endpoint.inner.limit, FLOWS)
        capture = endpoint.capture
        self.assertEqual(
            (capture.protocol, capture.sniff, capture.byName, capture.wait), ("tun", SNIFFED, False, WAIT)
        )

    def test_long(self) -> None:
        """
        All that can be said.
        """
        endpoint = self.read(
            "tun:ug-1.x:addresses=10.1.0.1/24,fd01\\:\\:1/64:routes=10.9.0.0/16, fd09\\:\\:/16"
            ":exclude=10.9.1.0/24:mtu=1420:table=99:flows=5:sniff=none:by=name:wait=2:handshake=3"
        )
        self.assertEqual(
            endpoint.inner.way,
            Way(
                "ug-1.x",
                (ip_interface("10.1.0.1/24"), ip_interface("fd01::1/64")),
                nets("10.9.0.0/16", "fd09::/16"),
                nets("10.9.1.0/24"),
                1420,
                99,
            ),
        )
        self.assertEqual((endpoint.inner.limit, endpoint.deadline), (5, 3.0))
        self.assertEqual(
            (endpoint.capture.sniff, endpoint.capture.byName, endpoint.capture.wait), (frozenset(), True, 2.0)
        )

    def test_oneVersion(self) -> None:
        """
        With one address alone, all of that version goes there; and packets may be shorter.
        """
        way = self.read("tun:ug0:addresses=10.98.0.1/30:mtu=576").inner.way
        self.assertEqual((way.routes, way.versions), (nets("0.0.0.0/0"), (4,)))

    def test_forward(self) -> None:
        """
        For other machines, of which nothing is known but their addresses.
        """
        endpoint = self.read("tun:ug0:forward=192.168.0.0/24,fd07\\:\\:/16")
        self.assertEqual(endpoint.inner.way.forward, nets("192.168.0.0/24", "fd07::/16"))
        self.assertFalse(onlyLocal(endpoint))
        self.assertTrue(onlyLocal(self.read("tun:ug0")))

    def test_mistakes(self) -> None:
        """
        What cannot be, and what is wanted.
        """
        for text, words in (
            ("tun", "wanted tun:DEVICE"),
            ("tun:a:b", "wanted tun:DEVICE"),
            ("tun:a/b", "wanted tun:DEVICE"),
            ("tun:abcdefghijklmnop", "wanted tun:DEVICE"),
            ("tun:a:x=1", "x= is not known; wanted addresses, routes"),
            ("tun:a:by=x", "by=x: wanted address or name"),
            ("tun:a:mtu=1279", "mtu=1279: wanted a number from 1280 to 65535"),
            ("tun:a:mtu=65536", "wanted a number from 1280 to 65535"),
            ("tun:a:table=0", "table=0: wanted a number from 1 to 30000"),
            ("tun:a:flows=60001", "flows=60001: wanted a number from 1 to 60000"),
            ("tun:a:flows=-1", "flows=-1: wanted a number"),
            ("tun:a:addresses=10.0.0.1/31", "whose next one is in the same network"),
            ("tun:a:addresses=10.0.0.2/30", "whose next one is in the same network"),
            ("tun:a:addresses=10.0.0.3/30", "whose next one is in the same network"),
            ("tun:a:addresses=fd00\\:\\:1/127", "whose next one is in the same network"),
            ("tun:a:addresses=fd00\\:\\:1%x\nlink del b/126", "whose next one is in the same network"),
            ("tun:a:addresses=10.0.0.1/24,10.1.0.1/24", "one of IPv4, one of IPv6, or one of each"),
            ("tun:a:addresses=x", "addresses=x: wanted addresses with commas between"),
            ("tun:a:routes=10.0.0.1/8", "routes=10.0.0.1/8: wanted addresses with commas between"),
            ("tun:a:exclude=", "exclude=: wanted addresses"),
            ("tun:a:addresses=10.0.0.1/24:routes=fd00\\:\\:/8", "has no address of IPv6 to reach it from"),
            ("tun:a:forward=x", "forward=x: wanted addresses with commas between"),
            ("tun:a:forward=10.0.0.0/8", "wanted networks of other machines, and 10.98.0.1/30 is ours"),
            ("tun:a:addresses=10.0.0.1/24:forward=fd00\\:\\:/8", "has no address of IPv6"),
            ("tun:a:sniff=x", "wanted ports with commas between"),
            ("tun:a:wait=x", "wait"),
        ):
            said = self.wrong(text)
            self.assertIn(words, said, text)
            self.assertTrue(said.startswith("tun: "), said)

    def test_many(self) -> None:
        """
        There is an end of networks.
        """
        networks = ",".join(["10.0.0.0/8"] * MOST_NETWORKS)
        self.read(f"tun:a:routes={networks}")
        self.assertIn(f"at most {MOST_NETWORKS}", self.wrong(f"tun:a:routes={networks},10.0.0.0/8"))
