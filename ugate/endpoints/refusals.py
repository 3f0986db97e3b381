# -*- test-case-name: ugate.test.test_refusals -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a failed connection means: Twisted's and the system's errors as L{Refused}.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from socket import gaierror
from typing import Final

from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
)
from twisted.python.failure import Failure

from ugate.errors import Cause, Denied, Phase, Refused
from ugate.stream import StreamInfo

_BY_NUMBER: Final[Mapping[int, Cause]] = {
    errno.ECONNREFUSED: Cause.CONNECTION_REFUSED,
    errno.ECONNRESET: Cause.PEER_CLOSED,
    errno.ECONNABORTED: Cause.PEER_CLOSED,
    errno.ETIMEDOUT: Cause.TIMED_OUT,
    errno.EHOSTUNREACH: Cause.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Cause.HOST_UNREACHABLE,
    errno.ENETUNREACH: Cause.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Cause.NETWORK_UNREACHABLE,
    errno.EADDRNOTAVAIL: Cause.NETWORK_UNREACHABLE,
    errno.EAFNOSUPPORT: Cause.NETWORK_UNREACHABLE,
    # A firewall of this host that rejects what goes out.
    errno.EPERM: Cause.HOST_UNREACHABLE,
    errno.EACCES: Cause.HOST_UNREACHABLE,
    errno.EMFILE: Cause.OVERLOADED,
    errno.ENFILE: Cause.OVERLOADED,
    errno.ENOBUFS: Cause.OVERLOADED,
    errno.ENOMEM: Cause.OVERLOADED,
    # A UNIX socket that is not there.
    errno.ENOENT: Cause.CONNECTION_REFUSED,
}

_BY_TYPE: Final[tuple[tuple[type[Exception], Phase, Cause], ...]] = (
    (DNSLookupError, Phase.RESOLVE, Cause.NAME_UNKNOWN),
    (UnknownHostError, Phase.RESOLVE, Cause.NAME_UNKNOWN),
    (gaierror, Phase.RESOLVE, Cause.NAME_UNKNOWN),
    (ConnectionRefusedError, Phase.CONNECT, Cause.CONNECTION_REFUSED),
    (TimeoutError, Phase.CONNECT, Cause.TIMED_OUT),
    (TCPTimedOutError, Phase.CONNECT, Cause.TIMED_OUT),
    (NoRouteError, Phase.CONNECT, Cause.NETWORK_UNREACHABLE),
    (ConnectionClosed, Phase.CONNECT, Cause.PEER_CLOSED),
    (ConnectError, Phase.CONNECT, Cause.GENERAL),
    (OSError, Phase.CONNECT, Cause.GENERAL),
)


def refusal(error: BaseException, hop: str) -> Refused | None:
    """
    The error of a connection as a L{Refused}.

    @param hop: where it happened.
    @return: the error itself if it is a L{Refused} already; L{None} if it says
        nothing of the connection, as a fault of a program does.
    """
    if isinstance(error, Refused):
        return error
    number = error.osError if isinstance(error, ConnectError) else getattr(error, "errno", None)
    for kind, phase, cause in _BY_TYPE:
        if isinstance(error, kind):
            detail = ""
            if cause is not Cause.NAME_UNKNOWN and isinstance(number, int):
                cause = _BY_NUMBER.get(number, cause)
                detail = "" if cause is Cause.CONNECTION_REFUSED else os.strerror(number)
            elif cause is Cause.GENERAL or cause is Cause.PEER_CLOSED:
                detail = str(error)
            refused = Refused(cause, phase, hop, detail)
            refused.__cause__ = error
            return refused
    return None


def refusedAt(failure: Failure, hop: str) -> Failure:
    """
    An errback: the failure of a connection as a L{Refused}, or the same failure if
    it says nothing of the connection.
    """
    assert failure.value is not None
    refused = refusal(failure.value, hop)
    return failure if refused is None or refused is failure.value else Failure(refused)


def renamed(failure: Failure, hop: str, name: str) -> Failure:
    """
    An errback: a L{Refused} that happened at C{hop} is said to have happened at
    C{name}, so that it names what the config names.
    """
    refused = failure.value
    if not isinstance(refused, Refused) or refused.hop != hop:
        return failure
    if isinstance(refused, Denied):
        again: Refused = Denied(name, refused.detail, refused.nextStep)
    else:
        again = Refused(refused.cause, refused.phase, name, refused.detail, refused.nextStep)
    again.__cause__ = refused
    return Failure(again)


def noTarget(info: StreamInfo) -> Refused:
    """
    What is said of a stream that does not say where it wants to go.
    """
    return Refused(
        Cause.UNSUPPORTED,
        Phase.NEGOTIATE,
        str(info),
        "the stream names no target",
        "use a listener that gives it one",
    )
