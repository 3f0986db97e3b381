# -*- test-case-name: bench.test_soak -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Many reloads while streams run at full speed: nothing is lost, cut or leaked.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.child import CHECKOUT, SampleFailed, pythonArguments
from bench.contestants import freePort
from bench.dial import HOST
from bench.soak.figures import Figure
from bench.soak.node import PATIENCE, Node, running

_SPLICER = 8 + 2 * max(2, os.cpu_count() or 2)
"""
What the process that moves bulk keeps, once there was any: its channel has two ends, its memory is open three
times, it has three standard streams, and each of its threads waits for two things.
"""


def sections(port: int, number: int) -> dict[str, Any]:
    """
    A configuration that is another one each time: routes, and how the port is listened on.
    """
    return {
        "listen": {"main": f"{('socks', 'auto')[number % 2]}:tcp:{port}:interface={HOST}"},
        "routes": [
            {"match": f"*.{number}.example", "via": "deny", "reason": f"reload {number}"},
            {"match": "*", "via": "direct"},
        ],
    }


def _settled(node: Node) -> int:
    """
    The descriptors of a node when what ended is closed.
    """
    last, since = node.descriptors, time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.05)
        now = node.descriptors
        if now != last:
            last, since = now, time.monotonic()
    return last


def reloads(directory: Path, count: int, streams: int) -> list[Figure]:
    """
    @param directory: an empty one.
    @param count: how many reloads.
    @param streams: how many streams, with bytes both ways.
    """
    port = freePort()
    with running(directory, {"main.yaml": sections(port, 0)}) as node:
        before = _settled(node)
        argv = pythonArguments("bench.soak.checked", str(port), str(streams))
        with (directory / "checked.log").open("wb") as log:
            checked = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=CHECKOUT, text=True
            )
        assert checked.stdout is not None
        try:
            if checked.stdout.readline() != "ready\n":
                raise SampleFailed(
                    f"no streams: {(directory / 'checked.log').read_text()}{node.child.tail()}"
                )
            first, began = node.generation, time.monotonic()
            for number in range(1, count + 1):
                node.write("main.yaml", sections(port, number))
                answer = node.ask("/reload", "POST")
                if not answer or not answer.get("good"):
                    raise SampleFailed(f"reload {number}: {answer}{node.child.tail()}")
            seconds = time.monotonic() - began
            done = node.generation - first
            said, _ = checked.communicate("", PATIENCE)
        finally:
            checked.kill()
        result = json.loads(said)
        left = _settled(node) - before
        splicer = node.processes > 1
        wrong = result["wrong"]
        for each in sorted(set(wrong))[:5]:
            print(f"wrong: {each}")
    return [
        Figure("reloads", done, "", least=count),
        Figure("a reload, on the average", seconds / count * 1000, "ms"),
        Figure(f"bytes on {result['streams']} streams meanwhile", result["bytes"], "B", least=1 << 20),
        Figure("streams cut, or with a byte lost or changed", len(wrong), "", most=0),
        Figure("descriptors left", left, "", most=_SPLICER if splicer else 0),
    ]
