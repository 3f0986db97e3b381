# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.ending}, and for what L{ugate.protocols.sni} leaves to a handshake.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.ending import Certificates, EndingServerEndpoint
from ugate.errors import Cause, Phase, ProtocolError, Refused, StringError
from ugate.interfaces import Auth, IDetachable
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.protocols.servernames import Listed, ServerNames
from ugate.protocols.sni import Sni
from ugate.stream import Principal, StreamInfo, Target
from ugate.test.dialfakes import CLIENT, LISTENER, Recorders
from ugate.test.hellofakes import alpn, extension, hello, realHello, sni
from ugate.test.mtlsfakes import ALICE, OTHER, ROOT, Below, Client
from ugate.test.test_sni import MANGLED, mangled
from ugate.test.tlsfakes import FakeIdentity, FakeTenant, FakeTrust, Logged

WEB = ROOT.identity("www.corp", "shop.corp", "web.ns.svc.cluster.local")
ENDS = r"*.corp,web.ns.svc.cluster.local:1-65535"
NAMES = "pass.corp,*.example"
UNRECOGNIZED = alertRecord(Alert.UNRECOGNIZED_NAME)


def listed(ends: str = ENDS, names: str | None = NAMES, **more: Any) -> Listed:
    """
    What a listener lists.
    """
    passing = None if names is None else ServerNames(names, 443)
    return Listed(passing, ends=ServerNames(ends, 443, "ends"), **more)


class EndingTests(SynchronousTestCase):
    """
    A listener, and clients of OpenSSL.
    """

    def setUp(self) -> None:
        self.tenant = FakeTenant(WEB, FakeTrust(ROOT))
        self.listen()

    def listen(self, which: Listed | None = None, **options: Any) -> None:
        """
        Listen, in that way.
        """
        self.below = Below()
        self.streams = Recorders()
        self.endpoint = EndingServerEndpoint(self.tenant.clock, self.below, which or listed(), **options)
        self.successResultOf(self.endpoint.listen(self.streams))

    def client(self, name: str = "www.corp", identity: FakeIdentity | None = None, *alpn: bytes) -> Client:
        """
        A client, maybe with a certificate.
        """
        context = SSL.Context(SSL.TLS_METHOD) if identity is None else identity.context()
        if alpn:
            context.set_alpn_protos(list(alpn))
        return Client(self.below, context, sni=name)

    def info(self) -> StreamInfo:
        """
        What is known of the last stream.
        """
        stream: Any = self.streams.made[-1]
        info = stream.transport.getPeer()
        assert isinstance(info, StreamInfo)
        return info

    def told(self, client: Client) -> str:
        """
        What the log says of a client that is not let in.
        """
        before = len(self.streams.made)
        with Logged() as logged:
            client.pump()
        self.assertEqual(before, len(self.streams.made))
        (line,) = logged.lines
        return line

    def test_ends(self) -> None:
        """
        A name that is ours ends here: what is inside comes out, both ways, with that name as its target.
        """
        client = self.client().pump().send(b"hello")
        self.assertEqual("", client.error)
        self.assertEqual(b"hello", self.streams.made[0].got)
        info = self.info()
        self.assertEqual((Target("www.corp", 443), "sni"), (info.target, info.protocol))
        self.assertEqual((None, {"sni": "www.corp"}), (info.principal, dict(info.hints)))
        self.assertEqual((("sni", "ended"), CLIENT, LISTENER), (info.layers, info.peer, info.host))
        stream: Any = self.streams.made[0]
        stream.transport.write(b"welcome")
        self.tenant.clock.advance(0)
        self.assertEqual(b"welcome", client.pump().received)
        certificate = client.connection.get_peer_certificate(as_cryptography=True)
        self.assertEqual(WEB.certificate, certificate)
        self.assertIsNone(IDetachable(stream.transport, None))

    def test_serverFirst(self) -> None:
        """
        The server inside may be the first to speak.
        """
        client = self.client().pump()
        stream: Any = self.streams.made[0]
        stream.transport.write(b"220 welcome\r\n")
        self.tenant.clock.advance(0)
        self.assertEqual(b"220 welcome\r\n", client.pump().received)

    def test_passes(self) -> None:
        """
        What is listed otherwise passes through, with all of its bytes, and can leave its socket.
        """
        for name in ("pass.corp", "a.example"):
            client = self.client(name).pump()
            stream = self.streams.made[-1]
            self.assertEqual(realHello(name)[:3], stream.got[:3])
            self.assertEqual((Target(name, 443), "sni"), (self.info().target, self.info().protocol))
            self.assertIn(name.encode(), stream.got)
            self.assertEqual(b"", client.wire.value())
            self.assertIsNone(client.server.negotiation.side)

    def test_bytes(self) -> None:
        """
        Byte by byte, and cut at every place of the ClientHello, it is the same.
        """
        self.client().pump(1).send(b"hello")
        self.assertEqual(b"hello", self.streams.made[0].got)
        self.client("pass.corp").pump(1)
        self.assertEqual(Target("pass.corp", 443), self.info().target)
        for name in ("www.corp", "pass.corp"):
            length = len(self._hello(self.client(name)))
            for cut in range(1, length):
                client = self.client(name)
                whole = self._hello(client)
                client.server.dataReceived(whole[:cut])
                client.server.dataReceived(whole[cut:])
                came = client.wire.value()
                client.wire.clear()
                if came:
                    client.connection.bio_write(came)
                client.pump()
                self.assertEqual(("", Target(name, 443)), (client.error, self.info().target), cut)

    def _hello(self, client: Client) -> bytes:
        with self.assertRaises(SSL.WantReadError):
            client.connection.do_handshake()
        return client._out()

    def test_exactness(self) -> None:
        """
        The entry with more labels decides, whichever list it is in; nobody may write the same in both.
        """
        both = listed("*.b.corp,www.corp", "*.corp,x.b.corp")
        for name, ends in (("www.corp", True), ("a.corp", False), ("a.b.corp", True), ("x.b.corp", False)):
            self.assertEqual(ends, both.find(Target(name, 443))[1], name)
        self.assertEqual(("", False), both.find(Target("www.corp", 80)))
        for own, others in (("a.corp", "b.corp,A.corp"), ("*.corp", "*.corp"), ("a:1-9", "a:9-10")):
            error = self.assertRaises(StringError, listed, own, others)
            self.assertIn("in ends= and in names=", str(error))
        self.assertEqual("*.corp:1", listed("*.corp:1", "*.corp:2").entryFor(Target("a.corp", 1)))
        self.assertEqual(8080, listed("www.corp:8080").portOf("www.corp"))
        self.assertEqual("pass.corp,*.example,*.corp,web.ns.svc.cluster.local:1-65535", str(listed()))

    def test_notListed(self) -> None:
        """
        Nothing else is served, and the log says what to add; nor is a name without a certificate.
        """
        client = self.client("other.test")
        self.assertIn(
            "add other.test to its names=, to let it pass through, or to its ends=", self.told(client)
        )
        self.assertIn("unrecognized name", client.error)
        client = self.client("none.corp")
        said = self.told(client)
        self.assertIn("no certificate of root has that name); put one into the folder", said)
        self.assertIn("unrecognized name", client.error)
        self.assertIn("default=HOST", self.told(self.client("")))

    def test_default(self) -> None:
        """
        Who asks for no name passes through to the default.
        """
        self.listen(listed(default=Target("default", 1)))
        self.client("").pump()
        self.assertEqual(Target("default", 1), self.info().target)

    def test_outbound(self) -> None:
        """
        Istio's form has the port, and the subset becomes a hint; the certificate is that of the host in it.
        """
        client = self.client("outbound_.8080_.v2_.web.ns.svc.cluster.local").pump().send(b"x")
        self.assertEqual(("", b"x"), (client.error, self.streams.made[0].got))
        info = self.info()
        self.assertEqual(Target("web.ns.svc.cluster.local", 8080), info.target)
        self.assertEqual({"sni": "web.ns.svc.cluster.local", "subset": "v2"}, dict(info.hints))
        self.client("outbound_.443_._.www.corp").pump()
        self.assertEqual(
            (Target("www.corp", 443), {"sni": "www.corp"}), (self.info().target, self.info().hints)
        )
        said = self.told(self.client("outbound_.22_._.www.corp"))
        self.assertIn("add www.corp\\:22 to its names=", said)

    def test_alpn(self) -> None:
        """
        The first of ours that is offered too is chosen and is the hint; who offers only others is told
        so, and who offers none has none.
        """
        self.listen(listed(alpn=(b"h2", b"http/1.1")))
        for offered, chosen in (((b"http/1.1", b"h2"), b"h2"), ((b"x", b"http/1.1"), b"http/1.1")):
            client = self.client("www.corp", None, *offered).pump()
            self.assertEqual(("", chosen), (client.error, client.connection.get_alpn_proto_negotiated()))
            self.assertEqual(chosen.decode(), self.info().hints["alpn"])
        client = self.client("www.corp", None, b"x")
        self.assertIn("alpn=", self.told(client))
        self.assertIn("no application protocol", client.error)
        self.client().pump()
        self.assertNotIn("alpn", self.info().hints)
        # What passes through has all that is offered as its hint: the server chooses.
        self.client("pass.corp", None, b"x").pump()
        self.assertEqual("x", self.info().hints["alpn"])
        self.client("pass.corp", None, b"x", b"h2").pump()
        self.assertEqual("x,h2", self.info().hints["alpn"])

    def test_certificates(self) -> None:
        """
        Clients are asked for a certificate if the listener says so, and then it has to be good.
        """
        self.client("www.corp", ALICE).pump()
        self.assertIsNone(self.info().principal)
        self.listen(certificates=Certificates.OPTIONAL)
        self.client("www.corp", ALICE).pump()
        self.assertEqual(Principal("alice.corp", "certificate"), self.info().principal)
        self.client().pump()
        self.assertIsNone(self.info().principal)
        client = self.client("www.corp", OTHER.identity("x"))
        self.assertIn("no root of ours", self.told(client))
        self.assertIn("unknown ca", client.error)
        self.listen(certificates=Certificates.REQUIRED)
        client = self.client()
        self.assertIn("add certificates=optional to the listener", self.told(client))
        self.assertIn("certificate required", client.error)
        self.client("www.corp", ALICE).pump()
        self.assertEqual("alice.corp", str(self.info().principal))
        # What passes through is not our business.
        self.client("pass.corp").pump()
        self.assertIsNone(self.info().principal)

    def test_tenant(self) -> None:
        """
        The name chooses whose certificate answers, and whose trust it is.
        """
        bob = FakeTenant(OTHER.identity("bob.corp"), FakeTrust(OTHER), "bob", self.tenant.clock)
        self.tenant.byHost["bob.corp"] = bob
        self.listen(certificates=Certificates.OPTIONAL)
        client = self.client("bob.corp", OTHER.identity("carol.corp")).pump()
        self.assertEqual("", client.error)
        self.assertEqual(Principal("carol.corp", "certificate", "bob"), self.info().principal)
        self.assertEqual(
            bob.identity.certificate, client.connection.get_peer_certificate(as_cryptography=True)
        )

    def test_grease(self) -> None:
        """
        With an encrypted hello the outer name counts; what is there to keep servers flexible changes nothing.
        """
        begun: list[str] = []

        def begin(offer: Any, info: StreamInfo) -> Any:
            begun.append(info.hints["sni"])
            raise Refused(Cause.NAME_UNKNOWN, Phase.TLS, "x")

        for more in (extension(0xFE0D, b"\x00secret"), extension(0x1A1A, b"\x00")):
            asked = Sni(StreamInfo(CLIENT, LISTENER), Auth.NONE, listed(), begin)
            data = hello(
                sni(b"www.corp"), more, extension(43, b"\x04\x7a\x7a\x03\x04"), alpn(b"\x5a\x5a", b"h2")
            )
            error = self.assertRaises(ProtocolError, asked.receive, data)
            self.assertEqual(UNRECOGNIZED, error.reply)
        self.assertEqual(["www.corp"] * 2, begun)

    def test_oldTLS(self) -> None:
        """
        TLS before 1.2 does not end here.
        """
        asked = Sni(StreamInfo(CLIENT, LISTENER), Auth.NONE, listed(), self.endpoint.begin)
        old = hello(sni(b"www.corp"), extension(43, b"\x02\x03\x02"))
        error = self.assertRaises(ProtocolError, asked.receive, old)
        self.assertEqual(alertRecord(Alert.PROTOCOL_VERSION), error.reply)

    def test_refuse(self) -> None:
        """
        After the handshake nothing can be said, and the stream is cut; before, there are alerts.
        """
        client = self.client().pump()
        stream: Any = self.streams.made[0]
        reason = Refused(Cause.DENIED, Phase.POLICY, "x")
        self.assertEqual(b"", client.server.negotiation.refuse(reason))
        stream.transport.refuse(reason)
        self.assertTrue(client.wire.disconnecting)
        self.client("pass.corp").pump()
        passing: Any = self.streams.made[-1]
        passing.transport.refuse(reason)
        self.assertEqual(alertRecord(Alert.ACCESS_DENIED), passing.transport.transport.value())

    def test_halfClose(self) -> None:
        """
        A client that goes away in the middle of its handshake leaves nothing.
        """
        client = self.client()
        hello = self._hello(client)
        client.server.dataReceived(hello)
        client.server.readConnectionLost()
        client.server.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(([], 0), (self.streams.made, len(self.below.factory.deadlines)))

    def test_cap(self) -> None:
        """
        Who does not come to an end of the handshake is ended.
        """
        client = self.client()
        client.server.dataReceived(self._hello(client))
        client.wire.clear()
        with Logged() as logged:
            self.tenant.clock.advance(11)
        self.assertIn("timed out", logged.lines[0])
        self.assertTrue(client.wire.disconnecting)

    def test_mangled(self) -> None:
        """
        Of ten thousand broken ClientHellos none leaves anything but an alert.
        """
        self.listen(listed("www.example,*.corp", "db.corp"))
        alerts = 0
        with Logged():
            for data in mangled(23, MANGLED):
                host = self.below.factory.buildProtocol(CLIENT)
                wire = StringTransport(LISTENER, CLIENT)
                host.makeConnection(wire)
                half = len(data) // 2
                for part in (data[:half], data[half:]):
                    if host.inner is None and not wire.disconnecting:
                        host.dataReceived(part)
                alerts += wire.value()[:1] == b"\x15"
                host.connectionLost(Failure(ConnectionDone()))
        self.assertGreater(alerts, 1000)
        factory = self.below.factory
        self.assertEqual((0, 0), (len(factory.deadlines), len(factory.lingering)))
