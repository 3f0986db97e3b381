# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The documentation as tests see it: pages, their tables, their commands and what they show.
"""

from __future__ import annotations

import csv
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import ugate
from ugate.tap import Options
from ugate.tenancy.ca.folder import makeAuthority
from ugate.test.tlsfakes import Issuer

CHECKOUT: Final = Path(ugate.__file__).resolve().parent.parent
DOC: Final = CHECKOUT / "doc"
LISTINGS: Final = DOC / "howto" / "listings"

_LITERAL: Final = re.compile(r"``([^`]+(?:`[^`]+)*)``")
USERS: Final = "/etc/ugate/users"
"""The password file that the pages name."""
FILES: Final = (USERS, "/etc/ugate/tokens", "/etc/ugate/authorized_keys", "/etc/ugate/certificates")
"""The files of credentials that the pages name."""
SERVERS: Final = "/etc/ugate/servers"
"""The folder of certificates for the names of servers that they name."""
CERTS: Final = "/etc/certs"
"""The folder with a key and certificates that they name."""
AUTHORITY: Final = "/var/lib/ugate/ca"
"""The folder of a CA that they name."""


def page(name: str) -> str:
    """
    The source of a page.

    @param name: its path below C{doc}, without C{.rst}.
    """
    return (DOC / f"{name}.rst").read_text(encoding="utf-8")


def listing(name: str) -> str:
    """
    A file that a page shows.
    """
    return (LISTINGS / name).read_text(encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """
    All pages and the README, with their paths in the checkout.
    """
    for path in (CHECKOUT / "README.rst", *sorted(DOC.rglob("*.rst"))):
        if "_build" not in path.parts:
            yield str(path.relative_to(CHECKOUT)), path.read_text(encoding="utf-8")


def table(text: str, name: str) -> list[list[str]]:
    """
    The rows of a C{csv-table}, without its header.

    @param name: its C{:name:}.
    """
    _, _, rest = text.partition(f"   :name: {name}\n")
    lines = iter(rest.splitlines())
    for line in lines:
        if not line:
            break
    rows = []
    for line in lines:
        if not line.startswith("   "):
            break
        rows.append(line[3:])
    return list(csv.reader(rows, skipinitialspace=True))


def section(text: str, title: str) -> str:
    """
    What is below a title, up to the next one.
    """
    body = re.split(rf"^{re.escape(title)}\n[-~=]+\n", text, flags=re.MULTILINE)[1]
    return re.split(r"^.+\n[-~]{3,}\n\n", body, maxsplit=1, flags=re.MULTILINE)[0]


def firstColumn(text: str) -> list[str]:
    """
    The literals in the first column of the simple tables of a text.
    """
    found: list[str] = []
    for part in re.split(r"\n\n+(?==+ +=)", text):
        # A table ends with the border before an empty line.
        rows, end, _ = part.partition("=\n\n")
        border = re.match(r"=+ ", rows)
        if end and border:
            for line in rows.splitlines():
                found += _LITERAL.findall(line[: border.end()])
    return found


def blocks(text: str, language: str) -> list[str]:
    """
    The code blocks in some language.
    """
    found = []
    for match in re.finditer(rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", text, re.MULTILINE):
        lines = match[1].rstrip().splitlines()
        found.append("".join(f"{line[3:]}\n" for line in lines))
    return found


def commands(text: str) -> Iterator[list[str]]:
    """
    The arguments of each C{twistd ugate} in lines for a shell.
    """
    for line in text.splitlines():
        command = re.search(r"twistd(?: -\S+)* ugate\b(.*)", line.replace("ProxyCommand=", "ProxyCommand "))
        if command and not line.startswith("#"):
            yield shlex.split(re.split(r" [>|]", command[1])[0], comments=True)


class Pages(SynchronousTestCase):
    """
    A test of the documentation, which is there in a checkout only.
    """

    def setUp(self) -> None:
        if not (DOC / "conf.py").exists():
            raise SkipTest("ugate is installed: there is no documentation beside it")

    def configuration(self, name: str) -> str:
        """
        A configuration that a page shows, with files of credentials that are there.

        @return: the path of a copy.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        text = listing(name)
        for each in FILES:
            there = folder / Path(each).name
            there.touch(0o600)
            text = text.replace(each, str(there.resolve()))
        if SERVERS in text:
            (folder / "servers").mkdir()
            text = text.replace(SERVERS, str((folder / "servers").resolve()))
        if CERTS in text:
            certs = folder / "certs"
            Issuer().write(certs, "gate.corp.example")
            text = text.replace(CERTS, str(certs.resolve()))
        if AUTHORITY in text:
            authority = str((folder / "ca").resolve())
            makeAuthority(authority, "CA", "corp.example", time.time())
            text = text.replace(AUTHORITY, authority)
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def ugate(self, *arguments: str) -> tuple[object, str, str]:
        """
        What C{twistd ugate} says to these options, up to where it would start.

        @return: the exit status, L{None} if it would start, and what it prints on its two outputs.
        """
        out, err, status = StringIO(), StringIO(), None
        with redirect_stdout(out), redirect_stderr(err):
            try:
                Options().parseOptions(list(arguments))
            except SystemExit as e:
                status = e.code
        return status, out.getvalue(), err.getvalue()


def kib(count: int) -> str:
    """
    A number of bytes as the pages write it.
    """
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"
