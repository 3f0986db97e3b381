# -*- test-case-name: ugate.test.test_negotiate -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What stands behind the host of a negotiation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol

from ugate.deadlines import Deadlines
from ugate.interfaces import INegotiation, Step
from ugate.stream import Principal

if TYPE_CHECKING:
    from ugate.protocols.negotiate import Negotiating

DEFAULT_CAP: Final = 16384
"""Bytes that a peer may send before its negotiation is done."""


class Owner(ABC):
    """
    What stands behind a host: it makes the negotiation and the inner protocol,
    and hears of failures.  One owner serves many connections.
    """

    cap = DEFAULT_CAP
    eager = False
    """Whether the negotiation may be done before its peer says anything."""
    deadlines: Deadlines[Negotiating]
    lingering: Deadlines[Negotiating]

    @abstractmethod
    def negotiationFor(self, host: Negotiating) -> INegotiation:
        """
        The negotiation of a new connection, whose transport the host has.

        @raise Refused: there can be none.
        """

    @abstractmethod
    def buildInner(self, host: Negotiating, step: Step) -> IProtocol | None:
        """
        The protocol that the stream is for; L{None} to close it.
        """

    def opened(self, inner: IProtocol) -> None:  # noqa: B027 (not every owner cares)
        """
        The inner protocol has its transport.
        """

    def failed(self, host: Negotiating, error: Exception) -> None:  # noqa: B027 (not every owner cares)
        """
        The negotiation came to nothing.
        """

    def login(self, credentials: ICredentials) -> Principal | Deferred[Principal]:
        """
        Who that is.

        @raise UnauthorizedLogin: nobody; the Deferred may fail so as well.
        """
        raise UnauthorizedLogin
