# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsresolver} and L{ugate.modules.dns}, with a real node.
"""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from ugate.errors import ListenRefused, StringError, UgateError
from ugate.interfaces import INames
from ugate.modules.dns import DnsModule
from ugate.modules.dnsresolver import Resolver
from ugate.modules.dnssection import DnsSection, DnsUpstream
from ugate.node import Node
from ugate.protocols.dnsframes import Frames, framed
from ugate.stream import ROOT, Target
from ugate.tenancy import fakeaddresses
from ugate.tenancy.config.whole import Config
from ugate.test.dialfakes import Resolver as SystemResolver
from ugate.test.dnsfakes import addressesIn, message, read, said
from ugate.test.nodefakes import Line, NodeCase, inUse

HOSTS = {"printer.home": ("192.168.1.9",)}
UPSTREAM = DnsUpstream("tcp:192.0.2.53")


class FakeDatagrams:
    """
    Ports for datagrams.
    """

    def __init__(self) -> None:
        self.open: dict[Target, Any] = {}
        self.error: OSError | None = None

    def __call__(self, reactor: Any, target: Target, protocol: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.open[target] = protocol
        return _Opened(self, target, protocol)


class _Opened:
    def __init__(self, ports: FakeDatagrams, target: Target, protocol: Any) -> None:
        self.ports, self.target, self.protocol = ports, target, protocol

    def stopListening(self) -> None:
        if self.ports.open.get(self.target) is self.protocol:
            del self.ports.open[self.target]


class ResolverCase(NodeCase):
    """
    Nodes with a resolver.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(fakeaddresses, "randbelow", lambda _: 0)
        self.datagrams = FakeDatagrams()
        self.reactor.nameResolver = self.system = SystemResolver({"db.example": ["192.0.2.99"]})

    def made(self, **sections: Any) -> Config:
        """
        A config with resolvers.
        """
        config = self.config({"main": "socks:tcp:1080:interface=127.0.0.1"})
        modules = {("dns", name): DnsSection(**section) for name, section in sections.items()}
        return Config(
            config.listen,
            config.dial,
            config.routes,
            config.policy,
            config.node,
            modules=MappingProxyType(modules),
        )

    def resolving(self, **section: Any) -> Node:
        """
        A node with one that runs.
        """
        return self.start(self.made(main=section), modules=[Module(self.datagrams)])

    def resolver(self, node: Node) -> Resolver:
        """
        It.
        """
        service: Any = node.modules[ROOT, "dns", "main"]
        return service  # type: ignore[no-any-return]

    def ask(self, node: Node, data: bytes) -> Any:
        """
        Ask it.
        """
        answering = self.resolver(node).answering
        assert answering is not None
        return answering.answer(data, True)

    def upstream(self, *records: str) -> None:
        """
        The server that was asked last answers all that it was asked.
        """
        wire = self.target()
        for sent in [*Frames().receive(wire.value())]:
            kind = read(sent).question[0].rdtype.name
            fit = [each for each in records if f" {kind} " in each]
            wire.protocol.dataReceived(framed(said(sent, *fit)))


class Module:
    """
    The module, with datagrams in memory.
    """

    name = "dns"
    summary = ""
    schema = DnsSection

    def __init__(self, datagrams: FakeDatagrams) -> None:
        self.datagrams = datagrams

    def makeService(self, tenant: Any, name: str, section: Any) -> Any:
        return Resolver(tenant, name, section, self.datagrams)


class ResolverTests(ResolverCase):
    """
    L{Resolver}.
    """

    def test_listens(self) -> None:
        """
        It listens for datagrams and connections, and no more when the node stops.
        """
        with capturedLogs() as events:
            node = self.resolving(hosts=HOSTS)
        self.assertIn("root dns main: DNS on 127.0.0.1:5223", [formatEvent(each) for each in events])
        self.assertEqual([Target("127.0.0.1", 5223)], [*self.datagrams.open])
        port = next(each for each in self.reactor.ports if each.address.port == 5223)
        client = Line()
        client.protocol = port.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
        client.protocol.makeConnection(client)
        (answer,) = Frames().receive(client.say(framed(message("printer.home"))))
        self.assertEqual(["192.168.1.9"], addressesIn(answer))
        node.stopService()
        self.reactor.advance(60)
        self.assertFalse(port.listening)
        self.assertEqual({}, self.datagrams.open)

    def test_taken(self) -> None:
        """
        If it cannot listen, the node does not start, and says why.
        """
        self.reactor.taken = inUse(5223)
        with capturedLogs():
            stopped = self.assertRaises(SystemExit, self.resolving)
        self.assertIn("dns.main cannot start: 127.0.0.1:5223 cannot listen", str(stopped.code))
        self.reactor.taken = {}
        self.datagrams.error = OSError(98, "Address already in use")
        with capturedLogs():
            stopped = self.assertRaises(SystemExit, self.resolving)
        self.assertIn("Address already in use", str(stopped.code))
        self.assertFalse(any(each.listening for each in self.reactor.ports if each.address.port == 5223))

    def test_mistakes(self) -> None:
        """
        What can be of no use to anybody, or is nowhere, is a mistake.
        """
        node = self.resolving()
        for section, error, words in (
            (DnsSection(listen=("192.0.2.1:53",)), ListenRefused, "name who may as clients"),
            (DnsSection(upstreams=("dns.example",)), StringError, "upstreams[0]"),
        ):
            made = self.assertRaises(error, Resolver, node.tenant, "main", section)
            self.assertIn(words, str(made))
        Resolver(node.tenant, "main", DnsSection(listen=("192.0.2.1:53",), clients=("10.0.0.0/8",)))

    def test_asks(self) -> None:
        """
        What is not known is asked by the tenant's own way, and the address is known by its name then.
        """
        node = self.resolving(upstreams=(UPSTREAM,))
        asking = self.ask(node, message())
        self.assertEqual(("192.0.2.53", 53), self.reactor.tcpClients[-1][:2])
        self.upstream("db.example 60 A 192.0.2.1")
        self.assertEqual(["192.0.2.1"], addressesIn(self.successResultOf(asking)))
        names: Any = node.tenant.names
        self.assertTrue(INames.providedBy(names))
        self.assertEqual("db.example", names.nameFor("192.0.2.1"))

    def test_loop(self) -> None:
        """
        It does not ask itself.
        """
        node = self.resolving(upstreams=(DnsUpstream("tcp:127.0.0.1:5223"),))
        with capturedLogs() as events:
            answer = self.successResultOf(self.ask(node, message()))
        self.assertEqual(2, read(answer).rcode())
        self.assertIn("a listener of this gateway", formatEvent(events[-1]))

    def test_resource(self) -> None:
        """
        It shows pages when it runs.
        """
        node = self.resolving()
        resolver = self.resolver(node)
        self.assertFalse(resolver.isPublic)
        self.assertTrue(resolver.resource().isLeaf)

    def test_reload(self) -> None:
        """
        Another section takes its place, with the same socket, and what was told stays known.
        """
        config = self.made(main={"fake": ("198.18.0.0/15",)})
        following = {ROOT: self.made(main={"fake": ("198.18.0.0/15",), "hosts": HOSTS})}
        node = self.start(config, modules=[Module(self.datagrams)], read=lambda before, changed: following)
        first = addressesIn(self.ask(node, message()))
        before = self.datagrams.open[Target("127.0.0.1", 5223)]
        with capturedLogs():
            node.reload("test")
        self.assertIsNot(before, self.datagrams.open[Target("127.0.0.1", 5223)])
        self.assertEqual(1, len([each for each in self.reactor.ports if each.address.port == 5223]))
        self.ask(node, message("b.example"))
        self.assertEqual(first, addressesIn(self.ask(node, message())))
        self.assertEqual(["192.168.1.9"], addressesIn(self.ask(node, message("printer.home"))))

    def test_ranges(self) -> None:
        """
        When no section has a range any more, its addresses are what they are.
        """
        node = self.resolving(fake=("198.18.0.0/15",))
        names: Any = node.tenant.names
        self.assertTrue(names.isFake("198.18.0.1"))
        self.resolver(node).stopService()
        self.assertFalse(names.isFake("198.18.0.1"))

    def test_missing(self) -> None:
        """
        Without dnspython it says what to install.
        """
        for name in [*sys.modules]:
            top, _, rest = name.partition(".")
            if top == "dns":
                self.hide(name, None)
            elif top == "ugate" and ".dns" in rest and rest not in ("modules.dns", "modules.dnssection"):
                self.hide(name)
        tenant: Any = None
        error = self.assertRaises(UgateError, DnsModule().makeService, tenant, "main", DnsSection())
        self.assertEqual("it needs dnspython: pip install 'ugate[dns]'", str(error))

    def hide(self, name: str, *instead: Any) -> None:
        """
        Let a module not be there, until the test is over.
        """
        self.addCleanup(sys.modules.__setitem__, name, sys.modules.pop(name))
        for each in instead:
            sys.modules[name] = each


class StreamsTests(ResolverCase):
    """
    Streams of the tenant.
    """

    def socks(self, node: Node, host: bytes) -> Line:
        """
        Somebody asks for a stream to a host.
        """
        line = self.client(node)
        line.say(b"\x05\x01\x00")
        line.say(b"\x05\x01\x00\x03%c%s\x01\xbb" % (len(host), host))
        return line

    def test_fake(self) -> None:
        """
        A stream for an address that was made up goes where its name leads, and keeps it.
        """
        node = self.resolving(fake=("198.18.0.0/15",))
        self.assertEqual(["198.18.0.1"], addressesIn(self.ask(node, message())))
        self.socks(node, b"198.18.0.1")
        self.assertEqual(["db.example"], self.system.asked)
        self.assertEqual("192.0.2.99", self.reactor.tcpClients[-1][0])
        (stream,) = node.flows.streams()
        self.assertEqual(Target("db.example", 443), stream.info.target)
        self.assertEqual({"db.example"}, self.resolver(node)._inUse())

    def test_resolve(self) -> None:
        """
        Targets of streams are looked up by it, if the section says so; until it stops.
        """
        node = self.resolving(upstreams=(UPSTREAM,), resolve=True, fake=("198.18.0.0/15",))
        self.socks(node, b"db.example")
        self.assertEqual("192.0.2.53", self.reactor.tcpClients[-1][0])
        self.upstream("db.example 60 A 192.0.2.1")
        self.assertEqual("192.0.2.1", self.reactor.tcpClients[-1][0])
        self.assertEqual([], self.system.asked)
        self.resolver(node).stopService()
        self.socks(node, b"db.example")
        self.assertEqual(["db.example"], self.system.asked)

    def test_hops(self) -> None:
        """
        Hops are never looked up by it: it may need them itself.
        """
        via = DnsUpstream("tcp:192.0.2.53", via="socks:proxy.example:1080")
        node = self.resolving(upstreams=(via,), resolve=True)
        asking: Deferred[bytes] = self.ask(node, message())
        self.assertEqual(["proxy.example"], self.system.asked)
        self.assertEqual(2, read(self.successResultOf(asking)).rcode())
