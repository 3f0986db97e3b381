# -*- test-case-name: ugate.test.test_publishers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which users may publish what here, as nodes that dial in may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ugate.interfaces import MeshNode
from ugate.stream import Principal
from ugate.tenancy.keyids import keyidIn, keyidOfUser
from ugate.tenancy.who import Who

_NOBODY: Final = "open"
"""The method of who has proven nothing, and so has no name."""

_LABEL: Final = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
"""A name that a user may have without being given it: with a dot it could be that of a real host."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """
    Users whom the config lets publish something.

    @since: ugate NEXT
    """

    who: tuple[Who, ...]
    """Whom it means."""

    hosts: tuple[str, ...] = ()
    """See L{MeshNode}."""

    ports: tuple[int, ...] = ()
    """See L{MeshNode}."""

    sockets: tuple[str, ...] = ()
    """See L{MeshNode}."""


def userNode(principal: Principal, publishers: Iterable[Publisher]) -> MeshNode:
    """
    A user as a node: the name that is its own without a word of the config, if its user name can be one, and
    what it may ask for beside that.

    @since: ugate NEXT
    """
    meant = [each for each in publishers if any(who.matches(principal) for who in each.who)]
    return MeshNode(
        keyidOfUser(principal.tenant, principal.name),
        (),
        _ownName(principal),
        hosts=tuple(dict.fromkeys(host for each in meant for host in each.hosts)),
        ports=tuple(dict.fromkeys(port for each in meant for port in each.ports)),
        sockets=tuple(dict.fromkeys(folder for each in meant for folder in each.sockets)),
    )


def _ownName(principal: Principal) -> tuple[str, ...]:
    name = principal.name.lower()
    if principal.method == _NOBODY or name == "localhost" or keyidIn(name) is not None:
        return ()
    return (name,) if _LABEL.fullmatch(name) is not None else ()
