# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpchannel}: how long things may take.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.httpforward import HEAD_TIMEOUT, IDLE_TIMEOUT
from ugate.test.channelfakes import OK, get
from ugate.test.httpfakes import Proxy


class DeadlineTests(SynchronousTestCase):
    """
    How long things may take.
    """

    def test_idle(self) -> None:
        """
        A client may rest for a while, before and between requests.
        """
        for before in False, True:
            proxy = Proxy()
            if before:
                proxy.clock.advance(IDLE_TIMEOUT - 1)
                proxy.get()
                proxy.clock.advance(IDLE_TIMEOUT * 2)
                proxy.respond(OK)
                proxy.told()
            proxy.clock.advance(IDLE_TIMEOUT - 0.1)
            self.assertFalse(proxy.client.disconnecting)
            proxy.ask(b"\r\n")
            proxy.clock.advance(0.1)
            self.assertTrue(proxy.client.disconnecting)
            self.assertEqual(proxy.told(), b"")
            proxy.turn()
            self.assertEqual([s.lost is not None for s in proxy.gateway.streams], [True] * before)

    def test_head(self) -> None:
        """
        A head that comes in drops has one deadline from its first byte on.
        """
        proxy = Proxy()
        proxy.clock.advance(IDLE_TIMEOUT - 1)
        for byte in get()[: int(HEAD_TIMEOUT) - 1]:
            proxy.ask(bytes([byte]))
            proxy.clock.advance(1)
        self.assertFalse(proxy.client.writeEnded)
        proxy.clock.advance(1)
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 408 "))
        self.assertTrue(proxy.client.writeEnded)

    def test_secondHead(self) -> None:
        """
        So has a head of which a part came with the request before.
        """
        proxy = Proxy()
        proxy.ask(get() + get()[:10])
        proxy.clock.advance(HEAD_TIMEOUT * 3)
        proxy.respond(OK)
        proxy.told()
        proxy.clock.advance(HEAD_TIMEOUT - 0.1)
        self.assertEqual(proxy.told(), b"")
        proxy.clock.advance(0.1)
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 408 "))

    def test_none(self) -> None:
        """
        Nothing is left of a connection that is gone.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.protocol.connectionLost()
        proxy.turn()
        self.assertEqual(proxy.clock.getDelayedCalls(), [])
