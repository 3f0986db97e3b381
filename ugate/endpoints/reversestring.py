# -*- test-case-name: ugate.test.test_linked -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{reverse:} and C{linked:HOST:PORT}, as they are written: both sides of links that nodes without an address
keep to a gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IStreamServerEndpoint

from ugate.errors import StringError

if TYPE_CHECKING:
    from ugate.endpoints.linked import LinkedServerEndpoint

_HOP: Final = ("name", "timeout", "via")
_KEYWORDS: Final = ("links", "names", "ports", *_HOP)


def reverseServer(
    reactor: Any, inner: IStreamServerEndpoint, own: Mapping[str, str]
) -> IStreamServerEndpoint:
    """
    Nodes that dial in, to be reached on these links.

    @raise StringError: it cannot be read.
    """
    from ugate.endpoints.reverselistener import ReverseListener
    from ugate.endpoints.servers import _handshake, readKeys

    keys = readKeys("keys", own["keys"]) if "keys" in own else None
    return ReverseListener(reactor, inner, keys=keys, deadline=_handshake(reactor, own))


def linkedFromParts(reactor: Any, args: Sequence[str], own: Mapping[str, Any]) -> LinkedServerEndpoint:
    """
    The endpoint of a string.

    @raise StringError: it cannot be read.
    """
    from ugate.endpoints.chain import Chain
    from ugate.endpoints.hops import Hop
    from ugate.endpoints.linked import LinkedServerEndpoint
    from ugate.endpoints.quoting import join
    from ugate.endpoints.reverse import MAX_LINKS

    try:
        if len(args) != 2:
            raise StringError("to which gate? write linked:HOST:PORT")
        for name in own:
            if name not in _KEYWORDS:
                raise StringError(f"{name}= is not known; wanted {', '.join(_KEYWORDS)}")
        count = str(own.get("links", 1))
        if not (count.isascii() and count.isdigit() and len(count) < 3 and 0 < int(count) <= MAX_LINKS):
            raise StringError(f"links={count}: wanted how many links are kept, 1 to {MAX_LINKS}")
        names = _names(str(own["names"])) if "names" in own else ()
        ports = _ports(str(own["ports"])) if "ports" in own else ()
        text = join(("mtls", *args), {name: own[name] for name in _HOP if name in own})
        way = Chain.fromHop(Hop.fromText(text))
    except StringError as error:
        raise StringError(f"linked: {error}") from error
    return LinkedServerEndpoint(reactor, way, links=int(count), names=names, ports=ports)


def _names(text: str) -> tuple[str, ...]:
    from ugate.protocols.reversewire import MAX_NAMES

    names = tuple(each.strip().lower() for each in text.split(","))
    if len(names) > MAX_NAMES or not all(0 < len(each) < 254 and each.isprintable() for each in names):
        raise StringError(f"names={text[:80]}: wanted at most {MAX_NAMES} names, with commas between")
    return names


def _ports(text: str) -> tuple[int, ...]:
    from ugate.protocols.reversewire import MAX_PORTS

    ports = tuple(each.strip() for each in text.split(","))
    if len(ports) > MAX_PORTS or not all(
        each.isascii() and each.isdigit() and len(each) < 6 for each in ports
    ):
        raise StringError(
            f"ports={text[:80]}: wanted at most {MAX_PORTS} ports of the gate, with commas between"
        )
    if not all(0 < int(each) <= 65535 for each in ports):
        raise StringError(f"ports={text[:80]}: wanted ports from 1 to 65535")
    return tuple(map(int, ports))
