# -*- test-case-name: ugate.test.test_linked,ugate.test.test_linked_life -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listening without an address: on links that are kept to a gate, which opens streams there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory

from ugate.endpoints.chain import Chain
from ugate.endpoints.clients import OURSELVES
from ugate.endpoints.links import linkTo
from ugate.endpoints.mutual import Mutual
from ugate.endpoints.reverse import NoAddress, ReversePort
from ugate.endpoints.reverselistener import ALPN
from ugate.endpoints.reverseway import ReverseWayEndpoint
from ugate.endpoints.session import Session
from ugate.errors import ProtocolError
from ugate.interfaces import ITenant
from ugate.protocols.h2link import linkMaker
from ugate.protocols.reversewire import PLACE, OneLine, Wish, answerFrom, wishLine
from ugate.stream import Principal, StreamInfo

DIAL: Final = 10.0
"""Seconds to connect to a gate, and again for each handshake there."""


class _Gate(Mutual):
    """
    The connection of one link, which keeps who the gate is.
    """

    principal: Principal | None = None

    def _check(self, trust: Any, chain: Any) -> Principal:
        self.principal = super()._check(trust, chain)
        return self.principal


class LinkedPort(ReversePort):
    """
    What listens on links to a gate, as who we are at each time.

    @since: ugate NEXT
    """

    _unwatch: Callable[[], None] | None = None

    def __init__(self, endpoint: LinkedServerEndpoint, factory: IProtocolFactory) -> None:
        super().__init__(endpoint, factory)
        self._endpoint = endpoint

    def startListening(self) -> None:
        """
        Begin to dial.
        """
        if self.isStopped:
            self._unwatch = ITenant(self.clock).identity.changed(self.renew)
        super().startListening()

    def stopListening(self) -> Deferred[Any]:
        """
        Dial no more, and let the links close with their last streams.
        """
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        return super().stopListening()

    def getHost(self) -> IAddress:
        """
        No address.
        """
        return NoAddress(f"linked to {self._endpoint.hop.target}")


class LinkedServerEndpoint(ReverseWayEndpoint):
    """
    Listens on links that it keeps to a gate with C{reverse:}.  Streams have the principal of the gate, by its
    certificate; what that says of those who asked it is a hint.

    @since: ugate NEXT
    """

    kind = "linked"

    def __init__(
        self,
        reactor: Any,
        way: Chain,
        *,
        links: int = 1,
        names: tuple[str, ...] = (),
        ports: tuple[int, ...] = (),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        @param reactor: that of a tenant, which has an identity and a trust.
        @param way: to the gate, and who that has to be: its last hop is C{mtls}.
        @param links: how many are kept at once, 16 at most.
        @param names: names that we have to have there, beside that of our key.
        @param ports: ports of the gate that have to lead to us.
        @param jitter: from 0 to 1; 1 makes a pause whole and 0 halves it.
        @raise ValueError: that is no number of links.
        """
        super().__init__(reactor, way, links=links, joined=self._joined, jitter=jitter)
        timeout = DIAL if self.hop.timeout is None else self.hop.timeout
        self.hop = replace(self.hop, alpn=ALPN, timeout=timeout)
        self._wish = wishLine(Wish(names, ports))

    def _link(self) -> Deferred[Any]:
        """
        Make one.
        """
        reactor: Any = self.clock
        gate = _Gate(reactor, self.hop, self._carrier())
        endpoint = gate.endpointFor(StreamInfo(OURSELVES, OURSELVES, self.hop.target))
        serving = linkMaker(reactor, False)

        def maker(info: StreamInfo) -> tuple[IProtocol, Deferred[Any]]:
            return serving(info.but(principal=gate.principal, layers=(*info.layers, "linked")))

        return linkTo(reactor, endpoint, maker, hop=self.place)

    def _check(self, tenant: ITenant) -> None:
        super()._check(tenant)
        tenant.trust  # noqa: B018

    def _joined(self, session: Session) -> None:
        """
        A link is up: say what we want there when we are asked.
        """
        saying = Factory.forProtocol(lambda: OneLine(partial(self._answered, session), self._wish))
        saying.noisy = False
        session.listener(PLACE, accepts=True).listen(saying)

    def _answered(self, session: Session, conversation: OneLine, line: bytes) -> None:
        conversation.end()
        try:
            answer = answerFrom(line)
        except ProtocolError as error:
            self.log.warn("{gate}: {error}", gate=self.place, error=str(error))
            return
        if answer.refused:
            self.log.warn("{gate} refuses us: {why}", gate=self.place, why=answer.refused)
        else:
            by = ", ".join([*answer.names, *(f"port {port}" for port in answer.ports)]) or "nothing else"
            self.log.info("{gate}: we are reached there by our key, and {by}", gate=self.place, by=by)

    def portFor(self, factory: IProtocolFactory) -> ReversePort:
        """
        See L{ReverseServerEndpoint.portFor}.
        """
        return LinkedPort(self, factory)
