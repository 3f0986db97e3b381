# -*- test-case-name: ugate.test.test_direct -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The dialer that every way begins with: connections that this host makes itself.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import DEFAULT_TIMEOUT, AddressEndpoint, isLiteral, socketsOf
from ugate.endpoints.names import NameEndpoint
from ugate.endpoints.refusals import noTarget
from ugate.errors import Denied
from ugate.interfaces import IDialer, IEgress
from ugate.stream import StreamInfo, Target


@implementer(IDialer)
class Direct:
    """
    The dialer that connects from here: to an address as it is, to a name by the
    first of its addresses that answers.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, timeout: float = DEFAULT_TIMEOUT) -> None:
        """
        @param reactor: L{IReactorTCP}, L{IReactorTime} and
            L{IReactorPluggableNameResolver}.
        @param timeout: seconds until a connection must be up, with the lookup of its
            name.
        """
        self._reactor = reactor
        self._timeout = timeout
        self._sockets = socketsOf(reactor, timeout)

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the target.

        @raise Refused: if the stream has none.
        """
        target = info.target
        if target is None:
            raise noTarget(info)
        if isLiteral(target.host):
            return AddressEndpoint(self._reactor, target, self._timeout, self._sockets)
        return NameEndpoint(self._reactor, target, self._timeout)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        One line; for an address it says also if the egress rules forbid it.
        """
        if info.target is None:
            return [str(noTarget(info))]
        line = f"connect to {info.target} from here"
        if not isLiteral(info.target.host):
            return [f"{line}, its name resolved here, within {self._timeout:g} s"]
        egress = IEgress(self._reactor, None)
        if egress is not None:
            try:
                egress.check(info.target.host, info.target.port)
            except Denied as denied:
                return [str(denied)]
        return [f"{line}, within {self._timeout:g} s"]


@implementer(IDialer)
class DirectTo:
    """
    The dialer that connects from here to one place, whatever the target.

    @since: ugate NEXT
    """

    def __init__(self, direct: Direct, target: Target) -> None:
        """
        @param direct: what connects.
        @param target: the place.
        """
        self._direct = direct
        self._target = target

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of that place.
        """
        return self._direct.endpointFor(info.but(target=self._target))

    def explain(self, info: StreamInfo) -> list[str]:
        """
        As L{Direct} does of that place.
        """
        return self._direct.explain(info.but(target=self._target))
