# -*- test-case-name: ugate.test.test_node_tenant,ugate.test.test_tenants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What would become of a stream, in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import serverFromString

from ugate.errors import Refused, UgateError
from ugate.interfaces import ITenant
from ugate.listeners import ANYONE, OPERATOR, anonymousAt
from ugate.posting import checkCarries
from ugate.protocols.servernames import ENDED
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.config.schema import Listener
from ugate.tenancy.config.sections import ROOT


def explain(
    tenant: ITenant,
    target: Target,
    who: Principal = OPERATOR,
    protocol: str = "",
    layers: tuple[str, ...] = (),
) -> list[str]:
    """
    Whose rules hold for a stream to a target, which rule decides, and which hops it
    would take.
    """
    here = IPv4Address("TCP", "127.0.0.1", 0)
    info = StreamInfo(here, here, target, who, protocol, layers=layers)
    lines = []
    try:
        owner = tenant.tenantFor(info)
        if owner.name != ROOT:
            lines.append(f"tenant: {owner.name}")
        policy: Any = owner.policy
        try:
            policy.check(info)
        except Refused as refused:
            return [*lines, *_rule(policy, info), str(refused)]
        lines += _rule(policy, info) or [f"policy: {who} ({who.method}) may"]
        lines += owner.dialer.explain(info)
        dialer: Any = owner.dialer
        checkCarries(dialer.ruleFor(info).dialer if hasattr(dialer, "ruleFor") else dialer, info)
        return lines
    except Refused as refused:
        return [*lines, str(refused)]


def _ending(tenant: ITenant, target: Target) -> str:
    """
    By which certificate TLS for a name ends here, or why it does not.
    """
    here = IPv4Address("TCP", "127.0.0.1", 0)
    owner: Any = tenant.tenantFor(StreamInfo(here, here, target, ANYONE))
    try:
        found = owner.certifying(target.host.lower())
    except UgateError as error:
        return f"TLS cannot end here: {error}"
    if not found:
        return (
            f"TLS ends here only with a certificate of {owner.name} for that name, and none is known: put one"
            " into the folder identity.servers"
        )
    return f"TLS ends here, and it goes on in clear; with the certificate {found}"


def _rule(policy: Any, info: StreamInfo) -> list[str]:
    return [policy.explain(info)] if hasattr(policy, "explain") else []


def explainListed(tenant: ITenant, target: Target, listeners: Mapping[str, Listener]) -> Iterator[str]:
    """
    For each listener that lists its targets: whether it lists this one, and what
    would become of a stream to it of who has not logged in.
    """
    for name, listener in listeners.items():
        endpoint: Any = serverFromString(tenant.reactor, listener.endpoint)
        listed = getattr(endpoint, "listed", None)
        if listed is None:
            continue
        entry, ends = listed.find(target)
        if not entry:
            lists = "its names= do not" if listed.ends is None else "neither its names= nor its ends="
            yield f"listener {name}: {lists} list {target}"
            continue
        yield f"listener {name}: its {'ends=' if ends else 'names='} list {target}, by {entry}"
        yield f"  {_ending(tenant, target) if ends else 'TLS passes through unopened'}"
        who = anonymousAt(endpoint, listener)
        if who is not None:
            layers = ("sni", ENDED) if ends else ("sni",)
            yield from (f"  {line}" for line in explain(tenant, target, who, "sni", layers))
