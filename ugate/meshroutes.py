# -*- test-case-name: ugate.test.test_meshnodes,ugate.test.test_meshserve -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The routes that nobody writes: our own names lead to what we serve, before all routes; names of nodes lead
to these, where no route says otherwise; and so paths to this machine.
"""

from __future__ import annotations

from typing import Any, Final

from ugate.endpoints.services import Services
from ugate.interfaces import IDialer
from ugate.stream import UNIX, Target
from ugate.tenancy.config.whole import DIRECT, MESH
from ugate.tenancy.match import parseMatch
from ugate.tenancy.nodes import Nodes
from ugate.tenancy.ownnames import OwnNames
from ugate.tenancy.routes import Rule

_ANY: Final = parseMatch("*")
_PATHS: Final = parseMatch("unix:*")


class MeshRoutes:
    """
    See L{ugate.tenancy.routes.Unwritten}.

    @since: ugate NEXT
    """

    __slots__ = ("_here", "_known", "_mesh", "_nodes", "_own", "_served")

    def __init__(self, own: OwnNames, services: Services, nodes: Nodes, mesh: Any, direct: IDialer) -> None:
        """
        @param own: which names are ours.
        @param services: what we serve there.
        @param nodes: the nodes that are known.
        @param mesh: what leads there: L{ugate.endpoints.mesh.Mesh}.
        @param direct: what leads to paths.
        """
        self._own = own
        self._nodes = nodes
        self._mesh = mesh
        self._here = Rule(_PATHS, direct, DIRECT, "no route says otherwise")
        self._served = Rule(_ANY, services, "serve", "this is a name of our own")
        self._known = Rule(_ANY, mesh, MESH, "this is the name of a node, and no route says otherwise")

    def first(self, target: Target) -> Rule | None:
        """
        See there.
        """
        if target.network == UNIX:
            forwards = self._mesh.forwards
            return Rule(_PATHS, forwards, MESH, "a user has it") if forwards.hasPath(target.host) else None
        return self._served if self._own.isOurs(target.host) else None

    def last(self, target: Target) -> Rule | None:
        """
        See there.
        """
        if target.network == UNIX:
            return self._here
        return self._known if self._nodes.leads(target.host) else None
