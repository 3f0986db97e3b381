# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshwire} and L{ugate.protocols.sshrekey}: a client and a server in memory.
"""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

try:
    from twisted.conch.ssh.common import NS
except ImportError as missing:
    raise SkipTest(f"Conch: {missing}") from missing

from ugate.protocols.sshciphers import AEADS, CIPHERS, MACS
from ugate.protocols.sshsettings import WireSettings
from ugate.test.sshpair import DATA, Pair


class PairTests(SynchronousTestCase):
    """
    A client and a server that behave.
    """

    def test_all(self) -> None:
        """
        Each cipher with each MAC carries both directions, also after new keys that either side asked for.
        """
        for cipher in CIPHERS:
            for mac in MACS if cipher not in AEADS else MACS[:1]:
                pair = Pair(ciphers=(cipher,), macs=(mac,))
                for side in (pair.client, pair.server):
                    pair.client.sendPacket(DATA, b"x" * 30000)
                    pair.server.sendPacket(DATA, b"y")
                    side.rekey()
                    pair.client.sendPacket(DATA, b"z")
                    pair.pump.flush()
                self.assertEqual((b"x" * 30000 + b"z") * 2, pair.received(), (cipher, mac))
                self.assertEqual([b"y", b"y"], pair.client.service.got)

    def test_kex(self) -> None:
        """
        Each key exchange that a client can make works.
        """
        for kex in WireSettings().kex[1:]:
            self.assertEqual([], Pair(kex=(kex,)).server.service.got, kex)

    def test_strict(self) -> None:
        """
        Both are strict, so numbers begin anew with new keys; and the client knows which user keys are taken.
        """
        pair = Pair()
        self.assertTrue(pair.server.isStrict and pair.client.isStrict)
        self.assertEqual(b",".join(WireSettings().userKeys), pair.client.peerExtensions[b"server-sig-algs"])
        pair.client.rekey()
        pair.pump.flush()
        self.assertEqual(0, pair.client._outgoing.sequence)

    def test_secureOnce(self) -> None:
        """
        New keys do not begin the connection again.
        """
        pair = Pair()
        pair.server.rekey()
        pair.pump.flush()
        self.assertEqual(1, pair.client.secured)

    def test_rekeyByBytes(self) -> None:
        """
        After so many bytes there are new keys, while data flows, and nothing is lost.
        """
        pair = Pair(rekeyBytes=100_000)
        before = pair.server._incoming
        for _ in range(20):
            pair.client.sendPacket(DATA, b"x" * 20000)
        pair.pump.flush()
        self.assertEqual(400_000, len(pair.received()))
        self.assertIsNot(before, pair.server._incoming)

    def test_rekeyByTime(self) -> None:
        """
        After an hour there are new keys.
        """
        pair = Pair(loginTime=10**6)
        before = pair.server._incoming
        pair.clock.advance(3601)
        pair.pump.flush()
        self.assertIsNot(before, pair.server._incoming)

    def test_rekeyByPackets(self) -> None:
        """
        After so many packets there are new keys.
        """
        pair = Pair(rekeyPackets=50)
        before = pair.server._incoming
        for _ in range(60):
            pair.client.sendPacket(DATA, b"x")
        pair.pump.flush()
        self.assertIsNot(before, pair.server._incoming)
        self.assertEqual(60, len(pair.received()))

    def test_loginWithinExchange(self) -> None:
        """
        Who is let in while keys are exchanged may send large packets, too.
        """
        pair = Pair()
        pair.server.rekey()
        pair.server.sendPacket(52, b"")
        pair.pump.flush()
        pair.client.sendPacket(DATA, b"x" * 100_000)
        pair.pump.flush()
        self.assertEqual(100_000, len(pair.received()))

    def test_rekeyTooEarly(self) -> None:
        """
        Keys are not exchanged anew before the peer has begun with the last ones: it has to do that in time.
        """
        pair = Pair()
        pair.server.sendPacket(52, b"")
        pair.client.answer = Deferred()
        pair.client.rekey()
        pair.pump.flush()
        pair.server.rekey()
        self.assertFalse(pair.server._weExchange)
        pair.clock.advance(pair.server.settings.exchangeTime)
        self.assertTrue(pair.server._isOver)

    def test_guess(self) -> None:
        """
        What a client sends for an exchange that it had guessed is ignored where another was chosen, and there
        alone.
        """
        for isWrong in (True, False):
            pair = Pair(kex=(b"curve25519-sha256", b"ecdh-sha2-nistp256"))
            pair.client.supportedPublicKeys = pair.server.supportedPublicKeys
            if isWrong:
                pair.server.supportedKeyExchanges.reverse()
            before = pair.server._incoming
            self.guess(pair.client, isWrong)
            pair.pump.flush()
            self.assertIsNot(before, pair.server._incoming)
            self.assertFalse(pair.server._isOver)

    def guess(self, client: Any, isWrong: bool) -> None:
        """
        Exchange keys anew, and say that the first packet of the exchange follows.
        """
        send = client._send

        def follow(number: int, payload: bytes) -> None:
            client._send = send
            # The flag stands in front of four bytes that mean nothing yet.
            payload = payload[:-5] + b"\1" + payload[-4:]
            client.ourKexInitPayload = bytes((number,)) + payload
            send(number, payload)
            if isWrong:
                send(30, NS(b"a guess"))

        client._send = follow
        client.rekey()

    def test_waitsForHostKey(self) -> None:
        """
        Nothing goes on until the host key is known to be good.
        """
        answer: Deferred[bool] = Deferred()
        pair = Pair(answer)
        self.assertEqual((0, None), (pair.client.secured, pair.server.service))
        answer.callback(True)
        pair.pump.flush()
        self.assertEqual(1, pair.client.secured)
        self.assertEqual([], pair.server.service.got)

    def test_hostKeyRefused(self) -> None:
        """
        A host key that is not good ends it.
        """
        answer: Deferred[bool] = Deferred()
        pair = Pair(answer)
        answer.errback(ValueError("a stranger"))
        pair.pump.flush()
        self.assertTrue(pair.client._isOver and pair.server._isOver)
        self.assertIsNone(pair.client.sessionID)

    def test_ping(self) -> None:
        """
        A ping of OpenSSH is answered.
        """
        pair = Pair()
        sent = pair.server._outgoing.sequence
        pair.client.sendPacket(192, NS(b"there"))
        pair.pump.flush()
        self.assertEqual(sent + 1, pair.server._outgoing.sequence)
        self.assertFalse(pair.client._isOver)
