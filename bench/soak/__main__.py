# -*- test-case-name: bench.test_soak -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{python -m bench.soak}: many tenants, many reloads, limits, clients of SSH; figures and what must be reached.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from bench import facts
from bench.child import CHECKOUT, SampleFailed
from bench.soak.figures import Figure, table
from bench.soak.limits import limits
from bench.soak.reloads import reloads
from bench.soak.shells import shells
from bench.soak.tenants import tenants

_RESULTS = CHECKOUT / "bench" / "results"


def main() -> int:
    """
    @return: the exit status: 0, or 1 if something failed or was not reached.
    """
    parser = argparse.ArgumentParser("python -m bench.soak", description=__doc__.strip())
    parser.add_argument("--parts", default="tenants,reloads,limits,ssh", help="which, with commas")
    parser.add_argument("--tenants", type=int, default=10_000, help="how many tenants")
    parser.add_argument("--reloads", type=int, default=1000, help="how many reloads")
    parser.add_argument("--streams", type=int, default=100, help="how many streams meanwhile")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long a limit is looked at")
    parser.add_argument("--connections", type=int, default=500, help="how many clients of SSH at once")
    parser.add_argument("--stop", type=float, default=60.0, help="seconds that their readers stop for")
    asked = parser.parse_args()
    parts: dict[str, Callable[[Path], list[Figure]]] = {
        "tenants": lambda path: tenants(path, asked.tenants),
        "reloads": lambda path: reloads(path, asked.reloads, asked.streams),
        "limits": lambda path: limits(path, asked.seconds),
        "ssh": lambda path: shells(path, asked.connections, asked.stop),
    }
    wanted = asked.parts.split(",")
    for name in wanted:
        if name not in parts:
            parser.error(f"no part is named {name!r}; wanted some of {', '.join(parts)}")
    figures: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="ugate-soak-") as directory:
        for name in wanted:
            print(f"{name} ...", flush=True)
            try:
                figures += parts[name](Path(directory) / name)
            except SampleFailed as e:
                failed = True
                print(f"{name} failed: {e}", file=sys.stderr)
    print(f"\n{table(figures)}")
    _RESULTS.mkdir(parents=True, exist_ok=True)
    path = _RESULTS / f"soak-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
    record = {"machine": facts.machine(), "figures": [asdict(each) for each in figures]}
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(f"\nwrote {path}")
    return 0 if not failed and all(each.reached for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
