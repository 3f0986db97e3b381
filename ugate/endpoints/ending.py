# -*- test-case-name: ugate.test.test_ending,ugate.test.test_endingstrings -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners for TLS by name, of which some ends here and some passes through.
"""

from __future__ import annotations

from enum import Enum
from functools import partial

from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.errors import Cause, Phase, Refused
from ugate.protocols.clienthello import ClientHello
from ugate.protocols.servernames import Listed
from ugate.protocols.sni import Sni
from ugate.protocols.tlsserver import Side
from ugate.stream import StreamInfo


class Certificates(Enum):
    """
    Whether clients have to show a certificate where TLS ends.
    """

    NONE = "none"
    """They are not asked for any."""

    OPTIONAL = "optional"
    """They are asked; who has none is let in without, and who has one has to be believed."""

    REQUIRED = "required"
    """Nobody is let in without."""


class EndingServerEndpoint(MutualServerEndpoint):
    """
    Listens by another endpoint, for TLS by name.  For the names that end here, the tenant of the name
    has the certificate that answers, and what is inside comes out with a L{StreamInfo} whose target is
    what was asked for.  All else that is listed passes through, and can leave its socket.

    @since: ugate NEXT
    """

    prefix = "sni"

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamServerEndpoint,
        listed: Listed,
        *,
        certificates: Certificates = Certificates.NONE,
        deadline: float = 10.0,
    ) -> None:
        """
        @param reactor: that of a tenant, which has an identity.
        @param inner: how to listen.
        @param listed: what ends here, and what passes through.
        @param certificates: whether those of clients are wanted, where TLS ends.
        @param deadline: seconds for the handshake.
        """
        required = certificates is Certificates.REQUIRED
        super().__init__(
            reactor,
            inner,
            alpn=listed.alpn,
            anonymous=not required,
            asksClient=certificates is not Certificates.NONE,
            deadline=deadline,
        )
        self.negotiation = partial(Sni, listed=listed, begin=self.begin)
        self.listed = listed
        self.asks = True
        self.logins = False
        # Who passes through has proven nothing here.
        self.certifies = required and listed.names is None and listed.default is None

    def begin(self, hello: ClientHello, info: StreamInfo) -> Side:
        """
        Our side of a connection, by the name that it is for.

        @raise UgateError: there is none for that name.
        """
        name = info.hints["sni"]
        owner = self.ownerFor(info)
        if not owner.identity.has(name):
            raise Refused(
                Cause.NAME_UNKNOWN,
                Phase.TLS,
                name,
                f"no certificate of {owner.name} has that name",
                "put one into the folder identity.servers, or take the name out of ends=",
            )
        return super().begin(hello, info)
