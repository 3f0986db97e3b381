# -*- test-case-name: ugate.test.test_errors -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What can go wrong with a stream, in words that an operator can act on.

Every refusal names the hop where it happened, the phase it was in and the next
step.  How it is said on the wire (a SOCKS code, an HTTP status) is decided by
the protocol that says it, from L{Refused.cause}.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

_COMPARED: Final = 500
"""Known words that a misspelled one is compared with, at most."""


class Phase(Enum):
    """
    How far a stream had come when it was refused.
    """

    NEGOTIATE = "negotiate"
    POLICY = "policy"
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "TLS"
    AUTH = "auth"
    REMOTE = "remote"


class Cause(Enum):
    """
    Why a stream was refused: the facts that differ on the wire.
    """

    DENIED = "denied by policy"
    NAME_UNKNOWN = "the name does not exist"
    NETWORK_UNREACHABLE = "the network is unreachable"
    HOST_UNREACHABLE = "the host is unreachable"
    CONNECTION_REFUSED = "connection refused"
    TIMED_OUT = "timed out"
    AUTHENTICATION = "authentication failed"
    UNSUPPORTED = "not supported"
    OVERLOADED = "a limit is reached"
    PEER_CLOSED = "the peer closed the connection"
    PEER_MISBEHAVED = "the peer broke its protocol"
    GENERAL = "failed"


_NEXT_STEP: Final = {
    Cause.DENIED: "see the policy section of the config, or run with --explain HOST:PORT",
    Cause.NAME_UNKNOWN: "check the spelling, or the resolver of this host",
    Cause.NETWORK_UNREACHABLE: "check the routes of this host",
    Cause.HOST_UNREACHABLE: "check that the host is up and that no firewall is between",
    Cause.CONNECTION_REFUSED: "check that the service is running on that port",
    Cause.TIMED_OUT: "check that the host is up, or raise the timeout",
    Cause.AUTHENTICATION: "check the user name and the password",
    Cause.UNSUPPORTED: "use a protocol that this listener serves",
    Cause.OVERLOADED: "try again later, or raise the limit",
    Cause.PEER_CLOSED: "look into the log of that peer",
    Cause.PEER_MISBEHAVED: "check that the peer speaks the protocol which the config names",
    Cause.GENERAL: "look into the log",
}


class UgateError(Exception):
    """
    The base of all errors that this project raises on purpose.
    """


class Refused(UgateError):
    """
    A stream that will not be carried, and why.

    Look at C{hop} and C{phase} to see where, and at C{nextStep} for what to do.

    @ivar cause: the fact that the wire codes are chosen from.
    @ivar phase: how far the stream had come.
    @ivar hop: where: the endpoint string or the address of the hop, without secrets.
    @ivar detail: what exactly happened there, or empty.
    @ivar nextStep: what an operator can do about it.
    @ivar full: the path of the tenant that may have no more streams, if that is why; else empty.
    @since: ugate NEXT
    """

    full = ""

    def __init__(self, cause: Cause, phase: Phase, hop: str, detail: str = "", nextStep: str = "") -> None:
        super().__init__(cause, phase, hop, detail)
        self.cause = cause
        self.phase = phase
        self.hop = hop
        self.detail = detail
        self.nextStep = nextStep or _NEXT_STEP[cause]

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.phase.value} at {self.hop}: {self.cause.value}{detail}; {self.nextStep}"


class Denied(Refused):
    """
    Policy says no: change the rule that C{detail} names, or ask for something else.

    @since: ugate NEXT
    """

    def __init__(self, hop: str, detail: str = "", nextStep: str = "") -> None:
        super().__init__(Cause.DENIED, Phase.POLICY, hop, detail, nextStep)


class ProtocolError(UgateError):
    """
    The other side sent what its protocol does not allow.

    @ivar reply: the bytes that tell it so, in its own protocol, to be sent
        before the connection is closed.
    @since: ugate NEXT
    """

    def __init__(self, message: str, reply: bytes = b"") -> None:
        super().__init__(message)
        self.reply = reply


class StringError(UgateError, ValueError):
    """
    An endpoint string, a hop, a chain or a target that cannot be read: the
    message names the part and the wanted shape.

    @since: ugate NEXT
    """


class ListenRefused(UgateError):
    """
    A listener that may not start: the message names it and says what to change.

    @since: ugate NEXT
    """


def meant(word: str, known: Iterable[str]) -> str | None:
    """
    Which of the known words a misspelled one is most like, if any is like it.
    """
    from difflib import get_close_matches

    close = get_close_matches(word[:64], sorted(known)[:_COMPARED], 1, 0.6)
    return close[0] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """
    The end of a sentence: C{; did you mean 'listen'?}, or nothing.
    """
    like = meant(word, known)
    return f"; did you mean {like!r}?" if like else ""
