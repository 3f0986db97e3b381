# -*- test-case-name: ugate.test.test_socks5client -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.socks5client}, alone and against L{Socks5}.
"""

from __future__ import annotations

from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.socks5 import Socks5
from ugate.protocols.socks5client import Socks5Client
from ugate.stream import Principal, StreamInfo, Target

HOP = "socks:proxy.example:1080"
NAMED = Target("example.com", 80)
LOGIN = UsernamePassword(b"alice", b"secret")
# RFC 1928, section 6: VER, REP, RSV, ATYP, BND.ADDR, BND.PORT.
UP = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
UP_NAME = b"\x05\x00\x00\x03\x04gate\x04\x38"
UP_IPV6 = b"\x05\x00\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x04\x38"
# RFC 1929, section 2: VER, ULEN, UNAME, PLEN, PASSWD.
LOGIN_MESSAGE = b"\x01\x05alice\x06secret"
REQUEST = b"\x05\x01\x00\x03\x0bexample.com\x00\x50"


class Outcome(NamedTuple):
    """
    All that a client did with its input.
    """

    sent: bytes
    """What the proxy was sent; nothing is kept here when the proxy said no."""

    done: bool
    """Whether the stream is up."""

    rest: bytes
    """What is left for the stream."""

    error: str
    """The refusal, or empty."""


def ask(client: INegotiation, chunks: Iterable[bytes]) -> Outcome:
    """
    Feed a client as its host does.
    """
    sent: bytes = client.start()
    step = Step()
    rest = b""
    try:
        for chunk in chunks:
            if step.done:
                rest += chunk
                continue
            step = client.receive(chunk)
            sent += step.send
            rest = step.rest
    except Refused as e:
        return Outcome(b"", False, b"", str(e))
    return Outcome(sent, step.done, rest, "")


def everyByte(data: bytes) -> list[bytes]:
    """
    The same bytes, one at a time.
    """
    return [data[i : i + 1] for i in range(len(data))]


def converse(client: INegotiation, server: INegotiation, principal: Principal | None) -> tuple[Step, Step]:
    """
    Let a client talk to a server, which lets in whoever logs in as C{principal},
    until both are done.

    @return: the last steps of the client and the server.
    """
    toServer: bytes = client.start()
    served = Step()
    while not served.done:
        assert toServer, "both wait for the other"
        served = server.receive(toServer)
        answer = served.send
        if served.credentials is not None:
            served = server.login(principal)
            answer += served.send
        if served.done:
            answer += server.accept() + b"from the target"
        asked = client.receive(answer)
        toServer = asked.send
    return asked, served


class RequestTests(SynchronousTestCase):
    """
    What L{Socks5Client} says.
    """

    def test_interface(self) -> None:
        """
        It is a negotiation, of which the parts for servers do nothing.
        """
        client = Socks5Client(NAMED)
        self.assertTrue(verifyObject(INegotiation, client))
        self.assertEqual(client.accept(), b"")
        self.assertEqual(client.refuse(Refused(Cause.GENERAL, Phase.CONNECT, "x")), b"")
        self.assertEqual(client.login(None), Step())

    def test_addresses(self) -> None:
        """
        A name is for the proxy to resolve; addresses go as such.
        """
        for target, address in (
            (NAMED, b"\x03\x0bexample.com\x00\x50"),
            (Target("192.0.2.33", 443), b"\x01\xc0\x00\x02\x21\x01\xbb"),
            (Target("2001:db8::1", 8080), b"\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1f\x90"),
            (Target("127.1", 1), b"\x03\x05127.1\x00\x01"),
        ):
            client = Socks5Client(target)
            self.assertEqual(client.start(), b"\x05\x01\x00")
            self.assertEqual(client.receive(b"\x05\x00"), Step(b"\x05\x01\x00" + address))

    def test_login(self) -> None:
        """
        With a login both methods are on offer, and the proxy chooses.
        """
        client = Socks5Client(NAMED, LOGIN)
        self.assertEqual(client.start(), b"\x05\x02\x00\x02")
        self.assertEqual(client.receive(b"\x05\x02"), Step(LOGIN_MESSAGE))
        self.assertEqual(client.receive(b"\x01\x00"), Step(REQUEST))
        client = Socks5Client(NAMED, LOGIN)
        self.assertEqual(client.receive(b"\x05\x00"), Step(REQUEST))

    def test_loginVersion(self) -> None:
        """
        A wrong version in the answer to the login does not matter.
        """
        client = Socks5Client(NAMED, LOGIN)
        client.receive(b"\x05\x02")
        self.assertEqual(client.receive(b"\x05\x00"), Step(REQUEST))

    def test_limits(self) -> None:
        """
        What SOCKS5 can say has a length; what is longer is refused at once, and
        the error says what is too long, by number and not by its text.
        """
        Socks5Client(Target("h" * 255, 1), UsernamePassword(b"u" * 255, b"p" * 255))
        for target, login, phase, detail in (
            (Target("h" * 256, 1), None, Phase.NEGOTIATE, "a host name of 256 bytes"),
            (NAMED, UsernamePassword(b"u" * 256, b"p"), Phase.AUTH, "a user name of 256 bytes"),
            (NAMED, UsernamePassword(b"u", b"p" * 256), Phase.AUTH, "a password of 256 bytes"),
        ):
            error = self.assertRaises(Refused, Socks5Client, target, login, HOP)
            self.assertEqual((error.phase, error.hop), (phase, HOP))
            self.assertIn(detail, error.detail)
            self.assertNotIn("ppp", str(error))

    def test_zone(self) -> None:
        """
        What looks like an IPv6 address and is none is refused.
        """
        for host in "fe80::1%eth0", "a:b", "::g":
            error = self.assertRaises(Refused, Socks5Client, Target(host, 1), None, HOP)
            self.assertEqual((error.cause, error.hop), (Cause.NAME_UNKNOWN, HOP))
            self.assertIn(repr(host), error.detail)


class ReplyTests(SynchronousTestCase):
    """
    What L{Socks5Client} makes of replies.
    """

    def refusal(self, data: bytes, login: UsernamePassword | None = None) -> Refused:
        """
        The refusal after what the proxy says, the same for every split.
        """
        error: Refused = self.assertRaises(Refused, Socks5Client(NAMED, login, HOP).receive, data)
        self.assertEqual(error.hop, HOP)
        self.assertEqual(ask(Socks5Client(NAMED, login, HOP), everyByte(data)).error, str(error))
        return error

    def test_success(self) -> None:
        """
        Each kind of bound address is read over, and what follows is the stream's.
        """
        for reply in UP, UP_NAME, UP_IPV6, b"\x05\x00\x00\x03\x00\x04\x38":
            outcome = ask(Socks5Client(NAMED), [b"\x05\x00", reply + b"hello"])
            self.assertEqual(outcome, Outcome(b"\x05\x01\x00" + REQUEST, True, b"hello", ""))

    def test_codes(self) -> None:
        """
        Every code has its cause, and every error names the target and the code.
        """
        for code, cause in (
            (1, Cause.GENERAL),
            (2, Cause.DENIED),
            (3, Cause.NETWORK_UNREACHABLE),
            (4, Cause.HOST_UNREACHABLE),
            (5, Cause.CONNECTION_REFUSED),
            (6, Cause.TIMED_OUT),
            (7, Cause.UNSUPPORTED),
            (8, Cause.UNSUPPORTED),
            (9, Cause.GENERAL),
            (0xF4, Cause.GENERAL),
            (0xFF, Cause.GENERAL),
        ):
            error = self.refusal(b"\x05\x00" + bytes((5, code)) + UP[2:])
            self.assertEqual((error.cause, error.phase), (cause, Phase.REMOTE))
            self.assertEqual(error.detail, f"example.com:80, reply 0x{code:02x}")
            self.assertTrue(error.nextStep)

    def test_shortNo(self) -> None:
        """
        A no counts even if the proxy closes without the rest of its reply.
        """
        self.assertEqual(self.refusal(b"\x05\x00\x05\x05").cause, Cause.CONNECTION_REFUSED)

    def test_loginWanted(self) -> None:
        """
        A proxy that takes nobody without a login, and one that takes no login.
        """
        for login, nextStep in (None, "give that hop a user name"), (LOGIN, "set that proxy up"):
            error = self.refusal(b"\x05\xff", login)
            self.assertEqual((error.cause, error.phase), (Cause.AUTHENTICATION, Phase.AUTH))
            self.assertIn(nextStep, error.nextStep)

    def test_loginRefused(self) -> None:
        """
        A login that is refused, with any status, and not told in the error.
        """
        for status in range(1, 256):
            error = self.refusal(b"\x05\x02\x01" + bytes((status,)), LOGIN)
            self.assertEqual((error.cause, error.phase), (Cause.AUTHENTICATION, Phase.AUTH))
            self.assertIn(f"0x{status:02x}", error.detail)
            self.assertNotIn("secret", str(error))

    def test_misbehaved(self) -> None:
        """
        Peers that do not speak SOCKS5, or speak it badly.
        """
        for data, login in (
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
            (b"\x00\x5b\0\0\0\0\0\0", None),
            (b"\x05\x02", None),
            (b"\x05\x01", LOGIN),
            (b"\x05\x00\x04\x00\x00\x01\0\0\0\0\0\0", None),
            (b"\x05\x00\x05\x00\x00\x02\0\0\0\0\0\0", None),
        ):
            error = self.refusal(data, login)
            self.assertEqual((error.cause, error.phase), (Cause.PEER_MISBEHAVED, Phase.REMOTE))
            self.assertIn("0x", error.detail)


names = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,60}\.){0,3}[a-z0-9-]{1,60}\.?", fullmatch=True)
# As the system writes them: Python 3.11 and the system differ on ::ffff:0.0.0.0.
addresses = st.ip_addresses().map(lambda a: inet_ntop(AF_INET if a.version == 4 else AF_INET6, a.packed))
hosts = st.one_of(names, addresses)
targets = st.builds(Target, hosts, st.integers(1, 65535))
fields = st.binary(max_size=255)
logins = st.one_of(st.none(), st.builds(UsernamePassword, fields, fields))
replies = st.lists(
    st.one_of(
        st.binary(max_size=20), st.sampled_from((b"\x05\x00", b"\x05\x02", b"\x01\x00", UP, UP_NAME, UP_IPV6))
    ),
    max_size=5,
).map(b"".join)


class SplitTests(SynchronousTestCase):
    """
    How the input is cut makes no difference.
    """

    def test_everySplit(self) -> None:
        """
        Each conversation cut in two at every place, and byte by byte.
        """
        for login, data in (
            (None, b"\x05\x00" + UP + b"rest"),
            (LOGIN, b"\x05\x02\x01\x00" + UP_NAME + b"rest"),
            (LOGIN, b"\x05\x00" + UP_IPV6 + b"rest"),
        ):
            whole = ask(Socks5Client(NAMED, login), [data])
            self.assertEqual((whole.done, whole.rest), (True, b"rest"))
            for cut in range(len(data)):
                self.assertEqual(ask(Socks5Client(NAMED, login), [data[:cut], data[cut:]]), whole)
            self.assertEqual(ask(Socks5Client(NAMED, login), everyByte(data)), whole)

    @settings(deadline=None, max_examples=300)
    @given(logins, replies, st.lists(st.integers(1, 20), max_size=12))
    def test_anything(self, login: UsernamePassword | None, data: bytes, sizes: list[int]) -> None:
        """
        Anything at all, cut anyhow, ends the same way, and never in another
        error than L{Refused}.
        """
        left = data
        pieces = []
        for size in sizes:
            pieces.append(left[:size])
            left = left[size:]
        whole = ask(Socks5Client(NAMED, login), [data])
        self.assertEqual(ask(Socks5Client(NAMED, login), [*pieces, left]), whole)
        self.assertEqual(ask(Socks5Client(NAMED, login), everyByte(data)), whole)


class RoundTripTests(SynchronousTestCase):
    """
    L{Socks5Client} with L{Socks5}.
    """

    @settings(deadline=None)
    @given(targets, logins, st.sampled_from(Auth))
    def test_up(self, target: Target, login: UsernamePassword | None, auth: Auth) -> None:
        """
        Any target and login arrive as they were.
        """
        if login is None and auth is Auth.REQUIRED:
            auth = Auth.NONE
        address = IPv4Address("TCP", "192.0.2.7", 1080)
        alice = Principal("alice", "password")
        asked, served = converse(
            Socks5Client(target, login), Socks5(StreamInfo(address, address), auth), alice
        )
        self.assertEqual((asked.done, asked.rest), (True, b"from the target"))
        assert served.info is not None
        self.assertEqual(served.info.target, target)
        # An empty name with an empty password is no login where none is needed.
        said = login is not None and (
            auth is Auth.REQUIRED or (auth is Auth.OPTIONAL and bool(login.username or login.password))
        )
        self.assertEqual(served.info.principal, alice if said else None)

    def test_causes(self) -> None:
        """
        A refusal goes through two gateways with its cause, as far as SOCKS5 has
        words for it.
        """
        address = IPv4Address("TCP", "192.0.2.7", 1080)
        for cause in Cause:
            server = Socks5(StreamInfo(address, address), Auth.NONE)
            server.receive(b"\x05\x01\x00" + REQUEST)
            answer = server.refuse(Refused(cause, Phase.CONNECT, "x"))
            error = self.assertRaises(Refused, Socks5Client(NAMED).receive, b"\x05\x00" + answer)
            server = Socks5(StreamInfo(address, address), Auth.NONE)
            server.receive(b"\x05\x01\x00" + REQUEST)
            self.assertEqual(server.refuse(error), answer)

    def test_loginRefused(self) -> None:
        """
        A server that refuses early is understood.
        """
        address = IPv4Address("TCP", "192.0.2.7", 1080)
        no = Refused(Cause.OVERLOADED, Phase.NEGOTIATE, "x")
        server = Socks5(StreamInfo(address, address), Auth.NONE)
        error = self.assertRaises(Refused, Socks5Client(NAMED, None, HOP).receive, server.refuse(no))
        self.assertEqual((error.phase, error.hop), (Phase.AUTH, HOP))
