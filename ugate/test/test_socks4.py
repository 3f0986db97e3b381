# -*- test-case-name: ugate.test.test_socks4 -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.socks4}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused, StringError
from ugate.interfaces import Auth, INegotiation
from ugate.protocols.socks4 import Socks4
from ugate.stream import Principal, StreamInfo, Target

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
HOST = IPv4Address("TCP", "192.0.2.8", 1080)
INFO = StreamInfo(PEER, HOST, hints={"sni": "gate.example"}, layers=("tls",))

# VN, CD, DSTPORT, DSTIP, USERID, NUL.  The first is the example of the memo on
# SOCKS4: Fred asks for 66.102.7.99 port 80.
FRED = b"\x04\x01\x00\x50\x42\x66\x07\x63Fred\x00"
NOBODY = b"\x04\x01\x01\xbb\xc0\x00\x02\x21\x00"
# SOCKS4A: 0.0.0.x, and a name behind the user id.
BY_NAME = b"\x04\x01\x00\x50\x00\x00\x00\x01Fred\x00example.com\x00"

# VN, CD, DSTPORT, DSTIP.
GRANTED = b"\x00\x5a\0\0\0\0\0\0"
FAILED = b"\x00\x5b\0\0\0\0\0\0"
NOT_PROVEN = b"\x00\x5d\0\0\0\0\0\0"


class Outcome(NamedTuple):
    """
    All that a server did with its input.
    """

    sent: bytes
    """What the client was sent, with the reply of the error if there was one."""

    info: StreamInfo | None
    """What is known of the stream, if it came to that."""

    rest: bytes
    """What is left for the stream."""

    error: str
    """The error, or empty."""


def serve(chunks: Iterable[bytes], auth: Auth = Auth.NONE) -> Outcome:
    """
    Feed a server as its host does.
    """
    server = Socks4(INFO, auth)
    sent = server.start()
    rest = b""
    info = None
    try:
        for chunk in chunks:
            if info is not None:
                rest += chunk
                continue
            step = server.receive(chunk)
            sent += step.send
            if step.done:
                info, rest = step.info, step.rest
    except ProtocolError as e:
        return Outcome(sent + e.reply, None, b"", str(e))
    return Outcome(sent, info, rest, "")


def everyByte(data: bytes) -> list[bytes]:
    """
    The same bytes, one at a time.
    """
    return [data[i : i + 1] for i in range(len(data))]


class RequestTests(SynchronousTestCase):
    """
    What L{Socks4} makes of requests.
    """

    def info(self, request: bytes, auth: Auth = Auth.NONE) -> StreamInfo:
        """
        What a request tells, which must be good.
        """
        outcome = serve([request], auth)
        self.assertEqual((outcome.sent, outcome.rest, outcome.error), (b"", b"", ""))
        assert outcome.info is not None
        return outcome.info

    def fails(self, request: bytes, message: str, auth: Auth = Auth.NONE, reply: bytes = FAILED) -> None:
        """
        Assert that a request is refused, the same way for every split.
        """
        whole = serve([request], auth)
        self.assertEqual((whole.sent, whole.info), (reply, None))
        self.assertIn(message, whole.error)
        self.assertEqual(serve(everyByte(request), auth), whole)

    def test_interface(self) -> None:
        """
        It is a negotiation, and waits for its client.
        """
        server = Socks4(INFO, Auth.NONE)
        self.assertTrue(verifyObject(INegotiation, server))
        self.assertEqual(server.start(), b"")

    def test_address(self) -> None:
        """
        An address, and a user id, which is a hint beside those that there were.
        """
        self.assertEqual(
            self.info(FRED),
            StreamInfo(
                PEER,
                HOST,
                Target("66.102.7.99", 80),
                protocol="socks4",
                hints={"sni": "gate.example", "user": "Fred"},
                layers=("tls", "socks4"),
            ),
        )

    def test_noUser(self) -> None:
        """
        An empty user id is no hint.
        """
        info = self.info(NOBODY)
        self.assertEqual((info.target, info.hints), (Target("192.0.2.33", 443), {"sni": "gate.example"}))

    def test_name(self) -> None:
        """
        SOCKS4A: a name behind the user id, for each address that says so.
        """
        for last in 1, 2, 255:
            info = self.info(BY_NAME[:7] + bytes((last,)) + BY_NAME[8:])
            self.assertEqual((info.target, info.hints["user"]), (Target("example.com", 80), "Fred"))

    def test_zeroAddress(self) -> None:
        """
        0.0.0.0 is an address, and no sign of a name.
        """
        outcome = serve([b"\x04\x01\x00\x50\0\0\0\0\x00rest"])
        assert outcome.info is not None
        self.assertEqual((outcome.info.target, outcome.rest), (Target("0.0.0.0", 80), b"rest"))

    def test_addressAsName(self) -> None:
        """
        An address in the place of a name is taken as the address.
        """
        for name, host in (b"0.0.0.1", "0.0.0.1"), (b"[::1]", "::1"), (b"::1", "::1"):
            info = self.info(b"\x04\x01\x00\x50\0\0\0\x01\0" + name + b"\0")
            self.assertEqual(info.target, Target(host, 80))

    def test_userText(self) -> None:
        """
        Whatever the user id is, its hint is printable text.
        """
        for raw, text in (
            ("Zoë".encode(), "Zoë"),
            (b"a\nb", "a\\nb"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"\xff\xfe", "\\xff\\xfe"),
        ):
            self.assertEqual(self.info(NOBODY[:8] + raw + b"\0").hints["user"], text)

    def test_badTargets(self) -> None:
        """
        A name that cannot be, and port 0.
        """
        for name in b"", b"a b", b"a\nb", b"\xc3\xbc.example", b"x:80":
            self.fails(b"\x04\x01\x00\x50\0\0\0\x01\0" + name + b"\0", "the target of the SOCKS4 request")
        self.fails(b"\x04\x01\x00\x00\x7f\0\0\x01\0", "port 0")

    def test_commands(self) -> None:
        """
        BIND is not served, nor what the protocol does not have.
        """
        for command, name in (2, "BIND"), (0, "0x00"), (3, "0x03"):
            self.fails(bytes((4, command)) + FRED[2:], f"command {name}: only CONNECT")
            self.fails(bytes((4, command)) + BY_NAME[2:], f"command {name}: only CONNECT")

    def test_versions(self) -> None:
        """
        With another first byte it is no SOCKS4, and nothing is said that the
        client could not read.
        """
        for first in set(range(256)) - {4}:
            error = self.assertRaises(ProtocolError, Socks4(INFO, Auth.NONE).receive, bytes((first,)))
            self.assertEqual(error.reply, b"")
            self.assertIn(f"0x{first:02x}", str(error))

    def test_limits(self) -> None:
        """
        255 bytes of user id and of host name pass, 256 do not, whether or not
        they end.
        """
        info = self.info(b"\x04\x01\x00\x50\0\0\0\x01" + b"u" * 255 + b"\0" + b"h" * 255 + b"\0")
        self.assertEqual((info.target, info.hints["user"]), (Target("h" * 255, 80), "u" * 255))
        for end in b"", b"\0", b"u" * 9000:
            self.fails(NOBODY[:8] + b"u" * 256 + end, "user id in the SOCKS4 request has over 255 bytes")
            self.fails(BY_NAME[:13] + b"h" * 256 + end, "host name in the SOCKS4 request has over 255 bytes")

    def test_rest(self) -> None:
        """
        What comes behind the request is the stream's.
        """
        self.assertEqual(serve([FRED + b"\x00early"]).rest, b"\x00early")
        self.assertEqual(serve([BY_NAME + b"\x00early"]).rest, b"\x00early")

    def test_optional(self) -> None:
        """
        Where no login is needed, a user id proves nobody.
        """
        self.assertIsNone(self.info(FRED, Auth.OPTIONAL).principal)

    def test_required(self) -> None:
        """
        Where a login is needed no user id is enough, and the error says what is.
        """
        for request in FRED, NOBODY, BY_NAME:
            self.fails(request, "SOCKS5 with a user name and a password", Auth.REQUIRED, NOT_PROVEN)

    def test_login(self) -> None:
        """
        Nobody can log in.
        """
        for principal in None, Principal("Fred", "password"):
            error = self.assertRaises(ProtocolError, Socks4(INFO, Auth.NONE).login, principal)
            self.assertEqual(error.reply, NOT_PROVEN)


class AnswerTests(SynchronousTestCase):
    """
    C{accept} and C{refuse}.
    """

    def test_accept(self) -> None:
        """
        Granted; after that nothing can be said.
        """
        server = Socks4(INFO, Auth.NONE)
        server.receive(FRED)
        self.assertEqual(server.accept(), GRANTED)
        self.assertEqual(server.refuse(Refused(Cause.DENIED, Phase.POLICY, "x")), b"")

    def test_refuse(self) -> None:
        """
        Every cause has its code, before and after the request was read.
        """
        for cause in Cause:
            for before in b"", FRED[:5], FRED:
                server = Socks4(INFO, Auth.NONE)
                server.receive(before)
                self.assertEqual(
                    server.refuse(Refused(cause, Phase.CONNECT, "x")),
                    NOT_PROVEN if cause is Cause.AUTHENTICATION else FAILED,
                )


requests = st.one_of(
    st.binary(max_size=40),
    st.sampled_from((FRED, NOBODY, BY_NAME)),
    st.tuples(st.binary(max_size=300), st.binary(max_size=300)).map(
        lambda pair: BY_NAME[:8] + pair[0] + b"\0" + pair[1] + b"\0"
    ),
)


class SplitTests(SynchronousTestCase):
    """
    How the input is cut makes no difference.
    """

    def test_everySplit(self) -> None:
        """
        Each request cut in two at every place, and byte by byte.
        """
        for data in FRED + b"rest", NOBODY + b"rest", BY_NAME + b"rest":
            whole = serve([data])
            self.assertEqual(whole.rest, b"rest")
            for cut in range(len(data)):
                self.assertEqual(serve([data[:cut], data[cut:]]), whole)
            self.assertEqual(serve(everyByte(data)), whole)

    @settings(deadline=None, max_examples=200)
    @given(st.sampled_from(Auth), requests, st.binary(max_size=8), st.lists(st.integers(1, 60), max_size=9))
    def test_anything(self, auth: Auth, request: bytes, more: bytes, sizes: list[int]) -> None:
        """
        Anything at all, cut anyhow, ends the same way, and never in another
        error than L{ProtocolError}.
        """
        left = data = request + more
        pieces = []
        for size in sizes:
            pieces.append(left[:size])
            left = left[size:]
        whole = serve([data], auth)
        self.assertEqual(serve([*pieces, left], auth), whole)
        self.assertEqual(serve(everyByte(data), auth), whole)
        if whole.info is not None:
            self.assertIsNot(auth, Auth.REQUIRED)
            self.assertTrue(whole.info.hints.get("user", "").isprintable())
            assert whole.info.target is not None
            try:
                Target.checked(whole.info.target.host, whole.info.target.port)
            except StringError as e:
                self.fail(f"a target that cannot be: {e}")
