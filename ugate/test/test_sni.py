# -*- test-case-name: ugate.test.test_sni -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sni}.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.protocols.servernames import Listed, ServerNames
from ugate.protocols.sni import Sni
from ugate.stream import StreamInfo, Target
from ugate.test.dialfakes import CLIENT, LISTENER, Net, Recorders
from ugate.test.hellofakes import (
    alpn,
    body,
    extension,
    hello,
    message,
    realHello,
    records,
    singles,
    sni,
    versions,
)

BASE = StreamInfo(
    peer=IPv4Address("TCP", "192.0.2.1", 50000),
    host=IPv4Address("TCP", "192.0.2.9", 443),
    hints={"user": "u"},
    layers=("outer",),
)
NAMES = r"www.example,*.corp,*.svc.cluster.local:1-65535"
LISTED = Listed(ServerNames(NAMES, 443))
UNRECOGNIZED = alertRecord(Alert.UNRECOGNIZED_NAME)
MANGLED = 10_000
_GONE = Failure(ConnectionDone())


def negotiation(listed: Listed = LISTED, auth: Auth = Auth.REQUIRED) -> Sni:
    return Sni(BASE, auth, listed)


def mangled(seed: int, count: int, whole: Sequence[bytes] = ()) -> Any:
    """
    ClientHellos with something wrong in them, or nearly.

    @param whole: what they are made of.
    """
    source = random.Random(seed)
    whole = whole or [realHello("www.example", ["h2"]), realHello(None), hello(sni(b"db.corp"), alpn(b"h2"))]
    for _ in range(count):
        data = bytearray(source.choice(whole))
        for _ in range(source.randint(1, 8)):
            at = source.randrange(min(len(data), source.choice((12, 80, 1 << 16))))
            what = source.randrange(6)
            if what == 0:
                data[at] = source.randrange(256)
            elif what == 1:
                data[at] ^= 1 << source.randrange(8)
            elif what == 2:
                del data[at : at + source.randint(1, 40)]
            elif what == 3:
                data[at:at] = source.randbytes(source.randint(1, 40))
            elif what == 4:
                data[at:at] = data[:at]
            else:
                del data[at + 1 :]
            if not data:
                data += b"\x16"
        yield bytes(data)


class SniTests(SynchronousTestCase):
    """
    L{Sni}.
    """

    def refused(self, data: bytes, listed: Listed = LISTED) -> ProtocolError:
        error: ProtocolError = self.assertRaises(ProtocolError, negotiation(listed).receive, data)
        return error

    def target(self, data: bytes, listed: Listed = LISTED) -> str:
        step = negotiation(listed).receive(data)
        assert step.info is not None
        return str(step.info.target)

    def test_interface(self) -> None:
        """
        It is a negotiation.
        """
        verifyObject(INegotiation, negotiation())

    def test_name(self) -> None:
        """
        The name is where it goes, on the port that the listener stands for; nothing is taken
        from the stream, and what is known of it is added to.
        """
        data = realHello("www.example", ["h2", "http/1.1"])
        asked = negotiation()
        self.assertEqual(b"", asked.start())
        step = asked.receive(data + b"more")
        self.assertTrue(step.done)
        self.assertEqual((b"", data + b"more"), (step.send, step.rest))
        self.assertEqual(
            BASE.but(
                target=Target("www.example", 443),
                protocol="sni",
                hints={"user": "u", "sni": "www.example", "alpn": "h2,http/1.1"},
                layers=("outer", "sni"),
            ),
            step.info,
        )
        self.assertEqual(b"", asked.accept())
        self.assertEqual(Step(), asked.login(None))

    def test_everySplit(self) -> None:
        """
        However a ClientHello is cut into chunks and records, all of its bytes come out again.
        """
        whole = message(body(sni(b"wiki.corp"), alpn(b"h2"), versions(0x7A7A, 0x0304)))
        for size in (1, 7, 100, 16384):
            data = records(whole, size)
            for cut in range(1, len(data)):
                asked = negotiation()
                first = asked.receive(data[:cut])
                self.assertEqual(Step(), first)
                step = asked.receive(data[cut:])
                self.assertEqual((True, data), (step.done, step.rest))
            asked = negotiation()
            steps = [asked.receive(byte) for byte in singles(data)]
            self.assertEqual([Step()] * (len(data) - 1), steps[:-1])
            self.assertEqual(data, steps[-1].rest)

    def test_grease(self) -> None:
        """
        What is there to keep servers flexible makes no difference.
        """
        data = hello(
            extension(0x1A1A, b"\x00"), sni(b"a.corp"), alpn(b"\x5a\x5a", b"h2"), extension(0xFAFA, b"")
        )
        self.assertEqual("a.corp:443", self.target(data))

    def test_ech(self) -> None:
        """
        With an encrypted hello the outer name counts, and a hint says that it is one.
        """
        step = negotiation().receive(hello(sni(b"www.example"), extension(0xFE0D, b"\x00secret")))
        assert step.info is not None
        self.assertEqual(Target("www.example", 443), step.info.target)
        self.assertEqual("outer", step.info.hints["ech"])
        error = self.refused(hello(sni(b"public.example"), extension(0xFE0D, b"\x00secret")))
        self.assertEqual(UNRECOGNIZED, error.reply)

    def test_outbound(self) -> None:
        """
        Istio's form has its own port; tenants are found by the host in it.
        """
        step = negotiation().receive(hello(sni(b"outbound_.8080_.v2_.web.ns.svc.cluster.local")))
        assert step.info is not None
        self.assertEqual(Target("web.ns.svc.cluster.local", 8080), step.info.target)
        self.assertEqual(
            ("web.ns.svc.cluster.local", "v2"), (step.info.hints["sni"], step.info.hints["subset"])
        )
        self.assertEqual("wiki.corp:443", self.target(hello(sni(b"outbound_.443_._.wiki.corp"))))
        error = self.refused(hello(sni(b"outbound_.22_._.wiki.corp")))
        self.assertIn("add wiki.corp\\:22 to its names=", str(error))

    def test_mesh(self) -> None:
        """
        The name of a node of the mesh is a name like any other.
        """
        name = f"{'a' * 52}.default.cluster.local"
        listed = Listed(ServerNames("*.default.cluster.local", 443))
        self.assertEqual(f"{name}:443", self.target(hello(sni(name.upper().encode())), listed))

    def test_otherPort(self) -> None:
        """
        A name that is listed with another port alone stands for that one.
        """
        listed = Listed(ServerNames("db.corp:5432,*.corp", 443))
        for name, target in ((b"db.corp", "db.corp:5432"), (b"web.corp", "web.corp:443")):
            step = negotiation(listed).receive(hello(sni(name)))
            assert step.info is not None
            self.assertEqual(target, str(step.info.target))

    def test_notListed(self) -> None:
        """
        Anything else is refused by an alert that says so, and the log says what to add.
        """
        for name in (b"example", b"a.www.example", b"corp", b"xcorp", b"localhost"):
            error = self.refused(hello(sni(name)))
            self.assertEqual(UNRECOGNIZED, error.reply)
            self.assertIn(f"add {name.decode()} to its names=", str(error))

    def test_noName(self) -> None:
        """
        No name goes to the default, if there is one.
        """
        for data in (realHello(None), hello(), hello(alpn(b"h2"))):
            error = self.refused(data)
            self.assertEqual(UNRECOGNIZED, error.reply)
            self.assertIn("default=HOST\\:PORT", str(error))
            self.assertEqual("[::1]:8443", self.target(data, Listed(LISTED.names, 443, Target("::1", 8443))))

    def test_addresses(self) -> None:
        """
        Addresses are no names (RFC 6066, 3), in no notation, and neither is what has odd characters;
        not even the default is for these.
        """
        listed = Listed(LISTED.names, 443, Target("default", 1))
        for name in (
            b"127.0.0.1",
            b"127.1",
            b"0x7f000001",
            b"2130706433",
            b"a.1",
            b"outbound_.80_._.10.0.0.1",
        ):
            self.assertEqual(UNRECOGNIZED, self.refused(hello(sni(name)), listed).reply, name)
        for name in (b"::1", b"a:1", b"a..corp", b"-.corp", b"~.corp", b"a,b.corp", b"*.corp"):
            self.assertEqual(UNRECOGNIZED, self.refused(hello(sni(name)), listed).reply, name)
        for name in (b"a b.corp", b"a\x00.corp", b"a\xff.corp", b"a/.corp", b"%61.corp", b"."):
            self.assertEqual(alertRecord(Alert.ILLEGAL_PARAMETER), self.refused(hello(sni(name))).reply, name)

    def test_alpn(self) -> None:
        """
        One of the protocols that are wanted must be offered, with any name and with none.
        """
        listed = Listed(LISTED.names, 443, Target("default", 1), (b"h2", b"http/1.1"))
        for offered in (alpn(b"h2"), alpn(b"h3", b"http/1.1")):
            self.assertEqual("a.corp:443", self.target(hello(sni(b"a.corp"), offered), listed))
            self.assertEqual("default:1", self.target(hello(offered), listed))
        for data in (hello(sni(b"a.corp"), alpn(b"h3")), hello(sni(b"a.corp")), hello(alpn(b"H2"))):
            error = self.refused(data, listed)
            self.assertEqual(alertRecord(Alert.NO_APPLICATION_PROTOCOL), error.reply)
            self.assertIn("alpn=", str(error))

    def test_understood(self) -> None:
        """
        TLS clients read the alerts as what they are.
        """
        for alert in (Alert.UNRECOGNIZED_NAME, Alert.NO_APPLICATION_PROTOCOL, Alert.ACCESS_DENIED):
            context = ssl.create_default_context()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(incoming, outgoing, server_hostname="x.example")
            self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
            incoming.write(alertRecord(alert))
            error = self.assertRaises(ssl.SSLError, client.do_handshake)
            self.assertIn(alert.name, str(error).upper().replace(" ", "_"))

    def test_refuse(self) -> None:
        """
        What is refused later is so by an alert, too.
        """
        for reason, alert in (
            (Denied("a"), Alert.ACCESS_DENIED),
            (Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, "a"), Alert.UNRECOGNIZED_NAME),
            (Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "a"), Alert.INTERNAL_ERROR),
        ):
            self.assertEqual(alertRecord(alert), negotiation().refuse(reason))

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.binary(max_size=60), max_size=8))
    def test_anything(self, chunks: list[bytes]) -> None:
        """
        Whatever comes, it is a step or an error of ours.
        """
        asked = negotiation()
        for chunk in [b"\x16\x03\x01", *chunks]:
            try:
                if asked.receive(chunk).done:
                    break
            except ProtocolError:
                break


class MangledTests(SynchronousTestCase):
    """
    A listener and clients with broken ClientHellos.
    """

    def test_mangled(self) -> None:
        """
        Of ten thousand each is passed on whole, told by an alert, cut, or waits for more until its time
        is over; then nothing is left.
        """
        net = Net()
        factory = Recorders()
        endpoint: Any = serverFromString(net, "sni:tcp:443:names=www.example,*.corp:handshake=5")
        self.successResultOf(endpoint.listen(factory))
        served: Any = net.tcpServers[-1][1]
        passed = told = cut = 0
        waiting = []
        with capturedLogs() as events:
            for data in mangled(17, MANGLED):
                host = served.buildProtocol(CLIENT)
                wire = StringTransport(LISTENER, CLIENT)
                host.makeConnection(wire)
                half = len(data) // 2
                before = len(factory.made)
                host.dataReceived(data[:half])
                if not wire.disconnecting and not wire.disconnected:
                    host.dataReceived(data[half:])
                if len(factory.made) > before:
                    passed += 1
                    self.assertEqual(data, factory.made[-1].got)
                    host.connectionLost(_GONE)
                elif wire.value():
                    told += 1
                    self.assertEqual((b"\x15\x03\x03\x00\x02\x02", 7), (wire.value()[:6], len(wire.value())))
                    waiting.append((host, wire))
                elif wire.disconnected:
                    cut += 1
                    host.connectionLost(_GONE)
                else:
                    waiting.append((host, wire))
            self.assertTrue(min(passed, told, cut, len(waiting) - told) > 50)
            net.advance(5)
            net.advance(5)
            for host, wire in waiting:
                self.assertTrue(wire.disconnected)
                host.connectionLost(_GONE)
        self.assertEqual((0, 0), (len(served.deadlines), len(served.lingering)))
        self.assertFalse([event for event in events if "log_failure" in event])
