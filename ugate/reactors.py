# -*- test-case-name: ugate.test.test_reactors -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which reactor a node runs on: the platform's quickest, or asyncio's where a module needs that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ugate.interfaces import IConfigStore, IModule, INeedsAsyncio
from ugate.tenancy.config.sections import ROOT, childPath


def chooseReactor(store: IConfigStore, modules: Iterable[IModule]) -> None:
    """
    Install asyncio's reactor if there are sections of a module that needs it.  Where there is a reactor
    already it stays, and L{reactorTrouble} says so of each of them.

    @since: ugate NEXT
    """
    kinds = [module.name for module in modules if INeedsAsyncio.providedBy(module)]
    if not kinds or "twisted.internet.reactor" in sys.modules:
        return
    if any(store.names(path, kind) for path in _tenants(store) for kind in kinds):
        from twisted.internet.asyncioreactor import install

        install()


def _tenants(store: IConfigStore) -> Iterator[str]:
    pending = [ROOT]
    while pending:
        path = pending.pop()
        yield path
        pending += [childPath(path, name) for name in store.names(path, "tenants")]


def reactorTrouble(reactor: Any, module: IModule) -> str:
    """
    @param reactor: what the node runs on.
    @return: why the module cannot be used on it, and what to do, or nothing.
    @since: ugate NEXT
    """
    if not INeedsAsyncio.providedBy(module):
        return ""
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    if isinstance(reactor, AsyncioSelectorReactor):
        return ""
    return (
        f"it needs the reactor of asyncio, and the node runs on {type(reactor).__name__}; start the node anew"
        " with this section, without --reactor or with --reactor=asyncio"
    )
