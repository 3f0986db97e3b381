# -*- test-case-name: ugate.test.test_sshkexinit -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
KEXINIT, in which both sides of SSH say what they speak, and what is chosen (RFC 4253, section 7.1).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ugate.errors import ProtocolError
from ugate.protocols.sshciphers import AEADS
from ugate.protocols.sshpackets import Reader, string, words

MARKERS = frozenset(
    {b"ext-info-c", b"ext-info-s", b"kex-strict-c-v00@openssh.com", b"kex-strict-s-v00@openssh.com"}
)
"""Names in the list of key exchanges that are none."""

_SHOWN: Final = 70
"""Characters of a list that are told to whoever has nothing of it."""


@dataclass(frozen=True, slots=True)
class KexInit:
    """
    What one side speaks, what it prefers first.

    @since: ugate NEXT
    """

    kex: tuple[bytes, ...]
    """Key exchanges, and L{MARKERS}."""

    hostKeys: tuple[bytes, ...]
    """Algorithms of host keys."""

    ciphersUp: tuple[bytes, ...]
    """Ciphers from the client to the server."""

    ciphersDown: tuple[bytes, ...]
    """Ciphers from the server to the client."""

    macsUp: tuple[bytes, ...]
    """MACs from the client to the server."""

    macsDown: tuple[bytes, ...]
    """MACs from the server to the client."""

    compressionsUp: tuple[bytes, ...] = (b"none",)
    """Compressions from the client to the server."""

    compressionsDown: tuple[bytes, ...] = (b"none",)
    """Compressions from the server to the client."""

    follows: bool = False
    """Whether the first packet of the exchange that it expects to be chosen comes at once."""

    def toBytes(self) -> bytes:
        """
        @return: the payload of the message without its number, with a new cookie.
        """
        lists = [self.kex, self.hostKeys, self.ciphersUp, self.ciphersDown, self.macsUp, self.macsDown]
        lists += [self.compressionsUp, self.compressionsDown, (), ()]
        names = b"".join(string(b",".join(each)) for each in lists)
        return os.urandom(16) + names + bytes((self.follows,)) + bytes(4)

    @classmethod
    def fromBytes(cls, payload: bytes) -> KexInit:
        """
        @raise ProtocolError: it is too short.
        """
        reader = Reader(payload[16:])
        lists: list[Any] = [tuple(reader.string().split(b",")) for _ in range(10)]
        read = replace(cls(*lists[:8]), follows=reader.truth())
        reader.number()
        return read


@dataclass(frozen=True, slots=True)
class Chosen:
    """
    What two sides speak with each other.

    @since: ugate NEXT
    """

    kex: bytes
    """The key exchange."""

    hostKey: bytes
    """The algorithm of the host key."""

    cipherUp: bytes
    """The cipher from the client to the server."""

    cipherDown: bytes
    """The cipher from the server to the client."""

    macUp: bytes
    """The MAC from the client to the server; empty where the cipher has its own."""

    macDown: bytes
    """The MAC from the server to the client; empty where the cipher has its own."""

    guessed: bool
    """Whether what the client guessed is what was chosen."""


def first(what: str, client: Sequence[bytes], server: Sequence[bytes]) -> bytes:
    """
    What the client likes most of all that both have.

    @raise ProtocolError: there is nothing.
    """
    for each in client:
        if each in server and each not in MARKERS:
            return each
    asked, has = (words(b",".join(each))[:_SHOWN] for each in (client, server))
    raise ProtocolError(f"no {what} in common: the client has {asked}; the server has {has}")


def choose(client: KexInit, server: KexInit) -> Chosen:
    """
    @raise ProtocolError: they cannot speak with each other. It says for lack of what.
    """
    up = first("cipher", client.ciphersUp, server.ciphersUp)
    down = first("cipher", client.ciphersDown, server.ciphersDown)
    first("compression", client.compressionsUp, server.compressionsUp)
    first("compression", client.compressionsDown, server.compressionsDown)
    return Chosen(
        first("key exchange", client.kex, server.kex),
        first("host key algorithm", client.hostKeys, server.hostKeys),
        up,
        down,
        b"" if up in AEADS else first("MAC", client.macsUp, server.macsUp),
        b"" if down in AEADS else first("MAC", client.macsDown, server.macsDown),
        client.kex[0] == server.kex[0] and client.hostKeys[0] == server.hostKeys[0],
    )
