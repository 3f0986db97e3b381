# -*- test-case-name: ugate.test.test_websocketclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The client side of the handshake of WebSocket (RFC 6455, 4.1) as a negotiation.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword

from ugate.interfaces import INegotiation
from ugate.protocols.httpauth import basicValue
from ugate.protocols.httpconnectclient import TunnelClient
from ugate.protocols.httpfields import values
from ugate.protocols.websocketrules import OFFERED, STEP, checkChosen, isUpgrade
from ugate.protocols.websocketserver import acceptOf
from ugate.stream import UDP, Target

if TYPE_CHECKING:
    import h11


def pathTo(target: Target, path: str) -> str:
    """
    What is asked for at a path of a server: the protocol that is offered says whether it carries datagrams.
    """
    return f"{path}?target={quote(str(Target(target.host, target.port)), safe=':[]')}"


@implementer(INegotiation)
class WebSocketClient(TunnelClient):
    """
    The client side: ask for a tunnel to a target, by name where it has one.

    @since: ugate NEXT
    """

    __slots__ = ("_key", "_place")

    method = "GET"
    step = STEP

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
        super().__init__(target, hop)
        self._place = target
        self._wanted = pathTo(target, path)
        self._key = b64encode(os.urandom(16))
        self._fields = [
            (b"Host", place.encode("ascii")),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._key),
            (b"Sec-WebSocket-Version", b"13"),
        ]
        if target.network == UDP:
            self._fields.append((b"Sec-WebSocket-Protocol", OFFERED))
        if login is not None:
            self._fields.append((b"Authorization", basicValue(login, hop)))

    def _isOpen(self, answer: h11.InformationalResponse | h11.Response) -> bool:
        """
        See that the server speaks WebSocket, and nothing that we did not ask for.
        """
        if answer.status_code != 101:
            return False
        fields = list(answer.headers)
        if not isUpgrade(fields):
            raise self._misbehaved("it changes to another protocol")
        if values(fields, b"sec-websocket-accept") != [acceptOf(self._key)]:
            raise self._misbehaved("its Sec-WebSocket-Accept is not for our key")
        checkChosen(fields, self._place, self._hop)
        return True
