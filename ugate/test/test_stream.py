# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Targets, principals and what is known of a stream.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError

from hypothesis import example, given
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.interfaces import IStreamInfo
from ugate.stream import NAME, NO_HINTS, UDP, UNIX, Principal, StreamInfo, Target

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
HERE = IPv4Address("TCP", "198.51.100.1", 1080)

hosts = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,10}){0,3}", fullmatch=True) | (
    st.ip_addresses().map(str)
)
ports = st.integers(1, 65535)


class TargetTests(SynchronousTestCase):
    """
    L{Target}.
    """

    @given(hosts, ports)
    def test_roundTrip(self, host: str, port: int) -> None:
        """
        What a target is written as is read as the same target.
        """
        target = Target.checked(host, port)
        self.assertEqual(Target.fromText(str(target)), target)
        self.assertEqual((target.host, target.port), (host, port))

    @given(st.text(st.characters() | st.sampled_from(":[]%.@/ \0\n0189af"), max_size=40))
    @example("[::1]:80")
    @example("[::1]80:1")
    @example("a:b:1")
    @example(":")
    @example("[")
    @example("]:1")
    @example("a:١٢")
    @example("a:+1")
    @example("a: 1")
    @example("a:1_0")
    def test_anyText(self, text: str) -> None:
        """
        Any text is a good target, which is written in one way, or a L{StringError}.
        """
        try:
            target = Target.fromText(text)
        except StringError:
            return
        self.assertTrue(0 < target.port < 65536)
        self.assertTrue(0 < len(target.host) < 256)
        self.assertEqual(Target.fromText(str(target)), target)

    @given(st.text(max_size=300), st.integers())
    def test_anyParts(self, host: str, port: int) -> None:
        """
        Any parts are a good target or a L{StringError}; what is good has nothing that
        could change the meaning of a line, a header or a URL.
        """
        try:
            target = Target.checked(host, port)
        except StringError:
            return
        self.assertEqual(target, Target(host, port))
        self.assertTrue(target.host.isprintable())
        self.assertFalse(set(target.host) & set(" /\\@?#[]\"'<>%\r\n\0"))

    def test_shapes(self) -> None:
        """
        A name or an address and a port; an IPv6 address in brackets.
        """
        self.assertEqual(Target.fromText("db.example:5432"), Target("db.example", 5432))
        self.assertEqual(Target.fromText("192.0.2.1:80"), Target("192.0.2.1", 80))
        self.assertEqual(Target.fromText("[2001:db8::1]:443"), Target("2001:db8::1", 443))
        self.assertEqual(str(Target("2001:db8::1", 443)), "[2001:db8::1]:443")
        self.assertEqual(Target.fromText("x:0080"), Target("x", 80))

    def test_networks(self) -> None:
        """
        What people write may say the network; what the network writes may not.
        """
        flow = Target("db.example", 53, UDP)
        self.assertEqual(str(flow), "udp:db.example:53")
        self.assertEqual(str(Target("::1", 53, UDP)), "udp:[::1]:53")
        for text, target in (
            ("udp:db.example:53", flow),
            ("udp:[::1]:53", Target("::1", 53, UDP)),
            ("tcp:db.example:53", Target("db.example", 53)),
            ("db.example:53", Target("db.example", 53)),
            ("udp:53", Target("udp", 53)),
        ):
            self.assertEqual(Target.anyFromText(text), target)
        self.assertNotEqual(flow, Target("db.example", 53))
        for text in "udp:db.example:53", "tcp:a:1":
            self.assertRaises(StringError, Target.fromText, text)
        self.assertRaises(StringError, Target.anyFromText, "sctp:a:1")

    def test_paths(self) -> None:
        """
        A path is absolute and as short as can be, and has nothing in it that would need quotes.
        """
        target = Target.atPath("/run/app/x-1@a.sock")
        self.assertEqual(target, Target("/run/app/x-1@a.sock", 0, UNIX))
        self.assertEqual(str(target), "unix:/run/app/x-1@a.sock")
        self.assertEqual(Target.anyFromText(str(target), paths=True), target)
        self.assertEqual(Target.atPath("/" + "x" * 106).port, 0)
        for path, why in (
            ("", "from / on"),
            ("run/x", "from / on"),
            ("@abstract", "from / on"),
            ("/", "without //"),
            ("/run/", "without //"),
            ("/run//x", "without //"),
            ("/run/./x", r"without //, \. and"),
            ("/run/../x", r"without //, \. and"),
            ("/..", r"without //, \. and"),
            ("/" + "x" * 107, "wanted 107 bytes"),
            ("/" + "é" * 54, "wanted 107 bytes"),
            *((f"/run/{special}x", "without spaces") for special in " *?[]\\\"'<>\0\n\x1b\u202e"),
        ):
            error = self.assertRaises(StringError, Target.atPath, path)
            self.assertRegex(str(error), why)
            self.assertRaises(StringError, Target.anyFromText, f"unix:{path}", paths=True)
        # Only where it is meant, and by nothing that a client of another protocol can say.
        for read in (Target.anyFromText, Target.fromText):
            self.assertRaises(StringError, read, "unix:/run/x")
        self.assertRaises(StringError, Target.checked, "/run/x", 1)

    def test_defaultPort(self) -> None:
        """
        With a default the port may be left out, but not half of it.
        """
        self.assertEqual(Target.fromText("db.example", 5432), Target("db.example", 5432))
        self.assertEqual(Target.fromText("[::1]", 22), Target("::1", 22))
        self.assertEqual(Target.fromText("db.example:1", 5432), Target("db.example", 1))
        for text in ("db.example:", "[::1]:", "", "[]"):
            self.assertRaises(StringError, Target.fromText, text, 22)

    def test_mistakes(self) -> None:
        """
        The message says what is wrong, and with which text.
        """
        for text, words in (
            ("db.example", "wanted HOST:PORT"),
            ("db.example:", "wanted HOST:PORT"),
            ("db.example:http", "wanted HOST:PORT"),
            ("db.example:-1", "wanted HOST:PORT"),
            ("db.example:" + "9" * 1000, "wanted HOST:PORT"),
            ("db.example:0", "port 0: wanted 1 to 65535"),
            ("db.example:65536", "port 65536: wanted 1 to 65535"),
            ("::1:80", "in brackets, as in [::1]:80"),
            (":80", "a host name of 0 characters"),
            (f"{'a' * 256}:80", "a host name of 256 characters: wanted 1 to 255"),
            ("user@host:80", "'user@host': not a host name"),
            ("fe80::1%eth0:80", "in brackets"),
            ("[fe80::1%eth0]:80", "not a host name or an address"),
            ("a\r\nb:80", "not a host name or an address"),
        ):
            error = self.assertRaises(StringError, Target.fromText, text)
            self.assertIn(words, str(error), text)


class PrincipalTests(SynchronousTestCase):
    """
    L{Principal}.
    """

    def test_text(self) -> None:
        """
        It is written as its name, and whose it is if not the node's own.
        """
        self.assertEqual(str(Principal("alice", "password")), "alice")
        self.assertEqual(str(Principal("alice", "password", "root")), "alice")
        self.assertEqual(str(Principal("bob", "token", "alice/dev")), "bob@alice/dev")


class StreamInfoTests(SynchronousTestCase):
    """
    L{StreamInfo}.
    """

    def test_interfaces(self) -> None:
        """
        It is an address.
        """
        info = StreamInfo(PEER, HERE)
        verifyObject(IStreamInfo, info)
        verifyObject(IAddress, info)

    def test_defaults(self) -> None:
        """
        At first only the two ends are known, and nobody can write into what all share.
        """
        info = StreamInfo(PEER, HERE)
        self.assertEqual(
            (info.target, info.principal, info.protocol, info.hints, info.layers), (None, None, "", {}, ())
        )
        self.assertIs(info.hints, NO_HINTS)
        with self.assertRaises(TypeError):
            info.hints["sni"] = "x"  # type: ignore[index]

    def test_frozen(self) -> None:
        """
        It cannot be changed; C{but} gives another one.
        """
        info = StreamInfo(PEER, HERE)
        with self.assertRaises(FrozenInstanceError):
            info.protocol = "tls"  # type: ignore[misc]
        changed = info.but(protocol="tls", hints={"sni": "a.example"}, layers=(*info.layers, "tls"))
        self.assertEqual((info.protocol, info.layers), ("", ()))
        self.assertEqual((changed.peer, changed.protocol, changed.layers), (PEER, "tls", ("tls",)))
        self.assertRaises(TypeError, info.but, colour="red")

    def test_compares(self) -> None:
        """
        Two that say the same are equal, and can be keys.
        """
        one = StreamInfo(PEER, HERE, Target("a", 1), hints={"sni": "a"})
        two = StreamInfo(PEER, HERE, Target("a", 1), hints={"sni": "a"})
        self.assertEqual(one, two)
        self.assertEqual({one: 1}[two], 1)
        self.assertNotEqual(one, two.but(hints={"sni": "b"}))
        self.assertNotEqual(one, two.but(principal=Principal("a", "password")))

    def test_isThePeerOfATransport(self) -> None:
        """
        As peer address of a transport it reaches the protocol whole.
        """
        info = StreamInfo(PEER, HERE, Target("a", 1), Principal("alice", "password"))
        protocol = Protocol()
        protocol.makeConnection(StringTransport(peerAddress=info))
        assert protocol.transport is not None
        self.assertIs(protocol.transport.getPeer(), info)

    def test_text(self) -> None:
        """
        In the log it is who, and where to if that is known.
        """
        self.assertEqual(str(StreamInfo(PEER, HERE)), "192.0.2.7:40000")
        self.assertEqual(str(StreamInfo(PEER, HERE, Target("a", 1))), "192.0.2.7:40000 -> a:1")
        called = StreamInfo(PEER, HERE, Target("192.0.2.9", 1), hints={NAME: "a"})
        self.assertEqual(str(called), "192.0.2.7:40000 -> 192.0.2.9:1 (a)")
        self.assertEqual(called.claimed, Target("a", 1))
        self.assertIs(StreamInfo(PEER, HERE, hints={NAME: "a"}).claimed, None)
        self.assertEqual(
            str(StreamInfo(IPv6Address("TCP", "::1", 5), HERE, Target("::2", 1))), "[::1]:5 -> [::2]:1"
        )

    def test_textOfOtherPeers(self) -> None:
        """
        Peers without host and port have a name that can be read.
        """

        @implementer(IAddress)
        class PipeAddress:
            pass

        @implementer(IAddress)
        class OnionAddress:
            def __repr__(self) -> str:
                return "abc.onion"

        for peer, text in (
            (UNIXAddress(None), "unix"),
            (UNIXAddress(b"/run/x"), "unix:/run/x"),
            (PipeAddress(), "PipeAddress"),
            (OnionAddress(), "abc.onion"),
        ):
            self.assertEqual(str(StreamInfo(peer, HERE)), text)
