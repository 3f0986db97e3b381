# -*- test-case-name: ugate.test.test_cli_capture -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The arguments of C{ucli capture}, which works on this machine, without a node.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

DEFAULT: Final = "out"
"""The name of the rules, unless another one is given."""

LISTS: Final = ("port", "network", "user", "group", "cgroup")
"""What can be included and excluded, as many as there are of each."""


def addCommands(commands: Any, formatter: Any) -> None:
    """
    Add C{capture} and what comes after it.
    """
    group = commands.add_parser(
        "capture", help="let the kernel lead connections of this machine to ugate", formatter_class=formatter
    )
    second = group.add_subparsers(dest="second", metavar="COMMAND", required=True)
    for word, summary in (
        ("up", "make the rules, in place of those of the same name"),
        ("down", "remove them; give it the same options"),
        ("show", "print the commands of up, and do nothing"),
    ):
        description = f"{summary[0].upper()}{summary[1:]}."
        made = second.add_parser(word, help=summary, description=description, formatter_class=formatter)
        made.set_defaults(json=False)
        _options(made)
        if word == "up":
            made.add_argument(
                "--pid",
                type=int,
                help="with --failure open: the process of ugate; the rules are there as long as it is",
            )
        elif word == "show":
            made.add_argument("--down", action="store_true", help="print those of down")


def _options(made: ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", nargs="?", default=DEFAULT, help=f"{DEFAULT} unless given")
    made.add_argument("--file", metavar="FILE", help="take the section capture.NAME of this configuration")
    made.add_argument("--direction", choices=("out", "in", "both", "forward"), help="out unless given")
    made.add_argument("--mode", choices=("redirect", "tproxy"), help="redirect unless given")
    made.add_argument(
        "--protocol", dest="protocols", choices=("tcp", "udp"), action="append", help="tcp unless given; both"
    )
    made.add_argument("--port", metavar="PORT", type=int, help="of the listener; 15001 unless given")
    made.add_argument(
        "--failure", choices=("closed", "open"), help="what becomes of connections without ugate"
    )
    for each in LISTS:
        made.add_argument(
            f"--only-{each}", metavar=each.upper(), action="append", help="only such connections; several"
        )
    for each in LISTS:
        made.add_argument(f"--not-{each}", metavar=each.upper(), action="append", help="not such; several")
    made.add_argument("--no-ipv6", action="store_true", help="leave IPv6 alone")
    made.add_argument("--table", metavar="NUMBER", type=int, help="with tproxy, of the routing table")
    made.add_argument("--tool", choices=("auto", "nft", "iptables"), help="auto unless given")
    made.add_argument("--mark", metavar="NUMBER", help="node.mark of ugate; 0 for none")
