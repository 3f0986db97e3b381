# -*- test-case-name: ugate.test.test_reversewire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a node that has dialed in and its gate say to each other, once on each link: the gate opens a stream to
a place that cannot be; on it the node says what it wants, and the gate what it gets.

Each says one line, an object in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from ugate.errors import ProtocolError
from ugate.stream import Target

PLACE: Final = Target("registration.invalid", 1)
"""The target of that stream: no name ends so (RFC 6761), and nothing else leads there."""

MAX_LINE: Final = 4096
"""Bytes of a line."""

MAX_NAMES: Final = 16
"""Names that a node may ask for."""

MAX_PORTS: Final = 16
"""Ports that a node may ask for."""

_MAX_PORT: Final = 65535
_MAX_TEXT: Final = 253
_MAX_WHY: Final = 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What a node asks its gate for.
    """

    names: tuple[str, ...] = ()
    """The names that it has to have there, beside that of its key."""

    ports: tuple[int, ...] = ()
    """The ports of the gate that have to lead to it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What it gets.
    """

    names: tuple[str, ...] = ()
    """All names that it has there, beside that of its key."""

    ports: tuple[int, ...] = ()
    """The ports there that lead to it."""

    refused: str = ""
    """Why it gets nothing, and the link is closed; else empty."""


def wishLine(wish: Wish) -> bytes:
    """
    A wish as a line.
    """
    return _line({"names": wish.names, "ports": wish.ports})


def wishFrom(line: bytes) -> Wish:
    """
    The opposite; what it has beside that is left out, as a newer node may know more.

    @raise ProtocolError: it cannot be read, or is too much.
    """
    said = _object(line)
    return Wish(_texts(said, "names", MAX_NAMES), _ports(said))


def answerLine(answer: Answer) -> bytes:
    """
    An answer as a line.
    """
    if answer.refused:
        return _line({"refused": answer.refused[:_MAX_WHY]})
    return _line({"names": answer.names[:MAX_NAMES], "ports": answer.ports})


def answerFrom(line: bytes) -> Answer:
    """
    The opposite.

    @raise ProtocolError: it cannot be read, or is too much.
    """
    said = _object(line)
    refused = said.get("refused", "")
    if not isinstance(refused, str) or len(refused) > _MAX_WHY:
        raise ProtocolError("refused: wanted a sentence")
    shown = "".join(each if each.isprintable() else "?" for each in refused)
    return Answer(_texts(said, "names", MAX_NAMES), _ports(said), shown)


def _line(said: dict[str, object]) -> bytes:
    return json.dumps(said).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a registration that is no JSON: {line[:40]!r}") from error
    if not isinstance(said, dict):
        raise ProtocolError(f"a registration that is no object: {line[:40]!r}")
    return said


def _texts(said: dict[str, Any], key: str, most: int) -> tuple[str, ...]:
    texts = said.get(key, [])
    if not isinstance(texts, list) or len(texts) > most:
        raise ProtocolError(f"{key}: wanted a list of at most {most}")
    for each in texts:
        if not (isinstance(each, str) and 0 < len(each) <= _MAX_TEXT and each.isprintable()):
            raise ProtocolError(f"{key}: {str(each)[:40]!r} is no name")
    return tuple(texts)


def _ports(said: dict[str, Any]) -> tuple[int, ...]:
    ports = said.get("ports", [])
    if not isinstance(ports, list) or len(ports) > MAX_PORTS:
        raise ProtocolError(f"ports: wanted a list of at most {MAX_PORTS}")
    for each in ports:
        if type(each) is not int or not 0 < each <= _MAX_PORT:
            raise ProtocolError(f"ports: {repr(each)[:40]} is no port")
    return tuple(ports)


class OneLine(LineOnlyReceiver):
    """
    Either side of that stream: says what it has to say at once, and hears one line.
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE

    def __init__(
        self, heard: Callable[[OneLine, bytes], object], first: bytes = b"", lost: Callable[[], object] = int
    ) -> None:
        """
        @param heard: called with this and the line.
        @param first: what to say.
        @param lost: called if it ends before that.
        """
        self._heard: Callable[[OneLine, bytes], object] | None = heard
        self._first = first
        self._lost = lost

    def connectionMade(self) -> None:
        """
        See L{IProtocol.connectionMade}.
        """
        if self._first:
            self.say(self._first)

    def say(self, line: bytes) -> None:
        """
        Say it.
        """
        transport: Any = self.transport
        transport.write(line)

    def end(self) -> None:
        """
        All is said.
        """
        transport: Any = self.transport
        transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        """
        See L{LineOnlyReceiver.lineReceived}.
        """
        heard, self._heard = self._heard, None
        if heard is not None:
            heard(self, line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """
        See L{LineOnlyReceiver.lineLengthExceeded}.
        """
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{IProtocol.connectionLost}.
        """
        if self._heard is not None:
            self._heard = None
            self._lost()
