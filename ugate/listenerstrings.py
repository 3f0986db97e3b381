# -*- test-case-name: ugate.test.test_node,ugate.test.test_reload_listeners -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the string of a listener means, and whether it may be.
"""

from __future__ import annotations

import os
from typing import Final

from twisted.internet.endpoints import AdoptedStreamServerEndpoint, StandardIOEndpoint, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.endpoints.reach import (
    asksForTarget,
    certifies,
    innermost,
    listedTargets,
    onlyLocal,
    takesLogins,
    within,
)
from ugate.errors import ListenRefused
from ugate.interfaces import ITenant
from ugate.tenancy.config.schema import Listener

_FILES: Final = ("Key", "Chain", "dhParameters", "tls", "ssl")
"""What is in a string that names files of keys."""

_MOST: Final = 1000
"""Files of a folder that are looked at."""


def listenerEndpoint(tenant: ITenant, name: str, listener: Listener) -> IStreamServerEndpoint:
    """
    The endpoint of a listener of the config.

    @raise StringError: its string cannot be read.
    @raise ListenRefused: it would be an open relay, or could never know where to.
    """
    endpoint: IStreamServerEndpoint = serverFromString(tenant.reactor, listener.endpoint)
    if listener.to is None and not asksForTarget(endpoint):
        raise ListenRefused(
            f"listener {name} ({listener.endpoint}) cannot know where a stream wants to go: "
            f"put auto: or socks: in front, or write {name}: {{endpoint: ..., to: HOST:PORT}}"
        )
    # To list all that can be reached is to say that it is open for that.
    closed = onlyLocal(endpoint) or listedTargets(endpoint) or certifies(endpoint)
    if not (closed or listener.open):
        _checkClosed(tenant, name, listener, endpoint)
    if listener.open:
        _open(endpoint)
    below = innermost(endpoint)
    whose = getattr(below, "whose", "")
    if isinstance(below, (StandardIOEndpoint, AdoptedStreamServerEndpoint)):
        whose = "the process's own"
    if tenant.parent is not None and whose:
        raise ListenRefused(
            f"listener {name} ({listener.endpoint}) is {whose}: only the root tenant may have it"
        )
    return endpoint


def _checkClosed(tenant: ITenant, name: str, listener: Listener, endpoint: IStreamServerEndpoint) -> None:
    """
    Whether a listener that others reach can tell who they are.

    @raise ListenRefused: not.
    """
    here = f"listener {name} ({listener.endpoint})"
    local = "let it listen on loopback (interface=127.0.0.1)"
    opened = f"or write {name}: {{endpoint: ..., open: true}} if that is what you want"
    if tenant.portal is None:
        raise ListenRefused(
            f"{here} would carry the streams of anybody who reaches it: "
            f"{local}, or name a password file as policy.users, {opened}"
        )
    if not takesLogins(endpoint):
        raise ListenRefused(
            f"{here} could let nobody in, since its protocol has no logins: {local}, {opened}"
        )


def _open(endpoint: IStreamServerEndpoint) -> None:
    """
    Let those pass who have not logged in.
    """
    each: IStreamServerEndpoint | None = endpoint
    while each is not None:
        if isinstance(each, NegotiatedServerEndpoint):
            each.open = True
        each = within(each)


def filesOf(endpoint: str) -> tuple[tuple[str, int, int, int], ...]:
    """
    The files that a string names, those in folders that it names too, and what shows whether
    they were changed.
    """
    if not any(word in endpoint for word in _FILES):
        return ()
    found = []
    for part in endpoint.replace("\\:", "\0").split(":"):
        path = part.replace("\0", ":").rpartition("=")[2]
        paths = [path]
        if os.path.isdir(path):
            paths += (os.path.join(path, name) for name in sorted(os.listdir(path))[:_MOST])
        for each in paths:
            try:
                status = os.stat(each)
            except (OSError, ValueError):
                continue
            found.append((each, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
