# -*- test-case-name: ugate.test.test_unixsockets -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams to UNIX sockets of this machine, which are asked for by their paths.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint

from ugate.endpoints.refusals import refusal
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IEgress
from ugate.stream import UNIX, Target

# Those of the folders on the way, and of the socket itself.
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM)


@implementer(IStreamClientEndpoint)
class PathEndpoint:
    """
    A UNIX socket, by the path that rules have decided about: one with a symbolic link in it is refused, since
    it leads to another.  The socket is held before that is looked at, and it is the one that is connected to:
    nobody can put a link in its place in between.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, target: Target, timeout: float) -> None:
        """
        @param reactor: L{IReactorUNIX}; with L{IEgress}, asked about the path.
        @param target: with the network L{UNIX}.
        @param timeout: seconds until it must be up.
        """
        self._reactor = reactor
        self.target = target
        self._timeout = timeout

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect; it fails with L{Refused}.
        """
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        where, held = str(self.target), -1
        try:
            held = os.open(self.target.host, os.O_PATH | os.O_CLOEXEC)
            way = f"/proc/self/fd/{held}"
            self._check(os.readlink(way), os.fstat(held).st_mode)
            endpoint: Any = UNIXClientEndpoint(self._reactor, way, self._timeout)
            connected: Deferred[IProtocol] = endpoint.connect(factory)
            return await connected
        except Exception as error:
            number = getattr(error, "osError", None) or getattr(error, "errno", None)
            if number in _FORBIDDEN:
                step = "let the user that ugate runs as write to the socket, and pass through its folders"
                raise Refused(Cause.DENIED, Phase.CONNECT, where, os.strerror(number), step) from error
            refused = refusal(error, where)
            if refused is None or refused is error:
                raise
            raise refused from error
        finally:
            if held >= 0:
                os.close(held)

    def _check(self, real: str, mode: int) -> None:
        """
        @raise Refused: it is not what the rules were asked about, or must not be.
        """
        path = self.target.host
        if real != path:
            step = f"ask for {UNIX}:{real}, and let a rule allow that"
            raise Denied(str(self.target), f"it is {real}, by a symbolic link", step)
        egress = IEgress(self._reactor, None)
        if egress is not None:
            egress.check(real, 0, UNIX)
        if not stat.S_ISSOCK(mode):
            raise Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, str(self.target), "it is no socket")

    def __str__(self) -> str:
        return str(self.target)
