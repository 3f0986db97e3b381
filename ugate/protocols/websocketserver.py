# -*- test-case-name: ugate.test.test_websocketserver -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The server side of the handshake of WebSocket (RFC 6455, 4.2) as a negotiation: a request that asks for an
C{Upgrade}, and the answer when its stream is up.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1
from typing import TYPE_CHECKING, Final

from zope.interface import implementer

from ugate.errors import ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.httpauth import CHALLENGE, WRONG, loginFrom
from ugate.protocols.httpfields import values
from ugate.protocols.httpreply import Unserved, refusal
from ugate.protocols.websocketrules import PROTOCOL, Rules, checkVersion, isUpgrade, subprotocol
from ugate.stream import Principal, StreamInfo, Target

# h11 is imported where it is wanted: it takes over ten milliseconds.
if TYPE_CHECKING:
    import h11

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_MORE: Final = Step()


def acceptOf(key: bytes) -> bytes:
    """
    The C{Sec-WebSocket-Accept} for a C{Sec-WebSocket-Key}: not for secrecy, and SHA-1 by RFC 6455, 1.3.
    """
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


@implementer(INegotiation)
class WebSocketServer:
    """
    The server side, up to the frames.

    @since: ugate NEXT
    """

    __slots__ = ("_answer", "_auth", "_conn", "_host", "_info", "_isPage", "_rules", "_target")

    def __init__(self, info: StreamInfo, auth: Auth, rules: Rules) -> None:
        """
        @param info: what is known so far.
        @param auth: whether a client has to prove who it is.
        @param rules: what is taken.
        """
        self._info = info
        self._auth = auth
        self._rules = rules
        self._conn: h11.Connection | None = None
        self._host = self._answer = b""
        self._isPage = False
        self._target: Target | None = None

    def start(self) -> bytes:
        """
        Nothing: the client speaks first.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more of the request.

        @raise ProtocolError: it is none, or none that is taken here.
        """
        import h11

        from ugate.protocols.httphead import MAX_HEAD, problem

        conn = self._conn
        if conn is None:
            conn = self._conn = h11.Connection(h11.SERVER, MAX_HEAD)
        if not data:
            return _MORE
        conn.receive_data(data)
        try:
            try:
                event = conn.next_event()
            except h11.RemoteProtocolError as e:
                raise problem(e) from e
            return self._asked(event) if isinstance(event, h11.Request) else _MORE
        except Unserved as e:
            raise _refusing(e) from e

    def _asked(self, request: h11.Request) -> Step:
        from ugate.protocols.httphead import checkFraming

        checkFraming(request)
        fields = list(request.headers)
        self._target = self._rules.target(request.target, fields)
        if request.method != b"GET" or request.http_version < b"1.1" or not isUpgrade(fields):
            wanted = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))
            raise Unserved(426, "This is a tunnel: it wants a WebSocket client, and shows no pages.", wanted)
        checkVersion(fields)
        # What two readers could take for two things: content, or the first frames.
        if values(fields, b"content-length") not in ([], [b"0"]) or values(fields, b"transfer-encoding"):
            raise Unserved(400, "A request for a tunnel has no content.")
        key = values(fields, b"sec-websocket-key")
        if len(key) != 1 or _KEY.fullmatch(key[0]) is None:
            raise Unserved(400, "Sec-WebSocket-Key wants 16 bytes in Base64.")
        self._host = b"".join(values(fields, b"host"))
        origins = values(fields, b"origin")
        self._isPage = bool(origins)
        self._rules.checkOrigin(origins, self._host)
        chosen = subprotocol(fields, self._target)
        protocol = b"Sec-WebSocket-Protocol: %b\r\n" % chosen if chosen else b""
        self._answer = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (acceptOf(key[0]), protocol)
        )
        if self._auth is not Auth.NONE:
            given = values(fields, b"authorization")
            credentials = loginFrom(given[0]) if len(given) == 1 else None
            if credentials is not None:
                return Step(credentials=credentials)
            if given or self._auth is Auth.REQUIRED:
                raise _challenge("This tunnel wants a user name and a password, or a token.")
        return self._done(self._info.principal)

    def login(self, principal: Principal | None) -> Step:
        """
        Go on with a request that had a login.

        @raise ProtocolError: it was not good.
        """
        try:
            if principal is None:
                raise _challenge(WRONG)
            return self._done(principal)
        except Unserved as e:
            raise _refusing(e) from e

    def _done(self, principal: Principal | None) -> Step:
        layers = (*self._info.layers, PROTOCOL)
        info = self._info.but(target=self._target, principal=principal, protocol=PROTOCOL, layers=layers)
        self._rules.checkHost(self._host, info, self._isPage)
        rest = self._conn.trailing_data[0] if self._conn is not None else b""
        self._conn = None
        return Step(done=True, rest=rest, info=info)

    def accept(self) -> bytes:
        """
        The stream is up: frames from here on.
        """
        return self._answer

    def refuse(self, reason: Refused) -> bytes:
        """
        Why there is no stream.
        """
        return refusal(reason).toBytes()


def _challenge(text: str) -> Unserved:
    return Unserved(401, text, ((b"WWW-Authenticate", CHALLENGE),))


def _refusing(error: Unserved) -> ProtocolError:
    return ProtocolError(f"WebSocket: {error}", error.reply.toBytes())
