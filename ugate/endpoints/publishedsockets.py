# -*- test-case-name: ugate.test.test_publishedsockets -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
UNIX sockets of a gate that lead to users who publish by C{ssh -R}.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from ugate.endpoints.published import leadingTo
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.stream import Target

MODE: Final = 0o600
"""Of such a socket: only who runs the gate may connect, and root."""

_OTHERS: Final = 0o022


class PublishedSockets:
    """
    Those that users have at one listener.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: that of a tenant.
        """
        self._reactor = reactor
        self._held: dict[str, IListeningPort] = {}

    async def add(self, keyid: str, at: Target, factory: IProtocolFactory) -> None:
        """
        See L{ugate.endpoints.forwarded.Listener.add}.
        """
        path = at.host
        if path in self._held:
            return
        _makeWay(at)
        endpoint = leadingTo(at, self._reactor, UNIXServerEndpoint(self._reactor, path, mode=MODE))
        try:
            self._held[path] = await endpoint.listen(factory)
        except CannotListenError as error:
            detail = f"it cannot be listened on: {error}"
            raise Refused(Cause.GENERAL, Phase.NEGOTIATE, str(at), detail) from error

    def release(self, keyid: str, at: Target) -> None:
        """
        See L{ugate.endpoints.forwarded.Listener.release}.
        """
        if at.host in self._held:
            self._stop(at.host)

    def stop(self) -> None:
        """
        Nobody comes here any more.
        """
        for path in tuple(self._held):
            self._stop(path)

    def _stop(self, path: str) -> None:
        listening = self._held.pop(path)
        # Twisted takes the file away; if somebody else has, it says so.
        maybeDeferred(listening.stopListening).addErrback(
            lambda failure: self.log.info("{path}: {why}", path=path, why=failure.getErrorMessage())
        )


def _makeWay(at: Target) -> None:
    """
    See that a socket can be made: in a folder that nobody else may write to, where there is nothing, or a
    socket that is left of a process which is gone.

    @raise Refused: not there.
    """
    path, where = at.host, str(at)
    folder = os.path.dirname(path)
    try:
        found = os.stat(folder)
        if os.path.realpath(folder) != folder:
            raise Denied(where, f"the way to {folder} has a symbolic link", "name the folder as it is")
        if found.st_mode & _OTHERS or found.st_uid not in (0, os.geteuid()):
            step = f"let it be for this process alone: chmod go-w {folder}"
            raise Denied(where, f"others may write to {folder}", step)
        if os.path.lexists(path):
            if not _isLeft(path):
                raise Denied(where, "there is a file already", "ask for another path")
            os.unlink(path)
    except OSError as error:
        step = f"make the folder {folder}, and let the user that ugate runs as write to it"
        raise Refused(Cause.GENERAL, Phase.NEGOTIATE, where, f"{error.strerror}", step) from error


def _isLeft(path: str) -> bool:
    """
    Whether a file is a socket on which nobody listens.
    """
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as trying:
        return trying.connect_ex(path) == errno.ECONNREFUSED
