# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The command line of the bench.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.captured import CapturedUgate
from bench.contestants import Contestant, Direct
from bench.framed import FramedEnvoy, FramedUgate, SecureEnvoy, SecureUgate
from bench.measure import Pace
from bench.ours import StandIn, Ugate
from bench.peers import Envoy, HAProxy, Microsocks, SingBox
from bench.relayed import PlainUgate, RelayedUgate
from bench.resolvers import Dnsmasq, UgateResolver, Unbound
from bench.rows import ROWS, Row
from bench.ssh import AsyncSSH, OpenSSH, SSHUgate
from bench.tunnels import TunSingBox, TunUgate

_RESULTS = Path(__file__).parent / "results"
_SECONDS, _ROUNDS, _WARM, _IDLE = 1.2, 5, 0.2, 1000
_QUICK_SECONDS, _QUICK_ROUNDS, _QUICK_WARM, _QUICK_IDLE = 0.6, 1, 0.2, 500


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What the command line asks for.
    """

    rows: tuple[Row, ...]
    """The rows."""

    contestants: tuple[Contestant, ...]
    """Whom to measure, whether they can run here or not."""

    rounds: int
    """How many rounds."""

    pace: Pace
    """How long."""

    out: Path
    """The directory for the results."""

    listing: bool
    """Only say what there is."""


def _parser() -> argparse.ArgumentParser:
    """
    @return: the options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure ugate beside its peers, in alternating rounds of one run.",
    )
    add = parser.add_argument
    add("--rows", metavar="A,B", help="only these rows (see --list)")
    add("--peers", metavar="A,B", help="only these contestants (see --list); ratios need sing-box")
    add("--rounds", type=int, metavar="N", help=f"rounds (default {_ROUNDS})")
    add("--seconds", type=float, metavar="S", help=f"seconds for each sample (default {_SECONDS})")
    add(
        "--quick",
        action="store_true",
        help="one short round: to see that it works, not to compare",
    )
    add(
        "--out",
        type=Path,
        default=_RESULTS,
        metavar="DIR",
        help="where the files go (default bench/results)",
    )
    add(
        "--ugate-listen",
        default="socks",
        metavar="STRING",
        help="what ugate listens with: socks (default) or auto",
    )
    add(
        "--ugate",
        metavar="COMMAND",
        help="run this in ugate's place, {port} its port and {upstream} the next one's",
    )
    add("--list", action="store_true", dest="listing", help="list rows and contestants, and measure nothing")
    return parser


def _names(text: str | None, known: Iterable[str], option: str) -> list[str]:
    """
    Read a list of names.

    @param text: the names with commas between, or C{None} for all.
    @param known: the names there are.
    @param option: the option's name.
    @return: those asked for, in the order of C{known}.
    @raise ValueError: if one is not known.
    """
    there = list(known)
    asked = [name.strip() for name in text.split(",")] if text else there
    for name in asked:
        if name not in there:
            raise ValueError(f"{option} {name!r}: there is {', '.join(there)}")
    return [name for name in there if name in asked]


def plan(arguments: Sequence[str] | None = None) -> Plan:
    """
    Read the command line.

    @param arguments: the arguments; those of the process if C{None}.
    @return: what to do.
    @raise SystemExit: if it cannot be understood; what is wrong has been printed.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        ours = StandIn(given.ugate) if given.ugate else Ugate(given.ugate_listen)
        known: list[Contestant] = [Direct(), ours, SingBox(), Envoy(), HAProxy(), Microsocks()]
        known += [FramedUgate(), FramedEnvoy(), SecureUgate(), SecureEnvoy(), RelayedUgate(), PlainUgate()]
        known += [SSHUgate(), AsyncSSH(), OpenSSH()]
        known += [CapturedUgate(), TunUgate(), TunSingBox(), UgateResolver(), Dnsmasq(), Unbound()]
        contestants = {contestant.name: contestant for contestant in known}
        rows = {row.key: row for row in ROWS}
        seconds = given.seconds or (_QUICK_SECONDS if given.quick else _SECONDS)
        rounds = given.rounds or (_QUICK_ROUNDS if given.quick else _ROUNDS)
        if seconds < 0 or rounds < 0:
            raise ValueError("--seconds and --rounds must be more than 0")
        return Plan(
            tuple(rows[name] for name in _names(given.rows, rows, "--rows")),
            tuple(contestants[name] for name in _names(given.peers, contestants, "--peers")),
            rounds,
            Pace(seconds, _QUICK_WARM if given.quick else _WARM, _QUICK_IDLE if given.quick else _IDLE),
            given.out,
            given.listing,
        )
    except ValueError as e:
        parser.error(str(e))
