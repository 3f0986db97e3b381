# -*- test-case-name: ugate.test.test_mtls,ugate.test.test_mtls_strings -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners in TLS whose clients prove by a certificate who they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)

from ugate.endpoints.negotiated import NegotiatedServerEndpoint, ServerFactory
from ugate.endpoints.peers import clientOf
from ugate.errors import ListenRefused, UgateError
from ugate.interfaces import ITenant
from ugate.protocols.clienthello import ClientHello
from ugate.protocols.negotiate import Negotiating
from ugate.protocols.tlsserver import CAP, Side, TLSHandshake
from ugate.protocols.tlsverify import PeerCheck, ignoreALPN
from ugate.stream import Principal, StreamInfo

_HOP: Final = "peer"
NOBODY: Final = Principal("anyone", "open")
"""Who a client is as long as only its ClientHello is known."""


class _MutualFactory(ServerFactory):
    """
    Accepted connections, with TLS between the handshake and the protocol.
    """

    def __init__(self, endpoint: NegotiatedServerEndpoint, wrapped: IProtocolFactory) -> None:
        from ugate.protocols.tlsstream import TLSStreams

        super().__init__(endpoint, wrapped)
        self._streams = TLSStreams(self.wrappedFactory, endpoint.reactor)

    def protocolFor(self, host: Negotiating) -> IProtocol | None:
        side = host.negotiation.side
        if side is None:
            # It passes through unopened.
            return super().protocolFor(host)
        return self._streams.streamFor(host.peer, side.connection)


class MutualServerEndpoint(NegotiatedServerEndpoint):
    """
    Listens by another endpoint, in TLS.  The name that a client asks for chooses the tenant,
    whose identity answers it and whose trust says who it is; the protocols of the
    factory are built when that is known, with a L{StreamInfo} that has the principal.

    @cvar prefix: what it is called in strings.
    @ivar asksClient: whether clients are asked for a certificate.
    @since: ugate NEXT
    """

    factory = _MutualFactory
    prefix = "mtls"

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamServerEndpoint,
        *,
        alpn: Sequence[bytes] = (),
        anonymous: bool = False,
        asksClient: bool = True,
        deadline: float = 10.0,
    ) -> None:
        """
        @param reactor: that of a tenant, which has an identity and a trust.
        @param inner: how to listen.
        @param alpn: the protocols inside, best first; a client that offers others has none.
        @param anonymous: whether a client may have no certificate, and then no principal.
        @param asksClient: whether clients are asked for one at all.
        @param deadline: seconds for the handshake.
        """
        super().__init__(
            reactor,
            inner,
            lambda info, auth: TLSHandshake(info, self.begin),
            deadline=deadline,
            cap=CAP,
        )
        self._tenant = ITenant(reactor, None)
        self.alpn = tuple(alpn)
        self.anonymous = anonymous
        self.asksClient = asksClient
        self.certifies = not anonymous
        self.asks = False
        self.logins = not anonymous

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: a Deferred that fails with L{ListenRefused} if there is no good identity.
        """
        tenant = self._tenant
        if tenant is None:
            return fail(
                ListenRefused(
                    f"{self.prefix}: has no identity here: put this listener into the config of a gateway, "
                    "or use the reactor of an ITenant"
                )
            )
        try:
            # What is wrong with the files is told now and not to the first client.
            tenant.identity.serverTLS(self.alpn, self.asksClient)
            tenant.trust  # noqa: B018 (it is made now)
        except UgateError as error:
            return fail(ListenRefused(f"{self.prefix}: {error}"))
        return super().listen(factory)

    def ownerFor(self, info: StreamInfo) -> ITenant:
        """
        The tenant of the name that a client asks for.
        """
        assert self._tenant is not None
        return self._tenant.tenantFor(info.but(principal=NOBODY))

    def begin(self, hello: ClientHello, info: StreamInfo) -> Side:
        """
        Our side of a connection, by the name that it is for.

        @raise UgateError: there is none for that name.
        """
        owner = self.ownerFor(info)
        # OpenSSL only hears of a protocol that both have, and so cannot fail over it.
        common = [each for each in self.alpn if each in hello.alpn][:1] if hello.alpn else ()
        creator = owner.identity.serverTLS(common, self.asksClient, info.hints.get("sni", ""))
        connection = creator.serverConnectionForTLS(None)
        connection.set_accept_state()
        if hello.alpn and not common:
            ignoreALPN(connection)
        if not self.asksClient:
            return Side(connection, None)
        peer = PeerCheck(partial(clientOf, owner), _HOP, optional=self.anonymous)
        peer.install(connection)
        return Side(connection, peer)
