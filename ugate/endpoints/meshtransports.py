# -*- test-case-name: ugate.test.test_mesh_dialer,ugate.test.test_meshlinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How nodes of the mesh are spoken to: what the addresses of a node may begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ugate.endpoints.chain import Chain
from ugate.endpoints.dialing import dialerFromChain
from ugate.endpoints.direct import Direct, DirectTo
from ugate.endpoints.hops import Hop
from ugate.endpoints.meshlinks import MeshLinks
from ugate.interfaces import IDialer, ITenant, MeshAddress, MeshNode
from ugate.stream import Target

if TYPE_CHECKING:
    from ugate.endpoints.forwards import Forwards
    from ugate.endpoints.ready import Ready
    from ugate.endpoints.registry import Registry

PATIENCE: Final = 5.0
"""Seconds that an address has to be connected to, and again for each handshake there."""


@dataclass(frozen=True, slots=True)
class Transport:
    """
    How a node is spoken to.
    """

    make: Callable[[Any, MeshNode, MeshAddress, str, MeshLinks], IDialer]
    """
    Makes the dialer for an address: from what connects, the node, the address, who has to be there: its KEYID
    or another name, and the links that streams share.
    """

    passes: bool = False
    """
    Whether it passes on streams that are TLS already, and no others: then it is the client who sees who is
    there.
    """

    isHere: bool = False
    """
    Whether nothing is connected to, so that no rule for addresses holds.
    """

    isNamed: bool = False
    """
    Whether it is asked by the name that a stream asks for, each of which may lead elsewhere.
    """


def _connect(reactor: Any, node: MeshNode, address: MeshAddress, who: str, links: MeshLinks) -> IDialer:
    host, port = address.host, address.port
    hops = Hop("mtls", host, port, name=who, timeout=PATIENCE), Hop("connect", host, port, timeout=PATIENCE)
    return dialerFromChain(reactor, Chain(hops))


def _tls(reactor: Any, node: MeshNode, address: MeshAddress, who: str, links: MeshLinks) -> IDialer:
    return DirectTo(Direct(reactor, PATIENCE), Target(address.host, address.port))


def readyOf(tenant: ITenant) -> Ready:
    """
    Where the connections are that nodes keep ready for a tenant.
    """
    ready: Ready = tenant.hops["mesh"].ready
    return ready


def _ready(reactor: Any, node: MeshNode, address: MeshAddress, who: str, links: MeshLinks) -> IDialer:
    from ugate.endpoints.readydialer import ReadyDialer

    return ReadyDialer(readyOf(ITenant(reactor)), node.keyid)


def registryOf(tenant: ITenant) -> Registry:
    """
    Where the links are that nodes have made to a tenant.
    """
    registry: Registry = tenant.hops["mesh"].registry
    return registry


def forwardsOf(tenant: ITenant) -> Forwards:
    """
    What users publish on their connections to a tenant.
    """
    forwards: Forwards = tenant.hops["mesh"].forwards
    return forwards


def _reverse(reactor: Any, node: MeshNode, address: MeshAddress, who: str, links: MeshLinks) -> IDialer:
    return registryOf(ITenant(reactor))


def _ssh(reactor: Any, node: MeshNode, address: MeshAddress, who: str, links: MeshLinks) -> IDialer:
    return forwardsOf(ITenant(reactor))


def _h2connect(reactor: Any, node: MeshNode, address: MeshAddress, who: str, links: MeshLinks) -> IDialer:
    from ugate.endpoints.h2connect import H2Connect

    hop = Hop("h2connect", address.host, address.port, name=who, timeout=PATIENCE)
    return H2Connect(reactor, hop, Direct(reactor, PATIENCE), links.poolFor(reactor))


TRANSPORTS: Final[Mapping[str, Transport]] = {
    "connect": Transport(_connect),
    "h2connect": Transport(_h2connect),
    "tls": Transport(_tls, passes=True),
    "ready": Transport(_ready, passes=True, isHere=True),
    "reverse": Transport(_reverse, isHere=True),
    "ssh": Transport(_ssh, isHere=True, isNamed=True),
}
"""
What a L{MeshAddress} may have in C{transport}: C{connect} is mutual TLS with the node, and HTTP CONNECT for
the target inside; C{h2connect} is the same in HTTP/2, on links that streams share; C{tls} is the node's own
TLS port, to which streams that are TLS already go as they are; C{ready} is the same by a connection that the
node itself has made to here; C{reverse} is a stream on a link that it has made to here; C{ssh} is what a user
publishes on a connection of SSH.
"""
