# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.forward}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.chain import parseChain
from ugate.endpoints.dialing import dialerFromText
from ugate.endpoints.forward import Forward
from ugate.endpoints.hops import Hop
from ugate.endpoints.tlsclient import TLSClientEndpoint
from ugate.errors import Refused, StringError
from ugate.stream import Target
from ugate.test.dialfakes import FakeDialer, FakeEndpoint, Net, Recorders, streamTo


class ForwardTests(SynchronousTestCase):
    """
    L{Forward}.
    """

    def test_place(self) -> None:
        """
        Every stream goes to that place, whatever its target.
        """
        via, streams = FakeDialer(), Recorders()
        dialer = Forward(Net(), Hop.fromText("forward:app:8080"), via)
        info = streamTo("www.example:443")
        connected = dialer.endpointFor(info).connect(streams)
        self.assertEqual([Target("app", 8080)], [each.target for each in via.asked])
        via.endpoint.up()
        self.assertEqual([self.successResultOf(connected)], streams.made)
        self.assertIn("that is where it goes, and not on to www.example:443", dialer.explain(info)[-1])

    def test_fails(self) -> None:
        """
        What fails names the hop.
        """
        below = FakeEndpoint()
        dialer = Forward(Net(), Hop.fromText("forward:app:8080"), below)
        connected = dialer.endpointFor(streamTo("www.example:443")).connect(Recorders())
        below.down(ConnectionRefusedError())
        error = self.failureResultOf(connected, Refused).value
        self.assertIn("forward:app:8080", str(error))

    def test_tls(self) -> None:
        """
        With C{tls=yes} in TLS.
        """
        dialer = Forward(Net(), Hop.fromText("forward:app:8443:tls=yes"), FakeEndpoint())
        info = streamTo("www.example:443")
        self.assertIsInstance(dialer.endpointFor(info), TLSClientEndpoint)
        self.assertIn("speak TLS with app:8443", dialer.explain(info)[-1])
        self.assertIn("by None", dialer.explain(info)[0])

    def test_text(self) -> None:
        """
        As texts and in chains: what follows it has to be at the same place.
        """
        text = "forward:[::1]:80:tls=yes:timeout=3:proxyproto=v2"
        self.assertEqual("forward:[::1]:80:tls=yes:timeout=3:proxyproto=v2", str(Hop.fromText(text)))
        for wrong in ("forward:a", "forward:a:1:to=b\\:2", "forward:a:1:user=x", "forward"):
            self.assertRaises(StringError, Hop.fromText, wrong)
        dialer = dialerFromText(Net(), "socks:gw:1080 -> forward:app:80")
        lines = dialer.explain(streamTo("www.example:443"))
        self.assertIn("ask socks:gw:1080 for app:80 in SOCKS5", lines)
        error = self.assertRaises(StringError, dialerFromText, Net(), "forward:a:1 -> socks:b:1")
        self.assertIn("leads to a:1 itself", str(error))
        self.assertEqual(2, len(parseChain("forward:a:1 -> socks:a:1").hops))
