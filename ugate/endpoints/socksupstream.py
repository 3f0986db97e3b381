# -*- test-case-name: ugate.test.test_socksupstream -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A proxy of SOCKS5 as a way: streams, and by UDP ASSOCIATE flows of datagrams, each with an association of its
own.  The other side, where clients have theirs, is in L{ugate.endpoints.associations}.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from zope.interface import implementer

from twisted.internet.error import ConnectionLost, NoProtocol
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.endpoints.dialers import Way
from ugate.endpoints.negotiated import NegotiatedClientEndpoint
from ugate.endpoints.refusals import noTarget
from ugate.endpoints.upstream import Upstream, carrierOf, loginOf
from ugate.errors import ProtocolError
from ugate.interfaces import IDatagrams, IDialer
from ugate.posting import networksOf
from ugate.protocols.capsules import Capsules, capsule
from ugate.protocols.datagrams import DatagramStream
from ugate.protocols.socks5client import Socks5Client
from ugate.protocols.socks5udp import NAME, headerEnd, headerFor
from ugate.stream import TCP, UDP, StreamInfo, Target


@implementer(IDialer)
class SocksUpstream(Upstream):
    """
    The dialer that asks a proxy of SOCKS5 for streams and for associations.  Datagrams go to the
    proxy itself, by the way that its connections go; of the address that it says only the port counts.

    @since: ugate NEXT
    """

    @property
    def networks(self) -> Collection[str]:
        """
        See L{IDialer}: what is between us and a proxy that is spoken to in TLS would be in clear.
        """
        carries = not self._hop.tls and IDialer.providedBy(self._via) and UDP in networksOf(self._via)
        return (TCP, UDP) if carries else (TCP,)

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{Upstream.endpointFor}.
        """
        target, hop = info.target, self._hop
        if target is None:
            raise noTarget(info)
        if target.network != UDP:
            return super().endpointFor(info)
        header = headerFor(target, hop.place)
        client = Socks5Client(target, loginOf(hop), hop.place)
        inner = carrierOf(hop, self._via, info)
        asking = NegotiatedClientEndpoint(
            self._reactor, inner, lambda: client, hop=hop.place, deadline=self._deadline
        )
        return Way(lambda factory: self._associate(info, asking, client, header, factory))

    async def _associate(
        self,
        info: StreamInfo,
        asking: NegotiatedClientEndpoint,
        client: Socks5Client,
        header: bytes,
        factory: IProtocolFactory,
    ) -> IProtocol:
        via: Any = self._via
        control: Any = await asking.connect(Factory.forProtocol(_Control))
        try:
            peer = control.transport.getPeer()
            host = getattr(peer, "host", None)
            place = Target(host if isinstance(host, str) else self._hop.host, client.bound, UDP)
            going = via.endpointFor(info.but(target=place)).connect(Factory.forProtocol(_Below))
            below: Any = await going
        except BaseException:
            control.transport.abortConnection()
            raise
        flow = Associated(control, below, header)
        protocol = None
        try:
            protocol = factory.buildProtocol(flow.getPeer())
        finally:
            if protocol is None:
                flow.lost()
        if protocol is None:
            raise NoProtocol()
        flow.begin(protocol)
        if control.isGone:
            control.connectionLost()
        return protocol


class _Control(Protocol):
    """
    The connection that an association hangs on.
    """

    flow: Associated | None = None
    isGone = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The association is over.
        """
        self.isGone = True
        if self.flow is not None:
            self.flow.lost(ConnectionLost("the proxy has ended the association"))


class _Below(Protocol):
    """
    What carries the datagrams to the proxy.
    """

    flow: Associated | None = None
    _capsules: Capsules | None = None

    def dataReceived(self, data: bytes) -> None:
        """
        Datagrams came, on what carries bytes.
        """
        if self._capsules is None:
            self._capsules = Capsules()
        try:
            datagrams = self._capsules.receive(data)
        except ProtocolError as error:
            if self.flow is not None:
                self.flow.lost(error)
            return
        if datagrams and self.flow is not None:
            self.flow.unwrap(datagrams)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is gone.
        """
        if self.flow is not None:
            self.flow.lost(reason.value)


class Associated(DatagramStream):
    """
    A flow through a proxy.
    """

    def __init__(self, control: _Control, below: _Below, header: bytes) -> None:
        """
        @param control: the connection that the association hangs on.
        @param below: what carries datagrams to the proxy.
        @param header: what says where they go.
        """
        transport: Any = below.transport
        super().__init__(transport.getPeer(), transport.getHost())
        self._control = control
        self._below = below
        self._header = header
        self._isName = header[3] == NAME
        control.flow = below.flow = self
        if IDatagrams.providedBy(transport):
            self._post = transport.postAll
            transport.receive(self.unwrap)
            transport.failed = self.fail
        else:
            self._post = lambda datagrams: transport.write(b"".join(map(capsule, datagrams)))

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}.
        """
        self._post([self._header + datagram for datagram in datagrams])

    def unwrap(self, datagrams: Sequence[bytes]) -> None:
        """
        Some came from the proxy.  Whom a name leads to is known there alone; else they are of the target.
        """
        found = []
        for datagram in datagrams:
            end = headerEnd(datagram)
            if end and (self._isName or datagram[:end] == self._header):
                found.append(datagram[end:])
        self.dropped += len(datagrams) - len(found)
        if found:
            self.arrivedAll(found)

    def closed(self) -> None:
        """
        End the association.
        """
        self._control.flow = self._below.flow = None
        for each in (self._control, self._below):
            each.transport.loseConnection()  # type: ignore[union-attr]
