# -*- test-case-name: ugate.test.test_direct -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The dialer that every way begins with: connections that this host makes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import DEFAULT_TIMEOUT, AddressEndpoint, isLiteral, socketsOf
from ugate.endpoints.names import NameEndpoint
from ugate.endpoints.refusals import noTarget
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer, IEgress, ITenant
from ugate.protocols.servernames import ENDED
from ugate.stream import TCP, UDP, UNIX, StreamInfo, Target

if TYPE_CHECKING:
    from ugate.endpoints.udp import Cones


@implementer(IDialer)
class Direct:
    """
    The dialer that connects from here: to an address as it is, to a name by the
    first of its addresses that answers, to a UNIX socket by its path.

    @since: ugate NEXT
    """

    networks = TCP, UDP, UNIX

    def __init__(self, reactor: Any, timeout: float = DEFAULT_TIMEOUT, *, asClient: bool = False) -> None:
        """
        @param reactor: L{IReactorTCP}, L{IReactorTime} and
            L{IReactorPluggableNameResolver}.
        @param timeout: seconds until a connection must be up, with the lookup of its
            name.
        @param asClient: whether connections come from the addresses of those who ask for them, in place of
            one of this host's.
        """
        self._asClient = asClient
        self._reactor = reactor
        self._timeout = timeout
        self._sockets = socketsOf(reactor, timeout)
        self._cones: Cones = {}

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the target.

        @raise Refused: if the stream has none.
        """
        target = info.target
        if target is None:
            raise noTarget(info)
        if target.network == UNIX:
            from ugate.endpoints.unixsockets import PathEndpoint

            return PathEndpoint(self._reactor, target, self._timeout)
        source = self._clientOf(info) if self._asClient else ""
        if target.network == UDP:
            from ugate.endpoints.udp import CONE, DatagramEndpoint

            whose = info.hints.get(CONE, "")
            return DatagramEndpoint(self._reactor, target, self._timeout, self._cones, whose)
        if isLiteral(target.host):
            return AddressEndpoint(self._reactor, target, self._timeout, self._sockets, source)
        return NameEndpoint(self._reactor, target, self._timeout, source=source)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        One line; for an address it says also if the egress rules forbid it.
        """
        if info.target is None:
            return [str(noTarget(info))]
        isUDP, isPath = info.target.network == UDP, info.target.network == UNIX
        isClients = self._asClient and not isPath
        if isClients:
            try:
                self._checkAsClient(info)
            except Refused as refused:
                return [str(refused)]
        origin = "the address of the client" if isClients else "here"
        line = f"{'send datagrams' if isUDP else 'connect'} to {info.target} from {origin}"
        if not (isPath or isLiteral(info.target.host)):
            return [f"{line}, its name resolved here, within {self._timeout:g} s"]
        egress = IEgress(self._reactor, None)
        if egress is not None:
            try:
                egress.check(info.target.host, info.target.port, info.target.network)
            except Denied as denied:
                return [str(denied)]
        return [f"{line}, within {self._timeout:g} s"]

    def _checkAsClient(self, info: StreamInfo) -> None:
        """
        Return if a stream may come from the address of who asks for it.

        @raise Denied: this is a way of a tenant, who could be anybody then.
        @raise Refused: it is one of datagrams.
        """
        tenant = ITenant(self._reactor, None)
        if tenant is not None and tenant.parent is not None:
            raise _notTenants(tenant, info)
        if info.target is not None and info.target.network == UDP:
            raise _notAsClient(info)

    def _clientOf(self, info: StreamInfo) -> str:
        """
        The address of who asks for a stream.

        @raise Refused: it may not come from there, or there is none.
        """
        self._checkAsClient(info)
        host = getattr(info.peer, "host", None)
        if not isinstance(host, str):
            raise Refused(
                Cause.UNSUPPORTED,
                Phase.CONNECT,
                str(info),
                "its client has no address to connect from",
                "leave out asClient= for those",
            )
        return host.removeprefix("::ffff:")


def _notTenants(tenant: ITenant, info: StreamInfo) -> Denied:
    return Denied(
        str(info.target),
        f"the tenant {tenant.name} could connect from any address of this network, as others do",
        "leave asClient= to the routes of the node itself; here use direct",
    )


def _notAsClient(info: StreamInfo) -> Refused:
    return Refused(
        Cause.UNSUPPORTED,
        Phase.CONNECT,
        str(info),
        "datagrams do not go from the address of the client",
        "add a route for them in front, as {match: 'udp:*', via: direct}",
    )


class Unrouted(Direct):
    """
    The dialer of streams of which no route says otherwise.  What was in TLS that ended here does not go
    on in clear to wherever its name leads: that has to be said.

    @since: ugate NEXT
    """

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the target.

        @raise Denied: TLS ended here.
        @raise Refused: if the stream has none.
        """
        if info.layers[-1:] == (ENDED,):
            raise _inClear(info)
        return super().endpointFor(info)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{Direct.explain}.
        """
        return [str(_inClear(info))] if info.layers[-1:] == (ENDED,) else super().explain(info)


def _inClear(info: StreamInfo) -> Denied:
    target = info.target
    host = "*" if target is None else target.host
    return Denied(
        str(target),
        "TLS ended here, and no route says where it goes on in clear",
        f'add a route, as {{match: "{host}", via: "forward:127.0.0.1:8080"}}; or one via direct',
    )


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
