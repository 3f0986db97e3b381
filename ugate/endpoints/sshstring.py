# -*- test-case-name: ugate.test.test_sshserver -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} and C{remoteforward:} in strings: what they need is imported when there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IStreamServerEndpoint

from ugate.errors import StringError
from ugate.stream import Target

if TYPE_CHECKING:
    from ugate.endpoints.remoteforward import RemoteForwardEndpoint

LOGIN: Final = 60.0
"""Seconds until a client has to be logged in, unless C{handshake=} says otherwise: people type passwords."""

MAX_PLACES: Final = 16
"""Where one C{remoteforward:} may listen."""

_HOP: Final = ("user", "key", "known", "agent", "passwordFile", "passwordEnv", "timeout", "via")
_KEYWORDS: Final = ("at", *_HOP)


def sshServer(reactor: Any, inner: IStreamServerEndpoint, own: Mapping[str, str]) -> IStreamServerEndpoint:
    """
    SSH: many streams on each connection.
    """
    from ugate.endpoints.servers import _seconds
    from ugate.endpoints.sshserver import SSHServerEndpoint

    nist, penalties = (_isYes(name, own, unless) for name, unless in (("nist", "no"), ("penalties", "yes")))
    return SSHServerEndpoint(reactor, inner, _seconds("handshake", own, LOGIN), nist, penalties)


def _isYes(name: str, own: Mapping[str, str], unless: str) -> bool:
    text = own.get(name, unless)
    if text not in ("no", "yes"):
        raise StringError(f"{name}={text}: wanted yes or no")
    return text == "yes"


def remoteForwardFromParts(
    reactor: Any, args: Sequence[str], own: Mapping[str, Any]
) -> RemoteForwardEndpoint:
    """
    The endpoint of C{remoteforward:USER@HOST:PORT:at=PLACE}.

    @raise StringError: it cannot be read.
    """
    from ugate.endpoints.chain import Chain
    from ugate.endpoints.hops import Hop
    from ugate.endpoints.quoting import join
    from ugate.endpoints.remoteforward import RemoteForwardEndpoint

    try:
        if len(args) != 2:
            raise StringError("at which server? write remoteforward:USER@HOST:PORT")
        for name in own:
            if name not in _KEYWORDS:
                raise StringError(f"{name}= is not known; wanted {', '.join(_KEYWORDS)}")
        text = join(("ssh", *args), {name: own[name] for name in _HOP if name in own})
        way = Chain.fromHop(Hop.fromText(text))
        at = _places(str(own.get("at", "0")))
    except StringError as error:
        raise StringError(f"remoteforward: {error}") from error
    return RemoteForwardEndpoint(reactor, way, at)


def _places(text: str) -> list[tuple[str, int]]:
    """
    Where a server has to listen: C{PORT} or C{HOST:PORT} with commas between, as C{ssh -R} has them.
    """
    places = [each.strip() for each in text.split(",")]
    if len(places) > MAX_PLACES:
        raise StringError(f"at=: {len(places)} places; wanted at most {MAX_PLACES}")
    return [_place(each) for each in places]


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        raise StringError(f"at={text[:80]}: wanted PORT or HOST\\:PORT, with commas between; 0 is any port")
    host = host or "localhost"
    # Its port, of a place that is any, does not matter here.
    return Target.checked(host, int(port) or 1).host, int(port)
