# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{python -m bench.tun}: bulk through a TUN device, beside that of sing-box; as root, since each is in network
namespaces of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.peers import SingBox, executable

_FAR = "203.0.113.5"
_PATIENCE = 30.0
GOAL = 0.5
"""What ugate has to reach at least, as a multiple of sing-box's figure."""


class Failed(Exception):
    """
    A program did not do what it was to do; the message says which.
    """


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE * 2, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


@contextmanager
def _hosts() -> Iterator[tuple[str, str]]:
    """
    Two namespaces with a link between them; what is far is reached by the link alone.
    """
    near, far = (f"bench{os.getpid()}{each}" for each in ("near", "far"))
    with ExitStack() as stack:
        for name in (near, far):
            _run("ip", "netns", "add", name)
            stack.callback(_run, "ip", "netns", "delete", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "link", "add", "l0", "netns", near, "type", "veth", "peer", "name", "l0", "netns", far)
        for number, name in enumerate((near, far), 1):
            _run("ip", "-n", name, "address", "add", f"192.0.2.{number}/24", "dev", "l0")
            _run("ip", "-n", name, "link", "set", "l0", "up")
        _run("ip", "-n", far, "address", "add", f"{_FAR}/32", "dev", "lo")
        _run("ip", "-n", near, "route", "add", "default", "via", "192.0.2.2")
        yield near, far


@contextmanager
def _program(namespace: str, *argv: str) -> Iterator[None]:
    """
    A program that is up until the end.
    """
    silent: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(["ip", "netns", "exec", namespace, *argv], **silent)
    try:
        yield
    finally:
        child.terminate()
        child.wait(_PATIENCE)


def _isLed(namespace: str, device: str) -> bool:
    return f" {device} " in _run("ip", "-n", namespace, "route", "get", _FAR)


def _bulk(namespace: str, seconds: float, *more: str) -> float:
    """
    @return: megabytes a second that arrived.
    """
    asked = ("iperf3", "-c", _FAR, "-t", f"{seconds:g}", "-J", *more)
    told = json.loads(_run("ip", "netns", "exec", namespace, *asked))
    return float(told["end"]["sum_received"]["bits_per_second"]) / 8e6


def _ugate(folder: Path, mtu: int) -> list[str]:
    config = folder / "ugate.yaml"
    config.write_text(f"listen: {{tun: 'tun:bench0:routes=203.0.113.0/24:mtu={mtu}'}}\n")
    twistd = Path(sys.executable).with_name("twistd")
    return [str(twistd), "-n", "--pidfile=", "--logfile=/dev/null", "ugate", "--config", str(config)]


def _singBox(folder: Path, mtu: int) -> list[str]:
    config = folder / "sing-box.json"
    inbound = {
        "type": "tun",
        "interface_name": "bench0",
        "address": ["10.97.0.1/30"],
        "mtu": mtu,
        "auto_route": True,
        "stack": "system",
        "route_address": ["203.0.113.0/24"],
    }
    outbound = {"type": "direct", "bind_interface": "l0"}
    config.write_text(json.dumps({"log": {"disabled": True}, "inbounds": [inbound], "outbounds": [outbound]}))
    return [executable(SingBox().program, folder), "run", "-c", str(config)]


_CONTESTANTS: dict[str, Callable[[Path, int], list[str]]] = {"ugate": _ugate, "sing-box": _singBox}
_DIRECTIONS: dict[str, tuple[str, ...]] = {"up": (), "down": ("-R",)}


def _sample(near: str, argv: list[str], seconds: float) -> dict[str, float]:
    """
    Both directions of one contestant.
    """
    with _program(near, *argv):
        until = time.monotonic() + _PATIENCE
        while not _isLed(near, "bench0"):
            if time.monotonic() > until:
                raise Failed(f"{argv[0]} leads nothing into its device")
            time.sleep(0.1)
        return {name: _bulk(near, seconds, *more) for name, more in _DIRECTIONS.items()}


def _report(mtu: int, samples: dict[str, list[dict[str, float]]]) -> bool:
    """
    @return: whether the goal was reached.
    """
    good = True
    for direction in _DIRECTIONS:
        got = {name: median(each[direction] for each in all) for name, all in samples.items()}
        ratio = got["ugate"] / got["sing-box"]
        good = good and ratio >= GOAL
        words = "  ".join(f"{name} {figure:6.0f}" for name, figure in got.items())
        print(f"tun, MTU {mtu:5}, {direction:4}  {words}  MB/s  {ratio:5.2f} x (goal {GOAL:g} x)", flush=True)
    return good


def main() -> int:
    """
    @return: the exit status: 0, or 1 if something failed or was not reached.
    """
    parser = argparse.ArgumentParser("python -m bench.tun", description=__doc__.strip())
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long, for each direction")
    parser.add_argument("--mtu", type=int, nargs="*", default=[1500, 9000], help="how long packets may be")
    asked = parser.parse_args()
    if reason := SingBox().missing():
        parser.error(reason)
    good = True
    try:
        with ExitStack() as stack:
            near, far = stack.enter_context(_hosts())
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(_program(far, "iperf3", "-s"))
            for mtu in asked.mtu:
                samples: dict[str, list[dict[str, float]]] = {name: [] for name in _CONTESTANTS}
                for _ in range(asked.rounds):
                    for name, make in _CONTESTANTS.items():
                        samples[name].append(_sample(near, make(place, mtu), asked.seconds))
                good = _report(mtu, samples) and good
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
