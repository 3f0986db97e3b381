# -*- test-case-name: ugate.test.test_plain -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is wrong with the string of a listener that is Twisted's own, in words for
who has written it: Twisted itself says it in those of Python, or when it listens.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Final

from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from ugate.endpoints.quoting import split
from ugate.errors import StringError, suggestion

_TCP: Final = "tcp:PORT:interface=ADDRESS"

_SHAPES: Final[Mapping[str, str]] = {
    "tcp": _TCP,
    "tcp6": "tcp6:PORT:interface=ADDRESS",
    "unix": "unix:PATH:mode=600",
    "ssl": "ssl:PORT:privateKey=FILE:certKey=FILE",
    "tls": "tls:FOLDER:PORT:interface=ADDRESS",
    "systemd": "systemd:domain=INET:name=NAME",
}

_TAKES: Final[Mapping[str, tuple[str, ...]]] = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "ssl": (
        *("port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain"),
        "dhParameters",
    ),
    "tls": ("path", "port", "backlog", "interface"),
    "systemd": ("domain", "index", "name"),
}
"""What each takes, by name or in this order."""

_MOST_PORT: Final = 65535


def mistakeIn(text: str, more: Iterable[str] = ()) -> str:
    """
    What is wrong with a string, as far as one can know without Twisted.

    @param more: keywords that something in front of it takes.
    @return: a sentence, or nothing.
    """
    try:
        (kind, *parts), given = split(text)
    except (StringError, ValueError):
        return ""
    if kind not in _TAKES:
        return ""
    takes, shape = _TAKES[kind], _SHAPES[kind]
    for name in given:
        if name not in takes:
            known = ", ".join(f"{each}=" for each in sorted(takes))
            return f"{kind} has no keyword {name}=, it takes {known}{suggestion(name, {*takes, *more})}"
    if len(parts) > len(takes):
        return f"{kind}: too many parts: wanted {shape}; a colon inside a part is written \\:"
    values = {**dict(zip(takes, parts, strict=False)), **given}
    return _portMistake(values, shape) or _placeMistake(values)


def _portMistake(values: Mapping[str, str], shape: str) -> str:
    port = values.get("port", "0")
    if port.isascii() and port.isdigit() and len(port) < 6 and int(port) <= _MOST_PORT:
        return ""
    return f"port {port[:20]!r}: wanted {shape}, with a port up to {_MOST_PORT}"


def _placeMistake(values: Mapping[str, str]) -> str:
    interface = values.get("interface", "")
    if interface and interface in (name for _, name in socket.if_nameindex()):
        return f"interface={interface}: wanted one of its addresses (ip address show {interface})"
    folder = values.get("path")
    if folder is not None:
        try:
            os.listdir(folder)
        except OSError as error:
            return f"{folder}: {error.strerror}; wanted a folder of *.pem files that can be read"
    return ""


def whyNot(text: str, error: Exception) -> str:
    """
    Why Twisted could not read a string.

    @param error: what it raised.
    """
    kind = text.partition(":")[0]
    if kind == "systemd" and isinstance(error, (KeyError, IndexError)):
        return "systemd has opened no such socket here; it is there in the unit alone"
    kinds = {each.prefix for each in getPlugins(IStreamServerEndpointStringParser)} | _TAKES.keys()
    if kind.lower() not in kinds:
        return f"no listener is called {kind!r}{suggestion(kind, kinds)}"
    return str(error)
