# -*- test-case-name: bench.test_soak -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A node under test: its folder of configuration, its process, and its admin API.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import cost
from bench.child import Child, SampleFailed
from bench.contestants import freePort
from bench.dial import HOST
from bench.ours import twistd

PATIENCE = 60.0
"""Seconds in which anything must happen."""


class Node:
    """
    One C{twistd ugate} with a folder as its configuration.

    @ivar folder: what is configured.
    @ivar admin: the port of its admin API.
    @ivar child: its process.
    """

    def __init__(self, directory: Path) -> None:
        """
        @param directory: an empty one, for its configuration, its state and its log.
        """
        self.folder = directory / "config"
        self.folder.mkdir()
        self.admin = freePort()
        self._log = directory / "node.log"
        self.child: Child
        self.write("http.yaml", {"http": {"main": {"endpoint": f"tcp:{self.admin}:interface={HOST}"}}})

    def write(self, name: str, sections: Mapping[str, Any]) -> None:
        """
        Write a file of the folder, as an editor does: in one step.

        @param name: relative to the folder.
        @param sections: what is in it; JSON, which is YAML, too.
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(sections), encoding="utf-8")
        fresh.replace(path)

    def start(self) -> float:
        """
        Start it, and wait until its API answers.

        @return: the seconds that took.
        @raise SampleFailed: if it does not come up.
        """
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate", "--config", str(self.folder)]
        self.child = Child(argv, self._log)
        self.until(lambda: bool(self.status()), "the admin API")
        return time.monotonic() - self.child.started

    def until(self, condition: Callable[[], bool], what: str) -> float:
        """
        Wait for something.

        @return: the seconds that took.
        @raise SampleFailed: if it does not come.
        """
        began = time.monotonic()
        while not condition():
            self.child.check()
            if time.monotonic() - began > PATIENCE:
                raise SampleFailed(f"{what} did not come in {PATIENCE:g} s{self.child.tail()}")
            time.sleep(0.002)
        return time.monotonic() - began

    def ask(self, path: str, method: str = "GET") -> Any:
        """
        Ask the API.

        @return: the answer, or L{None} if it does not answer yet.
        """
        request = urllib.request.Request(f"http://{HOST}:{self.admin}/api/v1{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except OSError:
            return None

    def status(self) -> dict[str, Any]:
        """
        How it does; empty if it does not answer.
        """
        return self.ask("/status") or {}

    @property
    def generation(self) -> int:
        """
        How many configurations have been in force.
        """
        applied = self.status().get("applied") or {}
        return int(applied.get("generation", 0))

    @property
    def rss(self) -> float:
        """
        Resident memory, MiB.
        """
        return cost.rss([self.child.pid]) / 1024

    @property
    def processes(self) -> int:
        """
        How many it is: two once the one that moves bulk has been started.
        """
        return len(list(cost.family(self.child.pid)))

    @property
    def descriptors(self) -> int:
        """
        Open files.
        """
        return cost.descriptors([self.child.pid])


@contextmanager
def running(directory: Path, files: Mapping[str, Mapping[str, Any]]) -> Iterator[Node]:
    """
    A node with these files beside that of its API.
    """
    directory.mkdir()
    node = Node(directory)
    for name, sections in files.items():
        node.write(name, sections)
    node.start()
    try:
        yield node
    finally:
        node.child.kill()
