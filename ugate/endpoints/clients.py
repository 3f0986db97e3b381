# -*- test-case-name: ugate.test.test_clients -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Client endpoints from texts, for any Twisted program: a chain, or a hop with C{to=}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure

from ugate.endpoints.chain import Chain, isChain, parseChain
from ugate.endpoints.dialing import NO_NAMES, dialerFromChain
from ugate.endpoints.hops import Hop
from ugate.endpoints.quoting import ARROW, join
from ugate.errors import Refused, StringError
from ugate.interfaces import IDialer, ITenant
from ugate.stream import StreamInfo

OURSELVES: Final = UNIXAddress(None)
"""The peer of the streams that a program opens for itself."""


@implementer(IStreamClientEndpoint)
class ChainEndpoint:
    """
    The client endpoint that a chain with a target is.  C{str()} gives the chain.

    @since: ugate NEXT
    """

    def __init__(self, dialer: IDialer, chain: Chain) -> None:
        """
        @param dialer: what goes through the hops.
        @param chain: what it was made from.
        @raise StringError: the chain has no target.
        """
        target = chain.end
        if target is None:
            raise StringError(f"{chain}: a client needs a target: write {chain} {ARROW} tcp:HOST:PORT")
        self._dialer = dialer
        self._chain = chain
        self._info = StreamInfo(OURSELVES, OURSELVES, target)

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect to the target through the hops.  It fails with
        L{Refused<ugate.errors.Refused>}; the Deferred can be cancelled.
        """
        try:
            connected: Deferred[IProtocol] = self._dialer.endpointFor(self._info).connect(factory)
        except Refused:
            return fail(Failure())
        return connected

    def explain(self) -> list[str]:
        """
        The way in words, a line a step.
        """
        return self._dialer.explain(self._info)

    def __str__(self) -> str:
        return str(self._chain)

    def __repr__(self) -> str:
        return f"<ChainEndpoint {self}>"


def clientFromChain(reactor: Any, text: str) -> ChainEndpoint:
    """
    The client endpoint that a chain means: C{socks:a:1080 -E{>} tcp:db:5432}.

    @param reactor: a reactor; that of a tenant knows the names of its hops.
    @raise StringError: the chain cannot be read, or has no target.
    @since: ugate NEXT
    """
    return _client(reactor, parseChain(text))


def _client(reactor: Any, chain: Chain) -> ChainEndpoint:
    tenant = ITenant(reactor, None)
    names: Mapping[str, IDialer] = NO_NAMES if tenant is None else tenant.hops
    return ChainEndpoint(dialerFromChain(reactor, chain, names), chain)


def clientFromParts(
    reactor: Any, prefix: str, parts: Sequence[str], keywords: Mapping[str, str]
) -> ChainEndpoint:
    """
    The client endpoint that Twisted's C{clientFromString} has read the parts of: a
    hop with C{to=}, or a chain without keywords.

    @raise StringError: it cannot be read, has no target, or is a chain with keywords,
        of which Twisted does not tell to which hop they belong.
    """
    text = join([prefix, *parts], keywords)
    # Twisted has undone the escapes, so an arrow in a part is one that separates hops.
    plain = ":".join([prefix, *parts])
    if isChain(plain):
        if keywords:
            raise StringError(
                f"{plain}: a chain with keywords cannot go through clientFromString, which loses"
                " their places: use ugate.endpoints.clients.clientFromChain(reactor, text)"
            )
        return _client(reactor, parseChain(plain))
    if any(ARROW in value for value in keywords.values()):
        raise StringError(
            f"{plain}: {ARROW} in a keyword: if it is a chain, use"
            " ugate.endpoints.clients.clientFromChain(reactor, text); if not, escape it in there too"
        )
    hop = Hop.fromText(text)
    chain = Chain.fromHop(hop)
    if chain.end is None:
        raise StringError(f"{hop.place}: where to? write {hop.place}:to=HOST\\:PORT")
    return _client(reactor, chain)
