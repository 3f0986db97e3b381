# -*- test-case-name: ugate.test.test_hoppools -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The links of hops that a tenant has no more, once another configuration applies.
"""

from __future__ import annotations

from collections.abc import Iterator

from ugate.endpoints.pool import SessionPool
from ugate.tenancy.tenant import Tenant


def poolsIn(dialer: object) -> Iterator[SessionPool]:
    """
    The pools of links in a dialer that is made of others.
    """
    pool = getattr(dialer, "pool", None)
    if isinstance(pool, SessionPool):
        yield pool
    for name in ("_via", "_dialer"):
        yield from poolsIn(getattr(dialer, name, None)) if hasattr(dialer, name) else ()
    for each in getattr(dialer, "_dialers", ()):
        yield from poolsIn(each)


def poolsOf(tenant: Tenant) -> set[SessionPool]:
    """
    Those that its hops and routes have, as far as these are made.
    """
    made = vars(tenant)
    rules = made["dialer"].rules if "dialer" in made else ()
    dialers = [*made.get("dials", {}).values(), *(rule.dialer for rule in rules)]
    return {pool for dialer in dialers for pool in poolsIn(dialer)}


def drainGone(had: set[SessionPool], tenant: Tenant) -> None:
    """
    Let those links close with their last streams whose hops it has no more.

    @param had: what it had before.
    """
    for pool in had - poolsOf(tenant):
        pool.drain()
