# -*- test-case-name: ugate.test.test_config_tenants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a parent may give to its tenants: no more than it has, and no name to two of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from ugate.errors import StringError
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.schema import Delegation
from ugate.tenancy.config.sections import ROOT, Section
from ugate.tenancy.config.tree import Place, Scalar, Series, Table
from ugate.tenancy.match import MAX_PORT, Kind, Match, parseMatch


@lru_cache(maxsize=100_000)
def parseHost(text: str) -> Match:
    """
    Read a name that is delegated: a host, or C{*.} and what it ends with.

    @raise StringError: it is neither.
    """
    match = parseMatch(text)
    if match.kind not in (Kind.HOST, Kind.SUFFIX) or (match.lo, match.hi) != (1, MAX_PORT):
        raise StringError(f"{text!r} is not a name alone; wanted a host or *.suffix, without a port")
    return match


@lru_cache(maxsize=100_000)
def parseRange(text: str) -> Match:
    """
    Read a range that is delegated: an address, or C{NETWORK/BITS}.

    @raise StringError: it is neither.
    """
    match = parseMatch(text)
    if match.kind is not Kind.NETWORK or (match.lo, match.hi) != (1, MAX_PORT):
        raise StringError(f"{text!r} is not a range alone; wanted an address or NETWORK/BITS, without a port")
    return match


def covers(wide: Match, narrow: Match) -> bool:
    """
    Whether all that one of two names, or of two ranges, means, the other means too.
    """
    if wide.kind is Kind.NETWORK:
        if narrow.kind is not Kind.NETWORK or len(wide.network) != len(narrow.network):
            return False
        shift = 8 * len(wide.network) - wide.bits
        return narrow.bits >= wide.bits and (
            int.from_bytes(wide.network, "big") >> shift == int.from_bytes(narrow.network, "big") >> shift
        )
    if narrow.kind not in (Kind.HOST, Kind.SUFFIX):
        return False
    if wide.kind is Kind.HOST:
        return narrow.kind is Kind.HOST and narrow.host == wide.host
    isSame = narrow.kind is Kind.SUFFIX and narrow.host == wide.host
    return isSame or narrow.host.endswith(f".{wide.host}")


def delegationMistakes(
    path: str, own: Delegation, given: Mapping[str, Delegation], sections: Mapping[str, Section]
) -> Iterator[Mistake]:
    """
    What a tenant gives to its own tenants and has not itself, or has given to another.

    @param path: that tenant.
    @param own: what it has of its own parent; without meaning for the root, which has all.
    @param given: what it gives, by the names of its tenants.
    @param sections: where that is written.
    """
    if path != ROOT:
        for key, parse in (("hosts", parseHost), ("ranges", parseRange)):
            mine = [parse(text) for text in getattr(own, key)]
            for name, delegation in given.items():
                for index, text in enumerate(getattr(delegation, key)):
                    if not any(covers(wide, parse(text)) for wide in mine):
                        yield Mistake(
                            placeOf(sections[name], key, index),
                            f"tenants.{name}.{key}: {text!r} is not within the {key} of {path};"
                            f" wanted within {', '.join(getattr(own, key)) or 'none, for it has none'}",
                        )
    yield from _overlaps(given, sections)


def _overlaps(given: Mapping[str, Delegation], sections: Mapping[str, Section]) -> Iterator[Mistake]:
    """
    Names that two tenants of one parent would have: found by walking up from each name.
    """
    hosts: dict[str, str] = {}
    suffixes: dict[str, str] = {}
    listed = [
        (name, index, parseHost(text))
        # In an order that is the same however they were read, so that the same one is told.
        for name, delegation in sorted(given.items())
        for index, text in enumerate(delegation.hosts)
    ]
    for name, index, match in listed:
        known = suffixes if match.kind is Kind.SUFFIX else hosts
        other = known.setdefault(match.host, name)
        if other != name:
            yield _taken(sections, name, index, match, other, sections[other])
    for name, index, match in listed:
        rest = match.host
        while rest:
            _, _, rest = rest.partition(".")
            other = suffixes.get(rest, name)
            if other != name:
                yield _taken(sections, name, index, match, other, sections[other])


def _taken(
    sections: Mapping[str, Section], name: str, index: int, match: Match, other: str, theirs: Section
) -> Mistake:
    return Mistake(
        placeOf(sections[name], "hosts", index),
        f"tenants.{name}.hosts: {str(match)!r} is within what {other} has, at {placeOf(theirs, 'hosts')};"
        " wanted names that no other tenant has",
    )


def placeOf(section: Section, key: str, index: int | None = None) -> Place:
    """
    Where a key of a section is written, or one item of its list.
    """
    written = section.written.get(key) if isinstance(section.written, Table) else None
    if isinstance(written, Series) and index is not None and index < len(written.items):
        written = written.items[index]
    return written.place if isinstance(written, (Scalar, Series, Table)) else section.place
