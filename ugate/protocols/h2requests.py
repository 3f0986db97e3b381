# -*- test-case-name: ugate.test.test_h2link,ugate.test.test_h2link_answering -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is said in HTTP/2 of one stream: the C{CONNECT} of RFC 9113, 8.5, and what Istio's HBONE puts
beside it; for datagrams, that of RFC 9298.

Both C{baggage} (W3C) and C{forwarded} (RFC 7239) are what a peer claims: they become hints, within
L{LONGEST} bytes, and go on to the next gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.protocols import connectudp
from ugate.protocols.h2blocks import MOST
from ugate.protocols.h2frames import Code, codeName
from ugate.protocols.httpconnectclient import authorityOf, refusalOf
from ugate.protocols.httpfields import Fields, values
from ugate.protocols.httpreply import Reply, Unserved, refusal
from ugate.stream import UDP, StreamInfo, Target

if TYPE_CHECKING:
    from ugate.protocols.websockettunnels import Tunnels

PROTOCOL: Final = "h2connect"
"""What such a stream was recognized as."""

OK: Final[Fields] = [(b":status", b"200")]
"""The answer that says that there is a stream."""

_OK_DATAGRAMS: Final[Fields] = [*OK, connectudp.CAPSULES]

LONGEST: Final = 1024
"""Bytes of one claim; a longer one is left out."""

MAX_REASON: Final = 512
"""Bytes that are read of why a stream was refused."""

_CLAIMS: Final = ("baggage", "forwarded")

_CAUSES: Final[Mapping[int, Cause]] = {
    Code.REFUSED_STREAM: Cause.OVERLOADED,
    Code.ENHANCE_YOUR_CALM: Cause.OVERLOADED,
    Code.CANCEL: Cause.PEER_CLOSED,
    Code.NO_ERROR: Cause.PEER_CLOSED,
    Code.CONNECT_ERROR: Cause.CONNECTION_REFUSED,
    Code.INADEQUATE_SECURITY: Cause.UNSUPPORTED,
    Code.HTTP_1_1_REQUIRED: Cause.UNSUPPORTED,
    Code.INTERNAL_ERROR: Cause.GENERAL,
}


def request(info: StreamInfo, hop: str, link: StreamInfo, isExtended: bool) -> Fields:
    """
    The header of the request for a stream.

    @param link: what is known of the connection.
    @param isExtended: whether the peer takes the C{CONNECT} of RFC 8441.
    @raise Refused: it has no target, or one that HTTP cannot name, or that the peer does not know.
    """
    target = info.target
    if target is None:
        raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, hop, "the stream names no target")
    if target.network == UDP:
        if not isExtended:
            step = "use one that serves CONNECT-UDP, or another way for datagrams"
            raise Refused(Cause.UNSUPPORTED, Phase.REMOTE, hop, "it takes no datagrams", step)
        fields = connectudp.request(target, link, hop)
    else:
        fields = [(b":method", b"CONNECT"), (b":authority", authorityOf(target, hop).encode("ascii"))]
    baggage = _claim(info.hints.get("baggage", ""))
    if baggage:
        fields.append((b"baggage", baggage))
    forwarded = _claim(", ".join(filter(None, (info.hints.get("forwarded", ""), _forPeer(info)))))
    if forwarded:
        fields.append((b"forwarded", forwarded))
    return fields


class Connects:
    """
    Asks for the streams of one connection by L{request}: those to the same target have the same header.

    @since: ugate NEXT
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[tuple[object, ...], Fields] = {}

    def request(self, info: StreamInfo, hop: str, link: StreamInfo, isExtended: bool) -> Fields:
        """
        See L{Asking}.
        """
        target, hints = info.target, info.hints
        if target is None or target.network == UDP:
            return request(info, hop, link, isExtended)
        host = getattr(info.peer, "host", None)
        key = target.host, target.port, host, hints.get("baggage"), hints.get("forwarded")
        fields = self.known.get(key)
        if fields is None:
            fields = request(info, hop, link, isExtended)
            if len(self.known) >= MOST:
                self.known.clear()
            if len(str(key)) <= LONGEST:
                self.known[key] = fields
        return fields

    def heard(self, info: StreamInfo, fields: Fields, hop: str) -> StreamInfo:
        """
        See L{Asking}.
        """
        return heard(info, fields, hop)


def _forPeer(info: StreamInfo) -> str:
    """
    For whom the stream is, if that has an address that means something elsewhere.
    """
    host = getattr(info.peer, "host", None)
    if host == "127.0.0.1":
        return ""
    try:
        address = ip_address(host) if isinstance(host, str) else None
    except ValueError:
        return ""
    if address is None or address.is_loopback:
        return ""
    return f"for={address}" if address.version == 4 else f'for="[{address}]"'


def _claim(text: str) -> bytes:
    return text.encode("ascii") if _isFit(text) else b""


def _isFit(text: str) -> bool:
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable() and text == text.strip()


def asked(fields: Fields, base: StreamInfo, tunnels: Tunnels | None = None) -> StreamInfo:
    """
    What is known of a stream from its request.

    @param base: what is known of the connection.
    @param tunnels: what takes streams in WebSocket (RFC 8441), if any.
    @raise Unserved: it is none of ours; with the answer.
    """
    said = dict(fields)
    if said.get(b":method") != b"CONNECT":
        allow = ((b"allow", b"CONNECT"),)
        raise Unserved(
            405, "This port carries streams: CONNECT HOST:PORT, in HTTP/2, and nothing else.", allow
        )
    protocol = said.get(b":protocol", b"").lower()
    if protocol == connectudp.NAME:
        return _known(connectudp.targetOf(said.get(b":path", b"")), fields, base)
    if protocol:
        if tunnels is None or protocol != b"websocket":
            raise Unserved(501, "This port knows no such :protocol: send a CONNECT without it.")
        return tunnels.asked(fields, base)
    if any(int(length or b"1") for length in values(fields, b"content-length") if length.isdigit()):
        raise Unserved(400, "A CONNECT request has no content of its own.")
    try:
        target = Target.fromText(said.get(b":authority", b"").decode("ascii"))
    except (StringError, UnicodeDecodeError) as e:
        raise Unserved(400, f"CONNECT wants HOST:PORT, and [v6]:PORT for IPv6: {e}.") from e
    return _known(target, fields, base)


def _known(target: Target, fields: Fields, base: StreamInfo) -> StreamInfo:
    hints = {**base.hints, **claims(fields)}
    return StreamInfo(base.peer, base.host, target, base.principal, PROTOCOL, hints, (*base.layers, PROTOCOL))


def heard(info: StreamInfo, fields: Fields, hop: str) -> StreamInfo:
    """
    What is known of a stream that we have asked for, once it is up.

    @param fields: the answer.
    """
    said = claims(fields)
    return info.but(hints={**info.hints, **said}) if said else info


class Asking(Protocol):
    """
    How a link asks for streams, as this module does for a C{CONNECT}.
    """

    def request(self, info: StreamInfo, hop: str, link: StreamInfo, isExtended: bool) -> Fields:
        """
        See L{request}.
        """

    def heard(self, info: StreamInfo, fields: Fields, hop: str) -> StreamInfo:
        """
        See L{heard}.

        @raise Refused: that is no answer to what was asked.
        """


class Asked:
    """
    What is known of the streams of one connection; those that are asked for in the same words share it.

    @since: ugate NEXT
    """

    __slots__ = ("_base", "_tunnels", "known")

    def __init__(self, base: StreamInfo, tunnels: Tunnels | None) -> None:
        """
        @param base: what is known of the connection.
        """
        self._base = base
        self._tunnels = tunnels
        self.known: dict[tuple[tuple[bytes, bytes], ...], StreamInfo] = {}

    def info(self, fields: Fields) -> StreamInfo:
        """
        See L{asked}.
        """
        key = tuple(fields)
        info = self.known.get(key)
        if info is None:
            info = asked(fields, self._base, self._tunnels)
            if len(self.known) >= MOST:
                self.known.clear()
            if sum(len(name) + len(value) for name, value in key) <= LONGEST:
                self.known[key] = info
        return info


def accepting(info: StreamInfo) -> Fields:
    """
    The answer that says that there is a stream, which may be a tunnel in WebSocket, or one of datagrams.
    """
    if info.protocol == PROTOCOL:
        return _OK_DATAGRAMS if info.target is not None and info.target.network == UDP else OK
    chosen = info.hints.get("subprotocol", "")
    return [*OK, (b"sec-websocket-protocol", chosen.encode("ascii"))] if chosen else OK


def claims(fields: Fields) -> dict[str, str]:
    """
    What the peer claims, as far as it is of a size and shape to go on.
    """
    found: dict[str, str] = {}
    if len(fields) == 1:
        # Nothing but a status.
        return found
    for name in _CLAIMS:
        text = b",".join(values(fields, name.encode("ascii"))).decode("latin-1")
        if _isFit(text):
            found[name] = text
    return found


def status(fields: Fields) -> int:
    """
    The status of an answer; 0 if it has none that could be one.
    """
    text = dict(fields).get(b":status", b"")
    return int(text) if len(text) == 3 and text.isdigit() else 0


def answer(reply: Reply) -> tuple[Fields, bytes]:
    """
    A reply in our own name, as header fields and content.
    """
    fields = [(b":status", b"%d" % reply.status)]
    fields += [(name.lower(), value) for name, value in reply.header(close=False)]
    return fields, reply.body


def refusing(reason: Refused) -> tuple[Fields, bytes]:
    """
    The answer that says why there is no stream.
    """
    return answer(refusal(reason))


def refused(hop: str, target: Target | None, fields: Fields, text: bytes) -> Refused:
    """
    What an answer other than 2xx means.

    @param text: what its content begins with.
    """
    kind = b"".join(values(fields, b"content-type")).lower()
    shown = text if kind.startswith(b"text/plain") or not kind else b""
    return refusalOf(hop, str(target), status(fields), b"", fields, shown)


def reset(hop: str, target: Target | None, code: int) -> Refused:
    """
    What the end of a stream means that was not answered.
    """
    cause = _CAUSES.get(code, Cause.PEER_MISBEHAVED)
    return Refused(cause, Phase.REMOTE, hop, f"{target}, {codeName(code)}")
