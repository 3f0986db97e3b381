# -*- test-case-name: ugate.test.test_websockettunnels -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tunnels in WebSocket on the streams of HTTP/2 (RFC 8441), as browsers open them beside other requests; and how
we ask for such.
"""

from __future__ import annotations

from collections.abc import Callable

from hpack import NeverIndexedHeaderTuple

from twisted.cred.credentials import UsernamePassword
from twisted.internet.interfaces import IReactorTime

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.httpauth import basicValue
from ugate.protocols.httpconnectclient import authorityOf
from ugate.protocols.httpfields import Fields
from ugate.protocols.mux import MuxStream
from ugate.protocols.websocketclient import pathTo
from ugate.protocols.websocketlink import WebSocketLink
from ugate.protocols.websocketrules import (
    OFFERED,
    PROTOCOL,
    STEP,
    Rules,
    checkChosen,
    checkVersion,
    subprotocol,
)
from ugate.protocols.websocketwire import WebSocketStreams
from ugate.stream import UDP, StreamInfo


class Tunnels(WebSocketStreams):
    """
    What takes them.

    @since: ugate NEXT
    """

    def __init__(self, clock: IReactorTime, rules: Rules) -> None:
        """
        @param clock: what tells the time.
        @param rules: which are taken.
        """
        super().__init__(clock, False)
        self._rules = rules

    def asked(self, fields: Fields, base: StreamInfo) -> StreamInfo:
        """
        What is known of a stream from its request.

        @param base: what is known of the connection.
        @raise Unserved: it is not taken.
        """
        said = dict(fields)
        target = self._rules.target(said.get(b":path", b""), fields)
        checkVersion(fields)
        chosen = subprotocol(fields, target).decode("ascii")
        info = base.but(
            target=target,
            protocol=PROTOCOL,
            hints={**base.hints, "subprotocol": chosen} if chosen else base.hints,
            layers=(*base.layers, PROTOCOL),
        )
        self._rules.check(fields, said.get(b":authority", b""), info)
        return info

    def within(self, stream: MuxStream) -> MuxStream:
        """
        The stream in the messages of one that a peer has opened, if it was asked for in that way.
        """
        if stream.info.protocol != PROTOCOL:
            return stream
        link = WebSocketLink(self, None, stream.info)
        stream.begin(link)
        return link.stream


class Asking:
    """
    Asks a server for tunnels: L{ugate.protocols.h2requests.Asking}.

    @since: ugate NEXT
    """

    def __init__(self, login: Callable[[], UsernamePassword | None], place: str, path: str) -> None:
        """
        @param login: what is sent to the server for each; raises L{Refused} if it cannot be had.
        @param place: the server, for C{:authority}.
        @param path: the path there.
        """
        self._login = login
        self._place = place
        self._path = path

    def request(self, info: StreamInfo, hop: str, link: StreamInfo, isExtended: bool) -> Fields:
        """
        The header of the request for a stream.

        @raise Refused: the server takes none, or it cannot be said in HTTP.
        """
        target = info.target
        if target is None or not isExtended:
            raise Refused(Cause.UNSUPPORTED, Phase.REMOTE, hop, "no tunnel can be asked for there", STEP)
        authorityOf(target, hop)
        fields: Fields = [
            (b":method", b"CONNECT"),
            (b":protocol", b"websocket"),
            (b":scheme", b"https"),
            (b":authority", self._place.encode("ascii")),
            (b":path", pathTo(target, self._path).encode("ascii")),
            (b"sec-websocket-version", b"13"),
        ]
        if target.network == UDP:
            fields.append((b"sec-websocket-protocol", OFFERED))
        login = self._login()
        if login is not None:
            # Nobody on the way may keep it in a table.
            fields.append(NeverIndexedHeaderTuple(b"authorization", basicValue(login, hop)))
        return fields

    def heard(self, info: StreamInfo, fields: Fields, hop: str) -> StreamInfo:
        """
        See that the server has taken what we asked for.

        @raise Refused: it has taken something else.
        """
        checkChosen(fields, info.target, hop)
        return info
