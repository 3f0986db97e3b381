# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A process with our transport of SSH: C{server PORT KEY REKEY} gives back what a command is sent, and
C{client PORT CIPHER MAC}
says when a login could begin, also with new keys.
"""

from __future__ import annotations

import sys
from typing import Any

from zope.interface import implementer

from twisted.conch.avatar import ConchUser
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.service import SSHService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol

from ugate.protocols.sshsettings import WireSettings
from ugate.protocols.sshwire import ClientWire, ServerWire

HOST = "127.0.0.1"


class Echo(SSHChannel):
    """
    Whatever the command is, it gives back what it is sent.
    """

    name = b"session"

    def request_exec(self, data: bytes) -> bool:
        """
        Any command will do.
        """
        return True

    def dataReceived(self, data: bytes) -> None:
        """
        Back it goes.
        """
        self.write(data)

    def eofReceived(self) -> None:
        """
        All was said.
        """
        connection: Any = self.conn
        connection.sendRequest(self, b"exit-status", bytes(4))
        self.loseConnection()


class User(ConchUser):
    """
    Who may run a command.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.channelLookup[b"session"] = Echo


@implementer(IRealm, ICredentialsChecker)
class Anybody:
    """
    Everybody who has a key is welcome.
    """

    credentialInterfaces = (ISSHPrivateKey,)

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        Whoever it is.
        """
        return b"user"

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """
        A user.
        """
        return interfaces[0], User(), lambda: None


class Factory(SSHFactory):
    """
    A server with the key of a file.
    """

    def __init__(self, path: str) -> None:
        self.key = Key.fromFile(path)
        self.portal = Portal(Anybody(), [Anybody()])

    def getPublicKeys(self) -> dict[bytes, Key]:
        """
        The key.
        """
        return {b"ssh-ed25519": self.key.public()}

    def getPrivateKeys(self) -> dict[bytes, Key]:
        """
        The key.
        """
        return {b"ssh-ed25519": self.key}


class Login(SSHService):
    """
    A login that is not made.
    """

    name = b"ssh-userauth"

    def serviceStarted(self) -> None:
        """
        The server is ready for it.
        """
        print("accepted", self.transport.isStrict, flush=True)  # type: ignore[union-attr]
        self.transport.rekey()  # type: ignore[union-attr]


class Client(ClientWire):
    """
    A client that believes every server.
    """

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[bool]:
        """
        It is good.
        """
        return succeed(True)

    def connectionSecure(self) -> None:
        """
        Ask for the login.
        """
        self.requestService(Login())

    def ssh_NEWKEYS(self, packet: bytes) -> None:
        """
        Say which these are.
        """
        super().ssh_NEWKEYS(packet)
        print("keys", self._chosen.kex.decode(), flush=True)


def main(side: str, port: int, *rest: str) -> None:
    """
    Be one of the two.
    """
    from twisted.internet import reactor

    if side == "server":
        speaks = WireSettings(rekeyBytes=int(rest[1]))
        factory = Factory(rest[0])
        factory.protocol = lambda: ServerWire(reactor, speaks)
        TCP4ServerEndpoint(reactor, port, interface=HOST).listen(factory)
    else:
        speaks = WireSettings(ciphers=(rest[0].encode(),), macs=(rest[1].encode(),))
        connectProtocol(TCP4ClientEndpoint(reactor, HOST, port), Client(reactor, speaks))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
