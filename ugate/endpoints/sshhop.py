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

from ugate.endpoints.links import linkTo
from ugate.endpoints.pool import SessionKey
from ugate.endpoints.pooledhop import PooledHop
from ugate.endpoints.sshaccount import HostFiles, agentFor, ownSigners, passwordOf, userOf
from ugate.endpoints.upstream import carrierOf
from ugate.errors import UgateError
from ugate.interfaces import IDialer, ITenant
from ugate.protocols.sshagent import Agent
from ugate.stream import TCP, UDP, UNIX, StreamInfo


@implementer(IDialer)
class SSHHop(PooledHop):
    """
    The dialer that asks a server of SSH for the target, on connections that the streams of a tenant share.
    We log in with the key of our identity, unless the hop names another.

    @since: ugate NEXT
    """

    networks = TCP, UDP, UNIX

    def _keyOf(self, info: StreamInfo) -> SessionKey:
        """
        See L{PooledHop._keyOf}.
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
        See L{PooledHop.link}.
        """
        return Deferred.fromCoroutine(self._connect(info))

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The way there, who we are, and what it is asked for.
        """
        hop = self._hop
        files = hop.known or "the files that ssh looks into"
        return [
            *self._explainVia(info),
            f"log in there as {userOf(hop)}, if its key is in {files}",
            f"ask {hop.place} for {info.target} in SSH, on a connection that streams share",
        ]
