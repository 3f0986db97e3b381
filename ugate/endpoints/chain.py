# -*- test-case-name: ugate.test.test_chain -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A chain of hops, as text and as a value: C{socks:a:1080 -E{>} connect:b:3128 -E{>} tcp:db:5432}.

The first hop is dialed from here, each next one through those before it, and the
target, if there is one, through all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ugate.endpoints.hops import KINDS, MAX_NESTED, Hop, isName, readProxyproto
from ugate.endpoints.quoting import ARROW, split, splitArrows
from ugate.errors import StringError
from ugate.stream import Target

MAX_HOPS: Final = MAX_NESTED

_TARGET: Final = "tcp"


@dataclass(frozen=True, slots=True)
class Chain:
    """
    Some hops, and where to go through them.  C{str()} gives the normal form,
    which reads back as an equal value.

    @since: ugate NEXT
    """

    hops: tuple[Hop, ...] = ()
    """The hops, the nearest first; without C{to}, and C{via} only an endpoint string in the first."""

    target: Target | None = None
    """Where to go through them; L{None} if each stream says that itself."""

    base: str = ""
    """The name of a hop of the config that carries the first one, or empty."""

    @classmethod
    def fromHop(cls, hop: Hop) -> Chain:
        """
        The same way as a chain: what a hop has in C{via} comes before it, and what
        it has in C{to} is the target.

        @raise StringError: if it is longer than a chain may be.
        """
        hops: list[Hop] = []
        target = hop.to
        via: Hop | str | None = hop
        while isinstance(via, Hop):
            here, via = replace(via, via=None, to=None), via.via
            hops.append(here)
        base = ""
        if via is not None and isName(via):
            base = via
        elif via is not None:
            hops[-1] = replace(hops[-1], via=via)
        hops.reverse()
        if hops == [Hop("direct")] and target is not None:
            hops.clear()
        if len(hops) > MAX_HOPS:
            raise StringError(f"{len(hops)} hops: wanted at most {MAX_HOPS}")
        return cls(tuple(hops), target, base)

    @property
    def end(self) -> Target | None:
        """
        Where a stream ends that has no target of its own: C{target}, or where the last
        hop leads if nothing goes on from there.
        """
        if self.target is None and self.hops and KINDS[self.hops[-1].prefix].leads:
            return self.hops[-1].target
        return self.target

    def hop(self) -> Hop:
        """
        The same way as one hop: the last, with C{via} the ones before and C{to}
        the target.

        @raise StringError: if it is a name and no hop.
        """
        if not self.hops:
            if self.base:
                raise StringError(f"{self}: the name alone cannot be written as a hop")
            return Hop("direct", to=self.target)
        via: Hop | str | None = self.base or self.hops[0].via
        for hop in self.hops:
            via = replace(hop, via=via)
        assert isinstance(via, Hop)
        return replace(via, to=self.target)

    def explain(self) -> list[str]:
        """
        The way in words, a line a hop.
        """
        lines: list[str] = []
        if self.base:
            lines.append(f"begin with the hop that the config names {self.base}")
        for number, hop in enumerate(self.hops, 1):
            lines.append(f"hop {number}: {_explained(hop)}")
        if self.target is not None:
            lines.append(f"target: {self.target}")
        return lines

    def __str__(self) -> str:
        words = [self.base] if self.base else []
        words += [str(hop) for hop in self.hops]
        if self.target is not None:
            host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
            words.append(f"{_TARGET}:{host}:{self.target.port}")
        return f" {ARROW} ".join(words)


def _explained(hop: Hop) -> str:
    if not hop.host:
        line = "straight from here"
    elif KINDS[hop.prefix].leads:
        name = f", which has to be {hop.name}" if hop.name else ""
        line = f"to {hop.target} itself in TLS, with our certificate{name}"
    else:
        line = (
            f"the proxy {hop.target}, spoken to in {KINDS[hop.prefix].speaks}{' over TLS' if hop.tls else ''}"
        )
    if hop.user:
        line += f", as {hop.user}"
    if isinstance(hop.via, str):
        line += f", reached by {hop.via}"
    if hop.timeout is not None:
        line += f", within {hop.timeout:g} s"
    if hop.attempts > 1:
        line += f", tried {hop.attempts} times"
    if hop.proxyproto:
        line += f", with a PROXY header v{hop.proxyproto} in front of what goes through"
    return line


def isChain(text: str) -> bool:
    """
    Whether a text has an arrow, as a chain of more than one hop has.
    """
    return len(splitArrows(text)) > 1


def parseChain(text: str) -> Chain:
    """
    Read a chain: hops with arrows between them, the first of which may be the name
    of one in the config, and C{tcp:HOST:PORT} at the end, if it has a target.

    @raise StringError: if it cannot be read; the message names the hop by its
        number, and the part.
    """
    pieces = splitArrows(text)
    if len(pieces) == 1 and not pieces[0]:
        raise StringError("an empty chain: wanted hops with -> between them, as in socks:HOST:PORT")
    if len(pieces) > MAX_HOPS + 2:
        raise StringError(f"{len(pieces)} hops: wanted at most {MAX_HOPS}")
    hops: list[Hop] = []
    base, target = "", None
    for number, piece in enumerate(pieces, 1):
        try:
            if number == 1 and isName(piece):
                base = piece
            elif number == len(pieces) and piece.partition(":")[0] == _TARGET:
                target = _readTarget(piece, hops, base)
            else:
                hops.append(_readHop(piece, number, len(pieces)))
        except StringError as e:
            raise StringError(f"hop {number}: {e}") from e
    if len(hops) == 1 and not base:
        return Chain.fromHop(hops[0] if target is None else replace(hops[0], to=target))
    return _flat(hops, target, base)


def _flat(hops: list[Hop], target: Target | None, base: str) -> Chain:
    """
    The chain, with what the first hop has in C{via} as hops of their own.
    """
    if hops:
        first = Chain.fromHop(hops[0])
        base = base or first.base
        hops = [*first.hops, *hops[1:]]
    if len(hops) > MAX_HOPS:
        raise StringError(f"{len(hops)} hops: wanted at most {MAX_HOPS}")
    return Chain(tuple(hops), target, base)


def _readHop(piece: str, number: int, count: int) -> Hop:
    if not piece:
        raise StringError("nothing between the arrows: wanted PREFIX:HOST:PORT")
    if piece.partition(":")[0] == _TARGET and number < count:
        raise StringError("tcp:HOST:PORT is where a chain ends: nothing can follow it")
    hop = Hop.fromText(piece)
    if hop.to is not None and count > 1:
        raise StringError("to= has no place in a chain: write -> tcp:HOST:PORT at its end")
    if hop.via is not None and number > 1:
        raise StringError("via= has no place behind an arrow, which says the same")
    if hop.prefix == "direct" and number > 1:
        raise StringError("direct is only where a chain begins")
    return hop


def _readTarget(piece: str, hops: list[Hop], base: str) -> Target:
    """
    The target; a PROXY header for it is sent by the last hop.
    """
    parts, given = split(piece)
    unknown = given.keys() - {"proxyproto"}
    if unknown:
        raise StringError(f"no keyword {min(unknown)}=: {_TARGET} takes proxyproto only, the hops take more")
    if len(parts) != 3:
        raise StringError(f"{piece!r}: wanted {_TARGET}:HOST:PORT; an IPv6 address is written [::1]")
    host = parts[1]
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    target = Target.fromText(f"{host}:{parts[2]}")
    if hops and KINDS[hops[-1].prefix].leads:
        raise StringError(f"{hops[-1].place} is where streams end: nothing goes on from there")
    if given:
        version = readProxyproto(given["proxyproto"])
        if base and not hops:
            raise StringError(f"proxyproto= is sent by the hop before: give it to the one named {base}")
        last = hops.pop() if hops else Hop("direct")
        hops.append(replace(last, proxyproto=version))
    return target
