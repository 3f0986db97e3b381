# -*- test-case-name: ugate.test.test_meshstates -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which nodes of the mesh a tenant knows, for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ugate.interfaces import MeshAddress, MeshNode
from ugate.modules import answers
from ugate.tenancy.nodes import addressText


def nodesOf(tenant: Any) -> Iterator[answers.MeshNodeState]:
    """
    A line for each address, and for each node that has none.

    @param tenant: L{ugate.tenancy.tenant.Tenant}.
    @since: ugate NEXT
    """
    now: float = tenant.reactor.seconds()
    for node in tenant.nodes.all():
        for address in node.addresses or (None,):
            yield _state(tenant, node, address, now)


def _state(tenant: Any, node: MeshNode, address: MeshAddress | None, now: float) -> answers.MeshNodeState:
    tried = None if address is None else tenant.mesh.lastTry(node.keyid, address)
    return answers.MeshNodeState(
        tenant=tenant.name,
        names=node.names,
        keyid=node.keyid,
        address="" if address is None else addressText(address),
        source=node.source,
        expires=None if node.expires is None else round(node.expires - now, 1),
        tried=None if tried is None else round(now - tried.at, 1),
        failure="" if tried is None else tried.why,
    )
