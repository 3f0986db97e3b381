# -*- test-case-name: ugate.test.test_sshpublishing,ugate.test.test_sshpublishing_names -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One thing that a user publishes on a connection, and whether it may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ugate.endpoints.published import Published, isGiven
from ugate.endpoints.session import Session
from ugate.interfaces import MeshNode
from ugate.stream import Principal, Target


@dataclass(frozen=True, eq=False, slots=True)
class Forward:
    """
    Something that a user publishes on one connection.

    @since: ugate NEXT
    """

    session: Session
    """The connection."""

    at: Target
    """Where streams ask for it."""

    principal: Principal
    """Who the user has proven to be."""

    isJump: bool = False
    """Whether it is reached by port 22 too."""

    listener: Published | None = None
    """Who has a port of ours for it, if there is one."""

    gone: Callable[[Target], object] = lambda at: None
    """Called when it is no more."""


def wrongWith(node: MeshNode, at: Target, isPort: bool) -> str:
    """
    What a user may not have of something; empty if all is well.
    """
    if isPort:
        return "" if at.port in node.ports else f"port {at.port}"
    return "" if isGiven(node, at.host) else f"the name {at.host}"
