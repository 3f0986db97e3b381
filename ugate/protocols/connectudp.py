# -*- test-case-name: ugate.test.test_connectudp -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is said of a flow of datagrams in HTTP/2: the C{CONNECT} of RFC 9298, by the extension of RFC 8441.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote_to_bytes

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.protocols.httpfields import Fields
from ugate.protocols.httpreply import Unserved
from ugate.protocols.sockshost import hostFromWire
from ugate.stream import UDP, StreamInfo, Target

NAME: Final = b"connect-udp"
"""Its C{:protocol}."""

CAPSULES: Final = (b"capsule-protocol", b"?1")
"""What both sides say of the bytes that follow (RFC 9297, 3.4)."""

_WHERE: Final = b"/.well-known/masque/udp/"
_USAGE: Final = "A path for datagrams is /.well-known/masque/udp/HOST/PORT/."
_NOBODY: Final = "proxy.invalid"


def request(target: Target, link: StreamInfo, hop: str) -> Fields:
    """
    The header of the request for a flow.

    @param link: what is known of the connection.
    @raise Refused: the target cannot be said in HTTP.
    """
    host = target.host
    if not (host.isascii() and host.isprintable()):
        raise Refused(
            Cause.NAME_UNKNOWN,
            Phase.NEGOTIATE,
            hop,
            f"{host!r} is not printable ASCII",
            "write the name in its ASCII form, with other letters as xn--...",
        )
    return [
        (b":method", b"CONNECT"),
        (b":protocol", NAME),
        (b":scheme", b"https"),
        (b":authority", _authority(link).encode("ascii")),
        (b":path", b"%b%b/%d/" % (_WHERE, quote(host, safe="").encode("ascii"), target.port)),
        CAPSULES,
    ]


def _authority(link: StreamInfo) -> str:
    """
    Who is asked, as far as we know it: RFC 9298 wants a name there, and does not say what it is for.
    """
    host, port = getattr(link.peer, "host", ""), getattr(link.peer, "port", 0)
    return str(Target(host, port)) if isinstance(host, str) and host and "%" not in host else _NOBODY


def targetOf(path: bytes) -> Target:
    """
    Where a flow goes.

    @raise Unserved: the path says no such thing.
    """
    if not path.startswith(_WHERE):
        raise Unserved(404, _USAGE)
    host, _, port = path[len(_WHERE) :].removesuffix(b"/").partition(b"/")
    # int() has a limit of its own, with another error.
    if not (port.isdigit() and len(port) <= 5):
        raise Unserved(400, _USAGE)
    try:
        return Target.checked(hostFromWire(unquote_to_bytes(host)), int(port), UDP)
    except StringError as e:
        raise Unserved(400, f"{_USAGE} {e}.") from e
