# -*- test-case-name: ugate.test.test_servers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.servers}.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from zope.interface.verify import verifyObject

from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.servers import HANDSHAKE, PATIENCE, SERVERS, HttpFactory
from ugate.errors import StringError
from ugate.interfaces import Auth
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.stream import Principal, StreamInfo, Target
from ugate.test.dialfakes import CLIENT, LISTENER, Net, Recorder, Recorders
from ugate.test.hellofakes import alpn, hello, sni
from ugate.test.test_dialing import FakeTenant

SOCKS5 = b"\x05\x01\x00" + b"\x05\x01\x00\x03\x07db.corp\x15\x38"
SOCKS4 = b"\x04\x01\x15\x38\x00\x00\x00\x01\x00db.corp\x00"
CONNECT = b"CONNECT db.corp:5432 HTTP/1.1\r\nHost: db.corp:5432\r\n\r\n"
GET = b"GET http://db.corp:5432/ HTTP/1.1\r\nHost: db.corp:5432\r\n"
PROXY = b"PROXY TCP4 203.0.113.9 198.51.100.1 7777 1080\r\n"


class ServerTests(SynchronousTestCase):
    """
    Listeners in memory.
    """

    def setUp(self) -> None:
        """
        A reactor, and what serves the streams.
        """
        self.net = Net()
        self.factory = Recorders()
        self.infos: list[Any] = []
        build = self.factory.buildProtocol

        def recording(addr: Any) -> Recorder:
            self.infos.append(addr)
            return build(addr)

        self.patch(self.factory, "buildProtocol", recording)

    def listen(self, *prefixes: str, **own: str) -> IStreamServerEndpoint:
        """
        Listen with the prefixes, the first of which has the keywords.
        """
        endpoint: IStreamServerEndpoint = TCP4ServerEndpoint(self.net, 1080, interface="127.0.0.1")
        for prefix in reversed(prefixes):
            keywords = own if prefix is prefixes[0] else {}
            endpoint = SERVERS[prefix].build(self.net, endpoint, keywords)
            self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
        self.successResultOf(endpoint.listen(self.factory))
        return endpoint

    def accept(self, *chunks: bytes) -> StringTransport:
        """
        A client that says something.
        """
        protocol: Any = self.net.tcpServers[-1][1].buildProtocol(CLIENT)
        transport = StringTransport(LISTENER, CLIENT)
        protocol.makeConnection(transport)
        for chunk in chunks:
            protocol.dataReceived(chunk)
        return transport

    def assertStream(self, protocol: str, target: Target | None = Target("db.corp", 5432)) -> StreamInfo:  # noqa: B008
        """
        The one stream so far is of that protocol and wants to go there.
        """
        (info,) = self.infos
        assert isinstance(info, StreamInfo)
        self.assertEqual((info.protocol, info.target, info.peer), (protocol, target, CLIENT))
        self.infos.clear()
        return info

    def test_single(self) -> None:
        """
        Each prefix serves its protocol.
        """
        for prefix, said, protocol in (
            ("socks", SOCKS5, "socks5"),
            ("socks4", SOCKS4, "socks4"),
            ("connect", CONNECT, "connect"),
        ):
            self.listen(prefix)
            self.accept(said[:3], said[3:] + b"hello")
            self.assertStream(protocol)
            self.assertEqual(self.factory.made[-1].got, b"hello")

    def test_auto(self) -> None:
        """
        One port tells them apart.
        """
        self.listen("auto")
        for said, protocol in ((SOCKS5, "socks5"), (SOCKS4, "socks4"), (CONNECT, "connect")):
            self.accept(said[:3], said[3:])
            self.assertStream(protocol)

    def test_http(self) -> None:
        """
        A request with a whole URI is served beside, as a stream to its host; with
        and without a port of its own.
        """
        for prefix in ("connect", "auto"):
            self.listen(prefix)
            self.accept(GET + b"\r\n")
            self.assertStream("http")

    def test_proxyproto(self) -> None:
        """
        A PROXY header tells who the client is, below any other prefix.
        """
        for prefix in ("socks", "auto"):
            self.listen(prefix, "proxyproto")
            self.accept(PROXY + SOCKS5[:3], SOCKS5[3:])
            (info,) = self.infos
            self.infos.clear()
            self.assertEqual(info.peer, IPv4Address("TCP", "203.0.113.9", 7777))
            self.assertEqual((info.target, info.protocol), (Target("db.corp", 5432), "socks5"))

    def test_forward(self) -> None:
        """
        Every stream goes to one place, also when the client waits for the server.
        """
        self.listen("forward", to="[::1]:22")
        self.accept()
        self.assertStream("forward", Target("::1", 22))
        error = self.assertRaises(StringError, self.listen, "forward")
        self.assertIn("to=HOST\\:PORT", str(error))

    def test_sni(self) -> None:
        """
        TLS goes where its name says, if that is listed, also behind a PROXY header.
        """
        data = hello(sni(b"wiki.corp"), alpn(b"h2"))
        self.listen("sni", names="*.corp", alpn="h2, http/1.1", port="8443")
        self.accept(data[:20], data[20:])
        self.assertStream("sni", Target("wiki.corp", 8443))
        self.assertEqual(data, self.factory.made[-1].got)
        self.assertEqual(alertRecord(Alert.UNRECOGNIZED_NAME), self.accept(hello(sni(b"x"))).value())
        self.listen("sni", names="a", default="[::1]:22")
        self.accept(hello())
        self.assertStream("sni", Target("::1", 22))

    def test_sniMistakes(self) -> None:
        """
        What is missing or cannot be is said.
        """
        for own, what in (
            ({}, "names=HOST"),
            ({"names": "*"}, "proves nothing"),
            ({"names": "a", "port": "0"}, "from 1 to 65535"),
            ({"names": "a", "port": "x"}, "from 1 to 65535"),
            ({"names": "a", "port": "70000"}, "from 1 to 65535"),
            ({"names": "a", "alpn": ""}, "as in h2,http/1.1"),
            ({"names": "a", "alpn": "h2,"}, "as in h2,http/1.1"),
            ({"names": "a", "alpn": "h\xe42"}, "as in h2,http/1.1"),
            ({"names": "a", "default": "b"}, "default=localhost"),
        ):
            self.assertIn(what, str(self.assertRaises(StringError, self.listen, "sni", **own)))

    def test_fixed(self) -> None:
        """
        What passes through goes to the place that its keyword names.
        """
        self.listen("auto", ssh="bastion:22", h2c="[::1]:8080")
        self.accept(b"SSH-2.0-x\r\n")
        self.assertStream("ssh", Target("bastion", 22))
        self.accept(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.assertStream("h2c", Target("::1", 8080))
        # A handshake record, but not a whole ClientHello.
        self.listen("auto", tls="web:443")
        self.accept(b"\x16\x03\x01\x02\x00\x01")
        self.assertEqual(self.infos, [])

    def test_origin(self) -> None:
        """
        Who takes the port for a web site is served by C{http}, if there is one.
        """
        for prefix in ("connect", "auto"):
            self.listen(prefix)
            transport = self.accept(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n")
            self.assertIn(b"This port is a proxy", transport.value())
            self.assertEqual(self.infos, [])
            self.listen(prefix, http="localhost:8080")
            self.accept(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n")
            self.assertStream("http-origin", Target("localhost", 8080))

    def test_silent(self) -> None:
        """
        A client that says nothing goes to C{silent} after a while.
        """
        for own, wait in (({}, PATIENCE), ({"wait": "3.5"}, 3.5)):
            self.listen("auto", silent="mail:25", **own)
            self.accept()
            self.net.advance(wait - 0.1)
            self.assertEqual(self.infos, [])
            self.net.advance(0.2)
            self.assertStream("silent", Target("mail", 25))

    def test_handshake(self) -> None:
        """
        A client has so many seconds to say what it wants.
        """
        for prefix in ("socks", "socks4", "connect", "proxyproto", "auto"):
            for own, limit in (({}, HANDSHAKE), ({"handshake": "2"}, 2.0)):
                self.listen(prefix, **own)
                transport = self.accept()
                self.net.advance(limit - 0.1)
                self.assertFalse(transport.disconnecting, prefix)
                self.net.advance(0.2)
                self.assertTrue(transport.disconnecting, prefix)

    def test_handshakeOfTenant(self) -> None:
        """
        A tenant says how long that is.
        """
        tenant = FakeTenant(self.net, {})
        tenant.handshake = 4.0
        self.net._tenant = tenant
        self.listen("socks")
        transport = self.accept()
        self.net.advance(3.9)
        self.assertFalse(transport.disconnecting)
        self.net.advance(0.2)
        self.assertTrue(transport.disconnecting)

    def test_keywords(self) -> None:
        """
        A bad value is named, with the wanted shape.
        """
        for prefix, own, said in (
            ("socks", {"handshake": "0"}, "handshake=0: wanted seconds"),
            ("socks", {"handshake": "3601"}, "at most 3600"),
            ("auto", {"handshake": "soon"}, "handshake=soon"),
            ("auto", {"silent": "a:1", "wait": "nan"}, "wait=nan"),
            ("auto", {"wait": "1"}, "silent=HOST\\:PORT says where they go"),
            ("auto", {"tls": "web"}, "tls=: 'web': wanted HOST:PORT"),
            ("auto", {"ssh": "a:b:1"}, "ssh=:"),
            ("connect", {"http": "x:0"}, "as in http=localhost\\:8080"),
        ):
            endpoint = TCP4ServerEndpoint(self.net, 1080)
            error = self.assertRaises(StringError, SERVERS[prefix].build, self.net, endpoint, own)
            self.assertIn(said, str(error))


class FakeListener:
    """
    Knows alice.
    """

    auth = Auth.REQUIRED

    def login(self, credentials: ICredentials) -> Principal:
        """
        Who that is.
        """
        given = IUsernamePassword(credentials)
        if (given.username, given.password) != (b"alice", b"secret"):
            raise UnauthorizedLogin
        return Principal("alice", "password")


class HttpFactoryTests(SynchronousTestCase):
    """
    Requests of an HTTP proxy beside streams.
    """

    def test_interface(self) -> None:
        """
        It is a factory, which tells the one within when it begins and ends.
        """
        inner = Recorders()
        factory = HttpFactory(inner, Net(), FakeListener())
        self.assertTrue(verifyObject(IProtocolFactory, factory))
        factory.doStart()
        self.assertEqual(inner.numPorts, 1)
        factory.doStop()
        self.assertEqual(inner.numPorts, 0)

    def test_login(self) -> None:
        """
        Each request is held to the mode of the listener and its logins, as they are
        when the client comes.
        """
        inner, listener = Recorders(), FakeListener()
        factory = HttpFactory(inner, Net(), listener)
        info = StreamInfo(CLIENT, LISTENER, protocol="http")
        for fields, mode, said in (
            (b"", Auth.REQUIRED, b"HTTP/1.1 407 "),
            (b"alice:wrong", Auth.REQUIRED, b"HTTP/1.1 407 "),
            (b"alice:secret", Auth.REQUIRED, b""),
            (b"", Auth.NONE, b""),
        ):
            listener.auth = mode
            login = b"Proxy-Authorization: Basic " + b64encode(fields) + b"\r\n" if fields else b""
            protocol = factory.buildProtocol(info)
            assert protocol is not None
            transport = StringTransport()
            protocol.makeConnection(transport)
            protocol.dataReceived(GET + login + b"\r\n")
            self.assertEqual(transport.value()[: len(said)], said)
            self.assertEqual(len(inner.made), 0 if said else 1)
            inner.made.clear()

    def test_streams(self) -> None:
        """
        All else is for the factory within.
        """
        inner = Recorders()
        factory = HttpFactory(inner, Net(), FakeListener())
        for address in (CLIENT, StreamInfo(CLIENT, LISTENER, protocol="http-origin")):
            self.assertEqual([factory.buildProtocol(address)], inner.made[-1:])
