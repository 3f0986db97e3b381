# -*- test-case-name: ugate.test.test_plugin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What Twisted finds of ugate: C{twistd ugate}, the prefixes of endpoint strings, the stores of
configuration, and the modules.
"""

from twisted.application.service import ServiceMaker

from ugate.endpoints.parsers import (
    HopParser,
    LastParser,
    MeshParser,
    ServerParser,
    TproxyParser,
)
from ugate.modules.lazy import LazyModule
from ugate.tenancy.config.lazystore import LazyStore

service = ServiceMaker("ugate", "ugate.tap", "A gateway between protocols.", "ugate")

socksServer = ServerParser("socks")
socks4Server = ServerParser("socks4")
connectServer = ServerParser("connect")
proxyprotoServer = ServerParser("proxyproto")
mtlsServer = ServerParser("mtls")
h2connectServer = ServerParser("h2connect")
sshServer = ServerParser("ssh")
forwardServer = ServerParser("forward")
autoServer = ServerParser("auto")
sniServer = ServerParser("sni")
websocketServer = ServerParser("websocket")
readyServer = ServerParser("ready")
redirectServer = ServerParser("redirect")
tproxyServer = TproxyParser("tproxy")
behindServer = LastParser("behind")
reverseServer = ServerParser("reverse")
linkedServer = LastParser("linked")
udpServer = LastParser("udp")
remoteForwardServer = LastParser("remoteforward")
tunServer = LastParser("tun")

socksClient = HopParser("socks")
socks4Client = HopParser("socks4")
connectClient = HopParser("connect")
mtlsClient = HopParser("mtls")
forwardClient = HopParser("forward")
meshClient = MeshParser()
websocketClient = HopParser("websocket")
h2connectClient = HopParser("h2connect")
sshClient = HopParser("ssh")

sqliteStore = LazyStore("sqlite", "ugate.tenancy.config.sqlite:SQLiteStore", "an SQLite database")
environmentStore = LazyStore(
    "env", "ugate.tenancy.config.environment:EnvironmentStore", "environment variables that begin alike"
)
fileStore = LazyStore("path", "ugate.tenancy.config.files:FileStore", "a file, or a folder of files")

adminModule = LazyModule(
    "admin",
    "ugate.modules.admin:AdminModule",
    "who looks after a tenant by the admin API",
    "ugate.modules.sections:AdminSection",
)
httpModule = LazyModule(
    "http",
    "ugate.modules.http:HttpModule",
    "a port for the admin API, the metrics and what modules show",
    "ugate.modules.sections:HttpSection",
)
registrarModule = LazyModule(
    "registrar",
    "ugate.modules.registrar:RegistrarModule",
    "takes from nodes of the mesh how they are reached",
    "ugate.modules.sections:RegistrarSection",
)
registerModule = LazyModule(
    "register",
    "ugate.modules.register:RegisterModule",
    "tells a gate how this node is reached",
    "ugate.modules.sections:RegisterSection",
)
remotesModule = LazyModule(
    "remotes",
    "ugate.modules.remotes:RemotesModule",
    "modules that are on another node",
    "ugate.modules.sections:RemoteSection",
)
caModule = LazyModule(
    "ca",
    "ugate.modules.ca:CaModule",
    "a certification authority for nodes, and for users and hosts of SSH",
    "ugate.tenancy.ca.schema:CaSection",
)
discoveryModule = LazyModule(
    "discovery",
    "ugate.modules.discovery:DiscoveryModule",
    "nodes on the same network that find each other",
    "ugate.modules.discoverysection:DiscoverySection",
)
dnsModule = LazyModule(
    "dns",
    "ugate.modules.dns:DnsModule",
    "a resolver that knows the mesh, and asks others by the tenant's own ways",
    "ugate.modules.dnssection:DnsSection",
)
captureModule = LazyModule(
    "capture",
    "ugate.modules.capture:CaptureModule",
    "connections that the kernel leads to a listener",
    "ugate.modules.capturesection:CaptureSection",
)
