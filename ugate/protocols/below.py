# -*- test-case-name: ugate.test.test_negotiate_stream -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The socket of a connection whose handshake is over: taken out from under the host of its negotiation.
"""

from __future__ import annotations

from typing import Any, Protocol

from zope.interface import implementer

from ugate.interfaces import Detached, IDetachable, IDetachableTLS


class Leaving(Protocol):
    """
    A transport that may be left out once it has nothing more to do.
    """

    def leave(self, below: Detached) -> Detached:
        """
        The socket is gone, and whoever took it takes what is held above it, too.
        """


@implementer(IDetachable)
class SocketBelow:
    """
    The socket of a connection whose handshake is over.
    """

    __slots__ = ("_below", "_host")

    def __init__(self, host: Leaving, below: IDetachable | IDetachableTLS) -> None:
        self._host = host
        self._below = below

    def detach(self) -> Detached:
        """
        See L{IDetachable.detach}.
        """
        return self._host.leave(self._below.detach())


@implementer(IDetachableTLS)
class TLSBelow(SocketBelow):
    """
    That of a connection in TLS.
    """

    def part(self) -> tuple[Detached, Any]:
        """
        See L{IDetachableTLS.part}.
        """
        below: Any = self._below
        detached, records = below.part()
        return self._host.leave(detached), records
