# -*- test-case-name: ugate.test.test_socks5,ugate.test.test_socks5login,ugate.test.test_socks5split -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.socks5}; those of logins and of split input are in
L{ugate.test.test_socks5login} and L{ugate.test.test_socks5split}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zope.interface.verify import verifyObject

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation
from ugate.protocols.socks5 import ASSOCIATE, Socks5, associated, boundAddress
from ugate.stream import Principal, StreamInfo, Target

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
HOST = IPv4Address("TCP", "192.0.2.8", 1080)
INFO = StreamInfo(PEER, HOST, layers=("proxyproto",))

# RFC 1928, section 3: VER, NMETHODS, METHODS.
GREET = b"\x05\x01\x00"
GREET_LOGIN = b"\x05\x01\x02"
GREET_BOTH = b"\x05\x02\x00\x02"
# RFC 1929, section 2: VER, ULEN, UNAME, PLEN, PASSWD.
LOGIN = b"\x01\x05alice\x06secret"
WRONG_LOGIN = b"\x01\x05alice\x05wrong"
# RFC 1928, section 4: VER, CMD, RSV, ATYP, DST.ADDR, DST.PORT.
BY_IPV4 = b"\x05\x01\x00\x01\xc0\x00\x02\x21\x01\xbb"
BY_NAME = b"\x05\x01\x00\x03\x0bexample.com\x00\x50"
BY_IPV6 = b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1f\x90"

ALICE = Principal("alice", "password")


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


def serve(server: Socks5, chunks: Iterable[bytes]) -> Outcome:
    """
    Feed a server as its host does; C{alice} may log in with C{secret}.
    """
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
            if step.credentials is not None:
                assert isinstance(step.credentials, UsernamePassword)
                good = step.credentials.checkPassword(b"secret") and step.credentials.username == b"alice"
                step = server.login(ALICE if good else None)
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


def refused(cause: Cause) -> Refused:
    """
    A refusal for that cause.
    """
    return Refused(cause, Phase.CONNECT, "tcp:192.0.2.33:443")


class RequestTests(SynchronousTestCase):
    """
    What L{Socks5} makes of requests.
    """

    def target(self, request: bytes) -> Target | None:
        """
        The target of a request that must be good.
        """
        outcome = serve(Socks5(INFO, Auth.NONE), [GREET, request])
        self.assertEqual((outcome.sent, outcome.error), (b"\x05\x00", ""))
        assert outcome.info is not None
        return outcome.info.target

    def fails(self, request: bytes, code: int, message: str) -> None:
        """
        Assert that a request is answered with a code, the same for every split.
        """
        whole = serve(Socks5(INFO, Auth.NONE), [GREET, request])
        self.assertEqual(whole.sent, b"\x05\x00" + bytes((5, code)) + b"\x00\x01\0\0\0\0\0\0")
        self.assertIn(message, whole.error)
        self.assertEqual(serve(Socks5(INFO, Auth.NONE), everyByte(GREET + request)), whole)

    def test_interface(self) -> None:
        """
        It is a negotiation, and waits for its client.
        """
        server = Socks5(INFO, Auth.NONE)
        self.assertTrue(verifyObject(INegotiation, server))
        self.assertEqual(server.start(), b"")

    def test_addresses(self) -> None:
        """
        The three kinds of address.
        """
        self.assertEqual(self.target(BY_IPV4), Target("192.0.2.33", 443))
        self.assertEqual(self.target(BY_NAME), Target("example.com", 80))
        self.assertEqual(self.target(BY_IPV6), Target("2001:db8::1", 8080))

    def test_info(self) -> None:
        """
        What was known stays, and what was learned is added.
        """
        outcome = serve(Socks5(INFO, Auth.NONE), [GREET, BY_NAME])
        self.assertEqual(
            outcome.info,
            StreamInfo(
                PEER, HOST, Target("example.com", 80), protocol="socks5", layers=("proxyproto", "socks5")
            ),
        )

    def test_provenBefore(self) -> None:
        """
        Who was proven by a layer below stays proven when there is no login.
        """
        info = INFO.but(principal=Principal("spiffe://x/y", "certificate"))
        for auth in Auth.NONE, Auth.OPTIONAL:
            outcome = serve(Socks5(info, auth), [GREET, BY_NAME])
            assert outcome.info is not None
            self.assertEqual(outcome.info.principal, info.principal)

    def test_addressAsName(self) -> None:
        """
        An address in the place of a name is taken as the address, and an IPv6
        address may keep its brackets.
        """
        for name, host in (b"127.0.0.1", "127.0.0.1"), (b"[::1]", "::1"), (b"2001:DB8::0:1", "2001:db8::1"):
            request = b"\x05\x01\x00\x03" + bytes((len(name),)) + name + b"\x00\x50"
            self.assertEqual(self.target(request), Target(host, 80))

    def test_longestName(self) -> None:
        """
        A name of 255 bytes, all that its length can say.
        """
        self.assertEqual(
            self.target(b"\x05\x01\x00\x03\xff" + b"a" * 255 + b"\xff\xff"), Target("a" * 255, 65535)
        )

    def test_badNames(self) -> None:
        """
        A name that cannot be is a host that nobody reaches.
        """
        for name in (
            b"",
            b"a b",
            b"a\nb",
            b"a\0",
            b"\xc3\xbc.example",
            b"x:80",
            b"[::1",
            b"[127.0.0.1]",
            b"a/b",
        ):
            request = b"\x05\x01\x00\x03" + bytes((len(name),)) + name + b"\x00\x50"
            self.fails(request, 0x04, "the target of the SOCKS5 request")

    def test_portZero(self) -> None:
        """
        There is no port 0.
        """
        self.fails(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00", 0x01, "port 0")

    def test_commands(self) -> None:
        """
        BIND, UDP ASSOCIATE and what RFC 1928 does not have are not supported,
        with each kind of address and with one that is unknown.
        """
        for command, name in (2, "BIND"), (3, "UDP ASSOCIATE"), (0, "0x00"), (0xF0, "0xf0"):
            for request in BY_IPV4, BY_NAME, BY_IPV6, b"\x05\x01\x00\x07\x00":
                self.fails(bytes((5, command)) + request[2:], 0x07, f"command {name}: only CONNECT")

    def test_associate(self) -> None:
        """
        Where UDP ASSOCIATE is served, others reply who know the address; the client may say its port.
        """
        for request, hints in (
            (b"\x05\x03\x00\x01\0\0\0\0\0\0", {}),
            (b"\x05\x03\x00\x03\0\0\x07", {ASSOCIATE: "7"}),
            (b"\x05\x03" + BY_IPV6[2:], {ASSOCIATE: "8080"}),
        ):
            server = Socks5(INFO, Auth.NONE, associates=True)
            server.receive(GREET)
            step = server.receive(request + b"more")
            assert step.info is not None
            self.assertEqual((step.done, step.info.target, step.rest), (True, None, b""))
            self.assertEqual((step.info.protocol, dict(step.info.hints)), (ASSOCIATE, hints))
            self.assertEqual(server.accept(), b"")
        self.assertEqual(associated(HOST), b"\x05\0\0\x01\xc0\0\x02\x08\x04\x38")
        server = Socks5(INFO, Auth.NONE, associates=True)
        server.receive(GREET)
        error = self.assertRaises(ProtocolError, server.receive, b"\x05\x02" + BY_IPV4[2:])
        self.assertIn("BIND: only CONNECT and UDP ASSOCIATE are served", str(error))

    def test_refusedWhenWhole(self) -> None:
        """
        A request that is not served is read to its end before it is answered.
        """
        server = Socks5(INFO, Auth.NONE)
        server.receive(GREET)
        step = server.receive(b"\x05\x02" + BY_IPV4[2:-1])
        self.assertEqual((step.send, step.done), (b"", False))
        self.assertRaises(ProtocolError, server.receive, BY_IPV4[-1:])

    def test_addressTypes(self) -> None:
        """
        Any other type of address is not supported, which is said at once, as
        nobody can tell how long it is.
        """
        for kind in set(range(256)) - {1, 3, 4}:
            self.fails(bytes((5, 1, 0, kind)), 0x08, f"address type 0x{kind:02x}")

    def test_versions(self) -> None:
        """
        Another version in the request is a general failure; in the first byte it
        is no SOCKS5, and nothing is said that the client could not read.
        """
        self.fails(b"\x04" + BY_IPV4[1:], 0x01, "version 0x04")
        for first in set(range(256)) - {5}:
            error = self.assertRaises(ProtocolError, Socks5(INFO, Auth.NONE).receive, bytes((first,)))
            self.assertEqual(error.reply, b"")
            self.assertIn(f"0x{first:02x}", str(error))

    def test_reserved(self) -> None:
        """
        The reserved byte is not looked at.
        """
        self.assertEqual(self.target(b"\x05\x01\x2a" + BY_IPV4[3:]), Target("192.0.2.33", 443))

    def test_pipelined(self) -> None:
        """
        Everything in one piece, with the first bytes of the stream behind it.
        """
        outcome = serve(Socks5(INFO, Auth.NONE), [GREET + BY_NAME + b"\x16\x03\x01early"])
        self.assertEqual((outcome.sent, outcome.rest), (b"\x05\x00", b"\x16\x03\x01early"))

    def test_emptyPieces(self) -> None:
        """
        Pieces without bytes change nothing.
        """
        pieces = [b"", GREET, b"", BY_NAME[:4], b"", BY_NAME[4:]]
        self.assertEqual(
            serve(Socks5(INFO, Auth.NONE), pieces), serve(Socks5(INFO, Auth.NONE), [GREET + BY_NAME])
        )

    def test_bounded(self) -> None:
        """
        No message can be longer than its length bytes say: the longest of each
        are read to their end and no further.
        """
        greeting = b"\x05\xff" + b"\x02" * 255
        login = b"\x01\xff" + b"u" * 255 + b"\xff" + b"p" * 255
        server = Socks5(INFO, Auth.REQUIRED)
        self.assertEqual(server.receive(greeting).send, b"\x05\x02")
        self.assertIsNone(server.receive(login[:-1]).credentials)
        credentials = server.receive(login[-1:] + b"\x05").credentials
        assert isinstance(credentials, UsernamePassword)
        self.assertEqual((credentials.username, credentials.password), (b"u" * 255, b"p" * 255))


class AnswerTests(SynchronousTestCase):
    """
    C{accept} and C{refuse}.
    """

    def ready(self, host: IAddress = HOST) -> Socks5:
        """
        A server that has read its request.
        """
        server = Socks5(StreamInfo(PEER, host), Auth.NONE)
        self.assertTrue(server.receive(GREET + BY_NAME).done)
        return server

    def test_accept(self) -> None:
        """
        The reply of success has the address that the client connected to, with
        its own type, or zeros.
        """
        nothing = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        for host, reply in (
            (HOST, b"\x05\x00\x00\x01\xc0\x00\x02\x08\x04\x38"),
            (
                IPv6Address("TCP", "2001:db8::1", 1080),
                b"\x05\x00\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x04\x38",
            ),
            (UNIXAddress("/run/x"), nothing),
            (IPv6Address("TCP", "fe80::1%lo", 1080), nothing),
            (IPv4Address("TCP", "not an address", 1080), nothing),
            (IPv4Address("TCP", "192.0.2.8", 70000), nothing),
        ):
            self.assertEqual(self.ready(host).accept(), reply)
            self.assertEqual(boundAddress(host), reply[3:])

    def test_codes(self) -> None:
        """
        Every cause has its code.
        """
        codes = {
            Cause.DENIED: 2,
            Cause.NAME_UNKNOWN: 4,
            Cause.NETWORK_UNREACHABLE: 3,
            Cause.HOST_UNREACHABLE: 4,
            Cause.CONNECTION_REFUSED: 5,
            Cause.TIMED_OUT: 6,
            Cause.AUTHENTICATION: 1,
            Cause.UNSUPPORTED: 7,
            Cause.OVERLOADED: 1,
            Cause.PEER_CLOSED: 1,
            Cause.PEER_MISBEHAVED: 1,
            Cause.GENERAL: 1,
        }
        self.assertEqual(set(codes), set(Cause))
        for cause, code in codes.items():
            self.assertEqual(
                self.ready().refuse(refused(cause)), b"\x05" + bytes((code,)) + b"\x00\x01\0\0\0\0\0\0"
            )

    def test_refuseEarly(self) -> None:
        """
        At each point a no is said in the words of that point.
        """
        no = refused(Cause.DENIED)
        reply = b"\x05\x02\x00\x01\0\0\0\0\0\0"
        for auth, before, answer in (
            (Auth.REQUIRED, b"", b"\x05\xff"),
            (Auth.REQUIRED, b"\x05", b"\x05\xff"),
            (Auth.REQUIRED, GREET_LOGIN, b"\x01\x01"),
            (Auth.REQUIRED, GREET_LOGIN + LOGIN[:3], b"\x01\x01"),
            (Auth.REQUIRED, GREET_LOGIN + LOGIN, b"\x01\x01"),
            (Auth.NONE, GREET, reply),
            (Auth.NONE, GREET + BY_NAME[:7], reply),
        ):
            server = Socks5(INFO, auth)
            server.receive(before)
            self.assertEqual(server.refuse(no), answer)
        server = Socks5(INFO, Auth.REQUIRED)
        server.receive(GREET_LOGIN + LOGIN)
        server.login(ALICE)
        self.assertEqual(server.refuse(no), reply)

    def test_refuseLate(self) -> None:
        """
        Once the stream is up, nothing can be said.
        """
        server = self.ready()
        server.accept()
        self.assertEqual(server.refuse(refused(Cause.DENIED)), b"")
