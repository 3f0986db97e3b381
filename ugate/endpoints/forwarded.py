# -*- test-case-name: ugate.test.test_sshpublishing,ugate.test.test_sshpublishing_names -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One thing that a user publishes on a connection, and whether it may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from posixpath import dirname
from typing import Protocol

from twisted.internet.interfaces import IProtocolFactory

from ugate.endpoints.published import isGiven
from ugate.endpoints.session import Session
from ugate.interfaces import MeshNode
from ugate.stream import UNIX, Principal, Target


class Listener(Protocol):
    """
    Where users may have something of ours to listen on.
    """

    async def add(self, keyid: str, at: Target, factory: IProtocolFactory) -> None:
        """
        Listen for a user, too; whoever calls has seen that it may have that.

        @param at: the port, or the path, and by what streams ask for it.
        @param factory: what these are for.
        @raise Refused: it cannot be.
        """

    def release(self, keyid: str, at: Target) -> None:
        """
        It is not wanted any more.
        """


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

    listener: Listener | None = None
    """Who has a port or a UNIX socket of ours for it, if there is one."""

    gone: Callable[[Target], object] = lambda at: None
    """Called when it is no more."""


def wrongWith(node: MeshNode, at: Target, isPort: bool) -> str:
    """
    What a user may not have of something; empty if all is well.
    """
    if at.network == UNIX:
        return "" if dirname(at.host) in node.sockets else f"the socket {at.host}"
    if isPort:
        return "" if at.port in node.ports else f"port {at.port}"
    return "" if isGiven(node, at.host) else f"the name {at.host}"
