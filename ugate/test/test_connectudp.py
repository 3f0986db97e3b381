# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams on links of HTTP/2.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Refused, StringError
from ugate.protocols.capsules import capsule
from ugate.protocols.connectudp import request, targetOf
from ugate.protocols.h2frames import DATA, HEADERS
from ugate.protocols.httpreply import Unserved
from ugate.stream import UDP, StreamInfo, Target
from ugate.test.datagramfakes import flowTo
from ugate.test.h2fakes import HOST, PEER, RawPeer
from ugate.testing import Conversation

EXTENDED = 8
LINK = StreamInfo(PEER, HOST)


def asking(path: str, protocol: str = "connect-udp") -> list[tuple[str, str]]:
    """
    A request as a client of RFC 9298 makes it.
    """
    return [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "https"),
        (":authority", "gate.example"),
        (":path", path),
        ("capsule-protocol", "?1"),
    ]


class PathTests(SynchronousTestCase):
    """
    L{request} and L{targetOf}.
    """

    def path(self, host: str, port: int = 443) -> bytes:
        """
        The path for a target.
        """
        return dict(request(Target(host, port, UDP), LINK, "hop"))[b":path"]

    def test_samples(self) -> None:
        """
        Those of RFC 9298, 3, and back.
        """
        for host, path in (
            ("192.0.2.6", b"/.well-known/masque/udp/192.0.2.6/443/"),
            ("2001:db8::42", b"/.well-known/masque/udp/2001%3Adb8%3A%3A42/443/"),
            ("target.example.com", b"/.well-known/masque/udp/target.example.com/443/"),
        ):
            self.assertEqual(self.path(host), path)
            self.assertEqual(targetOf(path), Target(host, 443, UDP))
            self.assertEqual(targetOf(path[:-1]), Target(host, 443, UDP))

    def test_request(self) -> None:
        """
        All that RFC 9298, 3.4 wants.
        """
        fields = request(Target("a", 1, UDP), LINK, "hop")
        self.assertEqual(
            dict(fields),
            {
                b":method": b"CONNECT",
                b":protocol": b"connect-udp",
                b":scheme": b"https",
                b":authority": b"192.0.2.1:40000",
                b":path": b"/.well-known/masque/udp/a/1/",
                b"capsule-protocol": b"?1",
            },
        )
        six = request(Target("a", 1, UDP), LINK.but(peer=IPv6Address("TCP", "::1", 2)), "hop")
        self.assertEqual(dict(six)[b":authority"], b"[::1]:2")
        for peer in UNIXAddress(b"/x"), IPv6Address("TCP", "fe80::1%eth0", 2):
            fields = request(Target("a", 1, UDP), LINK.but(peer=peer), "hop")
            self.assertEqual(dict(fields)[b":authority"], b"proxy.invalid")
        refused = self.assertRaises(Refused, request, Target("m\xfcller", 1, UDP), LINK, "hop")
        self.assertIs(refused.cause, Cause.NAME_UNKNOWN)

    def test_mistakes(self) -> None:
        """
        A path that is none is not found; one with no place is a bad request.
        """
        for path, status in (
            (b"", 404),
            (b"/", 404),
            (b"/.well-known/masque/udp", 404),
            (b"/.well-known/masque/ip/*/*/", 404),
            (b"/.well-known/masque/udp/a/", 400),
            (b"/.well-known/masque/udp/a/0/", 400),
            (b"/.well-known/masque/udp/a/65536/", 400),
            (b"/.well-known/masque/udp/a/123456789/", 400),
            (b"/.well-known/masque/udp/a/x/", 400),
            (b"/.well-known/masque/udp//53/", 400),
            (b"/.well-known/masque/udp/a/53/b", 400),
            (b"/.well-known/masque/udp/a%2Fb/53/", 400),
            (b"/.well-known/masque/udp/%ff/53/", 400),
            (b"/.well-known/masque/udp/fe80%3A%3A1%25eth0/53/", 400),
        ):
            error = self.assertRaises(Unserved, targetOf, path)
            self.assertEqual(error.reply.status, status, path)

    @given(st.text(max_size=40), st.integers(1, 65535))
    def test_roundTrip(self, host: str, port: int) -> None:
        """
        Every target that can be said is understood.
        """
        try:
            target = Target.checked(host, port, UDP)
            path = dict(request(target, LINK, "hop"))[b":path"]
        except (StringError, Refused):
            return
        try:
            read = targetOf(path)
        except Unserved:
            # It has colons and is no address.
            self.assertIn(":", host)
            return
        self.assertEqual(read.port, port)
        if ":" not in host:
            self.assertEqual(read, target)

    @given(st.binary(max_size=60))
    def test_noise(self, text: bytes) -> None:
        """
        Whatever the path is, it is a target or it is not served.
        """
        try:
            self.assertEqual(targetOf(b"/.well-known/masque/udp/" + text).network, UDP)
        except Unserved:
            pass


class ServerTests(SynchronousTestCase):
    """
    A link whose peer asks for flows.
    """

    def setUp(self) -> None:
        self.peer = RawPeer()
        self.peer.frames()

    def told(self) -> tuple[dict[Any, Any], bytes]:
        """
        The header of an answer, and what follows.
        """
        fields: dict[Any, Any] = {}
        data = b""
        for kind, _, _, payload in self.peer.frames():
            if kind == HEADERS:
                fields = dict(self.peer.decoder.decode(payload))
            elif kind == DATA:
                data += payload
        return fields, data

    def test_accepted(self) -> None:
        """
        A flow is a stream with a target for datagrams, and its bytes are capsules.
        """
        self.peer.headers(1, asking("/.well-known/masque/udp/db.example/53/"))
        (stream,) = self.peer.streams
        self.assertEqual(str(stream.info.target), "udp:db.example:53")
        self.assertEqual((stream.info.protocol, stream.info.layers), ("h2connect", ("h2connect",)))
        stream.accept()
        conversation = Conversation()
        stream.begin(conversation)
        conversation.write(capsule(b"answer"))
        fields, data = self.told()
        self.assertEqual((fields, data), ({":status": "200", "capsule-protocol": "?1"}, capsule(b"answer")))
        self.peer.send(DATA, 0, 1, capsule(b"question"))
        self.assertEqual(conversation.received, capsule(b"question"))

    def test_streams(self) -> None:
        """
        Streams of bytes are answered as before.
        """
        self.peer.headers(1)
        self.peer.streams[0].accept()
        self.assertEqual(self.told()[0], {":status": "200"})

    def test_refused(self) -> None:
        """
        A refusal is a status.
        """
        self.peer.headers(1, asking("/.well-known/masque/udp/db.example/53/"))
        self.peer.streams[0].refuse(Denied("x", "no"))
        self.assertEqual(self.told()[0][":status"], "403")
        for path, status in ("/x", "404"), ("/.well-known/masque/udp/a/x/", "400"):
            self.setUp()
            self.peer.headers(1, asking(path))
            self.assertEqual((self.told()[0][":status"], self.peer.streams), (status, []))
        self.setUp()
        self.peer.headers(1, asking("/", "connect-ip"))
        self.assertEqual(self.told()[0][":status"], "501")


class ClientTests(SynchronousTestCase):
    """
    A link that asks its peer for flows.
    """

    def setUp(self) -> None:
        self.peer = RawPeer(client=True, greet=False)

    def test_asks(self) -> None:
        """
        A peer that takes extended CONNECT is asked by it.
        """
        self.peer.greet([(EXTENDED, 1)])
        self.peer.frames()
        opened = self.peer.link.open(flowTo("db.example", 53))
        ((_, _, number, payload),) = self.peer.frames()
        fields: Any = dict(self.peer.decoder.decode(payload))
        self.assertEqual(fields[":path"], "/.well-known/masque/udp/db.example/53/")
        self.assertEqual(fields["forwarded"], "for=192.0.2.7")
        self.peer.headers(number, [(":status", "200"), ("capsule-protocol", "?1")])
        stream = self.successResultOf(opened)
        self.assertEqual(str(stream.info.target), "udp:db.example:53")

    def test_unable(self) -> None:
        """
        One that does not is not asked: it would take the request for one of another kind.
        """
        self.peer.greet()
        self.peer.frames()
        refused: Any = self.failureResultOf(self.peer.link.open(flowTo("db.example", 53)), Refused).value
        self.assertIs(refused.cause, Cause.UNSUPPORTED)
        self.assertEqual(self.peer.frames(), [])

    def test_no(self) -> None:
        """
        A status other than 2xx is a refusal.
        """
        self.peer.greet([(EXTENDED, 1)])
        self.peer.frames()
        opened = self.peer.link.open(flowTo("db.example", 53))
        ((_, _, number, _),) = self.peer.frames()
        self.peer.headers(number, [(":status", "403")], 5)
        refused: Any = self.failureResultOf(opened, Refused).value
        self.assertIs(refused.cause, Cause.DENIED)
