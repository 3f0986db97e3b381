# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshtransport} and L{ugate.protocols.sshclient}: peers that speak something else.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Refused
from ugate.protocols.sshclient import Account, SSHClient
from ugate.protocols.sshtransport import GOODBYE, UNKNOWN, SSHServer, hostKeys
from ugate.test.test_sshtransport import HOST_KEY, INFO, believe


class HostileTests(SynchronousTestCase):
    """
    Those who speak something else.
    """

    def side(self, client: bool) -> Any:
        """
        A side that has just connected.
        """
        if client:
            made: Any = SSHClient(Clock(), INFO, Account("bob"), believe)
        else:
            keys = hostKeys(HOST_KEY)
            made = SSHServer(Clock(), INFO, keys, None, lambda *_: None)
        made.makeConnection(FakeTransport(made, not client))
        return made

    def assertEnds(self, data: bytes) -> None:
        """
        Neither side takes that, nor raises.
        """
        for client in (False, True):
            made = self.side(client)
            made.dataReceived(data)
            made.dataReceived(b"and more")
            made.connectionLost()
            self.failureResultOf(made.ready, Refused)

    def test_version(self) -> None:
        """
        Nobody is told of which version of what we are.
        """
        for client in (False, True):
            written = self.side(client).transport.getOutBuffer()
            self.assertEqual(b"SSH-2.0-ugate", written.partition(b"\r\n")[0])

    def test_others(self) -> None:
        """
        HTTP, old versions, endless ones, and broken packets.
        """
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"SSH-1.5-old\r\n",
            b"SSH-\r\n",
            b"SSH-2.0-" + b"x" * 10000,
            b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff",
            b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14",
            b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14" + b"\0" * 20,
            b"SSH-2.0-x\r\n\0\x0f\xff\xfc\x0a" + b"\0" * 70000,
        ):
            self.assertEnds(data)

    def test_unknown(self) -> None:
        """
        Some messages may be unknown, and not any number of them.
        """
        made = self.side(False)
        for _ in range(UNKNOWN):
            made.sendUnimplemented()
        self.assertEqual("", made.why)
        made.sendUnimplemented()
        self.assertIn("nobody knows", made.why)
        made.connectionLost()
        self.failureResultOf(made.ready, Refused)

    def test_goodbye(self) -> None:
        """
        Who does not read why the connection ends is cut off; nothing is waited for when it is gone.
        """
        for isGone in (False, True):
            made = self.side(False)
            aborted: list[bool] = []
            made.transport.abortConnection = lambda aborted=aborted: aborted.append(True)
            made.sendDisconnect(2, b"no")
            made.sendDisconnect(2, b"again")
            if isGone:
                made.connectionLost()
            made._clock.advance(GOODBYE)
            self.assertEqual([] if isGone else [True], aborted)
            self.assertEqual([], made._clock.getDelayedCalls())
            made.ready.addErrback(lambda _: None)

    @settings(max_examples=30)
    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever comes.
        """
        self.assertEnds(b"SSH-2.0-x\r\n" + data)
