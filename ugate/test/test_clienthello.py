# -*- test-case-name: ugate.test.test_clienthello -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.clienthello}.
"""

from __future__ import annotations

import ssl
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.clienthello import (
    MAX_HELLO,
    Alert,
    ClientHello,
    ClientHelloReader,
    alertRecord,
    decodeClientHello,
)
from ugate.protocols.sniff import sniff
from ugate.test.hellofakes import (
    TLS10,
    TLS12,
    TLS13,
    alpn,
    body,
    extension,
    hello,
    message,
    outcome,
    read,
    realHello,
    records,
    singles,
    sni,
    vector,
    versions,
)


class RealTests(SynchronousTestCase):
    """
    What a real TLS library sends.
    """

    def test_shapes(self) -> None:
        """
        Names, protocols and versions in all combinations.
        """
        v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
        for name, wanted in (
            ("example.com", "example.com"),
            ("Example.COM", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("192.0.2.1", ""),
            (None, ""),
        ):
            for protocols in ((), ("h2", "http/1.1"), ("http/1.1",)):
                for pair, offered in (
                    ((v12, v12), (TLS12,)),
                    ((v13, v13), (TLS13,)),
                    ((v12, v13), (TLS13, TLS12)),
                ):
                    found = read([realHello(name, protocols, pair)])
                    assert found is not None
                    self.assertEqual(found.serverName, wanted)
                    self.assertEqual(found.alpn, tuple(p.encode() for p in protocols))
                    self.assertEqual(found.versions, offered)
                    self.assertFalse(found.ech)

    def test_everySplit(self) -> None:
        """
        In two chunks cut anywhere, and byte by byte, it is the same.
        """
        data = realHello(alpn=["h2"])
        wanted = ClientHello("example.com", (b"h2",), (TLS13, TLS12))
        for cut in range(len(data) + 1):
            self.assertEqual(read([data[:cut], data[cut:]]), wanted)
        self.assertEqual(read(singles(data)), wanted)

    def test_everyRecordSize(self) -> None:
        """
        In records of any size, of one byte too, it is the same.
        """
        content = realHello(alpn=["h2"])[5:]
        wanted = ClientHello("example.com", (b"h2",), (TLS13, TLS12))
        for size in range(1, len(content) + 1):
            data = records(content, size)
            self.assertEqual(read([data]), wanted)
        self.assertEqual(read(singles(records(content, 3))), wanted)

    def test_incomplete(self) -> None:
        """
        No part of it is enough.
        """
        data = realHello()
        for part in (data, records(data[5:], 100)):
            for cut in range(len(part)):
                self.assertIsNone(read([part[:cut]]))

    def test_seen(self) -> None:
        """
        All bytes are kept as they were, with those that follow.
        """
        data = records(realHello()[5:], 50)
        reader = ClientHelloReader()
        self.assertIsNone(reader.feed(data[:77]))
        self.assertEqual(reader.seen, data[:77])
        self.assertIsNotNone(reader.feed(data[77:] + b"early"))
        self.assertEqual(reader.seen, data + b"early")

    def test_alertsAreUnderstood(self) -> None:
        """
        A real client, of either version, understands each alert.
        """
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for alert, text in (
                (Alert.UNEXPECTED_MESSAGE, "UNEXPECTED_MESSAGE"),
                (Alert.RECORD_OVERFLOW, "RECORD_OVERFLOW"),
                (Alert.HANDSHAKE_FAILURE, "HANDSHAKE_FAILURE"),
                (Alert.ILLEGAL_PARAMETER, "ILLEGAL_PARAMETER"),
                (Alert.ACCESS_DENIED, "ACCESS_DENIED"),
                (Alert.DECODE_ERROR, "DECODE_ERROR"),
                (Alert.PROTOCOL_VERSION, "PROTOCOL_VERSION"),
                (Alert.INTERNAL_ERROR, "INTERNAL_ERROR"),
                (Alert.UNRECOGNIZED_NAME, "UNRECOGNIZED_NAME"),
            ):
                context = ssl.create_default_context()
                context.maximum_version = version
                incoming = ssl.MemoryBIO()
                client = context.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="h")
                self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
                incoming.write(alertRecord(alert))
                error = self.assertRaises(ssl.SSLError, client.do_handshake)
                self.assertIn(text, str(error.reason))


class MadeTests(SynchronousTestCase):
    """
    What real clients send that this machine's library does not.
    """

    def test_grease(self) -> None:
        """
        Values that mean nothing (RFC 8701) are left out, wherever they are.
        """
        data = hello(
            extension(0x1A1A, b""),
            sni(b"example.com"),
            alpn(b"\x2a\x2a", b"h2", b"\x2a\x3a", b"h3"),
            versions(0xDADA, TLS13, TLS12, 0x7F1C),
            extension(0xFAFA, b"\x00"),
        )
        wanted = ClientHello("example.com", (b"h2", b"\x2a\x3a", b"h3"), (TLS13, TLS12, 0x7F1C))
        self.assertEqual(read([data]), wanted)

    def test_ech(self) -> None:
        """
        With an outer encrypted hello the name is that of the outer one, and a flag
        says so; an inner one is what it is.
        """
        outer = extension(
            0xFE0D, b"\x00" + b"\x00\x01\x00\x01" + b"\x07" + vector(2, b"k") + vector(2, b"p" * 200)
        )
        found = read([hello(sni(b"public.example"), outer)])
        self.assertEqual(found, ClientHello("public.example", (), (TLS12,), ech=True))
        self.assertEqual(found.hints, {"sni": "public.example", "ech": "outer"})  # type: ignore[union-attr]
        inner = extension(0xFE0D, b"\x01")
        self.assertEqual(read([hello(sni(b"h"), inner)]), ClientHello("h", (), (TLS12,)))
        self.assertEqual(read([hello(extension(0xFE0D, b""))]), ClientHello("", (), (TLS12,)))

    def test_postQuantum(self) -> None:
        """
        A hello of several records, since its key share is long.
        """
        share = extension(
            51, vector(2, b"\x11\xec" + vector(2, b"k" * 9000), b"\x00\x1d" + vector(2, b"k" * 7000))
        )
        content = message(body(share, sni(b"h")))
        self.assertGreater(len(content), 16000)
        self.assertEqual(read([records(content)]), ClientHello("h", (), (TLS12,)))
        self.assertEqual(read([records(content, 9000)]), ClientHello("h", (), (TLS12,)))

    def test_old(self) -> None:
        """
        A hello without extensions, as old clients send it.
        """
        start = TLS10.to_bytes(2, "big") + bytes(32) + b"\x00" + vector(2, b"\x00\x2f") + b"\x01\x00"
        self.assertEqual(read([records(message(start))]), ClientHello("", (), (TLS10,)))
        self.assertEqual(read([records(message(start + b"\x00\x00"))]), ClientHello("", (), (TLS10,)))

    def test_names(self) -> None:
        """
        Names lose capitals and a final dot; underscores and literals pass; names
        of unknown types are skipped.
        """
        for data, wanted in (
            (b"Example.com.", "example.com"),
            (b"outbound_.80_._.svc.ns", "outbound_.80_._.svc.ns"),
            (b"192.0.2.1", "192.0.2.1"),
            (b"2001:db8::1", "2001:db8::1"),
            (b"x" * 255, "x" * 255),
            (b"x" * 255 + b".", "x" * 255),
        ):
            found = read([hello(sni(data))])
            self.assertEqual(found and found.serverName, wanted)
        other = extension(0, vector(2, b"\x07" + vector(2, b"\xff\xff"), b"\x00" + vector(2, b"h")))
        self.assertEqual(read([hello(other)]), ClientHello("h", (), (TLS12,)))
        self.assertEqual(read([hello(sni(b"\xff", kind=7))]), ClientHello("", (), (TLS12,)))

    def test_hints(self) -> None:
        """
        Only what is there; protocols in order, with all that could mislead a
        reader escaped.
        """
        found = ClientHello("h", (b"h2", b"http/1.1", b"a,b", b"\xff\n", b"", b"q"), (TLS13,))
        self.assertEqual(found.hints, {"sni": "h", "alpn": "h2,http/1.1,a\\x2cb,\\xff\\x0a,,q"})
        self.assertEqual(ClientHello().hints, {})

    def test_sniffed(self) -> None:
        """
        What is read here is what the sniffer calls TLS.
        """
        self.assertEqual(sniff(hello()), "tls")
        self.assertEqual(sniff(records(message(body()), 1)), "tls")


class BrokenTests(SynchronousTestCase):
    """
    What is no ClientHello gets an error, and the alert that TLS has for it.
    """

    def refused(self, data: bytes, alert: Alert | None, why: str) -> None:
        wanted = b"" if alert is None else bytes((21, 3, 3, 0, 2, 2, alert))
        for chunks in ([data], singles(data)):
            error = self.assertRaises(ProtocolError, read, chunks)
            self.assertIn(why, str(error))
            self.assertEqual(error.reply, wanted)

    def test_notTLS(self) -> None:
        """
        Something else entirely gets no reply; in the middle of a hello it does.
        """
        self.refused(b"GET / HTTP/1.1\r\n", None, "not TLS")
        self.refused(b"\x16\x02\x00\x00\x01", None, "not TLS")
        self.refused(b"\x16\x03\x01\x00\x01\x01GET /", Alert.UNEXPECTED_MESSAGE, "not TLS")

    def test_records(self) -> None:
        """
        Other records, empty ones and ones that are too long.
        """
        self.refused(b"\x15\x03\x01\x00\x02\x02\x28", Alert.UNEXPECTED_MESSAGE, "record of type 21")
        self.refused(b"\x17\x03\x03\x00\x02xx", Alert.UNEXPECTED_MESSAGE, "record of type 23")
        begun = records(b"\x01\x00\x00")
        self.refused(begun + b"\x14\x03\x01\x00\x01\x01", Alert.UNEXPECTED_MESSAGE, "record of type 20")
        self.refused(begun + b"\x16\x03\x01\x00\x00", Alert.UNEXPECTED_MESSAGE, "an empty record")
        self.refused(b"\x16\x03\x01\x40\x01", Alert.RECORD_OVERFLOW, "a record of 16385 bytes")

    def test_messages(self) -> None:
        """
        Other messages, and an empty one.
        """
        self.refused(records(message(b"x", kind=2)), Alert.UNEXPECTED_MESSAGE, "message of type 2")
        self.refused(records(message(b"")), Alert.DECODE_ERROR, "it is empty")

    def test_cap(self) -> None:
        """
        A hello that ends with byte 16384 is read; one that does not is refused, by
        its length or when that many bytes have come in small records.
        """
        padding = MAX_HELLO - len(hello(extension(21, b"")))
        whole = hello(extension(21, bytes(padding)))
        self.assertEqual(len(whole), MAX_HELLO)
        self.assertEqual(read([whole + b"early data"]), ClientHello("", (), (TLS12,)))
        longer = message(body(extension(21, bytes(padding + 1))))
        self.refused(records(longer)[:9], Alert.ILLEGAL_PARAMETER, "at most 16384 are read")
        self.refused(records(b"\x01\xff\xff\xff"), Alert.ILLEGAL_PARAMETER, "at most 16384 are read")
        content = message(body(extension(21, bytes(3000))))
        small = records(content, 1)
        self.refused(small[: MAX_HELLO + 8], Alert.ILLEGAL_PARAMETER, "not whole after 16384 bytes")
        self.assertIsNone(read([small[: MAX_HELLO - 5]]))

    def test_body(self) -> None:
        """
        Fields with impossible lengths, and versions that are not TLS.
        """
        for content, alert, why in (
            (body(version=0x0200), Alert.PROTOCOL_VERSION, "version 0x0200"),
            (body(version=0x7F12), Alert.PROTOCOL_VERSION, "version 0x7f12"),
            (b"\x03\x03short", Alert.DECODE_ERROR, "beyond its end"),
            (body(session=bytes(33)), Alert.DECODE_ERROR, "impossible length"),
            (body(suites=b""), Alert.DECODE_ERROR, "impossible length"),
            (body(suites=b"\x13\x01\x13"), Alert.DECODE_ERROR, "impossible length"),
            (body(compressions=b""), Alert.DECODE_ERROR, "impossible length"),
            (body(tail=b"x"), Alert.DECODE_ERROR, "bytes follow"),
            (body()[:-1], Alert.DECODE_ERROR, "beyond its end"),
            (body(b"\x00"), Alert.DECODE_ERROR, "beyond its end"),
            (body(b"\x00\x2a\x00\x05x"), Alert.DECODE_ERROR, "beyond its end"),
            (body(sni(b"a"), sni(b"b")), Alert.ILLEGAL_PARAMETER, "extension 0 is there twice"),
            (body(extension(99, b""), extension(99, b"")), Alert.ILLEGAL_PARAMETER, "extension 99"),
        ):
            self.refused(records(message(content)), alert, why)

    def test_extensions(self) -> None:
        """
        Lists that are empty, do not fill their extension, or have impossible items.
        """
        for broken, alert, why in (
            (extension(0, b""), Alert.DECODE_ERROR, "beyond its end"),
            (extension(0, b"\x00\x00"), Alert.DECODE_ERROR, "list of server names"),
            (extension(0, vector(2, b"\x00\x00\x01h") + b"x"), Alert.DECODE_ERROR, "list of server names"),
            (extension(0, vector(2, b"\x00\x00\x05h")), Alert.DECODE_ERROR, "beyond its end"),
            (sni(b"a", b"b"), Alert.ILLEGAL_PARAMETER, "two server names"),
            (sni(b""), Alert.ILLEGAL_PARAMETER, "server name b''"),
            (sni(b"."), Alert.ILLEGAL_PARAMETER, "server name b'.'"),
            (sni(b"a\x00b"), Alert.ILLEGAL_PARAMETER, "server name b'a\\x00b'"),
            (sni(b"a b"), Alert.ILLEGAL_PARAMETER, "is not a host name"),
            (sni(b"a/b"), Alert.ILLEGAL_PARAMETER, "is not a host name"),
            (sni(b"h\xc3\xbc"), Alert.ILLEGAL_PARAMETER, "is not a host name"),
            (sni(b"x" * 256), Alert.ILLEGAL_PARAMETER, "is not a host name"),
            (alpn(), Alert.DECODE_ERROR, "list of application protocols"),
            (alpn(b"h2", b""), Alert.DECODE_ERROR, "without a name"),
            (extension(16, b"\x00\x02\x05h"), Alert.DECODE_ERROR, "beyond its end"),
            (versions(), Alert.DECODE_ERROR, "list of versions"),
            (extension(43, b"\x03\x03\x04\x03"), Alert.DECODE_ERROR, "odd length"),
            (extension(43, b"\x02\x03\x04\x03"), Alert.DECODE_ERROR, "list of versions"),
        ):
            self.refused(hello(broken), alert, why)


def cutAt(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


class PropertyTests(SynchronousTestCase):
    """
    What is true of any bytes.
    """

    SAMPLE = hello(sni(b"example.com"), alpn(b"h2", b"http/1.1"), versions(0x0A0A, TLS13))

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
        st.binary(max_size=20),
        st.lists(st.integers(0, 250), max_size=5),
    )
    def test_damaged(self, changes: list[tuple[int, int]], tail: bytes, cuts: list[int]) -> None:
        """
        A damaged hello is read or refused, the same in any chunks.
        """
        data = bytearray(self.SAMPLE)
        for at, value in changes:
            data[at % len(data)] = value
        whole = bytes(data) + tail
        self.assertEqual(outcome(cutAt(whole, cuts)), outcome([whole]))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
    def test_noise(self, noise: bytes, cuts: list[int]) -> None:
        """
        So is noise, bare and in a record, as a message or as a body.
        """
        for data in (noise, records(noise), records(message(noise)), records(message(b"\x03\x03" + noise))):
            self.assertEqual(outcome(cutAt(data, cuts)), outcome([data]))

    @settings(max_examples=100, deadline=None)
    @given(
        st.integers(1, 250), st.lists(st.integers(0, 2000), max_size=6), st.integers(0, 0xFFFF), st.booleans()
    )
    def test_cut(self, size: int, cuts: list[int], version: int, named: bool) -> None:
        """
        Any sizes of records and chunks give the same hello.
        """
        offered = 0x0300 | version & 0xFF
        content = body(*([sni(b"h")] if named else []), alpn(b"x"), version=offered)
        wanted = ClientHello("h" if named else "", (b"x",), (offered,))
        self.assertEqual(decodeClientHello(content), wanted)
        self.assertEqual(read(cutAt(records(message(content), size), cuts)), wanted)
