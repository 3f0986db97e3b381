# -*- test-case-name: bench.test_dns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{python -m bench.dns}: answers that are in the cache, a second, beside other resolvers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import cost
from bench.child import Child, SampleFailed, pythonArguments
from bench.contestants import freePort
from bench.dial import HOST
from bench.dns.load import answersASecond
from bench.ours import twistd
from bench.soak.figures import Figure, table

GOAL = 5000
"""Answers a second that have to be reached on one core."""

NAMES = [f"host{number}.example.com" for number in range(100)]
_PATIENCE = 20.0


def _ugate(directory: Path, port: int, upstream: int) -> list[str]:
    config = directory / "ugate.json"
    section = {"listen": f"{HOST}:{port}", "upstreams": [f"udp:{HOST}:{upstream}"]}
    config.write_text(json.dumps({"listen": {}, "dns": {"main": section}}))
    return [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate", "--config", str(config)]


def _dnsmasq(directory: Path, port: int, upstream: int) -> list[str]:
    options = f"-k --no-hosts --no-resolv --pid-file= --user= --port={port} --listen-address={HOST}"
    return [
        "dnsmasq",
        *options.split(),
        "--bind-interfaces",
        f"--server={HOST}#{upstream}",
        "--cache-size=10000",
    ]


def _unbound(directory: Path, port: int, upstream: int) -> list[str]:
    config = directory / "unbound.conf"
    config.write_text(
        f"server:\n interface: {HOST}@{port}\n use-syslog: no\n username: ''\n chroot: ''\n directory: ''\n"
        " do-daemonize: no\n pidfile: ''\n num-threads: 1\n do-not-query-localhost: no\n"
        f" module-config: iterator\nforward-zone:\n name: .\n forward-addr: {HOST}@{upstream}\n"
    )
    return ["unbound", "-d", "-c", str(config)]


CONTESTANTS: dict[str, Callable[[Path, int, int], list[str]]] = {
    "ugate": _ugate,
    "dnsmasq": _dnsmasq,
    "unbound": _unbound,
}


@contextmanager
def running(name: str) -> Iterator[tuple[int, Child]]:
    """
    One of them, with a server behind it.

    @return: its port, and itself.
    """
    with tempfile.TemporaryDirectory(prefix="ugate-dns-") as folder:
        directory = Path(folder)
        port, upstream = freePort(), freePort()
        behind = Child(pythonArguments("bench.dns.upstream", str(upstream)), directory / "upstream.log")
        child = Child(CONTESTANTS[name](directory, port, upstream), directory / f"{name}.log")
        try:
            until = time.monotonic() + _PATIENCE
            while True:
                child.check()
                try:
                    answersASecond(port, NAMES, 0.5)
                    break
                except (SampleFailed, OSError) as error:
                    if time.monotonic() > until:
                        raise SampleFailed(f"{name} does not answer: {error}{child.tail()}") from error
            yield port, child
        finally:
            child.kill()
            behind.kill()


def main() -> int:
    """
    @return: the exit status: 0, or 1 if something failed or was not reached.
    """
    parser = argparse.ArgumentParser("python -m bench.dns", description=__doc__.strip())
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each time")
    asked = parser.parse_args()
    names = [name for name in CONTESTANTS if name == "ugate" or shutil.which(name)]
    samples: dict[tuple[str, bool], list[float]] = {}
    cores: dict[str, float] = {}
    try:
        for turn in range(asked.rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                with running(name) as (port, child):
                    for isSpelled in (False, True):
                        before, began = cost.cpu([child.pid]), time.monotonic()
                        rate = answersASecond(port, NAMES, asked.seconds, isSpelled)
                        used = (cost.cpu([child.pid]) - before) / (time.monotonic() - began)
                        samples.setdefault((name, isSpelled), []).append(rate)
                        cores[name] = max(cores.get(name, 0.0), used)
    except SampleFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    figures = [
        Figure(
            f"{name}, {'a new spelling each time' if isSpelled else 'known bytes'}",
            statistics.median(rates),
            "answers/s",
            least=GOAL if name == "ugate" and not isSpelled else None,
        )
        for (name, isSpelled), rates in samples.items()
    ]
    figures += [Figure(f"{name}, cores kept busy at most", used, "") for name, used in cores.items()]
    print(table(figures))
    return 0 if all(each.reached for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
