# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.captured}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, ISilence, Step
from ugate.protocols.captured import MAX_SEEN, Captured, NameReader, hostIn
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.stream import NAME, Principal, StreamInfo, Target
from ugate.test.hellofakes import alpn, hello, records, sni

ADDRESS = Target("203.0.113.9", 443)
INFO = StreamInfo(
    IPv4Address("TCP", "192.0.2.1", 50000), IPv4Address("TCP", "203.0.113.9", 443), ADDRESS, layers=("outer",)
)
HELLO = hello(sni(b"Web.Corp.example"), alpn(b"h2"))
GET = b"GET /a HTTP/1.1\r\nUser-Agent: x\r\nhOST:  Web.corp.example:8080 \r\n\r\nbody"
REASON = Refused(Cause.DENIED, Phase.POLICY, "x", "secret")


def captured(*, reads: bool = True, byName: bool = False, auth: Auth = Auth.NONE) -> Captured:
    """
    A stream that was to go to an address.
    """
    return Captured(INFO, auth, "redirect", reads=reads, byName=byName)


def fed(made: Captured, *chunks: bytes) -> Step:
    """
    Feed it until it is done.
    """
    for number, chunk in enumerate(chunks):
        step = made.receive(chunk)
        if step.done:
            rest = b"".join(chunks[number + 1 :])
            return Step(done=True, rest=step.rest + rest, info=step.info)
    return step


class CapturedTests(SynchronousTestCase):
    """
    L{Captured}.
    """

    def assertDone(self, step: Step, rest: bytes, hints: dict[str, str], target: Target = ADDRESS) -> None:
        """
        It is up with these.
        """
        info = step.info
        assert step.done and info is not None
        self.assertEqual((step.rest, info.target, dict(info.hints)), (rest, target, hints))
        self.assertEqual((info.protocol, info.layers), ("redirect", ("outer", "redirect")))
        self.assertEqual((info.peer, info.host), (INFO.peer, INFO.host))

    def test_provides(self) -> None:
        """
        It says nothing of itself.
        """
        made = captured()
        self.assertTrue(verifyObject(ISilence, made))
        self.assertEqual((made.start(), made.accept(), made.login(None)), (b"", b"", Step()))

    def test_notRead(self) -> None:
        """
        On other ports nothing is waited for.
        """
        self.assertDone(captured(reads=False).receive(b""), b"", {})
        self.assertDone(captured(reads=False).receive(HELLO), HELLO, {})

    def test_nothingSaid(self) -> None:
        """
        A client that has not said a word is waited for, and then goes by the address.
        """
        made = captured()
        self.assertEqual(made.receive(b""), Step())
        self.assertDone(made.silent(), b"", {})

    def test_notEnough(self) -> None:
        """
        What it has said is not lost.
        """
        made = captured()
        self.assertEqual(made.receive(b"GET / HT"), Step())
        self.assertEqual(made.receive(b"TP/1.1\r\nHos"), Step())
        self.assertDone(made.silent(), b"GET / HTTP/1.1\r\nHos", {})

    def test_everySplit(self) -> None:
        """
        However it comes, the name is found and all bytes are passed on.
        """
        tls = {NAME: "web.corp.example", "alpn": "h2"}
        http = {NAME: "web.corp.example"}
        many = records(HELLO[5:], 7)
        for data, hints in ((HELLO + b"more", tls), (many, tls), (GET, http)):
            for at in range(len(data) + 1):
                self.assertDone(fed(captured(), data[:at], data[at:]), data, hints)
            self.assertDone(fed(captured(), *(data[n : n + 1] for n in range(len(data)))), data, hints)

    def test_byName(self) -> None:
        """
        The name takes the place of the address, with the port of that, if it is said.
        """
        target = Target("web.corp.example", 443)
        self.assertDone(captured(byName=True).receive(HELLO), HELLO, {"alpn": "h2"}, target)
        self.assertDone(captured(byName=True).receive(b"SSH-2.0-x\r\n"), b"SSH-2.0-x\r\n", {})

    def test_noName(self) -> None:
        """
        What has no name, or is broken, goes by the address.
        """
        for data in (
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff",
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
            b"SSH-2.0-OpenSSH_9\r\n",
            b"\x00\x01",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n",
            b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n",
            b"GET / HTTP/1.1\r\nHost: a:b\r\n",
            b"GET / HTTP/1.1\r\nHost: \xc3\xa9.example\r\n",
            b"GET / HTTP/1.1\r\nHost:\r\n",
        ):
            self.assertDone(captured().receive(data), data, {})
        self.assertDone(captured().receive(hello(alpn(b"h2"))), hello(alpn(b"h2")), {"alpn": "h2"})

    def test_limit(self) -> None:
        """
        A head without an end is not kept for ever.
        """
        made = captured()
        head = b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_SEEN - 30)
        self.assertEqual(made.receive(head), Step())
        self.assertDone(made.receive(b"y" * 30), head + b"y" * 30, {})

    def test_credentials(self) -> None:
        """
        It has none, and a listener that requires them lets nobody pass but who has proven it already.
        """
        error = self.assertRaises(ProtocolError, captured(auth=Auth.REQUIRED).receive, b"")
        self.assertIn("bind it to loopback, or let it be open", str(error))
        known = INFO.but(principal=Principal("bob", "certificate"))
        self.assertTrue(Captured(known, Auth.REQUIRED, "tproxy").receive(b"").done)

    def test_refuse(self) -> None:
        """
        A client is told in what it speaks.
        """
        for data, begins in (
            (HELLO, alertRecord(Alert.ACCESS_DENIED)),
            (GET, b"HTTP/1.1 403 Forbidden\r\n"),
            (b"SSH-2.0-x\r\n", b""),
        ):
            made = captured()
            made.receive(data)
            self.assertTrue(made.refuse(REASON).startswith(begins))
            self.assertEqual(bool(begins), bool(made.refuse(REASON)))
        self.assertEqual(captured(reads=False).refuse(REASON), b"")


class NameReaderTests(SynchronousTestCase):
    """
    L{NameReader} and L{hostIn}.
    """

    @given(st.lists(st.binary(max_size=40), max_size=8))
    def test_anything(self, chunks: list[bytes]) -> None:
        """
        Nothing is an error, and what was decided of some bytes is so however they came.
        """
        whole = NameReader()
        said = whole.feed(b"".join(chunks))
        pieces = NameReader()
        found: dict[str, str] | None = None
        for chunk in chunks:
            found = pieces.feed(chunk)
            if found is not None:
                break
        self.assertEqual(found is None, said is None)
        self.assertTrue(b"".join(chunks).startswith(pieces.seen))

    @given(
        st.lists(
            st.sampled_from([b"Host: a.example", b"host:b.example:1", b"X: y", b"", b"Host"]), max_size=5
        )
    )
    def test_firstHost(self, lines: list[bytes]) -> None:
        """
        The first one counts, and what comes behind the head does not.
        """
        wanted: str | None = None
        for line in lines:
            if not line:
                wanted = ""
            elif b":" in line and line[:4].lower() == b"host":
                wanted = "a.example" if b"a." in line else "b.example"
            if wanted is not None:
                break
        self.assertEqual(hostIn(b"\r\n".join([b"GET / HTTP/1.1", *lines, b"x"])), wanted)
