# -*- test-case-name: ugate.test.test_published -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Ports of a gate that lead to nodes which have dialed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger

from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.endpoints.reach import innermost
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import Auth, INegotiation, MeshNode
from ugate.stream import StreamInfo, Target

_PROTOCOL: Final = "forward"


def leadingTo(target: Target, reactor: Any, inner: IStreamServerEndpoint) -> IStreamServerEndpoint:
    """
    A listener of ours whose streams are for one who has come to us.

    @param target: by what streams ask for it.
    @param inner: where it listens.
    """

    def negotiation(info: StreamInfo, auth: Auth) -> INegotiation:
        # Who comes is anybody, as on a port that the config declares open.
        from ugate.endpoints.mtls import NOBODY
        from ugate.protocols.auto import Fixed

        return Fixed(info.but(principal=NOBODY), auth, target, _PROTOCOL)

    return NegotiatedServerEndpoint(reactor, inner, negotiation, logins=False, eager=True)


def isGiven(node: MeshNode, name: str) -> bool:
    """
    Whether the config lets a node, or a user, have a name.
    """
    return name in node.names or any(_fits(name, host) for host in node.hosts)


def _fits(name: str, host: str) -> bool:
    return name.endswith(host[1:]) if host.startswith("*.") else name == host


class Published:
    """
    The ports that nodes have at one listener, on the address where they dial in.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, reactor: Any, inner: IStreamServerEndpoint) -> None:
        """
        @param reactor: that of a tenant.
        @param inner: where nodes dial in.
        """
        below: Any = innermost(inner)
        isTCP = isinstance(below, (TCP4ServerEndpoint, TCP6ServerEndpoint))
        self._kind: Any = type(below) if isTCP else TCP4ServerEndpoint
        self._interface: str = below._interface if isTCP else ""
        self._reactor = reactor
        self._held: dict[int, tuple[str, IListeningPort]] = {}

    def ports(self, keyid: str) -> list[int]:
        """
        Those of a node.
        """
        return sorted(port for port, (owner, _) in self._held.items() if owner == keyid)

    async def take(self, keyid: str, ports: Iterable[int], factory: IProtocolFactory, host: str = "") -> None:
        """
        Let these ports, and no others, lead to a node; whoever calls has seen that it may have them.

        @param factory: what the streams are for.
        @param host: by which name streams ask for it; its KEYID unless given.
        @raise Refused: one of them cannot be; what it had before it has still.
        """
        wanted = frozenset(ports)
        for port in wanted:
            owner, _ = self._held.get(port, (keyid, None))
            if owner != keyid:
                step = "have it ask for another port"
                raise Denied(f"node {keyid}", f"port {port} is that of another node", step)
        made: dict[int, tuple[str, IListeningPort]] = {}
        try:
            for port in sorted(wanted - self._held.keys()):
                made[port] = keyid, await self._endpointFor(host or keyid.lower(), port).listen(factory)
        except CannotListenError as error:
            for _, listening in made.values():
                maybeDeferred(listening.stopListening)
            detail = f"port {port} cannot be listened on: {error}"
            raise Refused(Cause.GENERAL, Phase.NEGOTIATE, f"node {keyid}", detail) from error
        self._held.update(made)
        self._stop(port for port in self.ports(keyid) if port not in wanted)
        if made:
            self.log.info("node {keyid} has port {ports}", keyid=keyid, ports=", ".join(map(str, made)))

    def _endpointFor(self, host: str, port: int) -> IStreamServerEndpoint:
        inner = self._kind(self._reactor, port, interface=self._interface)
        return leadingTo(Target(host, port), self._reactor, inner)

    async def add(self, keyid: str, at: Target, factory: IProtocolFactory) -> None:
        """
        See L{ugate.endpoints.forwarded.Listener.add}.
        """
        await self.take(keyid, {*self.ports(keyid), at.port}, factory, at.host)

    def release(self, keyid: str, at: Target) -> None:
        """
        See L{ugate.endpoints.forwarded.Listener.release}.
        """
        self._stop(each for each in self.ports(keyid) if each == at.port)

    def leave(self, keyid: str) -> None:
        """
        A node is gone.
        """
        self._stop(self.ports(keyid))

    def stop(self) -> None:
        """
        Nobody dials in here any more.
        """
        self._stop(tuple(self._held))

    def _stop(self, ports: Iterable[int]) -> None:
        for port in ports:
            _, listening = self._held.pop(port)
            maybeDeferred(listening.stopListening)
