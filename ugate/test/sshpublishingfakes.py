# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gate with C{ssh:}, and users who publish there, in a network in memory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from twisted.trial.unittest import SynchronousTestCase

try:
    from ugate.protocols.sshclient import Account, clientMaker, signerOf
except ImportError as missing:
    raise SkipTest(f"Conch: {missing}") from missing

from ugate.endpoints.links import linkTo
from ugate.errors import Cause
from ugate.protocols.mux import MuxStream
from ugate.protocols.sshforwards import LOCAL_FORWARD
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshpackets import string
from ugate.stream import Principal, Target
from ugate.test.credentialfakes import publicLine, write
from ugate.test.tlsfakes import Issuer
from ugate.testing import Conversation, MemoryMesh

KEYS = {name: Ed25519PrivateKey.generate() for name in ("bob", "eve", "Carol Smith")}
"""Of users."""


def privateFile(path: str, name: str) -> str:
    """
    A file with the key of a user.
    """
    data = KEYS[name].private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return write(path, data)


class Came:
    """
    What came to a client.

    @ivar infos: of each stream.
    @ivar conversations: the same, with what was said.
    """

    def __init__(self, link: SSHLink) -> None:
        self.link = link
        self.infos: list[Any] = []
        self.conversations: list[Conversation] = []
        self.refuses: Any = None
        link.incoming = self._incoming

    def _incoming(self, stream: MuxStream) -> None:
        self.infos.append(stream.info)
        if self.refuses is not None:
            stream.refuse(self.refuses)
            return
        conversation = Conversation()
        self.conversations.append(conversation)
        stream.accept()
        stream.begin(conversation)

    @property
    def last(self) -> Conversation:
        """
        The last one.
        """
        return self.conversations[-1]


class PublishingCase(SynchronousTestCase):
    """
    C{gate}, where bob may have a port and some names, and eve and Carol Smith nothing; C{alice}, who asks.
    """

    options: dict[str, str] = {}

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        # A path in there must not be too long for a socket.
        self.sockets = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.sockets)
        self.folder = Path(self.mktemp())
        Issuer("root").write(self.folder, "gate")
        self.states = self.mktemp()

    def keysFile(self) -> str:
        """
        The file of keys.
        """
        lines = [f"{self.options.get(name, '')} {publicLine(key)} {name}" for name, key in KEYS.items()]
        return write(self.mktemp(), "\n".join([*map(str.strip, lines), ""]), mode=0o644)

    def gate(self, rules: Any = ({"action": "allow"},), **more: Any) -> Any:
        """
        The gate.
        """
        sections = {
            "listen": {
                "main": "ssh:tcp:2222",
                "other": "ssh:tcp:2223:interface=127.0.0.1",
                "socks": {"endpoint": "socks:tcp:1080", "open": True},
                "web": {"endpoint": "connect:tcp:3128", "open": True},
                "tls": "sni:tcp:443:names=*.bob.example",
            },
            "policy": {"keys": self.keysFile(), "rules": list(rules)},
            "nodes": self.nodes(),
            "identity": {"dir": str(self.folder)},
            "node": {"state": self.states, "drain": 1},
            **more,
        }
        gateway: Any = self.mesh.gateway("gate", **sections)
        self.tenant = gateway.tenant
        return gateway

    def nodes(self) -> dict[str, Any]:
        """
        Who may have what.
        """
        hosts = ["*.bob.example", "shop.example"]
        return {"bob": {"who": "key:bob", "hosts": hosts, "ports": [8022], "sockets": self.sockets}}

    def login(self, name: str = "bob", port: int = 2222, host: str = "", user: str = "me") -> Came:
        """
        Somebody connects.
        """
        client = self.mesh.client(host or name.partition(" ")[0].lower())
        reactor: Any = client.host.reactor
        account = Account(user, (signerOf("", KEYS[name]),))
        maker = clientMaker(reactor, lambda: account, lambda key: Principal("gate", "key"))
        at = "127.0.0.1" if host == "gate" else "gate"
        linked = linkTo(reactor, client.endpoint(f"tcp:{at}:{port}"), maker, hop="gate", deadline=60)
        self.mesh.flush()
        link: Any = self.successResultOf(linked)
        return Came(link)

    def publish(self, came: Came, host: str = "localhost", port: int = 0) -> Target | None:
        """
        C{-R}.

        @return: where the gate listens; L{None} if it does not.
        """
        asked = came.link.listen(host, port)
        self.mesh.flush()
        given: list[Any] = []
        asked.addCallbacks(given.append, lambda failure: failure.trap(Exception) and None)
        return given[0] if given else None

    def publishAt(self, came: Came, path: str, name: bytes = LOCAL_FORWARD) -> bool:
        """
        C{-R /PATH}, or what cancels that.
        """
        link: Any = came.link
        return self.successResultOf(self.flushed(link._request(name, string(path.encode())))) is not None

    def withdraw(self, came: Came, at: Target) -> None:
        """
        C{-O cancel}.
        """
        self.successResultOf(self.flushed(came.link.unlisten(at)))

    def cut(self, came: Came) -> None:
        """
        The connection of somebody is lost.
        """
        came.link.abort("it is lost")
        self.mesh.flush()

    def come(self, port: int, hello: bytes = b"") -> Conversation:
        """
        Somebody from elsewhere connects to the gate.
        """
        stream = self.mesh.client("alice").connect(f"tcp:gate:{port}", hello)
        self.mesh.flush()
        return stream

    def flushed(self, what: Any) -> Any:
        """
        When all has settled.
        """
        self.mesh.flush()
        return what

    def ask(self, host: str, port: int, hello: bytes = b"") -> Conversation:
        """
        Somebody asks the gate for that.
        """
        stream = self.mesh.client("alice").connect(rf"socks:gate:1080:to={host}\:{port}", hello)
        self.mesh.flush()
        return stream

    def cause(self, stream: Conversation) -> Cause:
        """
        Why it was refused.
        """
        failure: Any = stream.failure
        self.assertIsNotNone(failure)
        cause: Cause = failure.value.cause
        return cause
