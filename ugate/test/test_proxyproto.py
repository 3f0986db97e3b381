# -*- test-case-name: ugate.test.test_proxyproto -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.proxyproto} and the formats of both versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address as V4
from ipaddress import IPv6Address as V6
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.proxyproto import ProxyHeader, ProxyHeaderClient
from ugate.protocols.proxyproto1 import MAX_V1, encodeV1
from ugate.protocols.proxyproto2 import MAX_V2, SIGNATURE_V2, Tlv, crc32c, encodeV2
from ugate.stream import Principal, StreamInfo, Target

A = IPv4Address("TCP", "192.0.2.1", 56324)
B = IPv4Address("TCP", "198.51.100.2", 443)
A6 = IPv6Address("TCP", "2001:db8::1", 56324)
B6 = IPv6Address("TCP", "2001:db8::2", 443)
PROXY = IPv4Address("TCP", "127.0.0.1", 40000)
LISTENER = IPv4Address("TCP", "127.0.0.1", 1080)
BASE = StreamInfo(peer=PROXY, host=LISTENER, hints={"user": "u"}, layers=("outer",))
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
# Written down by hand from the specification.
V2 = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c0000201 c6336402 dc04 01bb")
LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a 20 00 0000")
REASON = Refused(Cause.GENERAL, Phase.CONNECT, "h")


def feed(chunks: Iterable[bytes]) -> tuple[StreamInfo, bytes]:
    """
    What a fresh negotiation makes of chunks, and all bytes that follow the header.
    """
    negotiation = ProxyHeader(BASE, Auth.NONE)
    step = Step()
    rest = b""
    for chunk in chunks:
        if step.done:
            rest += chunk
            continue
        step = negotiation.receive(chunk)
        assert not step.send and step.credentials is None
        rest += step.rest
    if step.info is None:
        raise EOFError("more bytes are needed")
    return step.info, rest


def outcome(chunks: Iterable[bytes]) -> object:
    """
    The same, with errors as values.
    """
    try:
        return feed(chunks)
    except EOFError:
        return "more"
    except ProtocolError as e:
        return str(e)


def singles(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def v2(command: int, kind: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE_V2 + bytes((command, kind)) + size.to_bytes(2, "big") + body


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
