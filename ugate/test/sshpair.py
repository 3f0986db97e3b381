# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A client and a server of SSH, joined in memory.
"""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect

try:
    from twisted.conch.ssh.factory import SSHFactory
    from twisted.conch.ssh.keys import Key
    from twisted.conch.ssh.service import SSHService
except ImportError as missing:
    raise SkipTest(f"Conch: {missing}") from missing

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
