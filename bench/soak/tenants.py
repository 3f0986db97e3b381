# -*- test-case-name: bench.test_soak -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Many tenants: how long a start takes, how much memory, and how long the change of one of them takes.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from bench.contestants import freePort
from bench.dial import HOST
from bench.soak.figures import Figure
from bench.soak.node import Node

_CHANGES = 9


def tenant(number: int, reason: str = "not there") -> dict[str, Any]:
    """
    The sections of a tenant with one rule.
    """
    rule = {"action": "deny", "target": f"*.{number}.example", "reason": reason}
    return {"policy": {"rules": [rule]}}


def tenants(directory: Path, count: int) -> list[Figure]:
    """
    @param directory: an empty one.
    @param count: how many tenants.
    """
    directory.mkdir()
    node = Node(directory)
    names = [f"t{number}" for number in range(count)]
    node.write(
        "main.yaml",
        {
            "listen": {"main": f"socks:tcp:{freePort()}:interface={HOST}"},
            "tenants": {name: {"hosts": [f"*.{name}.example"]} for name in names},
        },
    )
    for number, name in enumerate(names):
        node.write(f"tenants/{name}.yaml", tenant(number))
    try:
        seconds = node.start()
        memory = node.rss
        noticed, applied = [], []
        for change in range(_CHANGES):
            before = node.generation
            began = time.monotonic()
            node.write(f"tenants/t{change}.yaml", tenant(change, f"change {change}"))
            node.until(lambda before=before: node.generation > before, "a reload")  # type: ignore[misc]
            noticed.append(time.monotonic() - began)
            node.write(f"tenants/t{change}.yaml", tenant(change, f"again {change}"))
            began = time.monotonic()
            node.ask("/reload", "POST")
            applied.append(time.monotonic() - began)
        found = int(node.status().get("tenants", 0))
    finally:
        node.child.kill()
    return [
        Figure(f"tenants of {count} that are there", found, "", least=count),
        Figure(f"start with {count} tenants", seconds, "s", most=20),
        Figure(f"memory with {count} tenants", memory, "MiB", most=1024),
        Figure("reload that changes one, asked for", statistics.median(applied) * 1000, "ms", most=100),
        Figure("the same, noticed by the watch", statistics.median(noticed) * 1000, "ms"),
    ]
