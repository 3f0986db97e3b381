# -*- test-case-name: ugate.test.test_guard -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a request says of where it thinks it is, and of where it comes from.

A page of any site can make the browser of whoever looks at it send requests to this machine.  Two things
give it away: the browser names the page's site in C{Origin} and C{Sec-Fetch-Site}; and a name that a foreign
server had point here (DNS rebinding) stands in C{Host}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from ugate.modules.problems import Trouble

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_LOCAL: Final = frozenset(["localhost", "localhost.localdomain", "ip6-localhost"])
_SAME: Final = frozenset(["same-origin", "none"])


@dataclass(frozen=True, slots=True)
class Place:
    """
    What C{Host} says.
    """

    host: str
    """The name or the address, without brackets, in lower case, without a dot at its end."""

    port: int | None
    """The port, if it is there."""

    @property
    def isFixed(self) -> bool:
        """
        Whether no name server had a say in this: an address, or this machine by its own name.
        """
        if self.host in _LOCAL or self.host.endswith(".localhost"):
            return True
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True


def placeOf(hosts: list[bytes] | None) -> Place:
    """
    Read the field C{Host}.

    @raise Trouble: there is none, there are several, or it is no host.
    """
    if hosts is None or len(hosts) != 1:
        raise Trouble(400, "wanted exactly one Host")
    match = _HOST.fullmatch(hosts[0].decode("latin-1"))
    port = int(match[2]) if match and match[2] else None
    if match is None or (port is not None and not 0 < port < 65536):
        raise Trouble(400, "Host is no name or address with a port")
    return Place(match[1].strip("[]").lower().rstrip("."), port)


def checkOrigin(
    hosts: list[bytes] | None, origins: list[bytes] | None, sites: list[bytes] | None, *, secure: bool
) -> None:
    """
    See that a request does not come from a page of another site.

    @param hosts: C{Host}, already read.
    @param origins: C{Origin}.
    @param sites: C{Sec-Fetch-Site}.
    @param secure: whether the request came in TLS.
    @raise Trouble: it does, or may.
    """
    if origins is not None:
        here = b"%s://%s" % (b"https" if secure else b"http", (hosts or [b""])[0].lower())
        if [each.lower() for each in origins] != [here]:
            shown = b", ".join(origins)[:100].decode("latin-1")
            raise Trouble(403, f"this comes from a page of {shown!a}, and only {here.decode('latin-1')} may")
    if sites is not None and (len(sites) != 1 or sites[0].decode("latin-1") not in _SAME):
        raise Trouble(403, "this comes from a page of another site")


def checkKind(kinds: list[bytes] | None) -> None:
    """
    See that a body is JSON and says so, which no form of a page can.

    @param kinds: C{Content-Type}.
    @raise Trouble: it is not.
    """
    if kinds is None or len(kinds) != 1:
        raise Trouble(415, "wanted a body of the type application/json")
    kind, _, parameters = kinds[0].decode("latin-1").lower().partition(";")
    if kind.strip() != "application/json" or parameters.strip() not in ("", "charset=utf-8"):
        raise Trouble(415, "wanted a body of the type application/json")
