# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.mutual}, against L{ugate.endpoints.mtls}.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.test.iosim import IOPump, connect, makeFakeClient, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.chain import parseChain
from ugate.endpoints.clients import clientFromChain
from ugate.endpoints.dialing import dialerFromChain, dialerFromText
from ugate.endpoints.hops import Hop
from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.endpoints.mutual import Mutual
from ugate.errors import Cause, Phase, Refused, StringError
from ugate.stream import Principal
from ugate.test.dialfakes import CLIENT, FakeEndpoint, Net, Recorders, streamTo
from ugate.test.mtlsfakes import Below, Halves
from ugate.test.tlsfakes import DAY, NOW, FakeIdentity, FakeTenant, FakeTrust, Issuer

ROOT = Issuer("root")
OTHER = Issuer("other")


class MutualTests(SynchronousTestCase):
    """
    One end of TLS and the other.
    """

    def setUp(self) -> None:
        self.trust = FakeTrust(ROOT)
        self.tenant = FakeTenant(ROOT.identity("alice.corp"), self.trust)
        self.serve(ROOT.identity("gw.corp"))

    def serve(self, identity: FakeIdentity, **options: Any) -> None:
        """
        A server with that certificate.
        """
        self.server = FakeTenant(identity, FakeTrust(ROOT))
        self.below = Below()
        self.accepted = Halves()
        endpoint = MutualServerEndpoint(self.server.clock, self.below, **options)
        self.successResultOf(endpoint.listen(self.accepted))

    def connect(self, text: str) -> Deferred[IProtocol]:
        """
        Connect by that hop, to the server.
        """
        self.inner = FakeEndpoint()
        self.made = Halves()
        dialer = Mutual(self.tenant.clock, Hop.fromText(text), self.inner)
        return dialer.endpointFor(streamTo("any.where:1")).connect(self.made)

    def up(self, connected: Deferred[IProtocol]) -> IOPump:
        """
        The connection below is there.
        """
        server = self.below.factory.buildProtocol(CLIENT)
        factory, below = self.inner.connecting[-1]
        client: Any = factory.buildProtocol(CLIENT)
        pump: IOPump = connect(server, makeFakeServer(server), client, makeFakeClient(client), greet=False)
        below.callback(client)
        pump.flush()
        return pump

    def refused(self, text: str) -> Refused:
        """
        How that fails.
        """
        connected = self.connect(text)
        self.up(connected)
        error = self.failureResultOf(connected, Refused).value
        assert isinstance(error, Refused)
        self.assertEqual((error.phase, error.hop), (Phase.TLS, ":".join(text.split(":")[:3])))
        self.assertEqual(self.made.made, [])
        return error

    def test_both(self) -> None:
        """
        Each knows who the other one is, and bytes pass.
        """
        connected = self.connect("mtls:gw.corp:443:alpn=h2")
        pump = self.up(connected)
        client: Any = self.successResultOf(connected)
        server: Any = self.accepted.made[0]
        self.assertEqual(server.transport.getPeer().principal, Principal("alice.corp", "certificate"))
        self.assertIn("gw.corp", {name for _, name in self.trust.checked})
        client.transport.write(b"question")
        client.transport.loseConnection()
        self.tenant.clock.advance(0)
        pump.flush()
        self.assertEqual((server.got, server.ended), (b"question", 1))
        server.transport.write(b"answer")
        server.transport.loseConnection()
        pump.flush()
        self.assertEqual(client.got, b"answer")

    def test_names(self) -> None:
        """
        The server has to be who the hop says.
        """
        error = self.refused("mtls:other.corp:443")
        self.assertEqual(error.cause, Cause.AUTHENTICATION)
        self.assertIn("gw.corp, and not other.corp", error.detail)
        self.assertIn("name=", error.nextStep)
        connected = self.connect("mtls:192.0.2.1:443:name=gw.corp")
        self.up(connected)
        self.successResultOf(connected)

    def test_wrongRoot(self) -> None:
        """
        A server that somebody else certifies, and one whose time is over.
        """
        self.serve(OTHER.identity("gw.corp"))
        self.assertIn("no root of ours", self.refused("mtls:gw.corp:443").detail)
        self.serve(ROOT.identity("gw.corp", ends=NOW - DAY))
        self.assertIn("expired", self.refused("mtls:gw.corp:443").detail)

    def test_notBelieved(self) -> None:
        """
        A server that does not believe us says so, by TLS 1.2 before the stream is up: then it is not its
        certificate that is to be looked at.
        """
        identity = ROOT.identity("gw.corp")
        context = identity.context

        def older(*arguments: Any) -> SSL.Context:
            made = context(*arguments)
            made.set_options(SSL.OP_NO_TLSv1_3)
            return made

        self.patch(identity, "context", older)
        self.serve(identity)
        self.server.trust = FakeTrust(OTHER)
        error = self.refused("mtls:gw.corp:443")
        self.assertIn("alert", error.detail)
        self.assertIn("it does not believe us", error.nextStep)

    def test_deadline(self) -> None:
        """
        A server that is silent has its time.
        """
        connected = self.connect("mtls:gw.corp:443:timeout=3")
        factory, below = self.inner.connecting[-1]
        client: Any = factory.buildProtocol(CLIENT)
        client.makeConnection(makeFakeClient(client))
        below.callback(client)
        self.tenant.clock.advance(4)
        error: Any = self.failureResultOf(connected, Refused).value
        self.assertEqual(error.cause, Cause.TIMED_OUT)

    def test_noIdentity(self) -> None:
        """
        Without a tenant there is nobody to be.
        """
        connected = clientFromChain(Net(), "mtls:gw.corp:443").connect(Recorders())
        error = self.failureResultOf(connected, Refused).value
        self.assertIn("no identity", str(error))


class TextTests(SynchronousTestCase):
    """
    The hop as text.
    """

    def test_texts(self) -> None:
        """
        It is a whole client string; nothing goes on from there but a proxy in the same place.
        """
        text = r"mtls:gw.corp:443:name=spiffe\://corp/ns/a/sa/b:alpn=h2,http/1.1"
        self.assertEqual(str(clientFromChain(Net(), text)), text)
        self.assertEqual(
            dialerFromText(Net(), "mtls:gw.corp:443").explain(streamTo("any.where:1"))[-1],
            "speak TLS with gw.corp:443, which has to prove that it is gw.corp; we prove who we are",
        )
        lines = parseChain("mtls:gw:443:name=x").explain()
        self.assertEqual(lines, ["hop 1: to gw:443 itself in TLS, with our certificate, which has to be x"])
        for wrong in (
            r"mtls:gw:443:to=db\:1",
            "mtls:gw:443 -> tcp:db:1",
            "mtls:gw:443:name=a b",
            "mtls:gw:443:name=" + "a" * 256,
        ):
            self.assertRaises(StringError, parseChain, wrong)
        dialerFromChain(Net(), parseChain("mtls:gw:443 -> connect:gw:443"))
        elsewhere = parseChain("mtls:gw:443 -> connect:other:443")
        error = self.assertRaises(StringError, dialerFromChain, Net(), elsewhere)
        self.assertIn("leads to gw:443 itself", str(error))
