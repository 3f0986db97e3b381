# -*- test-case-name: ugate.test.test_sshhop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:USER@HOST:PORT} as a hop: any server of SSH that forwards.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.hops import Hop
from ugate.endpoints.links import linkTo
from ugate.endpoints.pool import PoolLimits, SessionKey, SessionPool
from ugate.endpoints.sshaccount import HostFiles, agentFor, ownSigners, passwordOf, userOf
from ugate.endpoints.upstream import carrierOf
from ugate.errors import UgateError
from ugate.interfaces import IDialer, ITenant
from ugate.protocols.sshagent import Agent
from ugate.stream import TCP, UDP, UNIX, StreamInfo


@implementer(IDialer)
class SSHHop:
    """
    The dialer that asks a server of SSH for the target, on connections that the streams of a tenant share.

    @ivar pool: its links.
    @since: ugate NEXT
    """

    networks = TCP, UDP, UNIX

    def __init__(
        self,
        reactor: Any,
        hop: Hop,
        via: IDialer | IStreamClientEndpoint,
        pool: SessionPool | None = None,
    ) -> None:
        """
        @param reactor: that of a tenant, whose key we have unless the hop names another.
        @param hop: the server, who we are there, and how we know it.
        @param via: what carries the connection there.
        @param pool: whose links it uses; L{None} for some of its own.
        """
        self._reactor = reactor
        self._hop = hop
        self._via = via
        self._timeout = DEFAULT_TIMEOUT if hop.timeout is None else hop.timeout
        self.pool = SessionPool(reactor, PoolLimits(open=self._timeout)) if pool is None else pool
        self._dialer = self.pool.dialer(self._keyOf, self.link, hop.place)

    def _keyOf(self, info: StreamInfo) -> SessionKey:
        """
        Whoever we are, to whom, for which tenant: no others share a link.
        """
        hop = self._hop
        tenant = ITenant(self._reactor, None)
        key = hop.key
        if not key and tenant is not None:
            try:
                key = tenant.identity.keyid
            except UgateError:
                # There may be a password, or an agent.
                pass
        identity = f"{userOf(hop)} {key} {hop.agent} {hop.passwordFile}{hop.passwordEnv}"
        return SessionKey("" if tenant is None else tenant.name, identity, hop.host, hop.place)

    async def _connect(self, info: StreamInfo) -> Any:
        from ugate.protocols.sshclient import Account, clientMaker

        hop, reactor = self._hop, self._reactor
        hosts = HostFiles(hop)
        below = carrierOf(hop, self._via, info)
        signers, password = ownSigners(reactor, hop), passwordOf(hop)
        agent: Agent | None = await agentFor(reactor, hop, self._timeout)
        try:
            if agent is not None:
                signers += await agent.signers().addTimeout(self._timeout, reactor)
            account = Account(userOf(hop), signers, password)
            maker = clientMaker(reactor, lambda: account, hosts.check, hosts.algorithms())
            return await linkTo(reactor, below, maker, hop=hop.place, deadline=self._timeout)
        finally:
            if agent is not None and agent.transport is not None:
                agent.transport.loseConnection()

    def link(self, info: StreamInfo) -> Deferred[Any]:
        """
        A connection of its own.

        @return: the L{ugate.interfaces.ILink}; fails with L{Refused}.
        """
        return Deferred.fromCoroutine(self._connect(info))

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the target, behind the server.

        @raise Refused: there is no target.
        """
        return self._dialer.endpointFor(info)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The way there, who we are, and what it is asked for.
        """
        hop = self._hop
        if IDialer.providedBy(self._via):
            way = self._via.explain(info.but(target=hop.target))
        else:
            way = [f"connect to {hop.place} by {hop.via}"]
        files = hop.known or "the files that ssh looks into"
        return [
            *way,
            f"log in there as {userOf(hop)}, if its key is in {files}",
            f"ask {hop.place} for {info.target} in SSH, on a connection that streams share",
        ]
