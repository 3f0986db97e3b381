# -*- test-case-name: ugate.test.test_proxyproto -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.proxyproto}, whatever the version.
"""

from __future__ import annotations

from ipaddress import IPv4Address as V4
from ipaddress import IPv6Address as V6
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.proxyproto import ProxyHeader, ProxyHeaderClient
from ugate.protocols.proxyproto2 import SIGNATURE_V2, encodeV2
from ugate.stream import Principal, Target
from ugate.test.proxyfakes import (
    A6,
    B6,
    BASE,
    LISTENER,
    LOCAL,
    PROXY,
    REASON,
    V1,
    V2,
    A,
    B,
    feed,
    outcome,
    singles,
    v2,
)


class ServerTests(SynchronousTestCase):
    """
    L{ProxyHeader}, whatever the version.
    """

    def test_interface(self) -> None:
        """
        Both sides are negotiations.
        """
        verifyObject(INegotiation, ProxyHeader(BASE, Auth.NONE))
        verifyObject(INegotiation, ProxyHeaderClient(Target("h", 1)))

    def test_silentServer(self) -> None:
        """
        The server side never sends anything and has no use for a login.
        """
        negotiation = ProxyHeader(BASE, Auth.REQUIRED)
        self.assertEqual(negotiation.start(), b"")
        self.assertEqual(negotiation.login(Principal("p", "password")), Step())
        self.assertTrue(negotiation.receive(V1).done)
        self.assertEqual(negotiation.accept(), b"")
        self.assertEqual(negotiation.refuse(REASON), b"")

    def test_everySplit(self) -> None:
        """
        Each header is read the same when it comes in two chunks cut anywhere, and
        byte by byte; what follows it is part of the stream.
        """
        headers = {
            V1: (A, B),
            V2: (A, B),
            LOCAL: (PROXY, LISTENER),
            b"PROXY UNKNOWN\r\n": (PROXY, LISTENER),
            encodeV2(A6, B6, [(4, b"pad")], checksum=True): (A6, B6),
            encodeV2(UNIXAddress("/a"), UNIXAddress("/b")): (UNIXAddress("/a"), UNIXAddress("/b")),
        }
        for header, (peer, host) in headers.items():
            data = header + b"\r\nrest"
            wanted = BASE.but(peer=peer, host=host, layers=("outer", "proxyproto")), b"\r\nrest"
            for cut in range(len(data) + 1):
                self.assertEqual(feed([data[:cut], data[cut:]]), wanted)
            self.assertEqual(feed(singles(data)), wanted)

    def test_incomplete(self) -> None:
        """
        No part of a header is enough.
        """
        for header in (V1, V2, LOCAL):
            for cut in range(len(header)):
                self.assertEqual(outcome([header[:cut]]), "more")

    def test_noHeader(self) -> None:
        """
        Anything else in front is an error that says what came and what to do, as
        soon as it differs from a header.
        """
        for data in (
            b"GET / HTTP/1.1\r\n",
            b"\x05\x01\x00",
            b"PROXX",
            b"PROXY\t",
            b"\r\n\r\n\x01",
            b"proxy TCP4",
        ):
            said = outcome([data])
            self.assertIn("no PROXY header", str(said))
            self.assertIn("take proxyproto: out", str(said))
            self.assertIn("no PROXY header", str(outcome(singles(data))))
        self.assertRaises(ProtocolError, feed, [b"Q"])

    def test_baseStays(self) -> None:
        """
        What was known before stays known.
        """
        base = BASE.but(target=Target("t", 1), principal=Principal("p", "m"), protocol="x")
        info = ProxyHeader(base, Auth.NONE).receive(V1).info
        self.assertEqual(info, base.but(peer=A, host=B, layers=("outer", "proxyproto")))

    @settings(max_examples=200, deadline=None)
    @given(
        st.one_of(
            st.binary(max_size=300),
            st.binary(max_size=300).map(lambda data: b"PROXY " + data),
            st.binary(max_size=300).map(lambda data: SIGNATURE_V2 + data),
            st.tuples(st.sampled_from((0x20, 0x21)), st.integers(0, 0x33), st.binary(max_size=300)).map(
                lambda parts: v2(*parts)
            ),
            st.tuples(st.sampled_from((0, 0x11, 0x21)), st.binary(max_size=60)).map(
                lambda parts: v2(0x21, parts[0], bytes(36) + parts[1])
            ),
        ),
        st.lists(st.integers(0, 300), max_size=4),
    )
    def test_fuzz(self, data: bytes, cuts: list[int]) -> None:
        """
        Whatever comes, there is an answer or a L{ProtocolError}, and it does not
        depend on the chunks.
        """
        edges = [0, *sorted(cuts), len(data)]
        whole, split = outcome([data]), outcome(data[a:b] for a, b in pairwise(edges))
        if isinstance(whole, str) and "begins with" in whole:
            # The text quotes as much as was there.
            self.assertIn("begins with", str(split))
        else:
            self.assertEqual(whole, split)


class RoundTripTests(SynchronousTestCase):
    """
    What one side writes the other reads.
    """

    def bothVersions(self, source: IAddress, destination: IAddress) -> None:
        for version in (1, 2):
            client = ProxyHeaderClient(
                Target("h", 1), source=source, destination=destination, version=version
            )
            info, rest = feed([client.start() + b"data"])
            self.assertEqual((info.peer, info.host, rest), (source, destination, b"data"))

    @settings(max_examples=50, deadline=None)
    @given(*(st.integers(0, 2**32 - 1), st.integers(0, 65535)) * 2)
    def test_v4(self, a: int, aPort: int, b: int, bPort: int) -> None:
        """
        Any two IPv4 addresses.
        """
        self.bothVersions(IPv4Address("TCP", str(V4(a)), aPort), IPv4Address("TCP", str(V4(b)), bPort))

    @settings(max_examples=50, deadline=None)
    @given(*(st.integers(2**64, 2**128 - 1), st.integers(0, 65535)) * 2)
    def test_v6(self, a: int, aPort: int, b: int, bPort: int) -> None:
        """
        Any two IPv6 addresses.
        """
        self.bothVersions(IPv6Address("TCP", str(V6(a)), aPort), IPv6Address("TCP", str(V6(b)), bPort))

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.integers(0x04, 0x05), st.binary(max_size=50)), max_size=5), st.booleans())
    def test_fields(self, tlvs: list[tuple[int, bytes]], checksum: bool) -> None:
        """
        Any fields, with a checksum or without.
        """
        self.assertEqual(feed([encodeV2(A6, B6, tlvs, checksum) + b"R"])[1], b"R")


class ClientTests(SynchronousTestCase):
    """
    L{ProxyHeaderClient}.
    """

    def test_doneAtOnce(self) -> None:
        """
        The header goes out first, and nothing is waited for.
        """
        client = ProxyHeaderClient(Target("198.51.100.2", 443), source=A, destination=B)
        self.assertEqual(client.start(), V2)
        self.assertEqual(client.receive(b""), Step(done=True))
        self.assertEqual(client.receive(b"early"), Step(done=True, rest=b"early"))
        self.assertEqual((client.accept(), client.refuse(REASON), client.login(None)), (b"", b"", Step()))

    def test_versions(self) -> None:
        """
        Version 2 unless 1 is asked for; there is no other.
        """
        target = Target("h", 1)
        self.assertEqual(ProxyHeaderClient(target, source=A, destination=B, version=1).start(), V1)
        error = self.assertRaises(ValueError, ProxyHeaderClient, target, version=3)
        self.assertIn("wanted 1 or 2", str(error))

    def test_targetIsDestination(self) -> None:
        """
        Without a destination the target is it, if it is an address.
        """
        self.assertEqual(ProxyHeaderClient(Target("198.51.100.2", 443), source=A).start(), V2)
        self.assertEqual(ProxyHeaderClient(Target("2001:db8::2", 443), source=A6).start(), encodeV2(A6, B6))
        self.assertEqual(ProxyHeaderClient(Target("example.com", 443), source=A).start(), LOCAL)

    def test_ourOwn(self) -> None:
        """
        A connection for nobody else says so.
        """
        target = Target("198.51.100.2", 443)
        self.assertEqual(ProxyHeaderClient(target).start(), LOCAL)
        self.assertEqual(ProxyHeaderClient(target, version=1).start(), b"PROXY UNKNOWN\r\n")
