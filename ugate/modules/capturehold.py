# -*- test-case-name: ugate.test.test_capturesteps,ugate.test.interop.test_captured -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Rules that are gone as soon as this process is, however it ends.

The kernel removes a table that has an owner together with the socket by which that was made.  So nft is
started, is given the table, and waits for more to read until we are gone.  Rules of iptables have no owner:
there a shell waits so, and removes them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

from ugate.modules.capturenft import chainsOf, ownedTable, tableText
from ugate.modules.capturesection import CaptureSection
from ugate.modules.capturesteps import CannotCapture, Step, down, routes, tableOf, take, up

PATIENCE: Final = 10.0
"""Seconds until the table has to be there, or to be gone."""

_PAUSE: Final = 0.02


def _tableIsThere(table: str) -> bool:
    argv = ("nft", "list", "table", "inet", table)
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return not done.returncode


class Hold:
    """
    The rules of a section, as long as this is there.

    @since: ugate NEXT
    """

    def __init__(
        self,
        name: str,
        section: CaptureSection,
        mark: int,
        tool: str,
        *,
        spawn: Callable[..., Any] = subprocess.Popen,
        isThere: Callable[[str], bool] = _tableIsThere,
    ) -> None:
        """
        @param mark: what our own connections are marked with; 0 for nothing.
        @param tool: C{nft} or C{iptables}.
        @param spawn: starts a program.
        @param isThere: whether there is a table.
        """
        self._name = name
        self._section = section
        self._mark = mark
        self._tool = tool
        self._spawn = spawn
        self._isThere = isThere
        self._process: Any = None

    @property
    def isUp(self) -> bool:
        """
        Whether the rules are there.
        """
        return self._process is not None and self._process.poll() is None

    def up(self) -> None:
        """
        Make the rules.

        @raise CannotCapture: they cannot be, and why.
        """
        name, section, tool = self._name, self._section, self._tool
        if tool == "nft":
            self._own()
            return
        take(up(name, section, self._mark, tool))
        script = "\n".join(["cat > /dev/null", *map(str, down(name, section, tool))])
        self._start("sh", "-c", script)

    def _own(self) -> None:
        name, section = self._name, self._section
        chains = chainsOf(section, self._mark)
        # It may begin before one that it replaces has ended, and nobody may change what another one owns.
        table = f"{tableOf(name)}_{os.urandom(3).hex()}"
        check = Step(("nft", "--check", "--file", "-"), tableText(table, chains))
        take([*down(name, section, "nft"), check, *routes(section)])
        process = self._start("nft", "--interactive")
        try:
            process.stdin.write(ownedTable(table, chains).encode())
            process.stdin.flush()
        except OSError:
            # It tells below what it has against it.
            pass
        until = time.monotonic() + PATIENCE
        while not self._isThere(table):
            if process.poll() is not None or time.monotonic() > until:
                self.down()
                raise CannotCapture(
                    f"nft does not make a table that goes with it, for failure: open: {self._errors(process)}"
                )
            time.sleep(_PAUSE)

    def _start(self, *argv: str) -> Any:
        # What a terminal sends to us, or whoever stops us, is not for it.
        self._process = process = self._spawn(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return process

    def _errors(self, process: Any) -> str:
        said: bytes = process.stderr.read()
        return " ".join(said.decode(errors="replace").split())[:500] or "it says nothing"

    def down(self) -> None:
        """
        Let all be as before.
        """
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.stdin.close()
        except OSError:
            # It is gone, and the rules with it.
            pass
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
