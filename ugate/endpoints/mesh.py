# -*- test-case-name: ugate.test.test_meshnodes,ugate.test.test_mesh_dialer -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams to nodes of the mesh, by their names.

A node is tried at its addresses in order.  Whatever the network says of these, and of names: by C{connect}
a node has to prove its key, or a name that only the network gives it, before a byte of a stream passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from zope.interface import implementer

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint

from ugate.endpoints.addresses import isLiteral
from ugate.endpoints.dialers import Way, together, within
from ugate.endpoints.meshlinks import MeshLinks
from ugate.endpoints.meshtransports import PATIENCE, TRANSPORTS
from ugate.endpoints.nodetable import Users
from ugate.endpoints.pool import LinkState
from ugate.endpoints.refusals import noTarget
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer, IEgress, MeshAddress, MeshNode
from ugate.posting import networksOf
from ugate.stream import TCP, UDP, StreamInfo, Target

if TYPE_CHECKING:
    from ugate.endpoints.forwards import Forwards
    from ugate.endpoints.ready import Ready
    from ugate.endpoints.registry import Registry

AVOIDED: Final = 30.0
"""Seconds for which an address that has failed is tried after all others."""

MAX_TRIED: Final = 4096
"""Addresses of which we remember how the last attempt ended."""

_TLS: Final = ("sni", "tls")
"""The protocols of streams that are TLS already."""

_PATIENT: Final = 1.0
"""Seconds without an answer that count as a failure if the client waits no longer."""

_ANSWERS: Final = (Phase.REMOTE, Phase.AUTH)
_UNANSWERED: Final = (Cause.PEER_MISBEHAVED, Cause.PEER_CLOSED, Cause.TIMED_OUT)


class KnownNodes(Users, Protocol):
    """
    What is wanted of a table of nodes.
    """

    def given(self, keyid: str) -> MeshNode | None:
        """
        What the config alone says of a KEYID.
        """


class MeshTenant(Protocol):
    """
    What is wanted of a tenant: see L{ugate.tenancy.tenant.Tenant}.
    """

    @property
    def nodes(self) -> KnownNodes:
        """
        The nodes that it knows.
        """

    @property
    def reactor(self) -> Any:
        """
        The one with the rules for clients.
        """

    @property
    def hopReactor(self) -> Any:
        """
        What connects to addresses that the config gives.
        """

    @property
    def learnedReactor(self) -> Any:
        """
        What connects to addresses that the network gives.
        """


@dataclass(frozen=True, slots=True)
class Tried:
    """
    How the last attempt of an address ended.
    """

    at: float
    """When, by the clock of the reactor."""

    why: str = ""
    """What was wrong, or empty."""


@implementer(IDialer)
class Mesh:
    """
    The dialer that leads to the node whose name a target has.

    @since: ugate NEXT
    """

    __slots__ = ("_forwards", "_links", "_ready", "_registry", "_tenant", "_tried")

    networks = TCP, UDP

    def __init__(self, tenant: MeshTenant) -> None:
        """
        @param tenant: whose nodes they are; its reactors are only asked for when they are needed.
        """
        self._tenant = tenant
        self._tried: dict[tuple[str, MeshAddress], Tried] = {}
        self._ready: Ready | None = None
        self._registry: Registry | None = None
        self._forwards: Forwards | None = None
        self._links = MeshLinks(PATIENCE)

    @property
    def ready(self) -> Ready:
        """
        The connections that nodes keep ready here.
        """
        if self._ready is None:
            from ugate.endpoints.ready import Ready

            self._ready = Ready(self._tenant.reactor, self._tenant.nodes)
        return self._ready

    @property
    def registry(self) -> Registry:
        """
        The links that nodes have made to here.
        """
        if self._registry is None:
            from ugate.endpoints.registry import Registry

            self._registry = Registry(self._tenant.reactor, self._tenant.nodes)
        return self._registry

    @property
    def forwards(self) -> Forwards:
        """
        What users publish on their connections.
        """
        if self._forwards is None:
            from ugate.endpoints.forwards import Forwards

            self._forwards = Forwards(self._tenant.reactor, self._tenant.nodes)
        return self._forwards

    def links(self) -> list[LinkState]:
        """
        The links that are up, which streams share.
        """
        return self._links.links()

    def retire(self, tenant: str) -> None:
        """
        Let new streams use new links, since somebody else is believed now, or may be connected to.

        @param tenant: its path.
        """
        self._links.retire(tenant)
        if self._registry is not None:
            self._registry.retire()

    def drain(self) -> Deferred[Any]:
        """
        Open no more streams on links; each closes with its last one.

        @return: fires when all are closed.
        """
        ending = [self._links.drain()]
        if self._registry is not None:
            ending.append(self._registry.drain())
        return gatherResults(ending)

    def stop(self) -> None:
        """
        Cut the links that are left.
        """
        self._links.stop()
        if self._registry is not None:
            self._registry.stop()
        if self._forwards is not None:
            self._forwards.stop()

    def lastTry(self, keyid: str, address: MeshAddress) -> Tried | None:
        """
        How the last attempt of an address ended, if that is remembered.
        """
        return self._tried.get((keyid, address))

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint that tries the addresses of the node.

        @raise Refused: there is no such node, or no address of it that would do.
        """
        node = self._nodeOf(info)
        ways = self._ways(node, info)
        return Way(lambda factory: self._go(node, ways, info, factory))

    def _nodeOf(self, info: StreamInfo) -> MeshNode:
        target = info.target
        if target is None:
            raise noTarget(info)
        node = self._tenant.nodes.find(target.host)
        if node is None:
            step = "add it to the section nodes; ucli nodes shows those that are known"
            raise Refused(
                Cause.NAME_UNKNOWN, Phase.RESOLVE, str(target), "no node of that name is known here", step
            )
        return node

    def _asked(self, node: MeshNode, address: MeshAddress, info: StreamInfo) -> StreamInfo:
        """
        The stream as the node is asked for it: by a name that it knows to be its own.
        """
        target = info.target
        assert target is not None
        if _beginsWith(target.host, node.keyid) or TRANSPORTS[address.transport].isNamed:
            return info
        return info.but(target=Target(node.keyid.lower(), target.port, target.network))

    def _ways(self, node: MeshNode, info: StreamInfo) -> list[tuple[MeshAddress, IDialer]]:
        """
        The addresses in the order in which they are tried, and how.

        @raise Refused: there are none that would do.
        """
        isTLS = _isTLS(info)
        now: float = self._tenant.reactor.seconds()
        fitting = [each for each in node.addresses if each.transport in TRANSPORTS]
        if not isTLS:
            fitting = [each for each in fitting if not TRANSPORTS[each.transport].passes]
        if not fitting:
            known = ", ".join(sorted({each.transport for each in node.addresses}))
            detail = (
                f"its addresses are for {known}, which does not do here"
                if known
                else "it has no address here, and no link to here"
            )
            step = f"give it one in the section nodes, as in connect:HOST:PORT; its KEYID is {node.keyid}"
            raise Refused(Cause.HOST_UNREACHABLE, Phase.RESOLVE, str(info.target), detail, step)

        def order(address: MeshAddress) -> tuple[bool, bool]:
            tried = self._tried.get((node.keyid, address))
            hasFailed = tried is not None and bool(tried.why) and now - tried.at < AVOIDED
            # Nothing is encrypted twice, if that can be.
            return hasFailed, isTLS and not TRANSPORTS[address.transport].passes

        who = self._whoIn(node, info)
        ways = [(each, self._dialer(node, each, who)) for each in sorted(fitting, key=order)]
        target = info.target
        if target is None or target.network == TCP:
            return ways
        carrying = [each for each in ways if target.network in networksOf(each[1])]
        if not carrying:
            detail = "its addresses carry no datagrams"
            step = "give it one that does in the section nodes: h2connect:HOST:PORT"
            raise Refused(Cause.UNSUPPORTED, Phase.RESOLVE, str(target), detail, step)
        return carrying

    def _whoIn(self, node: MeshNode, info: StreamInfo) -> str:
        """
        Who has to be there: the key; or the name, if only the network says that it is of that key.
        """
        target = info.target
        assert target is not None
        if _beginsWith(target.host, node.keyid) or ":" in target.host:
            return node.keyid
        given, name = self._tenant.nodes.given(node.keyid), target.host.lower().removesuffix(".")
        return node.keyid if given is not None and name in given.names else name

    def _dialer(self, node: MeshNode, address: MeshAddress, who: str) -> IDialer:
        transport, given = TRANSPORTS[address.transport], self._tenant.nodes.given(node.keyid)
        if given is not None and address in given.addresses:
            return transport.make(self._tenant.hopReactor, node, address, who, self._links)
        dialer = transport.make(self._tenant.learnedReactor, node, address, who, self._links)
        isUnproven = transport.passes and not transport.isHere
        return _Unproven(self._tenant.reactor, address, dialer) if isUnproven else dialer

    async def _go(
        self,
        node: MeshNode,
        ways: list[tuple[MeshAddress, IDialer]],
        info: StreamInfo,
        factory: IProtocolFactory,
    ) -> IProtocol:
        refusals: list[Refused] = []
        for address, dialer in ways:
            began = self._tenant.reactor.seconds()
            try:
                protocol = await within(
                    self._tenant.reactor, None, dialer, self._asked(node, address, info), factory
                )
            except CancelledError:
                if self._tenant.reactor.seconds() - began >= _PATIENT:
                    self._remember(node, address, "it had not answered when the client gave up")
                raise
            except Refused as refused:
                if refused.phase in _ANSWERS and refused.cause not in _UNANSWERED:
                    # It is there, and says no; elsewhere it would say the same.
                    self._remember(node, address)
                    raise
                detail = f": {refused.detail}" if refused.detail else ""
                self._remember(node, address, f"{refused.cause.value}{detail}")
                refusals.append(refused)
            else:
                self._remember(node, address)
                return protocol
        raise together(refusals)

    def _remember(self, node: MeshNode, address: MeshAddress, why: str = "") -> None:
        tried, key = self._tried, (node.keyid, address)
        tried.pop(key, None)
        if len(tried) >= MAX_TRIED:
            del tried[next(iter(tried))]
        tried[key] = Tried(self._tenant.reactor.seconds(), why)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        Which node it is, and the ways there in the order that they are tried in.
        """
        try:
            node = self._nodeOf(info)
            ways = self._ways(node, info)
        except Refused as refused:
            return [str(refused)]
        lines = [f"{info.target} is on the node {node.keyid}, known by {node.source}"]
        for number, (address, dialer) in enumerate(ways, 1):
            tried = self.lastTry(node.keyid, address)
            failed = f", which has failed before ({tried.why})" if tried is not None and tried.why else ""
            lines.append(f"way {number} of {len(ways)}{failed}:")
            lines += [f"  {line}" for line in dialer.explain(self._asked(node, address, info))]
        return lines


@implementer(IDialer)
class _Unproven:
    """
    An address of the network at which nobody proves anything to us: the rules for what clients ask for have
    to allow it, and they want an address and no name.
    """

    def __init__(self, clients: Any, address: MeshAddress, dialer: IDialer) -> None:
        self._clients = clients
        self._address = address
        self._dialer = dialer

    def _check(self) -> None:
        address = self._address
        if not isLiteral(address.host):
            where = str(Target(address.host, address.port))
            raise Denied(where, "a name, where the network has to give an address", "have it give an address")
        egress = IEgress(self._clients, None)
        if egress is not None:
            egress.check(address.host, address.port)

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        self._check()
        return self._dialer.endpointFor(info)

    def explain(self, info: StreamInfo) -> list[str]:
        try:
            self._check()
        except Denied as denied:
            return [str(denied)]
        return self._dialer.explain(info)


def _isTLS(info: StreamInfo) -> bool:
    """
    Whether a stream is TLS already: it was recognized so, and nothing has ended that since.
    """
    return info.protocol in _TLS and info.layers[-1:] in ((), (info.protocol,))


def _beginsWith(host: str, keyid: str) -> bool:
    return host.partition(".")[0].upper() == keyid
