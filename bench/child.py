# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One child process: started so that it cannot outlive the bench, watched, and killed.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""The directory that holds C{bench} and C{ugate}."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class SampleFailed(Exception):
    """
    One measurement came to nothing.  The message says why, with the end of the log of the process to blame.
    """


def dieWithParent() -> None:
    """Have the kernel kill this process when the bench is gone, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def pythonArguments(module: str, *arguments: str) -> list[str]:
    """
    The command of a process of the bench itself.

    @param module: the module to run.
    @param arguments: its arguments.
    @return: the command; site-packages are left out, so that it starts in a moment.
    """
    return [sys.executable, "-S", "-m", module, *arguments]


class Child:
    """
    A process of its own session, whose output goes to a log file, or whose standard output the bench reads.

    @ivar pid: its process id.
    @ivar started: when it was started, on the monotonic clock.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        spoken: bool = False,
    ) -> None:
        """
        @param argv: the command.
        @param log: where its output goes.
        @param env: variables to add to the environment.
        @param fds: descriptors it inherits.
        @param spoken: its standard output is read by L{line} and not logged.
        @raise OSError: if the command cannot be started.
        """
        self._log = log
        self._name = Path(argv[0]).name
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if spoken else out,
                stderr=out,
                cwd=log.parent,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT), **(env or {})},
                pass_fds=tuple(fds),
                start_new_session=True,
                preexec_fn=dieWithParent,  # noqa: PLW1509  the bench has no threads
            )
        self.pid = self._process.pid

    def line(self, deadline: float) -> str:
        """
        Wait for the only line the process prints.

        @param deadline: until when, on the monotonic clock.
        @return: the line.
        @raise SampleFailed: if it does not come.
        """
        out = self._process.stdout
        assert out is not None, "this process is not spoken to"
        readable, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise SampleFailed(f"{self._name} was not ready in time{self.tail()}")
        text = out.readline().decode()
        if not text:
            self._process.wait()
            self.check()
            raise SampleFailed(f"{self._name} ended{self.tail()}")
        return text

    def check(self) -> None:
        """
        @raise SampleFailed: if the process has ended.
        """
        code = self._process.poll()
        if code is not None:
            raise SampleFailed(f"{self._name} ended with {code}{self.tail()}")

    def tail(self, lines: int = 6) -> str:
        """
        @param lines: how many.
        @return: the end of the log, to be put after a message.
        """
        last = self._log.read_text(errors="replace").strip().splitlines()[-lines:]
        return "".join(f"\n    | {line}" for line in last)

    def kill(self) -> None:
        """
        End the process and what it started.
        """
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
