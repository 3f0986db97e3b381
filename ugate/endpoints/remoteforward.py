# -*- test-case-name: ugate.test.test_remoteforward -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listening at a server of SSH, as C{ssh -R} does: any sshd that forwards, or a gate.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
)
from twisted.python.failure import Failure

from ugate.endpoints.chain import Chain
from ugate.endpoints.clients import OURSELVES
from ugate.endpoints.reverse import NoAddress, ReversePort
from ugate.endpoints.reverseway import ReverseWayEndpoint
from ugate.endpoints.sshhop import SSHHop
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ITenant
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


class RemoteForwardEndpoint(ReverseWayEndpoint):
    """
    Keeps a connection to a server of SSH, which listens for us: what comes there are streams for our own name
    and the same port.  They have the principal of the server, by its key.

    @since: ugate NEXT
    """

    kind = "remoteforward"

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
        super().__init__(reactor, way, jitter=jitter, renews=False)
        self._at = tuple(at)

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

    def portFor(self, factory: IProtocolFactory) -> ReversePort:
        """
        See L{ReverseServerEndpoint.portFor}.
        """
        return RemoteForwardPort(self, factory)
