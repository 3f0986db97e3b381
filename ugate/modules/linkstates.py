# -*- test-case-name: ugate.test.test_linkstates -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which links a tenant has, that many streams share, for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ugate.modules import answers


def linksOf(tenant: Any) -> Iterator[answers.LinkState]:
    """
    A line for each link, the oldest first.

    @param tenant: L{ugate.tenancy.tenant.Tenant}.
    @since: ugate NEXT
    """
    now: float = tenant.reactor.seconds()
    for session in tenant.links.sessions():
        place, info = session.sessions, session.link.info
        idle = session.idleSince
        yield answers.LinkState(
            tenant=tenant.name,
            kind=place.kind,
            place=place.name or session.hop,
            peer=str(info.but(target=None)),
            principal="" if info.principal is None else str(info.principal),
            protocol=session.link.protocol,
            streams=session.streams,
            age=round(now - session.began, 1),
            idle=None if idle is None else round(now - idle, 1),
            draining=session.isClosing,
        )


def countsOf(tenant: Any) -> Iterator[tuple[str, int, int, int]]:
    """
    Of each kind that there has been: how many links are up, how many streams on them, and how many links came
    up so far.
    """
    opened: Mapping[str, int] = tenant.links.opened
    links: Counter[str] = Counter()
    streams: Counter[str] = Counter()
    for session in tenant.links.sessions():
        kind = session.sessions.kind
        links[kind] += 1
        streams[kind] += session.streams
    for kind in sorted(opened):
        yield kind, links[kind], streams[kind], opened[kind]
