# -*- test-case-name: ugate.test.test_reach -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who could connect to a server endpoint, told before it listens.
"""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import Any

from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    SSL4ServerEndpoint,
    StandardIOEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory


def isLoopback(host: str) -> bool:
    """
    Whether an interface is one that only this machine reaches.

    @param host: an address literal or C{localhost}; empty is every address.
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def within(endpoint: Any) -> IStreamServerEndpoint | None:
    """
    The endpoint that another one wraps: ours or one of Twisted's wrappers, which
    are those for C{haproxy:} and for C{tls:}.
    """
    for name in ("inner", "_wrappedEndpoint", "endpoint"):
        inner = getattr(endpoint, name, None)
        if IStreamServerEndpoint.providedBy(inner):
            return inner
    return None


def innermost(endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    """
    The endpoint that itself listens, without all that is wrapped around it.
    """
    inner = within(endpoint)
    return endpoint if inner is None else innermost(inner)


def isHaproxy(endpoint: object) -> bool:
    """
    Whether it is Twisted's wrapper for PROXY headers.
    """
    return getattr(endpoint, "_wrapperFactory", None) is HAProxyWrappingFactory


def asksForTarget(endpoint: IStreamServerEndpoint) -> bool:
    """
    Whether some negotiation in it learns where a stream wants to go.
    """
    inner = within(endpoint)
    return bool(getattr(endpoint, "asks", False)) or (inner is not None and asksForTarget(inner))


def takesLogins(endpoint: IStreamServerEndpoint) -> bool:
    """
    Whether some negotiation in it has a way to log in.
    """
    inner = within(endpoint)
    return bool(getattr(endpoint, "logins", False)) or (inner is not None and takesLogins(inner))


def listedTargets(endpoint: IStreamServerEndpoint) -> str:
    """
    The only targets that streams can have, as its string lists them, or empty.  What
    is wrapped in another negotiation or in a PROXY header does not count.
    """
    return str(getattr(endpoint, "listed", None) or "")


def certifies(endpoint: IStreamServerEndpoint) -> bool:
    """
    Whether nobody passes it who has not proven by a certificate who it is.
    """
    inner = within(endpoint)
    return bool(getattr(endpoint, "certifies", False)) or (inner is not None and certifies(inner))


def onlyLocal(endpoint: IStreamServerEndpoint) -> bool:
    """
    Whether only programs of this machine can connect to it, for themselves: not
    if a PROXY header says that they come for others.  What is not known is not local.
    """
    inner = within(endpoint)
    if inner is not None:
        others = getattr(endpoint, "forOthers", False) or isHaproxy(endpoint)
        return not others and onlyLocal(inner)
    isLocal = getattr(endpoint, "isLocal", None)
    if isLocal is not None:
        return bool(isLocal)
    if isinstance(endpoint, (TCP4ServerEndpoint, TCP6ServerEndpoint, SSL4ServerEndpoint)):
        return isLoopback(endpoint._interface)
    if isinstance(endpoint, AdoptedStreamServerEndpoint):
        return _isLocalSocket(endpoint.fileno)
    return isinstance(endpoint, (UNIXServerEndpoint, StandardIOEndpoint))


def addressOf(endpoint: IStreamServerEndpoint) -> tuple[object, ...]:
    """
    Where it listens, of which there is one; empty if that is not known, or chosen when it listens.
    """
    below = innermost(endpoint)
    if isinstance(below, (TCP4ServerEndpoint, TCP6ServerEndpoint, SSL4ServerEndpoint)):
        return (below._port, below._interface or "0.0.0.0") if below._port else ()
    return (below._address,) if isinstance(below, UNIXServerEndpoint) else ()


def _isLocalSocket(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        if listening.family == socket.AF_UNIX:
            return True
        return isLoopback(listening.getsockname()[0])
