# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The network of a recipe.
"""

from __future__ import annotations

import os
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from ugate.errors import Refused
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.tenancy.tokens import Token, makeToken
from ugate.test.docpages import USERS, Pages, listing
from ugate.testing import Client, Conversation, Conversations, MemoryMesh

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

PUBLIC: Final = "93.184.216.34"

OPEN: Final = {"open": True}

TOKENS: Final = "/etc/ugate/tokens"

CERTIFICATES: Final = "/etc/ugate/certificates"


def clientHello(name: str) -> bytes:
    """
    What a TLS client says first.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class HowtoTests(Pages):
    """
    The network of a recipe.
    """

    def setUp(self) -> None:
        super().setUp()
        self.mesh = MemoryMesh()
        self.here = self.mesh.client("here")
        self.token = makeToken()

    def gateway(self, name: str, host: str = "here") -> None:
        """
        Start a gateway with the configuration of a recipe.
        """
        text = listing(name).replace(USERS, self.users()).replace(TOKENS, self.tokens())
        self.mesh.gateway(host, **yaml.safe_load(text))

    def users(self) -> str:
        """
        A password file with Alice and Bob, who say sesame.
        """
        path = Path(self.mktemp())
        path.touch(0o600)
        known = PasswordHash.ofPassword(b"sesame", ln=10)
        path.write_text(f"alice:{known}\nbob:{known}\n")
        self.patch(
            os, "environ", {**os.environ, "WORD": "sesame", "WRONG": "abracadabra", "TOKEN": self.token}
        )
        return str(path)

    def tokens(self) -> str:
        """
        A file with the token of a program.
        """
        path = Path(self.mktemp())
        path.write_text(f"{Token('ci', sha256(self.token.encode()).digest())}\n")
        return str(path)

    def proxy(self, host: str, endpoint: str) -> str:
        """
        Start somebody's proxy.

        @return: the address by which it connects.
        """
        rules = {"rules": [{"action": "allow"}]}
        self.mesh.gateway(host, listen={"main": {"endpoint": endpoint, **OPEN}}, policy=rules)
        return self.mesh.host(host).addresses[0]

    def service(self, host: str, port: int) -> Conversations:
        """
        Start what streams go to.
        """
        served = Conversations()
        self.mesh.serve(host, port, served)
        return served

    def ask(self, string: str, client: Client | None = None, hello: bytes = b"") -> Conversation:
        """
        Open a stream, and see it open.
        """
        stream = (client or self.here).connect(string, hello)
        self.mesh.flush()
        self.assertTrue(stream.isOpen, f"{string}: {stream.failure or stream.lost}")
        return stream

    def refused(self, string: str, client: Client | None = None) -> Refused:
        """
        Open a stream, and see it refused.
        """
        stream = (client or self.here).connect(string)
        self.mesh.flush()
        assert stream.failure is not None and isinstance(stream.failure.value, Refused), string
        return stream.failure.value

    def whoAsked(self, served: Conversations) -> str:
        """
        The address that the last stream came from.
        """
        peer: Any = served.last.transport
        return str(peer.getPeer().host)
