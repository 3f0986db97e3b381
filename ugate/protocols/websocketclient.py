# -*- test-case-name: ugate.test.test_websocketclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The client side of the handshake of WebSocket (RFC 6455, 4.1) as a negotiation.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import INegotiation, Step
from ugate.protocols.httpauth import basicValue
from ugate.protocols.httpconnectclient import authorityOf, isWorthReading, refusalOf
from ugate.protocols.httpfields import values
from ugate.protocols.websocketrules import isUpgrade
from ugate.protocols.websocketserver import acceptOf
from ugate.stream import Principal, Target

if TYPE_CHECKING:
    import h11

_MORE: Final = Step()
_MAX_TEXT: Final = 512
_STEP: Final = "check that a WebSocket tunnel is served there, and at that path"


@implementer(INegotiation)
class WebSocketClient:
    """
    The client side: ask for a tunnel to a target, by name where it has one.

    @since: ugate NEXT
    """

    __slots__ = ("_answer", "_conn", "_fields", "_hop", "_key", "_path", "_target", "_text")

    def __init__(
        self,
        target: Target,
        login: UsernamePassword | None,
        hop: str,
        *,
        place: str,
        path: str = "/",
    ) -> None:
        """
        @param target: where the tunnel shall lead.
        @param login: sent to the server, if given; its fields are L{bytes}.
        @param hop: what L{Refused} names.
        @param place: the server, for C{Host}.
        @param path: the path there.
        @raise Refused: the target or the login cannot be said in HTTP.
        """
        self._target = authorityOf(target, hop)
        self._hop = hop
        self._path = f"{path}?target={quote(self._target, safe=':[]')}"
        self._key = b64encode(os.urandom(16))
        self._fields: list[tuple[bytes, bytes]] = [
            (b"Host", place.encode("ascii")),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._key),
            (b"Sec-WebSocket-Version", b"13"),
        ]
        if login is not None:
            self._fields.append((b"Authorization", basicValue(login, hop)))
        self._conn: h11.Connection | None = None
        self._answer: h11.Response | None = None
        self._text = b""

    def start(self) -> bytes:
        """
        The request.
        """
        import h11

        from ugate.protocols.httphead import MAX_HEAD

        self._conn = h11.Connection(h11.CLIENT, MAX_HEAD)
        request = h11.Request(method=b"GET", target=self._path.encode("ascii"), headers=self._fields)
        return self._conn.send(request) + self._conn.send(h11.EndOfMessage())

    def receive(self, data: bytes) -> Step:
        """
        Take more of what the server says.

        @raise Refused: it says no, or it does not speak WebSocket.
        """
        import h11

        from ugate.protocols.httphead import whyResponse

        conn = self._conn
        if conn is None or not data:
            return _MORE
        conn.receive_data(data)
        try:
            while True:
                event = conn.next_event()
                if isinstance(event, h11.InformationalResponse):
                    if event.status_code == 101:
                        self._check(event)
                        return Step(done=True, rest=conn.trailing_data[0])
                elif isinstance(event, h11.Response):
                    self._answer = event
                    if not isWorthReading(event):
                        raise self._refusal()
                elif isinstance(event, h11.Data):
                    self._text += event.data
                    if len(self._text) >= _MAX_TEXT:
                        raise self._refusal()
                elif isinstance(event, h11.EndOfMessage):
                    raise self._refusal()
                else:
                    return _MORE
        except h11.RemoteProtocolError as e:
            if self._answer is not None:
                raise self._refusal() from e
            raise self._misbehaved(f"its answer is no HTTP/1.1: {whyResponse(e)}") from e

    def _check(self, answer: h11.InformationalResponse) -> None:
        """
        See that the server speaks WebSocket, and nothing that we did not ask for.
        """
        fields = list(answer.headers)
        if not isUpgrade(fields):
            raise self._misbehaved("it changes to another protocol")
        if values(fields, b"sec-websocket-accept") != [acceptOf(self._key)]:
            raise self._misbehaved("its Sec-WebSocket-Accept is not for our key")
        if values(fields, b"sec-websocket-extensions") or values(fields, b"sec-websocket-protocol"):
            raise self._misbehaved("it chose what we did not offer")

    def _misbehaved(self, detail: str) -> Refused:
        return Refused(Cause.PEER_MISBEHAVED, Phase.REMOTE, self._hop, detail, _STEP)

    def _refusal(self) -> Refused:
        answer = self._answer
        assert answer is not None
        return refusalOf(
            self._hop, self._target, answer.status_code, answer.reason, answer.headers, self._text
        )

    def login(self, principal: Principal | None) -> Step:
        """
        Nothing to do: a client checks no credentials.
        """
        return _MORE

    def accept(self) -> bytes:
        """
        Nothing: the server waits for no answer.
        """
        return b""

    def refuse(self, reason: Refused) -> bytes:
        """
        Nothing: a client says no by closing.
        """
        return b""
