# -*- test-case-name: ugate.test.test_websocketstring -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{websocket:} in front of a listener, as it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.interfaces import IStreamServerEndpoint

from ugate.endpoints.hops import readPath
from ugate.endpoints.websocket import WebSocketServerEndpoint
from ugate.errors import StringError
from ugate.protocols.websocketrules import Rules
from ugate.stream import Target


def websocketEndpoint(
    reactor: Any, inner: IStreamServerEndpoint, deadline: float, own: Mapping[str, str]
) -> WebSocketServerEndpoint:
    """
    The listener that keywords say.

    @param inner: how to listen.
    @param deadline: seconds that a handshake may take.
    @raise StringError: a keyword cannot be read.
    """
    proxied = own.get("proxied", "no")
    if proxied not in ("yes", "no"):
        raise StringError(f"proxied={proxied}: wanted yes or no")
    return WebSocketServerEndpoint(
        reactor, inner, readRules(own), proxied=proxied == "yes", deadline=deadline
    )


def readRules(own: Mapping[str, str], path: str = "path") -> Rules:
    """
    Which requests are taken.

    @param path: the keyword that has the path.
    @raise StringError: a keyword cannot be read.
    """
    try:
        asked = readPath(own.get(path, "/"))
    except StringError as e:
        raise StringError(f"{path}=: {e}") from e
    return Rules(
        asked,
        frozenset(_origins(_listed("origins", own))),
        frozenset(_hosts(_listed("hosts", own))),
    )


def _listed(name: str, own: Mapping[str, str]) -> list[str]:
    return [each.strip().lower() for each in own[name].split(",")] if name in own else []


def _origins(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        scheme, mark, place = text.partition("://")
        if not (mark and scheme and place) or "/" in place:
            raise StringError(f"origins={text[:200]}: wanted sites, as in origins=https\\://app.example")
        yield text


def _hosts(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        if ":" in text:
            raise StringError(f"hosts={text[:200]}: wanted names, without ports")
        try:
            yield Target.checked(text, 1).host
        except StringError as e:
            raise StringError(f"hosts=: {e}") from e
