# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The classes that say that they provide an interface, and how one of each is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport

from ugate.copyends import LimitedProducer
from ugate.endpoints.addresses import AddressEndpoint
from ugate.endpoints.behind import BehindServerEndpoint
from ugate.endpoints.capturedudp import CapturedDatagramsEndpoint
from ugate.endpoints.connecting import Connecting
from ugate.endpoints.dialers import Deny, Fallback, Retry
from ugate.endpoints.direct import Direct, DirectTo
from ugate.endpoints.forward import Forward
from ugate.endpoints.forwards import Forwards
from ugate.endpoints.h2connect import H2Connect
from ugate.endpoints.hops import Hop
from ugate.endpoints.mesh import Mesh
from ugate.endpoints.meshstring import MeshEndpoint
from ugate.endpoints.mutual import Mutual
from ugate.endpoints.muxed import MuxedServerEndpoint
from ugate.endpoints.names import NameEndpoint
from ugate.endpoints.negotiated import NegotiatedClientEndpoint, NegotiatedServerEndpoint
from ugate.endpoints.parsers import HopParser, LastParser, MeshParser, ServerParser
from ugate.endpoints.pool import SessionPool
from ugate.endpoints.readydialer import ReadyDialer
from ugate.endpoints.registry import Registry
from ugate.endpoints.reverse import NoAddress, ReverseServerEndpoint
from ugate.endpoints.services import Services
from ugate.endpoints.session import Session
from ugate.endpoints.sshhop import SSHHop
from ugate.endpoints.tun import DeviceEndpoint
from ugate.endpoints.tunport import DeviceAddress
from ugate.endpoints.udp import DatagramEndpoint
from ugate.endpoints.udpport import DatagramServerEndpoint
from ugate.endpoints.unixsockets import PathEndpoint
from ugate.flows import Flows
from ugate.gateway import Gateway
from ugate.interfaces import Auth
from ugate.leg import Leg
from ugate.modules.admin import AdminModule
from ugate.modules.agent import ModuleAgent
from ugate.modules.ca import CaModule
from ugate.modules.capture import CaptureModule
from ugate.modules.discovery import DiscoveryModule
from ugate.modules.dns import DnsModule
from ugate.modules.http import HttpModule
from ugate.modules.lazy import LazyModule
from ugate.modules.loopback import LoopbackEndpoint
from ugate.modules.register import RegisterModule
from ugate.modules.registrar import RegistrarModule
from ugate.modules.remotes import RemotesModule
from ugate.node import Node
from ugate.protocols.auto import Auto, Fixed
from ugate.protocols.captured import Captured
from ugate.protocols.credentials import BearerToken, CertifiedKey, Login, PeerCertificate
from ugate.protocols.datagrams import DatagramStream
from ugate.protocols.h2link import H2Link
from ugate.protocols.httpconnect import HttpProxy
from ugate.protocols.httpconnectclient import ConnectClient
from ugate.protocols.mux import MuxStream
from ugate.protocols.muxwriting import Cutting
from ugate.protocols.proxyproto import ProxyHeader
from ugate.protocols.readywire import ReadyGate, ReadyNode
from ugate.protocols.servernames import Listed, ServerNames
from ugate.protocols.sni import Sni
from ugate.protocols.socks4 import Socks4
from ugate.protocols.socks4client import Socks4Client
from ugate.protocols.socks5 import Socks5
from ugate.protocols.socks5client import Socks5Client
from ugate.protocols.sshchannel import SSHChannel
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.tlsserver import TLSHandshake
from ugate.protocols.tlsstream import _Ready
from ugate.protocols.websocketclient import WebSocketClient
from ugate.protocols.websocketrules import Rules
from ugate.protocols.websocketserver import WebSocketServer
from ugate.relay import Relay
from ugate.resolverway import ResolverWay
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.addressnames import AddressNames
from ugate.tenancy.config.commandline import CommandLineStore
from ugate.tenancy.config.environment import EnvironmentStore
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.identityschema import Trust as TrustSection
from ugate.tenancy.config.lazystore import LazyStore
from ugate.tenancy.config.schema import Limits
from ugate.tenancy.config.sqlite import SQLiteStore
from ugate.tenancy.config.stack import Stack
from ugate.tenancy.config.whatif import WhatIf
from ugate.tenancy.config.whole import Config
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.tenancy.identitytls import ClientConnections, ServerConnections
from ugate.tenancy.limits import TenantLimits
from ugate.tenancy.nodes import Nodes
from ugate.tenancy.policy import KnownPrincipals, RulesPolicy
from ugate.tenancy.routes import Routes
from ugate.tenancy.tenant import Tenant
from ugate.tenancy.trust import Trust
from ugate.test.test_tunroutes import WAY
from ugate.testing.channels import MemoryChannel
from ugate.testing.linkmaker import linkPair

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
INFO = StreamInfo(PEER, PEER)
TARGET = Target("192.0.2.1", 80)
REACTOR: Any = MemoryReactorClock()
CONTEXT: Any = None


def tenant() -> Tenant:
    """
    A tenant that has all that its interface names.
    """
    made = Tenant(REACTOR, KnownPrincipals())
    made.dialer = Deny()
    # Making these needs a folder: their own tests do.
    vars(made).update(identity=None, trust=None)
    return made


def gateway() -> Gateway:
    """
    A gateway for nobody.
    """
    return Gateway(tenant(), Flows(REACTOR, Relay(REACTOR)))


def _noSide(hello: object, info: object) -> Any:
    raise LookupError


BY_CLASS: Any = None
"""Without an instance: for those whose making needs more than their interfaces are about."""

PROVIDERS: dict[str, Callable[[], object] | None] = {
    "ugate.bodies.Whole": BY_CLASS,
    "ugate.caclient._Endpoints": BY_CLASS,
    "ugate.copyends.End": BY_CLASS,
    "ugate.copyends.LimitedProducer": lambda: LimitedProducer(StringTransport(), None, None),
    "ugate.endpoints.addresses.AddressEndpoint": lambda: AddressEndpoint(REACTOR, TARGET),
    "ugate.endpoints.addresses._Opening": BY_CLASS,
    "ugate.endpoints.behind.BehindPort": BY_CLASS,
    "ugate.endpoints.behind.BehindServerEndpoint": lambda: BehindServerEndpoint(REACTOR, TARGET),
    "ugate.endpoints.clients.ChainEndpoint": BY_CLASS,
    "ugate.endpoints.connecting.Connecting": lambda: Connecting(REACTOR, TARGET, gateway(), None),
    "ugate.endpoints.capturedudp.CapturedDatagramsEndpoint": lambda: CapturedDatagramsEndpoint(REACTOR, 1),
    "ugate.endpoints.dialers.Deny": Deny,
    "ugate.endpoints.dialers.Fallback": lambda: Fallback(REACTOR, [Deny()]),
    "ugate.endpoints.dialers.Retry": lambda: Retry(REACTOR, Deny()),
    "ugate.endpoints.dialers.Way": BY_CLASS,
    "ugate.endpoints.direct.Direct": lambda: Direct(REACTOR),
    "ugate.endpoints.forward.Forward": lambda: Forward(REACTOR, Hop("forward", "app", 1), Deny()),
    "ugate.endpoints.direct.DirectTo": lambda: DirectTo(Direct(REACTOR), TARGET),
    "ugate.endpoints.mesh.Mesh": lambda: Mesh(tenant()),
    "ugate.endpoints.mesh._Unproven": BY_CLASS,
    "ugate.endpoints.meshstring.MeshEndpoint": lambda: MeshEndpoint(REACTOR, TARGET),
    "ugate.endpoints.h2connect.H2Connect": lambda: H2Connect(REACTOR, Hop("h2connect", "gw", 1), Deny()),
    "ugate.endpoints.websocket.WebSocketClientEndpoint": BY_CLASS,
    "ugate.endpoints.websocketshared._Preferred": BY_CLASS,
    "ugate.endpoints.serving.Serving": BY_CLASS,
    "ugate.endpoints.mutual.Mutual": lambda: Mutual(REACTOR, Hop("mtls", "gw", 1), Deny()),
    "ugate.endpoints.muxed.MuxedServerEndpoint": lambda: MuxedServerEndpoint(
        REACTOR, TCP4ServerEndpoint(REACTOR, 0), BY_CLASS
    ),
    "ugate.endpoints.names.NameEndpoint": lambda: NameEndpoint(REACTOR, TARGET),
    "ugate.endpoints.names._Race": BY_CLASS,
    "ugate.endpoints.negotiated.NegotiatedClientEndpoint": lambda: NegotiatedClientEndpoint(
        REACTOR, AddressEndpoint(REACTOR, TARGET), lambda: Socks5Client(TARGET), hop="x"
    ),
    "ugate.endpoints.negotiated.NegotiatedServerEndpoint": lambda: NegotiatedServerEndpoint(
        REACTOR, TCP4ServerEndpoint(REACTOR, 0), Socks5
    ),
    "ugate.endpoints.associationfactory.AssociationFactory": BY_CLASS,
    "ugate.endpoints.cone.ConeSocket": BY_CLASS,
    "ugate.endpoints.flowtable.Flow": BY_CLASS,
    "ugate.endpoints.tun.DeviceEndpoint": lambda: DeviceEndpoint(REACTOR, WAY),
    "ugate.endpoints.tundevice.Device": BY_CLASS,
    "ugate.endpoints.tunport.DeviceAddress": lambda: DeviceAddress("ug0"),
    "ugate.endpoints.tunport.TunPort": BY_CLASS,
    "ugate.endpoints.unixsockets.PathEndpoint": lambda: PathEndpoint(REACTOR, Target.atPath("/run/x"), 1.0),
    "ugate.endpoints.udp.DatagramEndpoint": lambda: DatagramEndpoint(REACTOR, TARGET),
    "ugate.endpoints.udp.DatagramSocket": BY_CLASS,
    "ugate.endpoints.udp._Opening": BY_CLASS,
    "ugate.endpoints.udpport.DatagramServerEndpoint": lambda: DatagramServerEndpoint(REACTOR, 0, TARGET),
    "ugate.endpoints.udpport.Hearing": BY_CLASS,
    "ugate.endpoints.udpport.Port": BY_CLASS,
    "ugate.endpoints.parsers.HopParser": lambda: HopParser("socks"),
    "ugate.endpoints.parsers.LastParser": lambda: LastParser("behind"),
    "ugate.endpoints.parsers.MeshParser": MeshParser,
    "ugate.endpoints.parsers.ServerParser": lambda: ServerParser("socks"),
    "ugate.endpoints.pooldialer.PoolDialer": lambda: SessionPool(REACTOR).dialer(BY_CLASS, BY_CLASS),
    "ugate.endpoints.pooldialer.PoolEndpoint": BY_CLASS,
    "ugate.endpoints.readydialer.ReadyDialer": lambda: ReadyDialer(BY_CLASS, "A" * 52),
    "ugate.endpoints.forwards.Forwards": lambda: Forwards(REACTOR, Nodes(REACTOR)),
    "ugate.endpoints.registry.Registry": lambda: Registry(REACTOR),
    "ugate.endpoints.reverse.NoAddress": NoAddress,
    "ugate.endpoints.reverse.ReversePort": BY_CLASS,
    "ugate.endpoints.reverse.ReverseServerEndpoint": lambda: ReverseServerEndpoint(REACTOR, BY_CLASS),
    "ugate.endpoints.servers.HttpFactory": BY_CLASS,
    "ugate.endpoints.session.Session": lambda: Session(REACTOR, linkPair(REACTOR)[0]),
    "ugate.endpoints.sessionends.StreamEndpoint": BY_CLASS,
    "ugate.endpoints.sessionends.StreamListener": BY_CLASS,
    "ugate.endpoints.sessionends.StreamPort": BY_CLASS,
    "ugate.endpoints.sshhop.SSHHop": lambda: SSHHop(REACTOR, Hop("ssh", "gate", 22, "bob"), Deny()),
    "ugate.endpoints.services.Services": lambda: Services(Direct(REACTOR), {}),
    "ugate.endpoints.tlsclient.TLSClientEndpoint": BY_CLASS,
    "ugate.endpoints.tlsclient._Checked": BY_CLASS,
    "ugate.endpoints.tlsclient._Handshake": BY_CLASS,
    "ugate.endpoints.upstream.Announced": BY_CLASS,
    "ugate.endpoints.upstream.Upstream": BY_CLASS,
    "ugate.endpoints.upstream._Through": BY_CLASS,
    "ugate.leg.Leg": Leg,
    "ugate.poll.Poll": BY_CLASS,
    "ugate.resolverway.ResolverWay": lambda: ResolverWay(tenant()),
    "ugate.modules.admin.AdminModule": AdminModule,
    "ugate.modules.dns.DnsModule": DnsModule,
    "ugate.modules.dnsdatagrams._Port": BY_CLASS,
    "ugate.modules.dnsflows.Asked": BY_CLASS,
    "ugate.modules.dnsflows._Asking": BY_CLASS,
    "ugate.modules.dnshttp1._Endpoints": BY_CLASS,
    "ugate.modules.dnslookups.Lookups": BY_CLASS,
    "ugate.modules.dnslookups._Looking": BY_CLASS,
    "ugate.modules.dnsresolver.Resolver": BY_CLASS,
    "ugate.modules.dnsserving.Stream": BY_CLASS,
    "ugate.modules.agent.ModuleAgent": lambda: ModuleAgent(tenant()),
    "ugate.modules.agent._Here": BY_CLASS,
    "ugate.modules.ca.CaModule": CaModule,
    "ugate.modules.ca.CaService": BY_CLASS,
    "ugate.modules.capture.CaptureModule": CaptureModule,
    "ugate.modules.discovery.DiscoveryModule": DiscoveryModule,
    "ugate.modules.http.HttpModule": HttpModule,
    "ugate.modules.lazy.LazyModule": lambda: LazyModule("hello", "ugate.test.test_modules_lazy:Greeter"),
    "ugate.modules.loopback.LoopbackEndpoint": lambda: LoopbackEndpoint(REACTOR, None),
    "ugate.modules.loopback.Side": BY_CLASS,
    "ugate.modules.multicast._Reader": BY_CLASS,
    "ugate.modules.register.RegisterModule": RegisterModule,
    "ugate.modules.registrar.Registrar": BY_CLASS,
    "ugate.modules.registrar.RegistrarModule": RegistrarModule,
    "ugate.modules.pages.Asker": BY_CLASS,
    "ugate.modules.remotes.RemotesModule": RemotesModule,
    "ugate.protocols.auto.Auto": lambda: Auto(INFO, Auth.NONE, {}),
    "ugate.protocols.below.SocketBelow": BY_CLASS,
    "ugate.protocols.below.TLSBelow": BY_CLASS,
    "ugate.protocols.captured.Captured": lambda: Captured(INFO, Auth.NONE, "redirect"),
    "ugate.protocols.auto.Fixed": lambda: Fixed(INFO, Auth.NONE, TARGET, "tls"),
    "ugate.protocols.readywire.ReadyGate": lambda: ReadyGate(INFO, "A" * 52, BY_CLASS),
    "ugate.protocols.readywire.ReadyNode": lambda: ReadyNode(BY_CLASS, "gate"),
    "ugate.protocols.sni.Sni": lambda: Sni(INFO, Auth.NONE, Listed(ServerNames("a", 443))),
    "ugate.protocols.credentials.BearerToken": lambda: BearerToken(b""),
    "ugate.protocols.credentials.CertifiedKey": lambda: CertifiedKey(b"bob", b"", b"", None),
    "ugate.protocols.credentials.Login": lambda: Login(Principal("bob", "key")),
    "ugate.protocols.credentials.PeerCertificate": lambda: PeerCertificate(b""),
    "ugate.protocols.datagrams.DatagramStream": lambda: DatagramStream(INFO, INFO),
    "ugate.protocols.httpchannel.HttpForward": BY_CLASS,
    "ugate.protocols.h2channel.H2Channel": BY_CLASS,
    "ugate.protocols.h2wire.H2Wire": BY_CLASS,
    "ugate.protocols.h2link.H2Link": lambda: H2Link(REACTOR, INFO, True),
    "ugate.protocols.httpconnect.HttpProxy": lambda: HttpProxy(INFO, Auth.NONE),
    "ugate.protocols.httpconnectclient.ConnectClient": lambda: ConnectClient(TARGET),
    "ugate.protocols.httpforward.HttpForwardFactory": BY_CLASS,
    "ugate.protocols.httpstream.HttpStream": BY_CLASS,
    "ugate.protocols.mux.MuxStream": lambda: MuxStream(BY_CLASS, INFO),
    "ugate.protocols.muxwriting.Cutting": lambda: Cutting(BY_CLASS),
    "ugate.protocols.negotiate.Negotiating": BY_CLASS,
    "ugate.protocols.passing.Passing": BY_CLASS,
    "ugate.protocols.proxyproto.ProxyHeader": lambda: ProxyHeader(INFO, Auth.NONE),
    "ugate.protocols.proxyproto.ProxyHeaderClient": BY_CLASS,
    "ugate.protocols.sockets.BareSocket": BY_CLASS,
    "ugate.protocols.sshchannel.SSHChannel": lambda: SSHChannel(SSHLink(REACTOR, INFO), 0, 1),
    "ugate.protocols.sshchannels.SSHChannels": BY_CLASS,
    "ugate.protocols.sshlink.SSHLink": lambda: SSHLink(REACTOR, INFO),
    "ugate.protocols.socks4.Socks4": lambda: Socks4(INFO, Auth.NONE),
    "ugate.protocols.socks4client.Socks4Client": lambda: Socks4Client(TARGET),
    "ugate.protocols.socks5.Socks5": lambda: Socks5(INFO, Auth.NONE),
    "ugate.protocols.socks5client.Socks5Client": lambda: Socks5Client(TARGET),
    "ugate.protocols.websocketclient.WebSocketClient": lambda: WebSocketClient(TARGET, None, "a", place="a"),
    "ugate.protocols.websocketlink.WebSocketLink": BY_CLASS,
    "ugate.protocols.websocketwire.WebSocketWire": BY_CLASS,
    "ugate.protocols.websocketserver.WebSocketServer": lambda: WebSocketServer(INFO, Auth.NONE, Rules()),
    "ugate.protocols.tlsserver.TLSHandshake": lambda: TLSHandshake(INFO, _noSide),
    "ugate.protocols.tlsstream.ServedStream": BY_CLASS,
    "ugate.protocols.tlsstream.TLSStream": BY_CLASS,
    "ugate.protocols.tlsstream._SocketBelow": BY_CLASS,
    "ugate.protocols.tlsstream._Ready": _Ready,
    "ugate.tenancy.listening.Held": BY_CLASS,
    "ugate.node.Node": lambda: Node(REACTOR, Config()),
    "ugate.splicingprocess.SplicingProcess": BY_CLASS,
    "ugate.stream.StreamInfo": lambda: INFO,
    "ugate.tenancy.config.commandline.CommandLineStore": CommandLineStore,
    "ugate.tenancy.config.environment.EnvironmentStore": lambda: EnvironmentStore(environment={}),
    "ugate.tenancy.config.lazystore.LazyStore": lambda: LazyStore("vault", "nowhere:Store"),
    "ugate.tenancy.config.files.FileStore": lambda: FileStore("/nowhere.yaml"),
    "ugate.tenancy.config.sqlite.SQLiteStore": lambda: SQLiteStore("/nowhere/nowhere.db"),
    "ugate.tenancy.config.stack.Stack": lambda: Stack([]),
    "ugate.tenancy.config.whatif.WhatIf": lambda: WhatIf(Stack([])),
    "ugate.tenancy.egress.Egress": lambda: Egress(OwnListeners(), private=True),
    "ugate.tenancy.passwords.PasswordFile": BY_CLASS,
    "ugate.tenancy.passwords._Principals": BY_CLASS,
    "ugate.tenancy.addressnames.AddressNames": lambda: AddressNames(REACTOR),
    "ugate.tenancy.nodes.Nodes": lambda: Nodes(REACTOR),
    "ugate.tenancy.ownnames.OneNamePolicy": BY_CLASS,
    "ugate.tenancy.policy.KnownPrincipals": KnownPrincipals,
    "ugate.tenancy.policy.RulesPolicy": RulesPolicy,
    "ugate.tenancy.portal.Logins": BY_CLASS,
    "ugate.tenancy.portal._Realm": BY_CLASS,
    "ugate.tenancy.routes.Routes": lambda: Routes([]),
    "ugate.tenancy.identity.Identity": BY_CLASS,
    "ugate.tenancy.identitytls.ClientConnections": lambda: ClientConnections(CONTEXT, "x"),
    "ugate.tenancy.identitytls.ServerConnections": lambda: ServerConnections(CONTEXT),
    "ugate.tenancy.limits.TenantLimits": lambda: TenantLimits(REACTOR, Limits()),
    "ugate.tenancy.tenant.Tenant": tenant,
    "ugate.tenancy.trust.Trust": lambda: Trust(TrustSection()),
    "ugate.testing.conversation.Conversation": BY_CLASS,
    "ugate.testing.channels.MemoryChannel": lambda: MemoryChannel(linkPair(REACTOR)[0], 1, 1),
    "ugate.testing.links.MemoryLink": lambda: linkPair(REACTOR)[0],
    "ugate.testing.names.Lookup": BY_CLASS,
    "ugate.testing.names.MeshResolver": BY_CLASS,
    "ugate.testing.ports.MemoryPort": BY_CLASS,
    "ugate.testing.reactor.HostReactor": BY_CLASS,
    "ugate.testing.reactor._First": BY_CLASS,
    "ugate.testing.store.ValueStore": BY_CLASS,
    "ugate.testing.transport.MemoryTransport": BY_CLASS,
}
"""Every class with an C{@implementer}, and what makes one.  A new one has a line here."""
