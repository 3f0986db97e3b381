# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshbinary}: peers that misbehave.
"""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase

try:
    from twisted.conch.ssh.common import NS
except ImportError as missing:
    raise SkipTest(f"Conch: {missing}") from missing

from ugate.protocols.sshciphers import AEADS, CIPHERS
from ugate.protocols.sshsettings import WireSettings
from ugate.protocols.sshwire import ServerWire
from ugate.test.sshpair import DATA, Client, Factory, Pair


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

    def test_longService(self) -> None:
        """
        What is said of a service that there is not is short, whatever it was called.
        """
        pair = Pair()
        said: list[bytes] = []
        pair.client.receiveError = lambda _, text: said.append(text)
        pair.client._send(5, NS(bytes(30000)))
        self.assertEnds(pair)
        self.assertEqual([True], [len(text) < 200 for text in said])

    def test_secondKexInit(self) -> None:
        """
        A KEXINIT within an exchange, and data within it, are refused.
        """
        for number, payload in ((20, None), (DATA, b"x")):
            pair = Pair()
            pair.client.rekey()
            pair.client._send(number, payload or pair.client.ourKexInitPayload[1:])
            self.assertEnds(pair)

    def test_otherExchange(self) -> None:
        """
        A reply of another kind of exchange ends it, before anybody is asked about its key.
        """
        pair = Pair()
        asked: list[bytes] = []
        pair.client.verifyHostKey = lambda key, _: asked.append(key)
        pair.server.rekey()
        pair.server._send(33, NS(b"key") + NS(b"\5") + NS(b"signature"))
        self.assertEnds(pair)
        self.assertEqual([], asked)

    def test_unimplemented(self) -> None:
        """
        Who says again and again that it does not know something fills no log.
        """
        pair = Pair()
        with capturedLogs() as events:
            pair.client._send(3, bytes(4))
            pair.pump.flush()
        self.assertEqual([], [each for each in events if each["log_level"] >= LogLevel.warn])
        self.assertFalse(pair.server._isOver)

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
        # The first exchange of keys counts, too.
        for _ in range(4):
            pair.client.sendIgnore(b"")
        pair.pump.flush()
        self.assertFalse(pair.server._isOver)
        pair.client.sendIgnore(b"")
        self.assertEnds(pair)

    def test_exchanges(self) -> None:
        """
        Before the login keys are exchanged so often, as each time costs a signature; then as one likes.
        """
        for isIn in (False, True):
            pair = Pair(smallTalk=5)
            if isIn:
                pair.server.sendPacket(52, b"")
            for _ in range(10):
                pair.client.rekey()
                pair.pump.flush()
            self.assertIs(not isIn, pair.server._isOver)

    def test_answers(self) -> None:
        """
        Who does not read gets so many answers, and no more.
        """
        pair = Pair(replies=10000)
        pair.server.sendPacket(52, b"")
        pair.pump.flush()
        self.assertIs(pair.server, pair.server.transport.producer)
        for _ in range(3):
            pair.server.pauseProducing()
            for _ in range(100):
                pair.client._send(192, NS(b""))
            pair.pump.flush()
            pair.server.resumeProducing()
        self.assertFalse(pair.server._isOver)
        for number, payload in ((192, NS(b"x" * 1000)), (255, b"")):
            pair = Pair(replies=10000)
            pair.server.service.packetReceived = lambda *_, pair=pair: pair.server.sendUnimplemented()
            pair.server.pauseProducing()
            for _ in range(160 if number == 255 else 10):
                pair.client._send(number, payload)
            self.assertEnds(pair)
            self.assertIsNone(pair.server.transport.producer)

    def test_together(self) -> None:
        """
        What is sent at once is written in parts, so that the connection can say that it is full.
        """
        pair = Pair()
        wrote: list[int] = []
        write = pair.server.transport.write

        def written(data: bytes) -> None:
            wrote.append(len(data))
            write(data)

        pair.server.transport.write = written
        pair.server.service.packetReceived = lambda *_: [
            pair.server.sendPacket(DATA, b"x" * 30000) for _ in range(25)
        ]
        pair.client.sendPacket(DATA, b"")
        pair.pump.flush()
        self.assertEqual([3, True], [len(wrote), max(wrote) < 300_000])

    def test_goodbye(self) -> None:
        """
        Who says that it ends, and does not end it, is cut.
        """
        pair = Pair()
        cut: list[bool] = []
        pair.server.transport.abortConnection = lambda: cut.append(True)
        pair.server.transport.loseConnection = lambda: None
        pair.client._send(1, bytes(4) + NS(b"over") + NS(b""))
        pair.pump.flush()
        pair.clock.advance(pair.server.settings.endTime)
        self.assertEqual([True], cut)

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
            (False, b"\n" * 20000),
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
