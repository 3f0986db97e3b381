# -*- test-case-name: ugate.test.test_httphead,ugate.test.test_httphead_responses -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The heads of messages that a forward proxy passes on: where a request goes, and
what it and its response look like on the other side (RFC 9110, RFC 9112).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import h11

from ugate.errors import StringError
from ugate.protocols.httpfields import Fields, endToEnd, tokens, upgradeOf, values, via
from ugate.protocols.httpreply import Unserved
from ugate.stream import StreamInfo, Target

MAX_HEAD: Final = 65536
"""The most bytes of a head (L{int}); a longer one is answered with 431."""

_HOP_LIMITED: Final = (b"TRACE", b"OPTIONS")
_ALLOW: Final = (b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT")


@dataclass(frozen=True, slots=True)
class Destination:
    """
    Where an absolute URI leads.
    """

    target: Target
    """The host and the port."""

    authority: bytes
    """The host and the port as the URI has them: what C{Host} says."""

    path: bytes
    """What is asked for there: a path with its query, or an asterisk."""


def why(error: h11.ProtocolError) -> str:
    """
    What is wrong with a message, without any of its text, which may be secret.

    @since: ugate NEXT
    """
    return str(error).partition(":")[0]


def whyResponse(error: h11.ProtocolError) -> str:
    """
    The same for a response, whose first line h11 has several words for.

    @since: ugate NEXT
    """
    text = why(error)
    return "illegal status line" if "request line" in text or "response line" in text else text


def tooLong(error: h11.ProtocolError) -> bool:
    """
    Was it the size of the head?

    @since: ugate NEXT
    """
    return error.error_status_hint == 431


def problem(error: h11.ProtocolError) -> Unserved:
    """
    The answer to a request that cannot be read.

    @since: ugate NEXT
    """
    if tooLong(error):
        return Unserved(431, f"The head of a request may have {MAX_HEAD} bytes here: send fewer fields.")
    status = 501 if error.error_status_hint == 501 else 400
    return Unserved(status, f"This is no request of HTTP/1.1 that can be read: {why(error)}.")


def checkFraming(request: h11.Request) -> None:
    """
    Refuse what two readers could take for two different messages.

    @raise Unserved: it is another version of HTTP, has a length and chunks, has
        chunks in HTTP/1.0 (RFC 9112, 6.1), or is a C{CONNECT} with content.
    @since: ugate NEXT
    """
    if request.http_version[:2] != b"1.":
        raise Unserved(505, "This proxy speaks HTTP/1.1 and HTTP/1.0.")
    raw = request.headers.raw_items()
    names = {name.lower() for name, _ in raw}
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise Unserved(400, "A request has Content-Length or Transfer-Encoding, never both.")
        if request.http_version < b"1.1":
            raise Unserved(400, "HTTP/1.0 has no Transfer-Encoding: send a Content-Length.")
    if request.method == b"CONNECT":
        length = values(raw, b"content-length") if b"content-length" in names else []
        if b"transfer-encoding" in names or any(int(value) for value in length):
            raise Unserved(400, "A CONNECT request has no content.")


def authority(target: bytes) -> Target:
    """
    Where a C{CONNECT} leads (RFC 9110, 9.3.6).

    @raise Unserved: it is no host with a port.
    @since: ugate NEXT
    """
    try:
        return Target.fromText(target.decode("ascii"))
    except StringError as e:
        raise Unserved(400, f"CONNECT wants HOST:PORT, and [v6]:PORT for IPv6: {e}.") from e


def destination(request: h11.Request) -> Destination:
    """
    Where a request in absolute form leads (RFC 9112, 3.2.2).

    @raise Unserved: it is not in that form, or is for what no forward proxy does.
    @since: ugate NEXT
    """
    scheme, mark, rest = request.target.partition(b"://")
    if not mark:
        raise Unserved(
            400, "This is a proxy: a request to it has a whole URI, as in GET http://example.com/ HTTP/1.1."
        )
    kind = scheme.lower()
    if kind in (b"https", b"wss"):
        raise Unserved(501, f"Use CONNECT for {kind.decode()} URIs: this proxy does not end TLS for you.")
    if kind != b"http":
        raise Unserved(501, "This proxy forwards http URIs; reach other schemes through CONNECT or SOCKS.")
    ends = [at for at in (rest.find(b"/"), rest.find(b"?"), rest.find(b"#")) if at >= 0]
    end = min(ends, default=len(rest))
    place, path = rest[:end], rest[end:]
    if b"#" in path:
        raise Unserved(400, "The URI of a request has no fragment: leave out what follows the #.")
    if b"@" in place:
        raise Unserved(400, "The URI of a request has no user name (RFC 9110, 4.2.4): send Authorization.")
    place = place.removesuffix(b":")
    try:
        target = Target.fromText(place.decode("ascii"), 80)
    except StringError as e:
        raise Unserved(400, f"The URI names no host that could be reached: {e}.") from e
    if not path:
        path = b"*" if request.method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    return Destination(target, place, path)


def checkHops(request: h11.Request) -> None:
    """
    Answer a request that goes no further than here (RFC 9110, 7.6.2).

    @raise Unserved: with the answer; C{TRACE} is answered with 405, since an echo
        would give away what others on the way have added.
    @since: ugate NEXT
    """
    if request.method in _HOP_LIMITED and values(request.headers, b"max-forwards") == [b"0"]:
        if request.method == b"TRACE":
            raise Unserved(405, "This proxy does not answer TRACE itself.", (_ALLOW,))
        raise Unserved(200, "", (_ALLOW,))


def _oneHopLess(value: bytes) -> bytes:
    """
    The C{Max-Forwards} for the next hop; what is no number goes on as it is.
    """
    return b"%d" % max(0, int(value) - 1) if value.isdigit() and len(value) < 10 else value


def forwardRequest(request: h11.Request, place: Destination, close: bool) -> h11.Request:
    """
    A request as it goes to its target.

    @param close: whether no further request will follow on that stream.
    @since: ugate NEXT
    """
    version = request.http_version
    raw = request.headers.raw_items()
    upgrade = upgradeOf(raw) if version >= b"1.1" else b""
    options = []
    fields: Fields = [(b"Host", place.authority)]
    for name, value in endToEnd(raw):
        low = name.lower()
        if low == b"max-forwards" and request.method in _HOP_LIMITED:
            value = _oneHopLess(value)
        if low == b"host" or (low == b"expect" and version < b"1.1"):
            continue
        fields.append((name, value))
    if values(raw, b"transfer-encoding"):
        fields.append((b"Transfer-Encoding", b"chunked"))
    if b"trailers" in tokens(raw, b"te"):
        options.append(b"TE")
        fields.append((b"TE", b"trailers"))
    if upgrade:
        options.append(b"Upgrade")
        fields.append((b"Upgrade", upgrade))
    elif close:
        options.append(b"close")
    if options:
        fields.append((b"Connection", b", ".join(options)))
    fields.append(via(version))
    return h11.Request(method=request.method, target=place.path, headers=fields)


def route(request: h11.Request, info: StreamInfo) -> tuple[StreamInfo, h11.Request | None]:
    """
    Where a request to a forward proxy goes.

    @param info: what is known of who makes it.
    @return: the stream that it needs, and the request as it goes there, or L{None}
        for a C{CONNECT}, which is nothing but the stream.
    @raise Unserved: it goes nowhere.
    @since: ugate NEXT
    """
    if request.method == b"CONNECT":
        target, layers = authority(request.target), (*info.layers, "connect")
        return info.but(target=target, protocol="connect", layers=layers), None
    checkHops(request)
    place = destination(request)
    last = request.http_version < b"1.1" or b"close" in tokens(request.headers, b"connection")
    return info.but(target=place.target), forwardRequest(request, place, last)


def forwardFields(response: h11.Response | h11.InformationalResponse, version: bytes) -> Fields:
    """
    The fields of a response as they go to the client; its framing is for h11 to add.

    @param version: of the request.
    @since: ugate NEXT
    """
    raw = response.headers.raw_items()
    drop = {b"trailer"} if version < b"1.1" else set()
    if values(raw, b"transfer-encoding") or response.status_code < 200:
        drop.add(b"content-length")
    fields = [field for field in endToEnd(raw) if field[0].lower() not in drop]
    if response.status_code in (101, 426):
        upgrade = upgradeOf(raw)
        if upgrade:
            fields += [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade)]
    fields.append(via(response.http_version))
    return fields
