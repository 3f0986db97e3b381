# -*- test-case-name: ugate.test.test_udpstring -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{udp:PORT:to=HOST\\:PORT}, as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.internet.interfaces import IProtocolFactory

from ugate.errors import StringError
from ugate.stream import UDP, Target

if TYPE_CHECKING:
    from ugate.endpoints.udpport import DatagramServerEndpoint

Wrap: TypeAlias = Callable[[IProtocolFactory, Any], IProtocolFactory]
"""Puts a factory in front of another one, for a listener that knows who may."""

MAX_FLOWS: Final = 100_000
_KEYWORDS: Final = ("to", "interface", "flows", "answers")
_LOCAL: Final = {"localhost": "127.0.0.1"}


def udpFromParts(reactor: Any, args: Sequence[str], own: Mapping[str, str]) -> DatagramServerEndpoint:
    """
    The endpoint of a string.

    @raise StringError: it cannot be read.
    """
    from ugate.endpoints.flowtable import DEFAULT_FLOWS
    from ugate.endpoints.udpport import DatagramServerEndpoint

    try:
        if len(args) != 1:
            raise StringError("wanted udp:PORT:to=HOST\\:PORT")
        for name in own:
            if name not in _KEYWORDS:
                raise StringError(f"{name}= is not known; wanted {', '.join(_KEYWORDS)}")
        if "to" not in own:
            raise StringError("where to? add to=HOST\\:PORT")
        return DatagramServerEndpoint(
            reactor,
            readNumber("the port", args[0], 0, 65535),
            _target(own["to"]),
            readInterface(own.get("interface", "127.0.0.1")),
            readNumber("flows=", own.get("flows", str(DEFAULT_FLOWS)), 1, MAX_FLOWS),
            _answers(own),
        )
    except StringError as error:
        raise StringError(f"udp: {error}") from error


def associating(reactor: Any, own: Mapping[str, str], outer: Wrap | None = None) -> Wrap:
    """
    What serves the associations of a SOCKS5 listener: see L{NegotiatedServerEndpoint}'s C{wrap}.

    @param outer: what is in front of that.
    @raise StringError: a keyword cannot be read.
    """
    isCone = _answers(own)

    def wrap(factory: IProtocolFactory, listener: Any) -> IProtocolFactory:
        from ugate.endpoints.associationfactory import AssociationFactory

        within = AssociationFactory(factory, reactor, isCone)
        return within if outer is None else outer(within, listener)

    return wrap


def _answers(own: Mapping[str, str]) -> bool:
    """
    Whether anybody may answer, and not only whom something was sent to.

    @raise StringError: it says neither.
    """
    text = own.get("answers", "target")
    if text not in ("target", "any"):
        raise StringError(f"answers={text}: wanted target or any")
    return text == "any"


def _target(text: str) -> Target:
    try:
        target = Target.fromText(text)
    except StringError as e:
        raise StringError(f"to=: {e}; the colon is written \\:, as in to=localhost\\:53") from e
    return Target(target.host, target.port, UDP)


def readInterface(text: str) -> str:
    """
    An address to listen at.

    @raise StringError: it is none.
    """
    text = _LOCAL.get(text, text)
    try:
        ip_address(text)
    except ValueError as e:
        raise StringError(f"interface={text}: wanted an address of this host, as 127.0.0.1 or \\:\\:1") from e
    return text


def readNumber(what: str, text: str, least: int, most: int) -> int:
    """
    A number within limits.

    @raise StringError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise StringError(f"{what} {text}: wanted a number from {least} to {most}")
    return int(text)
