# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.serving}.
"""

from __future__ import annotations

from zope.interface import implementer

from twisted.internet.interfaces import ILoggingContext, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.muxed import LinkFactory
from ugate.endpoints.serving import Serving


@implementer(ILoggingContext)
class Named(Factory):
    """
    Has a name in logs.
    """

    noisy = False

    def logPrefix(self) -> str:
        return "somebody"


class Unnamed(Factory):
    """
    Has none.
    """

    noisy = False


class ServingTests(SynchronousTestCase):
    """
    With factories of both kinds.
    """

    def test_name(self) -> None:
        """
        It has the name of what it serves, or of its class.
        """
        self.assertEqual(
            ["somebody", "Unnamed"], [Serving(each).logPrefix() for each in (Named(), Unnamed())]
        )

    def test_offers(self) -> None:
        """
        TLS of Twisted's own below is told what is spoken inside.
        """
        self.assertEqual([b"http/1.1"], IProtocolNegotiationFactory(Serving(Named())).acceptableProtocols())
        self.assertEqual((b"h2",), LinkFactory.alpn)

    def test_ports(self) -> None:
        """
        Ports that listen with it listen for what it serves.
        """
        served = Unnamed()
        serving = Serving(served)
        serving.doStart()
        serving.doStart()
        self.assertEqual(2, served.numPorts)
        serving.doStop()
        serving.doStop()
        self.assertEqual((0, 0), (served.numPorts, serving.numPorts))
