# -*- test-case-name: ugate.test.test_auto -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.auto}.
"""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, ISilence, Step
from ugate.protocols.auto import Auto, Choice, Fixed
from ugate.stream import UDP, Principal, StreamInfo, Target
from ugate.test.hellofakes import alpn, hello, sni

BASE = StreamInfo(
    peer=IPv4Address("TCP", "192.0.2.1", 50000),
    host=IPv4Address("TCP", "192.0.2.9", 1080),
    hints={"user": "u"},
    layers=("outer",),
)
TARGET = Target("backend", 8443)
HELLO = hello(sni(b"Example.com"), alpn(b"h2", b"http/1.1"))
REASON = Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "backend:8443", "secret detail")
FIRST = {
    "socks4": b"\x04\x01\x00\x50",
    "socks5": b"\x05\x01\x00",
    "http1": b"GET / HTTP/1.1\r\n",
    "tls": HELLO,
    "ssh": b"SSH-2.0-x\r\n",
    "h2c": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "proxyproto": b"PROXY UNKNOWN\r\n",
    "unknown": b"\x00\x00\x00\x08",
}


@implementer(INegotiation)
class Recorder:
    """
    A negotiation that writes down what it is asked, and answers with it.
    """

    greeting = b""

    def __init__(self, info: StreamInfo, auth: Auth) -> None:
        self.made = (info, auth)
        self.fed: list[bytes] = []
        self.principals: list[Principal | None] = []

    def start(self) -> bytes:
        return self.greeting

    def receive(self, data: bytes) -> Step:
        self.fed.append(data)
        return Step(send=b"got " + data, credentials=UsernamePassword(b"u", b"p"))

    def login(self, principal: Principal | None) -> Step:
        self.principals.append(principal)
        return Step(send=b"in", done=True, info=self.made[0])

    def accept(self) -> bytes:
        return b"accepted"

    def refuse(self, reason: Refused) -> bytes:
        return reason.cause.value.encode()


class Greeter(Recorder):
    """
    One that speaks first.
    """

    greeting = b"hello "


class AutoTests(SynchronousTestCase):
    """
    L{Auto}.
    """

    def setUp(self) -> None:
        self.made: list[Recorder] = []

    def choice(self, info: StreamInfo, auth: Auth) -> Recorder:
        self.made.append(Recorder(info, auth))
        return self.made[-1]

    def auto(self, *names: str) -> Auto:
        return Auto(BASE, Auth.OPTIONAL, dict.fromkeys(names, self.choice))

    def refused(self, auto: Auto, data: bytes) -> ProtocolError:
        error: ProtocolError = self.assertRaises(ProtocolError, auto.receive, data)
        return error

    def test_interface(self) -> None:
        """
        It decides about silence too.
        """
        verifyObject(ISilence, self.auto())
        verifyObject(INegotiation, Fixed(BASE, Auth.NONE, TARGET, "tls"))
        verifyObject(INegotiation, Recorder(BASE, Auth.NONE))

    def test_chosen(self) -> None:
        """
        For each protocol the choice of that name is made, once, with what is known,
        and gets all bytes so far; nothing is made before.
        """
        for name, data in FIRST.items():
            for cut in range(min(len(data), 24) + 1):
                self.made = []
                auto = self.auto(*FIRST)
                self.assertEqual(auto.start(), b"")
                first = auto.receive(data[:cut])
                if not self.made:
                    self.assertEqual(first, Step())
                auto.receive(data[cut:])
                (chosen,) = self.made
                self.assertEqual(chosen.made, (BASE, Auth.OPTIONAL))
                self.assertEqual(b"".join(chosen.fed), data, name)

    def test_byteByByte(self) -> None:
        """
        The choice gets the bytes that decided at once, and each later one as it comes.
        """
        auto = self.auto("http1")
        for byte in b"GET /":
            auto.receive(bytes((byte,)))
        self.assertEqual(self.made[0].fed, [b"GET ", b"/"])

    def test_becomes(self) -> None:
        """
        From then on all questions go to the choice, and its answers come back.
        """
        auto = self.auto("socks5")
        step = auto.receive(b"\x05\x01\x00")
        self.assertEqual(step.send, b"got \x05\x01\x00")
        self.assertIsNotNone(step.credentials)
        self.assertEqual(auto.login(Principal("p", "password")).send, b"in")
        self.assertEqual(self.made[0].principals, [Principal("p", "password")])
        self.assertEqual(auto.receive(b"more").send, b"got more")
        self.assertEqual(auto.accept(), b"accepted")
        self.assertEqual(auto.refuse(REASON), b"connection refused")

    def test_greeting(self) -> None:
        """
        A choice that speaks first is heard before its answer.
        """
        auto = Auto(BASE, Auth.NONE, {"ssh": Greeter, "silent": Greeter})
        self.assertEqual(auto.receive(b"SSH-").send, b"hello got SSH-")
        auto = Auto(BASE, Auth.NONE, {"silent": Greeter})
        step = auto.silent()
        self.assertEqual(step.send, b"hello got ")
        self.assertIsNotNone(step.credentials)

    def test_undecided(self) -> None:
        """
        Before a choice there is nothing to say and nobody to log in.
        """
        auto = self.auto("http1")
        auto.receive(b"GE")
        self.assertEqual((auto.accept(), auto.refuse(REASON), auto.login(None)), (b"", b"", Step()))

    def test_silent(self) -> None:
        """
        Silence is a choice of its own; what the client sends later goes to it.
        """
        auto = self.auto("silent", "http1")
        auto.silent()
        self.assertEqual(self.made[0].fed, [b""])
        auto.receive(b"GET / HTTP/1.1")
        self.assertEqual(self.made[0].fed, [b"", b"GET / HTTP/1.1"])
        self.assertEqual(len(self.made), 1)

    def test_notSilent(self) -> None:
        """
        A client that has begun to speak is not silent, whether or not that was
        enough to know it.
        """
        auto = self.auto("silent", "http1")
        auto.receive(b"GE")
        self.assertEqual(auto.silent(), Step())
        auto.receive(b"T ")
        self.assertEqual(auto.silent(), Step())
        self.assertEqual([r.fed for r in self.made], [[b"GET "]])

    def test_silenceNotServed(self) -> None:
        """
        Without such a choice the error says which keyword serves it.
        """
        error: ProtocolError = self.assertRaises(ProtocolError, self.auto("http1").silent)
        self.assertEqual(
            str(error),
            "a protocol whose server speaks first is not served here: add silent=HOST\\:PORT to the listener",
        )
        self.assertEqual(error.reply, b"")

    def test_keywords(self) -> None:
        """
        So it is for protocols that pass through, with a word for the client.
        """
        for name, text in (("tls", "TLS"), ("ssh", "SSH"), ("h2c", "HTTP/2 without TLS")):
            error = self.refused(self.auto("http1"), FIRST[name])
            self.assertEqual(str(error), f"{text} is not served here: add {name}=HOST\\:PORT to the listener")
            self.assertTrue(error.reply)

    def test_replies(self) -> None:
        """
        Each reply is one of the protocol: an alert, a line, a frame, a code.
        """
        self.assertEqual(self.refused(self.auto(), HELLO).reply, b"\x15\x03\x03\x00\x02\x02\x28")
        self.assertEqual(self.refused(self.auto(), FIRST["socks5"]).reply, b"\x05\xff")
        self.assertEqual(self.refused(self.auto(), FIRST["socks4"]).reply, b"\x00\x5b" + bytes(6))
        line = self.refused(self.auto(), FIRST["ssh"]).reply
        self.assertTrue(line.endswith(b"\r\n") and not line.startswith(b"SSH-"))
        self.assertEqual(self.refused(self.auto(), FIRST["http1"]).reply, b"")
        self.assertEqual(self.refused(self.auto(), FIRST["unknown"]).reply, b"")
        self.assertEqual(self.refused(self.auto(), FIRST["proxyproto"]).reply, b"")

    def test_goAway(self) -> None:
        """
        An HTTP/2 client gets the server's empty SETTINGS, which must be first, and
        a GOAWAY on stream 0: no stream was served, use HTTP/1.1 (RFC 9113, 3.4, 6.8 and 7).
        """
        reply = self.refused(self.auto(), FIRST["h2c"]).reply
        frames = []
        while reply:
            end = 9 + int.from_bytes(reply[:3], "big")
            frames.append((reply[3], reply[4], int.from_bytes(reply[5:9], "big"), reply[9:end]))
            reply = reply[end:]
        self.assertEqual(frames, [(4, 0, 0, b""), (7, 0, 0, bytes(7) + b"\x0d")])

    def test_notServed(self) -> None:
        """
        For other protocols it says what is served.
        """
        error = self.refused(self.auto("http1", "tls", "silent", "unknown"), b"\x05\x01\x00")
        self.assertEqual(str(error), "SOCKS5 is not served here: use HTTP, TLS")
        error = self.refused(self.auto(), b"GET / HTTP/1.1")
        self.assertEqual(str(error), "HTTP is not served here: use another listener")

    def test_unknown(self) -> None:
        """
        What is not recognized is quoted, not at length and without control characters.
        """
        auto = self.auto("socks5", "http1")
        auto.receive(b"A")
        error = self.refused(auto, b"\x1b[2J" + b"x" * 100)
        self.assertEqual(
            str(error),
            "a stream that begins with b'A\\x1b[2Jxxxxxxxxxxx' is of no protocol that is recognized:"
            " use SOCKS5, HTTP, or a listener for that protocol alone",
        )

    def test_proxyHeader(self) -> None:
        """
        A PROXY header is never believed by guess; the error says how to expect one.
        """
        for data in (FIRST["proxyproto"], b"\r\n\r\n\x00\r\nQUIT\n"):
            error = self.refused(self.auto("socks5", "http1"), data)
            self.assertIn("write auto:proxyproto:", str(error))

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.one_of(st.binary(max_size=8), st.sampled_from([*FIRST.values()])), max_size=5))
    def test_fuzz(self, chunks: list[bytes]) -> None:
        """
        Whatever comes, in whatever chunks: a choice gets it all, or it is an error,
        or more is needed.
        """

        def outcome(parts: list[bytes]) -> object:
            self.made = []
            auto = self.auto("socks5", "http1", "tls")
            try:
                for part in parts:
                    auto.receive(part)
            except ProtocolError as e:
                return e.reply, str(e)[:20]
            return [b"".join(r.fed) for r in self.made]

        whole = b"".join(chunks)
        self.assertEqual(outcome(chunks), outcome([whole]))


class FixedTests(SynchronousTestCase):
    """
    L{Fixed}.
    """

    def test_doneAtOnce(self) -> None:
        """
        Any bytes, and none, are enough, and all of them are part of the stream.
        """
        for protocol in ("ssh", "h2c", "silent"):
            for data in (b"", b"SSH-2.0-x\r\n"):
                fixed = Fixed(BASE, Auth.NONE, TARGET, protocol)
                self.assertEqual(fixed.start(), b"")
                info = BASE.but(target=TARGET, protocol=protocol, layers=("outer", protocol))
                self.assertEqual(fixed.receive(data), Step(done=True, rest=data, info=info))
                self.assertEqual((fixed.accept(), fixed.login(None)), (b"", Step()))

    def test_datagrams(self) -> None:
        """
        What was asked for as datagrams goes to the place as such.
        """
        info = BASE.but(target=Target("db.example", 53, UDP))
        done = Fixed(info, Auth.NONE, TARGET, "forward").receive(b"").info
        assert done is not None
        self.assertEqual(Target(TARGET.host, TARGET.port, UDP), done.target)

    def test_tls(self) -> None:
        """
        With TLS the hello is read, however it comes, for its hints; not a byte is lost.
        """
        hints = {"user": "u", "sni": "example.com", "alpn": "h2,http/1.1"}
        info = BASE.but(target=TARGET, protocol="tls", hints=hints, layers=("outer", "tls"))
        for cut in range(1, len(HELLO) + 1):
            fixed = Fixed(BASE, Auth.NONE, TARGET, "tls")
            step = fixed.receive(HELLO[:cut])
            if cut < len(HELLO):
                self.assertEqual(step, Step())
                step = fixed.receive(HELLO[cut:] + b"early")
                self.assertEqual(step, Step(done=True, rest=HELLO + b"early", info=info))
            else:
                self.assertEqual(step, Step(done=True, rest=HELLO, info=info))

    def test_brokenHello(self) -> None:
        """
        A broken hello goes nowhere.
        """
        fixed = Fixed(BASE, Auth.NONE, TARGET, "tls")
        error: ProtocolError = self.assertRaises(ProtocolError, fixed.receive, hello(sni(b"a b")))
        self.assertEqual(error.reply[-1], 47)

    def test_credentialsRequired(self) -> None:
        """
        Where credentials are required nothing passes without, unless an outer layer
        has proven who it is.
        """
        for protocol, reply in (("tls", b"\x15\x03\x03\x00\x02\x02\x28"), ("silent", b"")):
            fixed = Fixed(BASE, Auth.REQUIRED, TARGET, protocol)
            error: ProtocolError = self.assertRaises(ProtocolError, fixed.receive, b"")
            self.assertIn("to backend:8443 holds no credentials", str(error))
            self.assertEqual(error.reply, reply)
        known = BASE.but(principal=Principal("p", "certificate"))
        step = Fixed(known, Auth.REQUIRED, TARGET, "ssh").receive(b"SSH-")
        self.assertEqual(step.info and step.info.principal, known.principal)

    def test_refuse(self) -> None:
        """
        A refusal is said in the words of the protocol, if it has any, and tells
        strangers nothing of what is behind.
        """

        def said(protocol: str, cause: Cause) -> bytes:
            reason = Refused(cause, Phase.CONNECT, "backend:8443", "secret detail")
            return Fixed(BASE, Auth.NONE, TARGET, protocol).refuse(reason)

        for cause, alert in (
            (Cause.DENIED, 49),
            (Cause.AUTHENTICATION, 49),
            (Cause.NAME_UNKNOWN, 112),
            (Cause.CONNECTION_REFUSED, 80),
        ):
            self.assertEqual(said("tls", cause), bytes((21, 3, 3, 0, 2, 2, alert)))
        self.assertEqual(said("ssh", Cause.CONNECTION_REFUSED), b"connection refused\r\n")
        self.assertEqual(said("h2c", Cause.TIMED_OUT)[:9], bytes.fromhex("000000 04 00 00000000"))
        self.assertEqual(said("silent", Cause.DENIED), b"")

    def test_asChoice(self) -> None:
        """
        As a choice of L{Auto}, in chunks cut anywhere.
        """
        choices: dict[str, Choice] = {
            name: partial(Fixed, target=TARGET, protocol=name) for name in ("tls", "ssh", "h2c", "silent")
        }
        for name in ("tls", "ssh", "h2c"):
            data = FIRST[name]
            for cut in range(len(data)):
                auto = Auto(BASE, Auth.NONE, choices)
                first = auto.receive(data[:cut])
                last = first if first.done else auto.receive(data[cut:])
                self.assertTrue(last.done)
                self.assertEqual(last.rest, data[:cut] if first.done else data)
                assert last.info is not None
                self.assertEqual((last.info.target, last.info.protocol), (TARGET, name))
        step = Auto(BASE, Auth.NONE, choices).silent()
        self.assertEqual((step.done, step.rest, step.info and step.info.protocol), (True, b"", "silent"))
