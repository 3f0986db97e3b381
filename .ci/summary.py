# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Run the tests with trial, and end with one line that a machine can read: C{N passed, N failed, N skipped}.

C{python .ci/summary.py [--jobs N] [--limit SECONDS] [NAME ...]}

Without a NAME (a dotted name or a file, as trial takes them) every C{test_*.py} of ugate and its bench
runs, in C{--jobs} processes: first what needs memory alone, then what is below C{interop}, which starts
processes of its own and waits for them.
The exit status is 0 when at least one test ran and none failed.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO

PACKAGES = ("ugate", "bench")
"""Where tests are."""

GRACE = 5.0
"""How many seconds the last output may take after trial ended."""

SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \(([\w=, ]*)\))?$")
RULE = re.compile(r"^(?:={20,}|-{20,})$")


@dataclass
class Outcome:
    """
    What a run of trial came to.
    """

    passed: int = 0
    """Tests that did what they should, failing as expected included."""

    failed: int = 0
    """Failures and errors, tests that should have failed and did not, and 1 for a run that broke off."""

    skipped: int = 0
    """Tests that did not apply here."""

    skips: list[tuple[str, str]] = field(default_factory=list)
    """The name of each skipped test, and why."""

    def add(self, other: Outcome) -> None:
        """
        Count another run in.
        """
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.skips += other.skips

    def line(self) -> str:
        """
        The line for machines.
        """
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def skipBlocks(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """
    Find the skipped tests in what trial printed: a rule, C{[SKIPPED]}, the reason, an empty line, the names.

    @return: the name of each test, and the reason.
    """
    for start, line in enumerate(lines):
        if line != "[SKIPPED]" or not start or not RULE.match(lines[start - 1]):
            continue
        block = []
        for following in lines[start + 1 :]:
            if RULE.match(following):
                break
            block.append(following)
        if "" not in block:
            continue
        # The names hold no empty line, the reason may.
        end = len(block) - 1 - block[::-1].index("")
        reason = " ".join(" ".join(block[:end]).split())
        for name in filter(None, block[end + 1 :]):
            yield name, reason


def read(lines: Sequence[str], status: int) -> Outcome:
    """
    Make sense of what trial printed.

    @param lines: its output, without line ends.
    @param status: its exit status; one that its own counts do not explain is a failure.
    """
    found = [match for match in map(SUMMARY.match, lines) if match]
    if not found:
        return Outcome(failed=1)
    counts = {}
    for part in filter(None, (found[-1].group(1) or "").split(", ")):
        name, _, number = part.partition("=")
        counts[name] = int(number)
    outcome = Outcome(
        passed=counts.get("successes", 0) + counts.get("expectedFailures", 0),
        failed=counts.get("failures", 0) + counts.get("errors", 0) + counts.get("unexpectedSuccesses", 0),
        skipped=counts.get("skips", 0),
        skips=list(skipBlocks(lines)),
    )
    if status and not outcome.failed:
        outcome.failed = 1
    return outcome


def trial(names: Sequence[str], jobs: int, limit: float) -> Outcome:
    """
    Run trial in a process group of its own, show what it prints, and count.

    @param names: what to run.
    @param jobs: how many processes run tests; 1 for trial's own process.
    @param limit: after how many seconds the group is killed.
    """
    command = [sys.executable, "-u", "-m", "twisted.trial", *([f"-j{jobs}"] if jobs > 1 else []), *names]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    # A thread reads, so that a process which outlives its test and holds the pipe does not hold us.
    reader = Thread(target=show, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        status = process.wait(limit)
        reader.join(GRACE)
    except subprocess.TimeoutExpired:
        print(f"\nThe tests were stopped: they took more than {limit:g} s.")
        return Outcome(failed=1)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return read(lines, status)


def show(stream: IO[bytes], lines: list[str]) -> None:
    """
    Pass on what comes, line by line, and keep it.
    """
    for raw in stream:
        text = raw.decode("utf-8", "replace")
        sys.stdout.write(text)
        sys.stdout.flush()
        lines.append(text.rstrip("\r\n"))


def discover(checkout: Path) -> tuple[list[str], list[str]]:
    """
    Find the test modules.

    @param checkout: where the packages are.
    @return: the names of those in memory, and of those with real peers.
    """
    memory: list[str] = []
    peers: list[str] = []
    for path in sorted(path for package in PACKAGES for path in (checkout / package).rglob("test_*.py")):
        parts = path.relative_to(checkout).with_suffix("").parts
        (peers if "interop" in parts else memory).append(".".join(parts))
    return memory, peers


def main(arguments: Sequence[str]) -> int:
    """
    Run what was asked for.

    @return: the exit status.
    """
    parser = argparse.ArgumentParser(description="Run the tests; the last line says how many did what.")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes run tests (default 1)")
    parser.add_argument(
        "--limit", type=float, default=900, help="seconds a run of trial may take (default 900)"
    )
    parser.add_argument("names", nargs="*", help="what to run; without any, all there is")
    options = parser.parse_args(arguments)

    if options.names:
        runs = [(options.names, 1)]
    else:
        runs = [(names, options.jobs) for names in discover(Path.cwd())]

    total = Outcome()
    for names, jobs in runs:
        if names:
            total.add(trial(names, jobs, options.limit))

    if total.skips:
        print("\nSkipped:")
    for name, reason in total.skips:
        print(f"  {name}: {reason}")
    if not (total.passed or total.failed or total.skipped):
        print("No tests were found.")
        total.failed = 1
    print(total.line())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
