# -*- test-case-name: ugate.test.test_servernames -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which server a TLS client asks for by name, and which names a listener lists.

A name in a ClientHello proves nothing about who sends it.  So what is reached by
it is written down, name by name or suffix by suffix: there is no star for all, no
network, and no port but those that are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ugate.errors import StringError
from ugate.stream import Target

_MAX_NAME: Final = 253
_MAX_PORT: Final = 65535
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_OUTBOUND: Final = "outbound_."
_SHAPES: Final = r"wanted HOST or *.SUFFIX, and a port, if any but that of port=, as \:PORT or \:FROM-TO"


def isHostName(name: str) -> bool:
    """
    Whether a name in small letters is one of a host, and no address: not even one
    that only some resolvers take for an address, as C{127.1} or C{0x7f000001}.
    """
    if len(name) > _MAX_NAME:
        return False
    labels = name.split(".")
    return all(map(_LABEL.fullmatch, labels)) and _NUMBER.fullmatch(labels[-1]) is None


def requested(serverName: str, port: int) -> tuple[Target, str]:
    """
    Where a client wants to go that asks for a server by name.

    @param serverName: the name, in small letters; that of a host, or
        C{outbound_.PORT_.SUBSET_.HOST} as Istio writes it, where the subset may be empty.
    @param port: the port that a name stands for that has none in it.
    @return: the target, and the subset.
    @raise StringError: it is neither of these.
    @since: ugate NEXT
    """
    host, subset = serverName, ""
    if serverName.startswith(_OUTBOUND):
        parts = serverName.split("_.", 3)
        if len(parts) != 4 or _PORT.fullmatch(parts[1]) is None:
            raise StringError(f"{serverName!r}: wanted outbound_.PORT_.SUBSET_.HOST")
        _, number, subset, host = parts
        port = int(number)
        if not 0 < port <= _MAX_PORT:
            raise StringError(f"{serverName!r}: port {number} is not one from 1 to {_MAX_PORT}")
        if subset and not isHostName(subset):
            raise StringError(f"{serverName!r}: {subset!r} is no name of a subset")
    if not isHostName(host):
        raise StringError(f"{host!r} is not the name of a host")
    return Target(host, port), subset


class ServerNames:
    """
    The destinations that a listener lists.  A question costs as much as the name has
    labels, however many there are.

    @since: ugate NEXT
    """

    __slots__ = ("_hosts", "_suffixes", "text")

    def __init__(self, text: str, port: int, keyword: str = "names") -> None:
        """
        @param text: hosts and C{*.} suffixes with commas between, each with a port or a
            range of them, if it is not C{port}.
        @param keyword: where that is written, for errors.
        @raise StringError: it cannot be read, or lists nothing.
        """
        self.text = text
        self._hosts: dict[str, list[tuple[int, int, str]]] = {}
        self._suffixes: dict[str, list[tuple[int, int, str]]] = {}
        for entry in text.split(","):
            try:
                self._add(entry.strip(), port)
            except StringError as e:
                raise StringError(f"{keyword}: {entry.strip()!r}: {e}; {_SHAPES}") from e

    def __str__(self) -> str:
        return self.text

    def _add(self, entry: str, port: int) -> None:
        name, colon, ports = entry.lower().partition(":")
        lo = hi = port
        if colon:
            found = _PORTS.fullmatch(ports)
            if found is None:
                raise StringError(f"{ports!r} is no port and no range of ports")
            lo, hi = int(found[1]), int(found[2] or found[1])
            if not 0 < lo <= hi <= _MAX_PORT:
                raise StringError(f"ports are from 1 to {_MAX_PORT}, the smaller one first")
        if name == "*":
            raise StringError("a name proves nothing about who asks, so not all can be reached by it")
        isSuffix = name.startswith("*.")
        host = (name[2:] if isSuffix else name).removesuffix(".")
        if not isHostName(host):
            raise StringError("not the name of a host" if host else "nothing")
        (self._suffixes if isSuffix else self._hosts).setdefault(host, []).append((lo, hi, entry))

    def entryFor(self, target: Target) -> str:
        """
        What lists a target, in the words of the string; empty if nothing does.
        """
        return self.find(target)[1]

    def find(self, target: Target) -> tuple[int, str]:
        """
        How many labels of a target are listed, and by which words; 0 and nothing if it is not.
        """
        host, port = target.host.lower().removesuffix("."), target.port
        found = _entry(self._hosts.get(host), port)
        if found:
            return host.count(".") + 1, found
        dot = host.find(".")
        while dot >= 0:
            below = host[dot + 1 :]
            found = _entry(self._suffixes.get(below), port)
            if found:
                return below.count(".") + 1, found
            dot = host.find(".", dot + 1)
        return 0, ""

    def clash(self, other: ServerNames) -> str:
        """
        What both list in the same way, so that nobody could say which counts; empty if there is nothing.
        """
        for ours, theirs in ((self._hosts, other._hosts), (self._suffixes, other._suffixes)):
            for host in ours.keys() & theirs.keys():
                for lo, hi, entry in ours[host]:
                    if any(lo <= high and low <= hi for low, high, _ in theirs[host]):
                        return entry
        return ""

    def portOf(self, host: str, port: int) -> int:
        """
        The port that a name stands for: C{port}, unless the name itself is listed with another one alone.

        @param host: the name, in small letters.
        @param port: the one that names stand for which are listed without.
        """
        entries = self._hosts.get(host, ())
        if len(entries) == 1:
            lo, hi, _ = entries[0]
            if lo == hi:
                return lo
        return port


ENDED: Final = "ended"
"""The last layer of a stream that was in TLS which ended here by its name."""

DEFAULT_PORT: Final = 443
"""What a name stands for, unless C{port=} says otherwise."""


@dataclass(frozen=True, slots=True)
class Listed:
    """
    What a listener for TLS by name leads to.

    @since: ugate NEXT
    """

    names: ServerNames | None
    """To which servers TLS passes through, unopened."""

    port: int = DEFAULT_PORT
    """The port of a name that has none in it."""

    default: Target | None = None
    """Where those go, unopened, who ask for no name; L{None} to refuse them."""

    alpn: tuple[bytes, ...] = ()
    """
    The application protocols of which a client must offer one; empty for any or none.  With C{ends}, those
    of what ends here, best first; then nothing is demanded of what passes through.
    """

    ends: ServerNames | None = None
    """For which names TLS ends here."""

    def __post_init__(self) -> None:
        both = "" if self.names is None or self.ends is None else self.ends.clash(self.names)
        if both:
            raise StringError(f"{both} is in ends= and in names=; wanted it in one of them")

    def __str__(self) -> str:
        return ",".join(str(each) for each in (self.names, self.ends) if each is not None)

    def find(self, target: Target) -> tuple[str, bool]:
        """
        What lists a target, and whether TLS ends here: of a host and a suffix, or of two suffixes, the one
        with more labels counts.  Nothing if it is not listed.
        """
        passes, name = (0, "") if self.names is None else self.names.find(target)
        ends, own = (0, "") if self.ends is None else self.ends.find(target)
        # A suffix has fewer labels than what it means.
        return (own, True) if ends > passes else (name, False)

    def entryFor(self, target: Target) -> str:
        """
        What lists a target, in the words of the string; empty if nothing does.
        """
        return self.find(target)[0]

    def portOf(self, name: str) -> int:
        """
        The port that a name stands for.
        """
        port = self.port
        for each in (self.names, self.ends):
            if each is not None:
                port = each.portOf(name, port)
        return port


def _entry(entries: list[tuple[int, int, str]] | None, port: int) -> str:
    return next((entry for lo, hi, entry in entries or () if lo <= port <= hi), "")
