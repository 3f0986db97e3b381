# -*- test-case-name: ugate.test.test_cli_authority -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The arguments of C{ucli ca}, which works on the folder of a CA, without a node.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any, Final

DIR: Final = "UGATE_CA"
"""The variable with the folder."""

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """
    A time as people write it: C{90}, C{30m}, C{24h}, C{7d}.
    """
    unit = _UNITS.get(text[-1:], 0.0)
    try:
        number = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        number = 0.0
    if not number >= 1:
        raise ArgumentTypeError(f"{text!r}: wanted a time, as in 90s, 30m, 24h or 7d")
    return number


def addCommands(commands: Any, formatter: Any) -> None:
    """
    Add C{ca} and what comes after it.
    """
    group = commands.add_parser(
        "ca", help="look after a certification authority, by its folder", formatter_class=formatter
    )
    second = group.add_subparsers(dest="second", metavar="COMMAND", required=True)

    def add(word: str, summary: str, *, isNew: bool = False) -> ArgumentParser:
        description = f"{summary[0].upper()}{summary[1:]}."
        made: ArgumentParser = second.add_parser(
            word, help=summary, description=description, formatter_class=formatter
        )
        if isNew:
            made.add_argument("dir", metavar="DIR", help="its folder, which is made")
        else:
            made.add_argument("--dir", metavar="DIR", help=f"its folder; ${DIR} unless given")
        made.add_argument("--json", action="store_true", help="print what a program can read")
        return made

    init = add("init", "make a CA in a new folder", isNew=True)
    init.add_argument("--name", metavar="NAME", default="ugate CA", help="what it is called")
    init.add_argument(
        "--domain",
        metavar="DOMAIN",
        default="cluster.local",
        help="the trust domain; cluster.local unless given",
    )
    add("show", "show who it is, and what to pin")
    sign = add("sign", "certify a request, or a key of SSH")
    sign.add_argument("file", metavar="FILE", help="PKCS #10, or a .pub file; - is the standard input")
    sign.add_argument("--ssh-user", action="store_true", help="the key is of a user of SSH")
    sign.add_argument("--ssh-host", action="store_true", help="the key is of a host of SSH")
    sign.add_argument(
        "--principal", metavar="NAME", action="append", default=[], help="a user or a host of SSH; several"
    )
    sign.add_argument(
        "--name", metavar="NAME", action="append", default=[], help="a name instead of those in FILE; several"
    )
    sign.add_argument("--title", metavar="TEXT", default="", help="the key id of a certificate of SSH")
    sign.add_argument("--life", metavar="TIME", type=seconds, help="for how long; 24h unless given")
    sign.add_argument("--out", metavar="FILE", help="where to; the standard output unless given")
    token = add("token", "make an enrolment token, which is shown once")
    token.add_argument("name", metavar="NAME", help="for whom: enrolment:NAME in the rules")
    token.add_argument(
        "--life", metavar="TIME", type=seconds, default=86400.0, help="for how long; 24h unless given"
    )
    token.add_argument(
        "--uses", metavar="N", type=int, default=1, help="how often; once unless given, 0 for always"
    )
    token.add_argument("--withdraw", action="store_true", help="let all tokens of NAME be good no more")
    revoke = add("revoke", "revoke a certificate, or all of a key")
    revoke.add_argument(
        "what", metavar="WHAT", help="a serial number, a file, a KEYID, or the key id of certificates of SSH"
    )
    revoke.add_argument("--reason", metavar="TEXT", default="", help="why, for the record")
    add("list", "list what was certified and has not ended for long")
