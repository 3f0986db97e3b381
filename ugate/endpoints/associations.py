# -*- test-case-name: ugate.test.test_associations -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
UDP ASSOCIATE as a server of SOCKS5 has it (RFC 1928, 7): a socket for the datagrams of one client, each of
whose targets has a flow, for as long as the connection is there on which it was asked for.  What a listener
has of it from its start is L{ugate.endpoints.associationfactory}; the client's side is
L{ugate.endpoints.socksupstream}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.associationfactory import AssociationFactory
from ugate.endpoints.flowtable import Flow
from ugate.endpoints.outlet import Outlet
from ugate.endpoints.refusals import refusedAt
from ugate.endpoints.udp import AT_ONCE, CONE, NOW, SIZE, udpAddress
from ugate.endpoints.udpport import Hearing, boundSocket
from ugate.errors import Cause, Phase, Refused, StringError
from ugate.poll import canPoll
from ugate.protocols.servernames import ENDED
from ugate.protocols.socks5 import ASSOCIATE, associated
from ugate.protocols.socks5udp import IPV4, IPV4_END, headerEnd, headerFor, targetOf
from ugate.stream import NO_HINTS, StreamInfo

ASSOCIATIONS: Final = 1000
"""How many associations the clients of one listener may have."""

FLOWS: Final = 512
"""How many targets one association may have at once."""

_SOCKS5: Final = "socks5"
_IN_TLS: Final = frozenset(("mtls", ENDED))
"""The negotiations that end TLS."""

_MAPPED: Final = "::ffff:"


class Association(Protocol):
    """
    The connection that an association hangs on.  Nothing more is said on it.
    """

    _log = Logger()
    _hearing: AssociationSocket | None = None

    def __init__(self, factory: AssociationFactory) -> None:
        self._factory: AssociationFactory = factory

    def connectionMade(self) -> None:
        """
        Open the socket, and tell the client where it is.
        """
        transport: Any = self.transport
        try:
            hearing = self._open(transport)
        except Refused as refused:
            self._log.info("an association is refused: {reason}", reason=refused)
            transport.refuse(refused)
            return
        self._factory.count += 1
        self._hearing = hearing
        hearing.reactor.addReader(hearing)
        transport.accept()
        transport.write(associated(hearing.host))

    def _open(self, transport: Any) -> AssociationSocket:
        factory, info, here = self._factory, transport.getPeer(), transport.getHost()
        if not isinstance(here, (IPv4Address, IPv6Address)) or not canPoll(factory.reactor):
            step = "use UDP ASSOCIATE on a listener for TCP"
            raise Refused(
                Cause.UNSUPPORTED, Phase.NEGOTIATE, str(info), "no address for datagrams here", step
            )
        if _isSecret(transport, info):
            detail = "what was asked for in TLS would be in clear"
            step = "send datagrams by h2connect or ssh, or give these clients a listener without TLS"
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, str(info), detail, step)
        if factory.count >= ASSOCIATIONS:
            many = f"{factory.count} associations are open on one listener"
            raise Refused(Cause.OVERLOADED, Phase.NEGOTIATE, str(info), many)
        try:
            bound = boundSocket(here.host.removeprefix(_MAPPED), 0)
        except CannotListenError as error:
            refused = refusedAt(Failure(error.socketError), str(info)).value
            assert isinstance(refused, Refused)
            raise refused from error
        return AssociationSocket(factory, bound, info)

    def dataReceived(self, data: bytes) -> None:
        """
        What a client says here is for nobody.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The association ends with its connection.
        """
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            self._factory.count -= 1
            hearing.close()


def _isSecret(transport: Any, info: StreamInfo) -> bool:
    """
    Whether a connection is in TLS, ours or Twisted's.
    """
    while transport is not None:
        if ISSLTransport.providedBy(transport):
            return True
        transport = getattr(transport, "transport", None)
    return not _IN_TLS.isdisjoint(info.layers)


class AssociationFlow(Flow):
    """
    The flow to one target.

    @ivar header: what is in front of its datagrams.
    """

    def __init__(self, hearing: AssociationSocket, header: bytes, info: StreamInfo) -> None:
        super().__init__(hearing.table, header, info, hearing.host)
        self.header = header
        self._isCone = CONE in info.hints
        self._hearing = hearing
        self._outlet = Outlet(hearing.socket, header=header)

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}.
        """
        if self._isCone:
            datagrams = self._known(datagrams)
        self.dropped += self._outlet.post(datagrams)

    def _known(self, datagrams: Sequence[bytes]) -> Sequence[bytes]:
        """
        Send what strangers have sent, with headers that say who they are.

        @return: the others.
        """
        from ugate.endpoints.cone import Strange

        known = []
        for each in datagrams:
            if isinstance(each, Strange):
                header = headerFor(each.source, "")
                self.dropped += Outlet(self._hearing.socket, header=header).post((each,))
            else:
                known.append(each)
        return known


class AssociationSocket(Hearing):
    """
    The socket for the datagrams of one client: the first that comes from its address decides the port, and
    from then on it hears nobody else.
    """

    def __init__(self, factory: AssociationFactory, bound: Any, info: StreamInfo) -> None:
        """
        @param info: what is known of the connection.
        """
        super().__init__(factory.reactor, bound, factory.wrappedFactory, FLOWS)
        self._info = info
        self._isCone = factory.isCone
        self._host = str(getattr(info.peer, "host", "")).removeprefix(_MAPPED)
        port = info.hints.get(ASSOCIATE, "")
        self._port = int(port) if port else 0
        self._client: Any = None
        self._flowInfo: Any = None

    def doRead(self) -> None:
        """
        See L{IReadDescriptor}: until its client is known, and nothing is left of others.
        """
        for _ in range(AT_ONCE):
            try:
                datagram, address = self.socket.recvfrom(SIZE, NOW)
            except BlockingIOError:
                if self._client is not None:
                    self.doRead = self._readClient  # type: ignore[method-assign]
                return
            except OSError:
                if self.isClosed:
                    return
                continue
            if self._client is None:
                self._meet(address)
            flow = self._flowOf(datagram, headerEnd(datagram)) if self._client == address else None
            if flow is not None:
                self.table.deliver({flow: [datagram[len(flow.header) :]]})

    def _meet(self, address: Any) -> None:
        """
        Somebody sends something: is it the client?
        """
        if address[0] != self._host or (self._port and address[1] != self._port):
            return
        self._client = address
        self.socket.connect(address)
        info = self._info
        peer, layers = udpAddress(address[0], address[1]), (*info.layers, "udp")
        hints = {CONE: f"{address} {self.host}"} if self._isCone else NO_HINTS
        self._flowInfo = StreamInfo(peer, info.host, None, info.principal, _SOCKS5, hints, layers)

    def _readClient(self) -> None:
        """
        Take what is there of the client, but not for long.
        """
        recv, get = self.socket.recv, self.table.get
        came: dict[AssociationFlow, list[bytes]] = {}
        for _ in range(AT_ONCE):
            try:
                datagram = recv(SIZE, NOW)
            except BlockingIOError:
                break
            except OSError:
                # What was sent to the client did not get there.
                continue
            end = IPV4_END if datagram[:4] == IPV4 else headerEnd(datagram)
            flow = get(datagram[:end]) or self._flowOf(datagram, end)
            if flow is None:
                continue
            if flow in came:
                came[flow].append(datagram[end:])
            else:
                came[flow] = [datagram[end:]]
        self.table.deliver(came)

    def _flowOf(self, datagram: bytes, end: int) -> AssociationFlow | None:
        """
        The flow to where a datagram goes, which may be a new one; L{None} if that is nowhere.

        @param end: where its header ends.
        """
        header = datagram[:end]
        if 0 < end <= len(datagram):
            known: AssociationFlow | None = self.table.get(header)
            if known is not None:
                return known
            try:
                info = self._flowInfo.but(target=targetOf(header))
            except StringError:
                pass
            else:
                known = self.table.begin(AssociationFlow(self, header, info), self.factory)
                return known
        self.dropped += 1
        return None
