# -*- test-case-name: ugate.test.test_capturedudp,ugate.test.interop.test_capturedthrough -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{tproxy:udp:PORT}: datagrams that were to go elsewhere.  Those of a peer to each such place are a flow, and
its answers come from there.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, execute
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from ugate.endpoints.captured import TPROXY, placeIn
from ugate.endpoints.connecting import IP_TRANSPARENT, IPV6_TRANSPARENT, mark
from ugate.endpoints.flowtable import DEFAULT_FLOWS, Flow
from ugate.endpoints.udp import AT_ONCE, SIZE, udpAddress
from ugate.endpoints.udpport import RECEIVE_BUFFER, Port
from ugate.errors import Cause, ListenRefused, Phase, Refused
from ugate.interfaces import IEgress
from ugate.poll import canPoll
from ugate.stream import UDP, StreamInfo, Target

_NOW: Final = socket.MSG_DONTWAIT
_ORIGINAL = {(socket.IPPROTO_IP, 20): socket.AF_INET, (socket.IPPROTO_IPV6, 74): socket.AF_INET6}
"""Linux's: the control message with the place, by its level and type, which also asks for it."""

_ANCILLARY: Final = 256
"""More bytes than that message has."""

Ancillary = Iterable[tuple[int, int, bytes]]


def originalIn(ancillary: Ancillary) -> Target | None:
    """
    Where a datagram was to go, by what the kernel says beside it; L{None} if it does not.
    """
    for level, kind, data in ancillary:
        family = _ORIGINAL.get((level, kind))
        if family is not None:
            return Target(*placeIn(family, data), UDP)
    return None


def transparentSocket(host: str, port: int) -> socket.socket:
    """
    A socket for datagrams at an address that need not be one of this host's.

    @raise OSError: it cannot be.
    """
    isIPv6 = ":" in host
    made = socket.socket(
        socket.AF_INET6 if isIPv6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    )
    try:
        if isIPv6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


class Answers:
    """
    The sockets that answers go from: one for each place that some flow wants to reach, as long as one does.
    """

    def __init__(self, egress: IEgress | None, make: Callable[[str, int], socket.socket]) -> None:
        """
        @param egress: says how they have to be marked, if they have.
        @param make: makes one that has an address.
        """
        self._egress = egress
        self._make = make
        self._sockets: dict[Target, tuple[socket.socket, int]] = {}

    def __len__(self) -> int:
        return len(self._sockets)

    def take(self, place: Target) -> socket.socket:
        """
        The one of a place.

        @raise OSError: there can be none.
        """
        found = self._sockets.get(place)
        if found is None:
            made, users = self._make(place.host, place.port), 0
            if self._egress is not None and self._egress.mark:
                mark(made, self._egress)
        else:
            made, users = found
        self._sockets[place] = made, users + 1
        return made

    def give(self, place: Target) -> None:
        """
        A flow is over.
        """
        made, users = self._sockets[place]
        if users > 1:
            self._sockets[place] = made, users - 1
        else:
            del self._sockets[place]
            made.close()


class CapturedFlow(Flow):
    """
    The datagrams of one peer to one place.
    """

    def __init__(self, port: CapturedPort, key: Any, target: Target) -> None:
        address = key[0]
        peer = udpAddress(address[0], address[1])
        host = udpAddress(target.host, target.port)
        info = StreamInfo(peer, host, target, protocol=TPROXY, layers=(TPROXY,))
        super().__init__(port.table, key, info, host)
        self._address = address
        self._target = target
        self._answers = port.answers
        self._socket: socket.socket | None = None

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}.
        """
        for each in datagrams:
            try:
                if self._socket is None:
                    self._socket = self._answers.take(self._target)
                self._socket.sendto(each, _NOW, self._address)
            except OSError:
                self.dropped += 1

    def closed(self) -> None:
        """
        It is over: let go of the socket.
        """
        if self._socket is not None:
            self._socket = None
            self._answers.give(self._target)
        super().closed()


class CapturedPort(Port):
    """
    A port to which the kernel leads datagrams.

    @ivar answers: what their answers go from.
    @since: ugate NEXT
    """

    def __init__(
        self, reactor: Any, bound: socket.socket, factory: IProtocolFactory, limit: int = DEFAULT_FLOWS
    ) -> None:
        super().__init__(reactor, bound, factory, limit)
        self.egress = IEgress(reactor, None)
        self.answers = Answers(self.egress, transparentSocket)

    def doRead(self) -> None:
        """
        See L{IReadDescriptor<twisted.internet.interfaces.IReadDescriptor>}.
        """
        recv, get = self.socket.recvmsg, self.table.get
        came: dict[CapturedFlow, list[bytes]] = {}
        for _ in range(AT_ONCE):
            try:
                datagram, ancillary, _, address = recv(SIZE, _ANCILLARY, _NOW)
            except BlockingIOError:
                break
            except OSError:
                # What was sent to some peer did not get there.
                continue
            target = originalIn(ancillary)
            if target is None:
                self.dropped += 1
                continue
            key = address[:2], target.host, target.port
            flow = get(key) or self._begin(CapturedFlow(self, key, target), target)
            came.setdefault(flow, []).append(datagram)
        self.table.deliver(came)

    def _begin(self, flow: CapturedFlow, target: Target) -> CapturedFlow:
        """
        A flow begins, unless it would come back.

        @return: the same.
        """
        why = self._wouldReturn(flow, target)
        if not why:
            self.table.begin(flow, self.factory)
            return flow
        # This is not said of each datagram.
        self.table.refuse(flow)
        self._log.info("{peer}: {why}", peer=str(flow.peer), why=why)
        return flow

    def _wouldReturn(self, flow: CapturedFlow, target: Target) -> str:
        egress = self.egress
        if egress is None:
            return ""
        if egress.isOwn(target.host, target.port, UDP):
            return f"{target} is a listener of this gateway: ask for the service itself"
        outgoing: Any = egress.outgoing
        peer: Any = flow.peer
        made = (peer.peer.host, peer.peer.port, target.host, target.port)
        if outgoing is not None and outgoing.holds(made):
            return f"our own datagrams to {target} were captured again: let the rules leave out node.mark"
        return ""


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class CapturedDatagramsEndpoint:
    """
    Listens for datagrams that the kernel leads there.

    @since: ugate NEXT
    """

    reactor: Any
    """What waits for the sockets."""

    port: int
    """Which port."""

    interface: str = "127.0.0.1"
    """At which address."""

    flows: int = DEFAULT_FLOWS
    """How many there may be."""

    asks = True
    """Whether it is known where to."""

    isLocal = False
    """Whether only programs of this machine reach it: with TPROXY others do, be it on loopback."""

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        return execute(self._listen, factory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        if not canPoll(self.reactor):
            where = f"tproxy:udp:{self.port}"
            detail, step = "this reactor waits for no sockets", "run it with one that does: epoll, on Linux"
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, where, detail, step)
        egress = IEgress(self.reactor, None)
        if egress is not None:
            egress.capture()
        listen: Callable[..., IListeningPort] | None = getattr(self.reactor, "listenDatagrams", None)
        if listen is not None:
            return listen(self.port, self.interface, factory, self._open, self._change, "tproxy")
        return self._open(factory, self.reactor)

    def _open(self, factory: IProtocolFactory, reactor: Any) -> CapturedPort:
        try:
            bound = transparentSocket(self.interface, self.port)
        except PermissionError as error:
            raise ListenRefused(
                f"the kernel does not let it take datagrams of others ({error.strerror}); it needs "
                "CAP_NET_ADMIN: start it as root"
            ) from error
        except OSError as error:
            raise CannotListenError(self.interface, self.port, error) from error
        isIPv6 = bound.family == socket.AF_INET6
        for level, kind in _ORIGINAL:
            if (level == socket.IPPROTO_IPV6) == isIPv6:
                bound.setsockopt(level, kind, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        # Nobody else may listen there, as they could for what is only answered.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        listening = CapturedPort(reactor, bound, factory, self.flows)
        listening.startListening()
        return listening

    def _change(self, listening: CapturedPort) -> None:
        """
        A socket that was another listener's is one of ours.
        """
        listening.egress = IEgress(self.reactor, None)
        listening.table.limit = self.flows
