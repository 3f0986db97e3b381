# -*- test-case-name: ugate.test.test_sniff -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sniff}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.sniff import MATCHERS, MAX_METHOD, SNIFF_BYTES, UNKNOWN, Match, sniff

TLS_HELLO = bytes.fromhex("16030100c4010000c00303")

FIRST_BYTES: list[tuple[str, bytes, str | None]] = [
    # What is served.
    ("SOCKS4 CONNECT", bytes.fromhex("0401 01bb c6336402") + b"user\x00", "socks4"),
    ("SOCKS4A BIND", bytes.fromhex("0402 01bb 00000001") + b"\x00host\x00", "socks4"),
    ("SOCKS5, no authentication", bytes.fromhex("050100"), "socks5"),
    ("SOCKS5, GSSAPI and a password", bytes.fromhex("05020102"), "socks5"),
    ("HTTP GET of a path", b"GET / HTTP/1.1\r\n", "http1"),
    ("HTTP GET of a URI", b"GET http://example.com/ HTTP/1.1\r\n", "http1"),
    ("HTTP CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\n", "http1"),
    ("HTTP, a long method", b"UPDATEREDIRECTREF /x HTTP/1.1\r\n", "http1"),
    ("HTTP, a method of another standard", b"M-SEARCH * HTTP/1.1\r\n", "http1"),
    ("HTTP, the method that HTTP/2 reserves", b"PRI / HTTP/1.1\r\n", "http1"),
    ("HTTP, the same with the target of the preface", b"PRI * HTTP/1.1\r\n", "http1"),
    ("HTTP, a method like a PROXY header", b"PROXY-IT / HTTP/1.1\r\n", "http1"),
    ("HTTP, a method like SSH", b"SSH / HTTP/1.1\r\n", "http1"),
    ("HTTP/2 in clear text", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c"),
    ("TLS 1.2 or 1.3", TLS_HELLO, "tls"),
    ("TLS, the oldest record version", bytes.fromhex("1603000050010000"), "tls"),
    ("TLS, the message cut after its type", bytes.fromhex("16030300010116030300"), "tls"),
    ("OpenSSH", b"SSH-2.0-OpenSSH_9.2p1\r\n", "ssh"),
    ("SSH 1.99", b"SSH-1.99-x\r\n", "ssh"),
    ("PROXY protocol 1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxyproto"),
    ("PROXY protocol 2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", "proxyproto"),
    # Clients that wait for their server: MySQL, SMTP, FTP, POP3, IMAP, VNC, NATS.
    ("a client that waits", b"", None),
    # What is not.
    ("RDP", bytes.fromhex("0300002f2ae00000000000"), UNKNOWN),
    ("MQTT", bytes.fromhex("101000044d51545404"), UNKNOWN),
    ("PostgreSQL SSLRequest", bytes.fromhex("0000000804d2162f"), UNKNOWN),
    ("PostgreSQL StartupMessage", bytes.fromhex("0000002900030000"), UNKNOWN),
    ("MySQL that is sent first nonetheless", bytes.fromhex("200000018da60f00"), UNKNOWN),
    ("Redis", b"*1\r\n$4\r\nPING\r\n", UNKNOWN),
    ("Redis, typed", b"PING\r\n", UNKNOWN),
    ("memcached", b"get key\r\n", UNKNOWN),
    ("memcached, binary", bytes.fromhex("8007000000000000"), UNKNOWN),
    ("DNS over TCP", bytes.fromhex("001d abcd 0100 0001"), UNKNOWN),
    ("BitTorrent", b"\x13BitTorrent protocol", UNKNOWN),
    ("SMB 2", bytes.fromhex("000000b2fe534d42"), UNKNOWN),
    ("LDAP bind", bytes.fromhex("300c020101600702"), UNKNOWN),
    ("AMQP", b"AMQP\x00\x00\x09\x01", UNKNOWN),
    ("Kafka ApiVersions", bytes.fromhex("0000002300120003"), UNKNOWN),
    ("MongoDB", bytes.fromhex("3f00000001000000"), UNKNOWN),
    ("Cassandra 4", bytes.fromhex("0400000005"), UNKNOWN),
    ("Cassandra 5", bytes.fromhex("0500000005"), UNKNOWN),
    ("DCE/RPC bind", bytes.fromhex("05000b0310000000"), UNKNOWN),
    ("Diameter", bytes.fromhex("010000c880000101"), UNKNOWN),
    ("XMPP", b"<?xml version='1.0'?>", UNKNOWN),
    ("X11", bytes.fromhex("6c000b0000000000"), UNKNOWN),
    ("Git", b"0032git-upload-pack /p\x00", UNKNOWN),
    ("rsync", b"@RSYNCD: 31.0\n", UNKNOWN),
    ("Android debug bridge", b"CNXN\x00\x00\x00\x01", UNKNOWN),
    ("STUN over TCP", bytes.fromhex("000100002112a442"), UNKNOWN),
    ("OpenVPN over TCP", bytes.fromhex("000e38a1b2c3d4e5"), UNKNOWN),
    ("SSL 2", bytes.fromhex("802e010301001500"), UNKNOWN),
    ("DTLS", bytes.fromhex("16feff0000000000"), UNKNOWN),
    ("a TLS server", bytes.fromhex("160303007a020000"), UNKNOWN),
    ("a TLS alert", bytes.fromhex("15030100020228"), UNKNOWN),
    # Words and a space: an HTTP server answers them with 400.
    ("SMTP that does not wait", b"EHLO example.com\r\n", "http1"),
    ("RTSP", b"OPTIONS rtsp://h/ RTSP/1.0\r\n", "http1"),
    ("SIP", b"REGISTER sip:h SIP/2.0\r\n", "http1"),
    ("IRC", b"NICK bob\r\n", "http1"),
]

LIKELY = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda sample, cut, tail: sample[1][:cut] + tail,
        st.sampled_from(FIRST_BYTES),
        st.integers(0, 30),
        st.binary(max_size=30),
    ),
    st.text("ABCPRISHOXY -*/_2\r\n", max_size=40).map(str.encode),
)


class TableTests(SynchronousTestCase):
    """
    The first bytes of real protocols.
    """

    def test_answers(self) -> None:
        """
        Each is recognized, or said to be unknown.
        """
        for what, data, wanted in FIRST_BYTES:
            self.assertEqual((what, sniff(data)), (what, wanted))

    def test_allServed(self) -> None:
        """
        The table has an example of each protocol that there is a matcher for.
        """
        self.assertEqual({wanted for _, _, wanted in FIRST_BYTES}, {*MATCHERS, UNKNOWN, None})

    def test_fewestBytes(self) -> None:
        """
        Each protocol is decided by the byte that leaves no other possibility.
        """
        for data, wanted, count in (
            (b"\x04\x01\x00\x50", "socks4", 2),
            (b"\x05\x01\x00", "socks5", 2),
            (b"GET / HTTP/1.1", "http1", 4),
            (b"CONNECT h:1 HTTP/1.1", "http1", 8),
            (b"A" * MAX_METHOD + b" / HTTP/1.1", "http1", MAX_METHOD + 1),
            (b"PRI * HTTP/1.1", "http1", 12),
            (b"PRI /", "http1", 5),
            (b"PRI * HTTP/2.0\r\n", "h2c", 12),
            (TLS_HELLO, "tls", 6),
            (b"SSH-2.0-x", "ssh", 4),
            (b"PROXY TCP4", "proxyproto", 6),
            (b"\r\n\r\n\x00\r\nQUIT\n\x21", "proxyproto", 12),
        ):
            answers = [sniff(data[:end]) for end in range(len(data) + 1)]
            self.assertEqual(answers[:count], [None] * count, wanted)
            self.assertEqual(set(answers[count:]), {wanted})

    def test_fewestBytesForNo(self) -> None:
        """
        What cannot become anything is unknown at once.
        """
        for data in (
            b"\x00",
            b"\x04\x03",
            b"\x05\x00",
            b"\x16\x02",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\x40\x01",
            b"\x16\x03\x01\x00\x01\x02",
            b"g",
            b" ",
            b"Ge",
            b"GET\r",
            b"SSH\n",
            b"\r\nG",
            b"A" * (MAX_METHOD + 1),
            b"1",
            b"-",
        ):
            self.assertEqual((data, sniff(data)), (data, UNKNOWN))
            self.assertEqual((data, sniff(data[:-1])), (data, None))

    def test_record(self) -> None:
        """
        A TLS record of the greatest length is one.
        """
        self.assertEqual(sniff(b"\x16\x03\x01\x40\x00\x01"), "tls")


class PropertyTests(SynchronousTestCase):
    """
    What is true of any bytes.
    """

    @settings(max_examples=300, deadline=None)
    @given(LIKELY)
    def test_decisionsStay(self, data: bytes) -> None:
        """
        Once a matcher or L{sniff} has decided, more bytes do not change it.
        """
        for name, match in MATCHERS.items():
            said = [match(data[:end]) for end in range(len(data) + 1)]
            decided = [answer for answer in said if answer is not Match.MORE]
            self.assertEqual((name, said), (name, [Match.MORE] * (len(said) - len(decided)) + decided))
            self.assertLessEqual(len(set(decided)), 1, name)
        answers = [sniff(data[:end]) for end in range(len(data) + 1)]
        final = [answer for answer in answers if answer is not None]
        self.assertEqual(answers, [None] * (len(answers) - len(final)) + final)
        self.assertLessEqual(len(set(final)), 1)

    @settings(max_examples=300, deadline=None)
    @given(LIKELY)
    def test_oneAnswer(self, data: bytes) -> None:
        """
        At most one matcher says yes, and L{sniff} says what the matchers say.
        """
        said = {name: match(data) for name, match in MATCHERS.items()}
        yes = [name for name, answer in said.items() if answer is Match.YES]
        self.assertLessEqual(len(yes), 1)
        if yes:
            self.assertEqual(sniff(data), yes[0])
            self.assertNotIn(Match.MORE, said.values())
        else:
            self.assertEqual(sniff(data), None if Match.MORE in said.values() else UNKNOWN)

    @settings(max_examples=300, deadline=None)
    @given(LIKELY, st.binary(min_size=SNIFF_BYTES, max_size=SNIFF_BYTES))
    def test_bound(self, data: bytes, more: bytes) -> None:
        """
        There is a number of bytes after which all is decided.
        """
        self.assertIsNotNone(sniff((data + more)[:SNIFF_BYTES]))

    def test_boundIsReached(self) -> None:
        """
        That number is no greater than it must be.
        """
        self.assertIsNone(sniff(b"A" * (SNIFF_BYTES - 1)))

    def test_chance(self) -> None:
        """
        As long as L{sniff} needs more bytes, some bytes lead to a protocol.
        """
        tails = [data[at:] for _, data, _ in FIRST_BYTES for at in range(min(len(data), 13))]
        tails += [b" ", b"\x00\x01\x01", b"\x01\x01", b"\x03\x00\x00\x01\x01"]
        for _, data, _ in FIRST_BYTES:
            for end in range(len(data)):
                if sniff(data[:end]) is None:
                    answers = {sniff(data[:end] + tail) for tail in tails}
                    self.assertTrue(answers & set(MATCHERS), data[:end])
