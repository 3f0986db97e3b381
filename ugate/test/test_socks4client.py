# -*- test-case-name: ugate.test.test_socks4client -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.socks4client}, alone and against L{Socks4}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.socks4 import Socks4
from ugate.protocols.socks4client import Socks4Client
from ugate.stream import StreamInfo, Target
from ugate.test.test_socks5client import ask, converse, everyByte, names

HOP = "socks4:proxy.example:1080"
# The example of the memo on SOCKS4: Fred asks for 66.102.7.99 port 80.
FRED = UsernamePassword(b"Fred", b"")
NUMERIC = Target("66.102.7.99", 80)
FRED_REQUEST = b"\x04\x01\x00\x50\x42\x66\x07\x63Fred\x00"
UP = b"\x00\x5a\x00\x00\x00\x00\x00\x00"


class RequestTests(SynchronousTestCase):
    """
    What L{Socks4Client} says.
    """

    def test_interface(self) -> None:
        """
        It is a negotiation, of which the parts for servers do nothing.
        """
        client = Socks4Client(NUMERIC)
        self.assertTrue(verifyObject(INegotiation, client))
        self.assertEqual(client.accept(), b"")
        self.assertEqual(client.refuse(Refused(Cause.GENERAL, Phase.CONNECT, "x")), b"")
        self.assertEqual(client.login(None), Step())

    def test_requests(self) -> None:
        """
        An address goes as such, a name the way of SOCKS4A, and so does an address
        that SOCKS4A uses as its sign.
        """
        for target, login, request in (
            (NUMERIC, FRED, FRED_REQUEST),
            (NUMERIC, None, b"\x04\x01\x00\x50\x42\x66\x07\x63\x00"),
            (Target("db.example", 443), FRED, b"\x04\x01\x01\xbb\x00\x00\x00\x01Fred\x00db.example\x00"),
            (Target("0.0.0.7", 80), None, b"\x04\x01\x00\x50\x00\x00\x00\x01\x000.0.0.7\x00"),
            (Target("0.0.0.0", 80), None, b"\x04\x01\x00\x50\x00\x00\x00\x00\x00"),
        ):
            self.assertEqual(Socks4Client(target, login).start(), request)

    def test_noPassword(self) -> None:
        """
        A password is not sent.
        """
        login = UsernamePassword(b"Fred", b"secret")
        self.assertEqual(Socks4Client(NUMERIC, login).start(), FRED_REQUEST)

    def test_IPv6(self) -> None:
        """
        There are no IPv6 addresses, and the error says what to do.
        """
        error = self.assertRaises(Refused, Socks4Client, Target("2001:db8::1", 80), None, HOP)
        self.assertEqual((error.cause, error.phase, error.hop), (Cause.UNSUPPORTED, Phase.NEGOTIATE, HOP))
        self.assertIn("2001:db8::1", error.detail)
        self.assertIn("use SOCKS5 for that hop", error.nextStep)

    def test_limits(self) -> None:
        """
        What SOCKS4 can say is limited; what is more is refused at once.
        """
        Socks4Client(Target("h" * 255, 1), UsernamePassword(b"u" * 255, b""))
        for target, user, phase, detail in (
            (Target("h" * 256, 1), b"", Phase.NEGOTIATE, "a host name of 256 bytes"),
            (Target("h\0x", 1), b"", Phase.NEGOTIATE, "'h\\x00x'"),
            (NUMERIC, b"u" * 256, Phase.AUTH, "a user name of 256 bytes"),
            (NUMERIC, b"u\0evil.example", Phase.AUTH, "a user name with a NUL"),
        ):
            error = self.assertRaises(Refused, Socks4Client, target, UsernamePassword(user, b""), HOP)
            self.assertEqual((error.phase, error.hop), (phase, HOP))
            self.assertIn(detail, error.detail)


class ReplyTests(SynchronousTestCase):
    """
    What L{Socks4Client} makes of replies.
    """

    def refusal(self, data: bytes) -> Refused:
        """
        The refusal after what the proxy says, the same for every split.
        """
        error: Refused = self.assertRaises(Refused, Socks4Client(NUMERIC, None, HOP).receive, data)
        self.assertEqual(error.hop, HOP)
        self.assertEqual(ask(Socks4Client(NUMERIC, None, HOP), everyByte(data)).error, str(error))
        return error

    def test_success(self) -> None:
        """
        Granted, with any address, and from a proxy that answers with its version;
        what follows is the stream's.
        """
        for reply in UP, b"\x00\x5a\x04\x38\xc0\x00\x02\x08", b"\x04" + UP[1:]:
            self.assertEqual(Socks4Client(NUMERIC).receive(reply), Step(done=True))
            self.assertEqual(Socks4Client(NUMERIC).receive(reply + b"hi"), Step(done=True, rest=b"hi"))

    def test_codes(self) -> None:
        """
        Every code has its cause, even if nothing more of the reply comes.
        """
        for code, cause, phase in (
            (91, Cause.GENERAL, Phase.REMOTE),
            (92, Cause.AUTHENTICATION, Phase.AUTH),
            (93, Cause.AUTHENTICATION, Phase.AUTH),
        ):
            for rest in b"", UP[2:]:
                error = self.refusal(bytes((0, code)) + rest)
                self.assertEqual((error.cause, error.phase), (cause, phase))
                self.assertEqual(error.detail, f"66.102.7.99:80, reply {code}")

    def test_misbehaved(self) -> None:
        """
        Other codes and other first bytes are no SOCKS4.
        """
        for code in set(range(256)) - {90, 91, 92, 93}:
            error = self.refusal(bytes((0, code)))
            self.assertEqual((error.cause, error.phase), (Cause.PEER_MISBEHAVED, Phase.REMOTE))
            self.assertIn(f"the code {code}", error.detail)
        for first in set(range(256)) - {0, 4}:
            error = self.refusal(bytes((first,)) + UP[1:])
            self.assertEqual((error.cause, error.phase), (Cause.PEER_MISBEHAVED, Phase.REMOTE))
            self.assertIn(f"0x{first:02x}", error.detail)

    def test_everySplit(self) -> None:
        """
        A reply cut in two at every place, and byte by byte.
        """
        data = UP + b"rest"
        whole = ask(Socks4Client(NUMERIC), [data])
        self.assertEqual((whole.done, whole.rest), (True, b"rest"))
        for cut in range(len(data)):
            self.assertEqual(ask(Socks4Client(NUMERIC), [data[:cut], data[cut:]]), whole)
        self.assertEqual(ask(Socks4Client(NUMERIC), everyByte(data)), whole)

    @settings(deadline=None, max_examples=200)
    @given(st.one_of(st.binary(max_size=20), st.binary(max_size=9).map(lambda b: b"\x00\x5a" + b)))
    def test_anything(self, data: bytes) -> None:
        """
        Anything at all ends the same way however it is cut, and never in another
        error than L{Refused}.
        """
        whole = ask(Socks4Client(NUMERIC), [data])
        self.assertEqual(ask(Socks4Client(NUMERIC), everyByte(data)), whole)
        for cut in range(len(data)):
            self.assertEqual(ask(Socks4Client(NUMERIC), [data[:cut], data[cut:]]), whole)


class RoundTripTests(SynchronousTestCase):
    """
    L{Socks4Client} with L{Socks4}.
    """

    @settings(deadline=None)
    @given(
        st.one_of(names, st.ip_addresses(v=4).map(str), st.integers(0, 255).map("0.0.0.{}".format)),
        st.integers(1, 65535),
        st.one_of(st.none(), st.text("abcXYZ0189._-@", max_size=255)),
    )
    def test_up(self, host: str, port: int, user: str | None) -> None:
        """
        Any target and user id arrive as they were.
        """
        address = IPv4Address("TCP", "192.0.2.7", 1080)
        login = None if user is None else UsernamePassword(user.encode("ascii"), b"")
        client = Socks4Client(Target(host, port), login)
        asked, served = converse(client, Socks4(StreamInfo(address, address), Auth.OPTIONAL), None)
        self.assertEqual((asked.done, asked.rest), (True, b"from the target"))
        assert served.info is not None
        self.assertEqual(served.info.target, Target(host, port))
        self.assertEqual(served.info.hints.get("user", ""), user or "")

    def test_refused(self) -> None:
        """
        What the server says is understood.
        """
        address = IPv4Address("TCP", "192.0.2.7", 1080)
        for cause, understood in (
            (Cause.DENIED, Cause.GENERAL),
            (Cause.AUTHENTICATION, Cause.AUTHENTICATION),
        ):
            answer = Socks4(StreamInfo(address, address), Auth.NONE).refuse(Refused(cause, Phase.POLICY, "x"))
            error = self.assertRaises(Refused, Socks4Client(NUMERIC, None, HOP).receive, answer)
            self.assertEqual(error.cause, understood)
