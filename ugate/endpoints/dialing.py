# -*- test-case-name: ugate.test.test_dialing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Dialers from texts: a hop, a chain, the name of one in the config, C{direct},
C{deny}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.chain import Chain, parseChain
from ugate.endpoints.dialers import Deny, Fallback, Retry
from ugate.endpoints.direct import Direct
from ugate.endpoints.hops import KINDS, Hop, isName
from ugate.endpoints.upstream import Announced, ClientNegotiation, Upstream
from ugate.errors import StringError, suggestion
from ugate.interfaces import IDialer, ITenant

Maker = Callable[[Any, Hop, "IDialer | IStreamClientEndpoint"], IDialer]
"""What makes the dialer of a proxy: from the reactor, the hop, and the way to it."""

MAX_NAMES: Final = 32
"""How many named hops may need one another in a row."""

NO_NAMES: Final[Mapping[str, IDialer]] = MappingProxyType({})


def _proxy(load: Callable[[], ClientNegotiation]) -> Maker:
    def make(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
        return Upstream(reactor, hop, load(), via)

    return make


def _socks(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
    from ugate.endpoints.socksupstream import SocksUpstream
    from ugate.protocols.socks5client import Socks5Client

    return SocksUpstream(reactor, hop, Socks5Client, via)


def _socks4() -> ClientNegotiation:
    from ugate.protocols.socks4client import Socks4Client

    return Socks4Client


def _connect() -> ClientNegotiation:
    from ugate.protocols.httpconnectclient import ConnectClient

    return ConnectClient


def _direct(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
    # It only stands where a chain begins, and nothing carries it.
    return Direct(reactor, _timeout(hop), asClient=hop.asClient)


def _mtls(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
    from ugate.endpoints.mutual import Mutual

    return Mutual(reactor, hop, via)


def _forward(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
    from ugate.endpoints.forward import Forward

    return Forward(reactor, hop, via)


def _h2connect(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
    from ugate.endpoints.h2connect import H2Connect

    return H2Connect(reactor, hop, via)


def _websocket(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
    from ugate.endpoints.websocket import WebSocketUpstream

    return WebSocketUpstream(reactor, hop, via)


def _ssh(reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> IDialer:
    from ugate.endpoints.sshhop import SSHHop

    return SSHHop(reactor, hop, via)


MAKERS: Final[Mapping[str, Maker]] = {
    "socks": _socks,
    "socks4": _proxy(_socks4),
    "connect": _proxy(_connect),
    "mtls": _mtls,
    "forward": _forward,
    "h2connect": _h2connect,
    "websocket": _websocket,
    "ssh": _ssh,
    "direct": _direct,
}
"""What makes the dialer of each of C{ugate.endpoints.hops.KINDS}."""


def _timeout(hop: Hop) -> float:
    return DEFAULT_TIMEOUT if hop.timeout is None else hop.timeout


def dialerFromChain(
    reactor: Any, chain: Chain, names: Mapping[str, IDialer] = NO_NAMES, targets: Any = None
) -> IDialer:
    """
    The dialer that goes through the hops of a chain; its target is not looked at.

    @param reactor: what connects to the hops.
    @param names: the hops that the config has.
    @param targets: the reactor that connects to the targets of streams, when no proxy
        does; else the same.
    @raise StringError: the chain begins with a name that is none of these, or with an
        endpoint string that Twisted cannot read.
    @raise Refused: a hop wants TLS and that is not installed.
    """
    hops = chain.hops
    targets = reactor if targets is None else targets
    if chain.base:
        dialer = _named(chain.base, names)
    else:
        dialer = Direct(reactor if hops else targets, _timeout(hops[0]) if hops else DEFAULT_TIMEOUT)
    before: Hop | None = None
    for hop in hops:
        if before is not None and KINDS[before.prefix].leads and hop.target != before.target:
            raise StringError(
                f"{before.place} leads to {before.target} itself: the hop behind it has to be there, too"
            )
        before = hop
        via = _endpoint(reactor, hop.via) if isinstance(hop.via, str) else dialer
        connecting = targets if not hop.host and hop is hops[-1] else reactor
        dialer = MAKERS[hop.prefix](connecting, hop, via)
        if hop.proxyproto:
            dialer = Announced(reactor, dialer, hop.proxyproto, hop.place if hop.host else "")
        if hop.attempts > 1:
            dialer = Retry(reactor, dialer, hop.attempts)
    return dialer


def carrierFromChain(
    reactor: Any, chain: Chain, names: Mapping[str, IDialer]
) -> IDialer | IStreamClientEndpoint:
    """
    What leads to the last hop of a chain.

    @raise StringError: see L{dialerFromChain}.
    @raise Refused: the same.
    """
    via = chain.hops[-1].via
    if isinstance(via, str):
        return _endpoint(reactor, via)
    return dialerFromChain(reactor, replace(chain, hops=chain.hops[:-1]), names)


def _named(name: str, names: Mapping[str, IDialer]) -> IDialer:
    dialer = names.get(name)
    if dialer is None:
        known = ", ".join(sorted(names)) or "the config names none"
        raise StringError(
            f"no hop is named {name!r}: wanted one of {known}; or write it out, as socks:HOST:PORT"
            f"{suggestion(name, names)}"
        )
    return dialer


def _endpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, text)
    except StringError:
        raise
    except Exception as e:
        # What Twisted's parsers raise for a bad string is of many types.
        raise StringError(f"via={text}: Twisted cannot read this as a client endpoint: {e}") from e
    return endpoint


def dialerFromText(
    reactor: Any, text: str | Sequence[str], names: Mapping[str, IDialer] = NO_NAMES
) -> IDialer:
    """
    The dialer that a text of the config means: C{direct}, C{deny} or
    C{deny:REASON}, the name of a hop, a hop, or a chain without a target.  A list of
    such texts is tried in its order.

    @param reactor: what connects to hops.  If it is one of a tenant, targets that no
        proxy connects to are connected to by C{ITenant(reactor).reactor}, whose
        egress rules are those for clients.
    @param names: the hops that the config has; one may be called C{direct}, and then
        that word means it.
    @raise StringError: it cannot be read; the message says what is wrong.
    @raise Refused: a hop wants TLS and that is not installed.
    """
    if not isinstance(text, str):
        if not text:
            raise StringError("an empty list: wanted at least one hop")
        dialers = [dialerFromText(reactor, each, names) for each in text]
        return dialers[0] if len(dialers) == 1 else Fallback(reactor, dialers)
    text = text.strip()
    if text in names:
        return names[text]
    first, _, reason = text.partition(":")
    if first == "deny":
        return Deny(reason.strip()) if reason.strip() else Deny()
    chain = parseChain(text)
    if chain.target is not None:
        raise StringError(f"{chain}: the streams have targets of their own here: leave out that of the chain")
    tenant = ITenant(reactor, None)
    return dialerFromChain(reactor, chain, names, None if tenant is None else tenant.reactor)


def dialersFromTexts(
    reactor: Any, texts: Mapping[str, str | Sequence[str]], made: Mapping[str, IDialer] = NO_NAMES
) -> dict[str, IDialer]:
    """
    The named hops of a config, which may be made of one another.

    @param made: those that are there already.
    @raise StringError: one cannot be read, or needs itself; the message names it.
    @raise Refused: a hop wants TLS and that is not installed.
    """
    dials = _Dials(reactor, texts, made)
    return {name: dials[name] for name in texts}


class _InNamed(StringError):
    """
    What is wrong, with the name of the hop that it is in.
    """


class _Dials(Mapping[str, IDialer]):
    """
    The named hops, each made when it is first asked for.
    """

    def __init__(
        self, reactor: Any, texts: Mapping[str, str | Sequence[str]], made: Mapping[str, IDialer]
    ) -> None:
        self._reactor = reactor
        self._texts = texts
        self._made = dict(made)
        self._making: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, name: str) -> IDialer:
        if name in self._made:
            return self._made[name]
        text = self._texts[name]
        if name in self._making:
            circle = " -> ".join([*self._making[self._making.index(name) :], name])
            raise StringError(f"it needs itself: {circle}")
        if not isName(name) or name == "deny":
            raise StringError(
                f"{name!r}: the name of a hop is letters, digits, _, - and dots, and no word of its own"
            )
        if len(self._making) == MAX_NAMES:
            raise StringError(f"more than {MAX_NAMES} names that need one another")
        self._making.append(name)
        try:
            dialer = dialerFromText(self._reactor, text, self)
        except _InNamed:
            raise
        except StringError as e:
            raise _InNamed(f"{name}: {e}") from e
        finally:
            self._making.remove(name)
        self._made[name] = dialer
        return dialer
