# -*- test-case-name: ugate.test.test_upstream -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.upstream}.
"""

from __future__ import annotations

import os
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.direct import Direct
from ugate.endpoints.hops import Hop
from ugate.endpoints.upstream import MAX_PASSWORD, Announced, Upstream, loginOf
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer, INegotiation, Step
from ugate.stream import Principal, StreamInfo, Target
from ugate.test.dialfakes import CLIENT, LISTENER, FakeDialer, FakeEndpoint, Net, Recorders, streamTo

INFO = streamTo("db.corp:5432")
HOP = Hop("socks", "10.0.0.1", 1080)


@implementer(INegotiation)
class Asking:
    """
    A protocol in which a client asks in one line, and C{OK} is the only good answer.
    """

    def __init__(self, target: Target, login: UsernamePassword | None, hop: str) -> None:
        if target.host == "unspeakable":
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, hop, "cannot be said")
        who = b"" if login is None else b" as %b/%b" % (login.username, login.password)
        self._hello = f"want {target}".encode() + who + b"\n"
        self._hop = hop
        self._got = b""

    def start(self) -> bytes:
        return self._hello

    def receive(self, data: bytes) -> Step:
        self._got += data
        line, newline, rest = self._got.partition(b"\n")
        if not newline:
            return Step()
        if line != b"OK":
            raise Refused(Cause.DENIED, Phase.REMOTE, self._hop, line.decode())
        return Step(done=True, rest=rest)

    def login(self, principal: Principal | None) -> Step:
        return Step()

    def accept(self) -> bytes:
        return b""

    def refuse(self, reason: Refused) -> bytes:
        return b""


class LoginTests(SynchronousTestCase):
    """
    Where a password comes from.
    """

    def login(self, **fields: str) -> tuple[bytes, bytes] | None:
        """
        The user and the password.
        """
        login = loginOf(Hop("socks", "p", 1, **fields))  # type: ignore[arg-type]
        return None if login is None else (login.username, login.password)

    def refused(self, **fields: str) -> str:
        """
        Why there is none.
        """
        refused = self.assertRaises(Refused, self.login, **fields)
        self.assertEqual(
            (refused.cause, refused.phase, refused.hop), (Cause.AUTHENTICATION, Phase.AUTH, "socks:p:1")
        )
        return str(refused)

    def test_none(self) -> None:
        """
        Without a user there is no login; a user alone has an empty password.
        """
        self.assertIsNone(self.login())
        self.assertEqual(self.login(user="mé"), ("mé".encode(), b""))

    def test_file(self) -> None:
        """
        A file is read each time, without the end of its line.
        """
        path = self.mktemp()
        for content, password in ((b"one\n", b"one"), (b"two\r\n", b"two"), (b" x y ", b" x y ")):
            with open(path, "wb") as file:
                file.write(content)
            self.assertEqual(self.login(user="me", passwordFile=path), (b"me", password))
        with open(path, "wb") as file:
            file.write(b"x" * MAX_PASSWORD)
        self.assertEqual(self.login(user="me", passwordFile=path), (b"me", b"x" * MAX_PASSWORD))
        with open(path, "ab") as file:
            file.write(b"y")
        self.assertIn(f"over {MAX_PASSWORD} bytes", self.refused(user="me", passwordFile=path))

    def test_noFile(self) -> None:
        """
        The error names the file and what is wrong with it.
        """
        path = self.mktemp()
        said = self.refused(user="me", passwordFile=path)
        self.assertIn(f"passwordFile={path}: No such file", said)
        self.assertIn("let it hold the password", said)
        os.mkdir(path)
        self.assertIn("directory", self.refused(user="me", passwordFile=path))

    def test_environment(self) -> None:
        """
        A variable of the environment.
        """
        self.patch(os, "environ", {"PROXY_PASSWORD": "hunter2"})
        self.assertEqual(self.login(user="me", passwordEnv="PROXY_PASSWORD"), (b"me", b"hunter2"))
        self.assertIn("passwordEnv=NONE: no such variable", self.refused(user="me", passwordEnv="NONE"))


class UpstreamTests(SynchronousTestCase):
    """
    Through a proxy.
    """

    def setUp(self) -> None:
        """
        A network, and what wants to connect.
        """
        self.net = Net({"proxy.corp": ["10.0.0.1"]})
        self.factory = Recorders()

    def upstream(self, hop: Hop = HOP, via: Any = None) -> Upstream:
        """
        The dialer of a hop.
        """
        return Upstream(self.net, hop, Asking, Direct(self.net) if via is None else via)

    def refused(self, connected: Any) -> Refused:
        """
        The refusal that it failed with; nothing is left behind.
        """
        refused = self.failureResultOf(connected, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual(self.net.timers, 0)
        return refused

    def test_interface(self) -> None:
        """
        It is a dialer.
        """
        self.assertTrue(verifyObject(IDialer, self.upstream()))

    def test_through(self) -> None:
        """
        The proxy is dialed and asked for the target by its name; what it says after
        that is for the stream.
        """
        connected = self.upstream().endpointFor(INFO).connect(self.factory)
        self.assertEqual(self.net.dialed, ["10.0.0.1:1080"])
        transport = self.net.up()
        self.assertEqual(transport.value(), b"want db.corp:5432\n")
        self.assertEqual(self.factory.made, [])
        transport.protocol.dataReceived(b"OK\nhello")  # type: ignore[attr-defined]
        self.assertEqual([self.successResultOf(connected)], self.factory.made)
        self.assertEqual(self.factory.made[0].got, b"hello")
        self.assertEqual(self.net.timers, 0)

    def test_twice(self) -> None:
        """
        An endpoint connects as often as it is told to.
        """
        endpoint = self.upstream().endpointFor(INFO)
        for _ in range(2):
            connected = endpoint.connect(self.factory)
            transport = self.net.up()
            transport.protocol.dataReceived(b"OK\n")  # type: ignore[attr-defined]
            self.successResultOf(connected)

    def test_login(self) -> None:
        """
        The proxy is told who asks.
        """
        self.patch(os, "environ", {"P": "hunter2"})
        hop = Hop("socks", "10.0.0.1", 1080, user="me", passwordEnv="P")
        self.upstream(hop).endpointFor(INFO).connect(self.factory)
        self.assertEqual(self.net.up().value(), b"want db.corp:5432 as me/hunter2\n")

    def test_beforeDialing(self) -> None:
        """
        What can be known to fail fails before anything is dialed.
        """
        dialer = self.upstream(Hop("socks", "10.0.0.1", 1080, user="me", passwordFile="/nonexistent"))
        self.assertIs(self.assertRaises(Refused, dialer.endpointFor, INFO).cause, Cause.AUTHENTICATION)
        for info in (streamTo("unspeakable:1"), StreamInfo(CLIENT, LISTENER)):
            self.assertIs(
                self.assertRaises(Refused, self.upstream().endpointFor, info).cause, Cause.UNSUPPORTED
            )
        self.assertEqual(self.net.dialed, [])

    def test_proxySaysNo(self) -> None:
        """
        The refusal of the proxy names the hop, and its connection is closed.
        """
        connected = self.upstream().endpointFor(INFO).connect(self.factory)
        transport = self.net.up()
        transport.protocol.dataReceived(b"NO MAIL\n")  # type: ignore[attr-defined]
        refused = self.refused(connected)
        self.assertEqual(
            (refused.cause, refused.phase, refused.hop, refused.detail),
            (Cause.DENIED, Phase.REMOTE, "socks:10.0.0.1:1080", "NO MAIL"),
        )
        self.assertTrue(transport.disconnecting)

    def test_noProxy(self) -> None:
        """
        When the proxy cannot be reached the refusal names the hop, not an address
        that the config does not have.
        """
        for host, hop in (("10.0.0.1", "socks:10.0.0.1:1080"), ("proxy.corp", "socks:proxy.corp:1080")):
            connected = self.upstream(Hop("socks", host, 1080)).endpointFor(INFO).connect(self.factory)
            self.net.down(ConnectionRefusedError())
            refused = self.refused(connected)
            self.assertEqual(
                (refused.cause, refused.phase, refused.hop), (Cause.CONNECTION_REFUSED, Phase.CONNECT, hop)
            )

    def test_proxyDenied(self) -> None:
        """
        A denied address of a proxy is a denial that names the hop.
        """
        self.net.forbidden["10.0.0.1"] = Denied("10.0.0.1:1080", "a private address")
        refused = self.refused(self.upstream().endpointFor(INFO).connect(self.factory))
        assert isinstance(refused, Denied)
        self.assertEqual((refused.hop, refused.detail), ("socks:10.0.0.1:1080", "a private address"))

    def test_deadline(self) -> None:
        """
        A proxy that does not answer has the time of the hop.
        """
        connected = (
            self.upstream(Hop("socks", "10.0.0.1", 1080, timeout=2.0)).endpointFor(INFO).connect(self.factory)
        )
        self.net.up()
        self.net.advance(1.9)
        self.assertNoResult(connected)
        self.net.advance(0.2)
        refused = self.refused(connected)
        self.assertEqual((refused.cause, refused.hop), (Cause.TIMED_OUT, "socks:10.0.0.1:1080"))

    def test_viaDialer(self) -> None:
        """
        Another dialer is asked for the proxy; its refusals stay its own, unless they
        are about the proxy itself.
        """
        via = FakeDialer()
        connected = self.upstream(via=via).endpointFor(INFO).connect(self.factory)
        self.assertEqual(via.asked, [INFO.but(target=Target("10.0.0.1", 1080))])
        there = Refused(Cause.AUTHENTICATION, Phase.AUTH, "connect:gw:3128")
        via.endpoint.down(there)
        self.assertIs(self.refused(connected), there)
        via.refused = there
        self.assertIs(self.assertRaises(Refused, self.upstream(via=via).endpointFor, INFO), there)
        via.refused = Denied("10.0.0.1:1080", "no route")
        denied = self.assertRaises(Denied, self.upstream(via=via).endpointFor, INFO)
        self.assertEqual(denied.hop, "socks:10.0.0.1:1080")

    def test_viaEndpoint(self) -> None:
        """
        Any client endpoint can lead to the proxy; what it fails with names the hop.
        """
        via = FakeEndpoint()
        connected = self.upstream(via=via).endpointFor(INFO).connect(self.factory)
        self.assertEqual(via.up().value(), b"want db.corp:5432\n")
        self.assertEqual(self.net.dialed, [])
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        connected = self.upstream(via=via).endpointFor(INFO).connect(self.factory)
        via.down(FileNotFoundError(2, "No such file or directory"))
        refused = self.refused(connected)
        self.assertEqual(
            (refused.cause, refused.hop, refused.detail),
            (Cause.CONNECTION_REFUSED, "socks:10.0.0.1:1080", ""),
        )

    def test_cancel(self) -> None:
        """
        Cancelling stops the connection to the proxy, or closes it.
        """
        connected = self.upstream().endpointFor(INFO).connect(self.factory)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertTrue(self.net.connectors[0].stoppedConnecting)
        connected = self.upstream().endpointFor(INFO).connect(self.factory)
        transport = self.net.up()
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.net.timers, 0)

    def test_explain(self) -> None:
        """
        The way to the proxy, and what it is asked for.
        """
        self.assertEqual(
            self.upstream(Hop("connect", "gw", 443, tls=True, user="me"), FakeDialer(name="way")).explain(
                INFO
            ),
            ["way to gw:443", "ask connect:gw:443 for db.corp:5432 in HTTP CONNECT over TLS, as me"],
        )
        self.assertEqual(
            self.upstream(Hop("socks", "p", 1, via="unix:/x"), FakeEndpoint()).explain(INFO),
            ["connect to socks:p:1 by unix:/x", "ask socks:p:1 for db.corp:5432 in SOCKS5"],
        )


class AnnouncedTests(SynchronousTestCase):
    """
    A PROXY header in front.
    """

    def setUp(self) -> None:
        """
        A dialer, and what wants to connect.
        """
        self.net = Net()
        self.factory = Recorders()
        self.dialer = FakeDialer(name="way")

    def header(self, info: StreamInfo, version: int = 1) -> bytes:
        """
        What is sent first.
        """
        announced = Announced(self.net, self.dialer, version)
        self.assertTrue(verifyObject(IDialer, announced))
        connected = announced.endpointFor(info).connect(self.factory)
        transport = self.dialer.endpoint.up()
        # The receiver does not answer.
        self.successResultOf(connected)
        self.assertEqual(self.net.timers, 0)
        header: bytes = transport.value()
        return header

    def test_header(self) -> None:
        """
        The header tells the client, and what it had connected to.
        """
        self.assertEqual(self.header(INFO), b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 1080\r\n")
        self.assertIn(bytes((192, 0, 2, 7, 198, 51, 100, 1)), self.header(INFO, 2))

    def test_ours(self) -> None:
        """
        A stream of our own has no client to tell of.
        """
        ours = StreamInfo(UNIXAddress(None), UNIXAddress(None), INFO.target)
        self.assertEqual(self.header(ours), b"PROXY UNKNOWN\r\n")
        self.assertEqual(self.header(ours, 2)[12:], b"\x20\0\0\0")

    def test_refused(self) -> None:
        """
        Refusals of the way are passed on.
        """
        announced = Announced(self.net, self.dialer, 2)
        connected = announced.endpointFor(INFO).connect(self.factory)
        refused = Refused(Cause.TIMED_OUT, Phase.CONNECT, "db.corp:5432")
        self.dialer.endpoint.down(refused)
        self.assertIs(self.failureResultOf(connected, Refused).value, refused)
        self.dialer.refused = refused
        self.assertIs(self.assertRaises(Refused, announced.endpointFor, INFO), refused)
        self.assertRaises(Refused, announced.endpointFor, StreamInfo(CLIENT, LISTENER))

    def test_explain(self) -> None:
        """
        The way, and the header.
        """
        announced = Announced(self.net, self.dialer, 2)
        self.assertEqual(
            announced.explain(INFO),
            ["way to db.corp:5432", "send a PROXY header v2 that names the client"],
        )
        ours = StreamInfo(UNIXAddress(None), UNIXAddress(None), INFO.target)
        self.assertIn("names nobody", announced.explain(ours)[-1])
