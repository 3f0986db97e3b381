# -*- test-case-name: ugate.test.test_sshagent -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Keys that an agent keeps, and signs with (draft-ietf-sshm-ssh-agent).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.errors import ProtocolError
from ugate.protocols.sshcertificate import SUFFIX
from ugate.protocols.sshclientauth import Signer
from ugate.protocols.sshpackets import U32, Reader, string, words

_FAILURE: Final = 5
_REQUEST_IDENTITIES: Final = 11
_IDENTITIES: Final = 12
_SIGN_REQUEST: Final = 13
_SIGNED: Final = 14
_SHA512: Final = 4

_MOST: Final = 32
"""Keys of an agent that are used."""

_LONGEST: Final = 1 << 18
"""Bytes of an answer."""

_RSA_NAMES: Final = {b"ssh-rsa" + each: b"rsa-sha2-512" + each for each in (b"", SUFFIX)}


class Agent(Protocol):
    """
    A connection to an agent.

    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: deque[Deferred[Reader]] = deque()

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "agent"

    def dataReceived(self, data: bytes) -> None:
        """
        See L{IProtocol.dataReceived}.
        """
        self._buffer += data
        while len(self._buffer) >= 4:
            (size,) = U32.unpack_from(self._buffer)
            if not 0 < size <= _LONGEST or not self._waiting:
                self._cut()
                return
            if len(self._buffer) < 4 + size:
                return
            answer, self._buffer = self._buffer[4 : 4 + size], self._buffer[4 + size :]
            self._waiting.popleft().callback(Reader(answer))

    def _cut(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{IProtocol.connectionLost}.
        """
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            if not each.called:
                each.errback(reason)

    def _ask(self, kind: int, more: bytes = b"") -> Deferred[Reader]:
        transport: Any = self.transport
        transport.write(string(bytes([kind]) + more))
        asked: Deferred[Reader] = Deferred(lambda _: self._cut())
        self._waiting.append(asked)
        return asked

    def signers(self) -> Deferred[list[Signer]]:
        """
        The keys that it has.

        @return: fails if it does not say so.
        """
        asked: Deferred[Any] = self._ask(_REQUEST_IDENTITIES)
        return asked.addCallback(self._listed)

    def _listed(self, reader: Reader) -> list[Signer]:
        if reader.byte() != _IDENTITIES:
            raise ProtocolError("the agent does not list its keys")
        found = []
        for _ in range(min(reader.number(), _MOST)):
            blob, comment = reader.string(), words(reader.string())
            kind = Reader(blob).string()
            algorithm = _RSA_NAMES.get(kind, kind)
            found.append(Signer(f"the agent's {comment}", algorithm, blob, self._signing(blob, kind)))
        return found

    def _signing(self, blob: bytes, kind: bytes) -> Any:
        flags = _SHA512 if kind in _RSA_NAMES else 0

        def sign(data: bytes) -> Deferred[bytes]:
            asked: Deferred[Any] = self._ask(_SIGN_REQUEST, string(blob) + string(data) + U32.pack(flags))
            return asked.addCallback(_signature)

        return sign


def _signature(reader: Reader) -> bytes:
    if reader.byte() != _SIGNED:
        raise ProtocolError("the agent does not sign")
    return reader.string()
