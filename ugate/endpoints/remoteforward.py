# -*- test-case-name: ugate.test.test_remoteforward -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listening at a server of SSH, as C{ssh -R} does: any sshd that forwards, or a gate.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.chain import Chain
from ugate.endpoints.clients import OURSELVES
from ugate.endpoints.dialing import dialerFromChain
from ugate.endpoints.reverse import NoAddress, ReversePort, ReverseServerEndpoint
from ugate.endpoints.sshhop import SSHHop
from ugate.errors import Cause, ListenRefused, Phase, Refused, UgateError
from ugate.interfaces import IDialer, ITenant
from ugate.stream import StreamInfo, Target

ANSWER: Final = 30.0
"""Seconds that the server has to say whether it listens."""

JUMP: Final = 22
"""The port of ours that is meant where the server takes any."""


class RemoteForwardPort(ReversePort):
    """
    What listens there.

    @since: ugate NEXT
    """

    def __init__(self, endpoint: RemoteForwardEndpoint, factory: IProtocolFactory) -> None:
        super().__init__(endpoint, factory)
        self._place = endpoint.place

    def getHost(self) -> IAddress:
        """
        No address.
        """
        return NoAddress(f"at {self._place}")


class RemoteForwardEndpoint(ReverseServerEndpoint):
    """
    Keeps a connection to a server of SSH, which listens for us: what comes there are streams for our own name
    and the same port.  They have the principal of the server, by its key.

    @ivar asks: that streams say where they want to go.
    @ivar certifies: that the server proves who it is.
    @since: ugate NEXT
    """

    log = Logger()
    asks = certifies = True

    def __init__(
        self,
        reactor: Any,
        way: Chain,
        at: Sequence[tuple[str, int]],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        @param reactor: that of a tenant, which has an identity.
        @param way: to the server; its last hop is C{ssh}.
        @param at: where it has to listen: hosts and ports, 0 for any.
        @param jitter: from 0 to 1; 1 makes a pause whole and 0 halves it.
        """
        super().__init__(reactor, self._link, jitter=jitter, renews=False)
        self.hop = way.hops[-1]
        self._before = replace(way, hops=way.hops[:-1])
        self._at = tuple(at)
        self.place = f"remoteforward:{self.hop.target}"

    def _link(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._listening())

    async def _listening(self) -> Any:
        """
        A connection on which the server listens, at all places or not at all.
        """
        reactor: Any = self.clock
        info = StreamInfo(OURSELVES, OURSELVES, self.hop.target)
        link = await SSHHop(reactor, self.hop, self._carrier()).link(info)
        name = ITenant(reactor).identity.keyid.lower()
        try:
            for host, port in self._at:
                asked: Deferred[Target] = link.listen(host, port, Target(name, port or JUMP))
                at = await asked.addTimeout(ANSWER, reactor, self._silent)
                self.log.info("{place} listens at {at} for us", place=self.place, at=str(at))
        except Exception:
            link.abort("it does not listen for us")
            raise
        return link

    def _silent(self, result: Any, seconds: float) -> Failure:
        detail = f"it does not say in {seconds:g} s whether it listens for us"
        return Failure(Refused(Cause.TIMED_OUT, Phase.NEGOTIATE, self.place, detail))

    def _carrier(self) -> IDialer | IStreamClientEndpoint:
        """
        What leads to the server; the hops of the config may be others than they were.
        """
        tenant: Any = ITenant(self.clock)
        connecting = getattr(tenant, "hopReactor", self.clock)
        try:
            if isinstance(self.hop.via, str):
                endpoint: IStreamClientEndpoint = clientFromString(connecting, self.hop.via)
                return endpoint
            return dialerFromChain(connecting, self._before, tenant.hops)
        except ValueError as error:
            step = "see the section dial of the config"
            raise Refused(Cause.UNSUPPORTED, Phase.CONNECT, self.place, f"via=: {error}", step) from error

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: fires at once with the L{RemoteForwardPort}, whether the server is there or not; fails with
            L{ListenRefused} if there is no good identity.
        """
        tenant = ITenant(self.clock, None)
        if tenant is None:
            why = "remoteforward: has no identity here: put it into the config of a gateway"
            return fail(ListenRefused(why))
        try:
            # What is wrong with the files is told now.
            tenant.identity.keyid  # noqa: B018
            self._carrier()
        except UgateError as error:
            return fail(ListenRefused(f"remoteforward: {error}"))
        return super().listen(factory)

    def portFor(self, factory: IProtocolFactory) -> ReversePort:
        """
        See L{ReverseServerEndpoint.portFor}.
        """
        return RemoteForwardPort(self, factory)
