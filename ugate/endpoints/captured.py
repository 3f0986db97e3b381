# -*- test-case-name: ugate.test.test_capturedserver,ugate.test.test_capturedsockets -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{redirect:} and C{tproxy:}: listeners to which the kernel leads streams that were to go elsewhere.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.connecting import IP_TRANSPARENT, IPV6_TRANSPARENT
from ugate.endpoints.negotiated import NegotiatedServerEndpoint, ServerFactory
from ugate.errors import Cause, ListenRefused, Phase, Refused
from ugate.interfaces import Auth, IEgress, INegotiation, Step
from ugate.protocols.captured import MAX_SEEN, Captured
from ugate.protocols.negotiate import Negotiating
from ugate.stream import StreamInfo, Target

REDIRECT: Final = "redirect"
TPROXY: Final = "tproxy"

SNIFFED: Final = frozenset((80, 443))
"""On which ports a name is looked for, unless C{sniff=} says otherwise."""

WAIT: Final = 0.5
"""Seconds for a client to say the name, unless C{wait=} says otherwise."""

_ORIGINAL_DST: Final = 80
"""Linux's, of IPv4 and of IPv6 alike."""

_MAPPED: Final = "::ffff:"
_NOT_HERE: Final = (errno.ENOENT, errno.ENOPROTOOPT, errno.EOPNOTSUPP)
_STEP: Final = "let rules of the firewall lead streams here: ucli capture show prints some"


def placeIn(family: int, packed: bytes) -> tuple[str, int]:
    """
    The address and the port in what the kernel has for a place (C{sockaddr_in}, C{sockaddr_in6}).
    """
    first, end = (8, 24) if family == socket.AF_INET6 else (4, 8)
    return socket.inet_ntop(family, packed[first:end]), int.from_bytes(packed[2:4], "big")


def originalTarget(connected: socket.socket) -> Target:
    """
    Where a connection was to go, before the kernel redirected it (C{SO_ORIGINAL_DST}).

    @raise OSError: it was not.
    """
    host = connected.getsockname()[0]
    level, family, size = socket.IPPROTO_IP, socket.AF_INET, 16
    if ":" in host and not host.startswith(_MAPPED):
        level, family, size = socket.IPPROTO_IPV6, socket.AF_INET6, 28
    return Target(*placeIn(family, connected.getsockopt(level, _ORIGINAL_DST, size)))


def ownTarget(connected: socket.socket) -> Target:
    """
    The name of a socket itself, which with TPROXY is where its client wanted to go.
    """
    host, port, *_ = connected.getsockname()
    return Target(host.removeprefix(_MAPPED), port)


@dataclass(frozen=True, slots=True)
class Capture:
    """
    How streams are led to a listener, and what is looked for in them.
    """

    protocol: str = REDIRECT
    """L{REDIRECT} or L{TPROXY}."""

    sniff: Collection[int] = SNIFFED
    """The ports of targets on which clients are expected to say a name."""

    byName: bool = False
    """Whether such a name becomes the target, in place of the address."""

    wait: float = WAIT
    """Seconds for the name."""


class CapturedHost(Negotiating):
    """
    The host of one of them: who is refused and cannot be told so is reset, as nobody else would be with an
    end of what never began.
    """

    def silent(self) -> None:
        """
        The client has not said a word, or not enough, in its time.
        """
        if self.inner is None and not self._closing:
            self._unattended(self._step, self.negotiation.silent)

    def readConnectionLost(self) -> None:
        """
        The client has ended its direction: it says no name any more.
        """
        if self.inner is None and not self._closing:
            self._eof = True
            self.silent()
        else:
            super().readConnectionLost()

    def refuse(self, reason: Refused) -> None:
        """
        See L{IPending.refuse}.
        """
        if not self._answered and not self.negotiation.refuse(reason):
            self._answered = True
            self._closing = True
            self.inner = None
            self.abortConnection()
            return
        super().refuse(reason)


class CapturedFactory(ServerFactory):
    """
    Connections that were led here.
    """

    def __init__(self, endpoint: Any, wrapped: IProtocolFactory) -> None:
        super().__init__(endpoint, wrapped)
        self._capture = endpoint.capture
        self._find = endpoint.find
        self._egress = IEgress(endpoint.reactor, None)
        self._naming: Deadlines[CapturedHost] = Deadlines(
            endpoint.reactor, self._capture.wait, CapturedHost.silent
        )

    def stopFactory(self) -> None:
        super().stopFactory()
        if not len(self._naming):
            self._naming.close()

    def buildProtocol(self, addr: Any) -> Any:
        return CapturedHost(self, addr)

    def negotiationFor(self, host: Negotiating) -> INegotiation:
        assert isinstance(host, CapturedHost)
        peer: Any = host.peer
        target = self._targetOf(host)
        kind = IPv6Address if ":" in target.host else IPv4Address
        # To its client, this is the address that it connected to.
        host.peer = StreamInfo(peer, kind("TCP", target.host, target.port), target)
        if target.port in self._capture.sniff:
            self._naming.start(host)
        return super().negotiationFor(host)

    def _targetOf(self, host: Negotiating) -> Target:
        """
        Where it was to go.

        @raise Refused: it was not led here, or would come back.
        """
        transport: Any = host.transport
        peer: Any = host.peer
        try:
            target: Target = self._find(transport.socket)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise Refused(Cause.PEER_CLOSED, Phase.NEGOTIATE, "peer", str(error)) from error
            raise _refusal(
                peer, "it connected to this listener itself, and was not redirected", _STEP
            ) from error
        here = transport.getHost()
        same = (target.host, target.port) == (here.host.removeprefix(_MAPPED), here.port)
        if same and self._capture.protocol == REDIRECT:
            raise _refusal(peer, "it connected to this listener itself, and was not redirected", _STEP)
        egress = self._egress
        if egress is None:
            return target
        if egress.isOwn(target.host, target.port):
            words = f"{target} is a listener of this gateway, to which streams would come back"
            raise _refusal(peer, words, "ask for the service itself, not for the gateway")
        outgoing: Any = egress.outgoing
        made = (peer.host.removeprefix(_MAPPED), peer.port, target.host, target.port)
        if outgoing is not None and outgoing.holds(made):
            words = f"our own connection to {target} was captured again"
            step = (
                "let the rules leave out connections with the mark of node.mark, or the user that we run as"
            )
            raise _refusal(peer, words, step)
        return target

    def buildInner(self, host: Negotiating, step: Step) -> IProtocol | None:
        assert isinstance(host, CapturedHost)
        self._naming.stop(host)
        return self.protocolFor(host)


def _refusal(peer: Any, detail: str, step: str) -> Refused:
    return Refused(Cause.DENIED, Phase.NEGOTIATE, str(Target(peer.host, peer.port)), detail, step)


class CapturedServerEndpoint(NegotiatedServerEndpoint):
    """
    Listens by a TCP endpoint for streams that the kernel leads there.

    @ivar capture: see L{Capture}.
    @ivar find: where a connection was to go, by its socket; raises L{OSError} if it was not led here.
    @since: ugate NEXT
    """

    factory = CapturedFactory

    def __init__(
        self,
        reactor: Any,
        inner: IStreamServerEndpoint,
        capture: Capture,
        *,
        deadline: float = 10.0,
        find: Callable[[Any], Target] | None = None,
    ) -> None:
        """
        @param deadline: seconds that all of it may take.
        """
        super().__init__(
            reactor,
            inner,
            self._negotiation,
            deadline=deadline,
            cap=4 * MAX_SEEN,
            logins=False,
            eager=True,
        )
        self.capture = capture
        isRedirect = capture.protocol == REDIRECT
        self.find = (originalTarget if isRedirect else ownTarget) if find is None else find
        # With TPROXY a socket of loopback has the streams of other machines, too.
        self.forOthers = not isRedirect

    def _negotiation(self, info: StreamInfo, auth: Auth) -> INegotiation:
        capture = self.capture
        assert info.target is not None
        reads = info.target.port in capture.sniff
        return Captured(info, auth, capture.protocol, reads=reads, byName=capture.byName)

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: a Deferred that may fail with L{ListenRefused}: the kernel forbids it.
        """
        egress = IEgress(self.reactor, None)
        if egress is not None:
            egress.capture()
        listening = super().listen(factory)
        return listening.addCallback(_transparent) if self.capture.protocol == TPROXY else listening


def _transparent(port: Any) -> Any:
    """
    Let a socket that listens take connections to other addresses than this host's.
    """
    listening: socket.socket = port.socket
    try:
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        # That of IPv6 may hear IPv4, too.
        listening.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    except OSError as error:
        refused = ListenRefused(
            f"the kernel does not let it take streams of others ({error.strerror}); it needs CAP_NET_ADMIN: "
            "start it as root, or take redirect:"
        )
        stopped = port.stopListening()
        failure = Failure(refused)
        if isinstance(stopped, Deferred):
            return stopped.addBoth(lambda _: failure)
        return failure
    return port
