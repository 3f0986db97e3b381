# -*- test-case-name: ugate.test.test_sshforwards -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a client of SSH wants to be listened for at the server, C{ssh -R} (RFC 4254, 7.1), and the answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import Cause, Denied, Phase, ProtocolError, Refused, StringError
from ugate.protocols.sshpackets import (
    REQUEST_FAILURE,
    REQUEST_SUCCESS,
    U32,
    Reader,
    askedPath,
    origin,
    string,
    words,
)
from ugate.stream import UNIX, StreamInfo, Target

FORWARD: Final = b"tcpip-forward"
CANCEL: Final = b"cancel-tcpip-forward"
LOCAL_FORWARD: Final = b"streamlocal-forward@openssh.com"
LOCAL_CANCEL: Final = b"cancel-streamlocal-forward@openssh.com"

REQUESTS: Final = frozenset((FORWARD, CANCEL, LOCAL_FORWARD, LOCAL_CANCEL))
"""What a client asks by."""

_PATH: Final = -1
"""In place of the port, with a path in place of the host."""

MOST: Final = 32
"""Forwards of one connection."""

WAITING: Final = 64
"""Requests of one connection that may wait for their answers."""


class Publisher(Protocol):
    """
    Who decides what a client may have.
    """

    def publish(self, host: str, port: int) -> Deferred[Target]:
        """
        Let streams come to the client.

        @param host: as it has asked for it.
        @param port: the same; 0 for any.
        @return: where they ask for it, with the same port unless that was 0; fails with L{Refused}.
        """

    def publishAt(self, path: Target) -> Deferred[Target]:
        """
        The same by a UNIX socket of the server.

        @return: the path; fails with L{Refused}.
        """

    def withdraw(self, at: Target) -> None:
        """
        Let no more come.
        """


class SSHForwards:
    """
    What one client has asked for.

    @ivar publisher: who decides.
    @since: ugate NEXT
    """

    def __init__(self, publisher: Publisher) -> None:
        """
        @param publisher: who decides.
        """
        self.publisher = publisher
        # Of each the words of the client, by which it knows it again; L{None} until it is decided.
        self._asked: dict[tuple[bytes, int], Target | None] = {}
        self._held: dict[Target, tuple[bytes, int]] = {}

    def requested(self, name: bytes, reader: Reader) -> Deferred[bytes]:
        """
        The client wants, or does not want any more.

        @return: what the answer says; fails with L{Refused}.
        @raise ProtocolError: the packet is broken.
        """
        host = reader.string()
        port = _PATH if name in (LOCAL_FORWARD, LOCAL_CANCEL) else reader.number()
        return self._cancel(host, port) if name in (CANCEL, LOCAL_CANCEL) else self._forward(host, port)

    def _forward(self, host: bytes, port: int) -> Deferred[bytes]:
        where, asked = _where(host, port), (host, port)
        if len(self._asked) >= MOST:
            many = f"there are {MOST} forwards on this connection"
            return fail(Refused(Cause.OVERLOADED, Phase.NEGOTIATE, where, many, "make another connection"))
        if asked in self._asked or port > 0xFFFF:
            why = "it is forwarded already" if port <= 0xFFFF else "there is no such port"
            return fail(Denied(where, why))
        try:
            path = askedPath(string(host)) if port == _PATH else None
        except StringError as error:
            return fail(Denied(where, str(error)))
        if port:
            # Of those with any port there may be several.
            self._asked[asked] = None
        publisher = self.publisher
        done = publisher.publish(words(host), port) if path is None else publisher.publishAt(path)
        return done.addCallbacks(self._published, self._refused, (host, port), errbackArgs=(asked,))

    def _published(self, at: Target, host: bytes, port: int) -> bytes:
        asked = host, port or at.port
        self._asked[asked] = at
        self._held[at] = asked
        return b"" if port else U32.pack(at.port)

    def _refused(self, failure: Failure, asked: tuple[bytes, int]) -> Failure:
        self._asked.pop(asked, None)
        return failure

    def _cancel(self, host: bytes, port: int) -> Deferred[bytes]:
        at = self._asked.get((host, port))
        if at is None:
            return fail(Denied(_where(host, port), "it is not forwarded"))
        self.gone(at)
        self.publisher.withdraw(at)
        return succeed(b"")

    def gone(self, at: Target) -> None:
        """
        One is no more.
        """
        asked = self._held.pop(at, None)
        if asked is not None:
            del self._asked[asked]

    def opens(self, at: Target, info: StreamInfo) -> bytes:
        """
        What opens a stream to the client, in its own words (RFC 4254, 7.2).

        @raise Refused: it has not asked for that.
        """
        asked = self._held.get(at)
        if asked is None:
            raise Refused(Cause.CONNECTION_REFUSED, Phase.REMOTE, str(at), "it is not forwarded any more")
        if at.network == UNIX:
            return string(asked[0]) + string(b"")
        host, port = origin(info)
        came = string(host.encode("ascii", "replace")) + U32.pack(port)
        return string(asked[0]) + U32.pack(asked[1]) + came


def _where(host: bytes, port: int) -> str:
    return words(host) if port == _PATH else f"{words(host)}:{port}"


class SSHReplies:
    """
    Answers to requests about a connection, which have no names: they go in the order of these.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, send: Callable[[int, bytes], object]) -> None:
        """
        @param send: sends a message.
        """
        self._send = send
        self._waiting: deque[_Reply] = deque()

    def add(self, wants: bool, answer: Deferred[bytes]) -> None:
        """
        One more.

        @param wants: whether the peer wants to hear of it.
        @param answer: what it says; a failure refuses.
        @raise ProtocolError: too many wait.
        """
        if len(self._waiting) >= WAITING:
            answer.addErrback(lambda _: None)
            raise ProtocolError(f"{WAITING} requests at once")
        reply = _Reply(wants)
        self._waiting.append(reply)
        answer.addCallbacks(reply.succeeded, reply.failed)
        answer.addErrback(lambda failure: self.log.failure("a request cannot be answered", failure))
        answer.addBoth(lambda _: self._goOn())

    def _goOn(self) -> None:
        while self._waiting and self._waiting[0].isDone:
            reply = self._waiting.popleft()
            if reply.wants:
                self._send(reply.number, reply.payload)


class _Reply:
    """
    One answer.
    """

    isDone = False
    number = REQUEST_FAILURE
    payload = b""

    def __init__(self, wants: bool) -> None:
        self.wants = wants

    def succeeded(self, payload: bytes) -> None:
        self.isDone = True
        self.number, self.payload = REQUEST_SUCCESS, payload

    def failed(self, failure: Failure) -> None:
        self.isDone = True
        failure.trap(Refused)
