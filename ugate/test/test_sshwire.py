# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshwire}: a client and a server in memory, and peers that misbehave.
"""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

try:
    from twisted.conch.ssh.common import NS
    from twisted.conch.ssh.factory import SSHFactory
    from twisted.conch.ssh.keys import Key
    from twisted.conch.ssh.service import SSHService
except ImportError as missing:
    raise SkipTest(f"Conch: {missing}") from missing

from ugate.protocols.sshciphers import AEADS, CIPHERS, MACS
from ugate.protocols.sshsettings import WireSettings
from ugate.protocols.sshwire import ClientWire, ServerWire

DATA = 94


class Listening(SSHService):
    """
    A service that keeps what comes.
    """

    name = b"ssh-userauth"

    def serviceStarted(self) -> None:
        """
        Nothing has come.
        """
        self.got: list[bytes] = []

    def packetReceived(self, messageNum: int, packet: bytes) -> None:
        """
        Keep it.
        """
        if messageNum == 99:
            raise IndexError("too short")
        self.got.append(packet)


class Factory(SSHFactory):
    """
    A server with one key.
    """

    services = {b"ssh-userauth": Listening}

    def __init__(self) -> None:
        self.key = Key(Ed25519PrivateKey.generate())

    def getPublicKeys(self) -> dict[bytes, Key]:
        """
        The one key.
        """
        return {b"ssh-ed25519": self.key.public()}

    def getPrivateKeys(self) -> dict[bytes, Key]:
        """
        The one key.
        """
        return {b"ssh-ed25519": self.key}


class Client(ClientWire):
    """
    A client that asks for a service.
    """

    answer: Deferred[bool] | None = None
    secured = 0

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[bool]:
        """
        Say yes, or what the test says later.
        """
        return self.answer or succeed(True)

    def connectionSecure(self) -> None:
        """
        Ask.
        """
        self.secured += 1
        self.requestService(Listening())


class Pair:
    """
    Both sides, joined.
    """

    def __init__(self, answer: Deferred[bool] | None = None, **changes: Any) -> None:
        self.clock = Clock()
        speaks = WireSettings(**changes)
        factory = Factory()
        factory.protocol = lambda: ServerWire(self.clock, speaks)
        factory.startFactory()
        self.server: Any = factory.buildProtocol(None)
        self.client: Any = Client(self.clock, speaks)
        self.client.answer = answer
        self.pump: IOPump = connect(
            self.server, FakeTransport(self.server, True), self.client, FakeTransport(self.client, False)
        )
        self.pump.flush()

    def received(self) -> bytes:
        """
        What the server got.
        """
        return b"".join(self.server.service.got)


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


class LimitTests(SynchronousTestCase):
    """
    Each limit, and each message that may not come now, ends the connection with a reason.
    """

    def assertEnds(self, pair: Pair, words: str = "") -> None:
        """
        Both sides are over, and no error was logged.
        """
        pair.pump.flush()
        self.assertTrue(pair.server._isOver and pair.client._isOver)
        self.assertEqual([], self.flushLoggedErrors())

    def test_nothingInCommon(self) -> None:
        """
        Who has no cipher in common with us is told.
        """
        pair = Pair(ciphers=(b"aes128-ctr",))
        pair.server.settings = WireSettings(ciphers=(b"aes256-ctr",))
        pair.server.rekey()
        self.assertEnds(pair)

    def test_macDoesNotMatterForAEAD(self) -> None:
        """
        No MAC in common is no matter for a cipher that has its own.
        """
        pair = Pair(ciphers=AEADS)
        pair.server.settings = WireSettings(ciphers=AEADS, macs=(b"hmac-sha2-999",))
        pair.server.rekey()
        pair.pump.flush()
        self.assertFalse(pair.server._isOver)

    def test_wrongTime(self) -> None:
        """
        What may not come now ends it.
        """
        again = (5, NS(b"ssh-userauth"))
        for number, payload in (
            again,
            (21, b""),
            (30, NS(b"x" * 32)),
            (20, b"short"),
        ):
            pair = Pair()
            pair.client._send(number, payload)
            self.assertEnds(pair)

    def test_secondKexInit(self) -> None:
        """
        A KEXINIT within an exchange, and data within it, are refused.
        """
        for number, payload in ((20, None), (DATA, b"x")):
            pair = Pair()
            pair.client.rekey()
            pair.client._send(number, payload or pair.client.ourKexInitPayload[1:])
            self.assertEnds(pair)

    def test_short(self) -> None:
        """
        Messages that are too short are answered with a reason, also where a service finds out.
        """
        for number in (1, 3, 7, 99, 192):
            pair = Pair()
            pair.client._send(number, b"")
            self.assertEnds(pair)

    def test_smallTalk(self) -> None:
        """
        Before the login only so much may come that means nothing.
        """
        pair = Pair(smallTalk=5)
        for _ in range(5):
            pair.client.sendIgnore(b"")
        pair.pump.flush()
        self.assertFalse(pair.server._isOver)
        pair.client.sendIgnore(b"")
        self.assertEnds(pair)

    def test_large(self) -> None:
        """
        A packet may be larger after the login, and has a limit then, too.
        """
        pair = Pair()
        pair.client._send(DATA, b"x" * 36000)
        self.assertEnds(pair)
        pair = Pair()
        pair.server.sendPacket(52, b"")
        pair.client._send(DATA, b"x" * 256000)
        pair.pump.flush()
        self.assertFalse(pair.server._isOver)
        self.assertTrue(pair.client.isAuthenticated)
        pair.client._send(DATA, b"x" * 300000)
        self.assertEnds(pair)

    def test_login(self) -> None:
        """
        The login has a deadline, until it is over.
        """
        pair = Pair()
        pair.clock.advance(121)
        self.assertEnds(pair)
        pair = Pair()
        pair.server.sendPacket(52, b"")
        pair.pump.flush()
        pair.clock.advance(121)
        pair.pump.flush()
        self.assertFalse(pair.server._isOver)

    def test_exchangeDeadline(self) -> None:
        """
        Who begins an exchange has to finish it; and what waits for that has a limit.
        """
        for seconds, size in ((61, 10), (0, 2000)):
            pair = Pair(queue=1000)
            pair.server.rekey()
            pair.server.sendPacket(DATA, b"x" * size)
            pair.clock.advance(seconds)
            self.assertEnds(pair)

    def test_versions(self) -> None:
        """
        Who does not speak SSH 2 is let go, as is who talks too long first.
        """
        lines = b"a line\r\n" * 3000
        for isServer, text in (
            (True, b"GET / HTTP/1.1\r\n"),
            (True, b"SSH-1.5-old\r\n"),
            (True, b"SSH-2.0-" + b"x" * 300 + b"\r\n"),
            (True, b"x" * 2000),
            (False, lines),
        ):
            side = self.alone(isServer)
            side.dataReceived(text)
            self.assertTrue(side._isOver, text[:20])

    def alone(self, isServer: bool) -> Any:
        """
        One side, whose peer has not said anything.
        """
        factory = Factory()
        factory.protocol = lambda: ServerWire(Clock())
        factory.startFactory()
        side: Any = factory.buildProtocol(None) if isServer else Client(Clock())
        side.makeConnection(FakeTransport(side, isServer))
        return side

    @settings(deadline=None, max_examples=60)
    @given(st.booleans(), st.binary(max_size=400), st.booleans())
    def test_garbage(self, isServer: bool, data: bytes, hasVersion: bool) -> None:
        """
        Whatever comes, nothing is raised, and no error is logged.
        """
        side = self.alone(isServer)
        side.dataReceived(b"SSH-2.0-x\r\n" * hasVersion)
        for at in range(0, len(data), 7):
            side.dataReceived(data[at : at + 7])
        self.assertEqual([], self.flushLoggedErrors())

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 255), st.binary(max_size=100), st.booleans())
    def test_anyMessage(self, number: int, payload: bytes, exchanging: bool) -> None:
        """
        Whatever is in a packet, nothing is raised, and no error is logged.
        """
        pair = Pair()
        if exchanging:
            pair.client.rekey()
        pair.client._send(number, payload)
        pair.pump.flush()
        self.assertEqual([], self.flushLoggedErrors())

    def test_splitAtEveryByte(self) -> None:
        """
        It does not matter how the bytes come.
        """
        pair = Pair(ciphers=CIPHERS[-1:])
        pair.client.sendPacket(DATA, b"hello")
        data = b"".join(pair.client.transport.stream)
        pair.client.transport.stream.clear()
        for at in range(len(data)):
            pair.server.dataReceived(data[at : at + 1])
        self.assertEqual(b"hello", pair.received())
