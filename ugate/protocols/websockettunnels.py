# -*- test-case-name: ugate.test.test_websockettunnels -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tunnels in WebSocket on the streams of HTTP/2 (RFC 8441), as browsers open them beside other requests.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from ugate.protocols.httpfields import Fields
from ugate.protocols.mux import MuxStream
from ugate.protocols.websocketlink import WebSocketLink
from ugate.protocols.websocketrules import PROTOCOL, Rules, checkVersion, subprotocol
from ugate.protocols.websocketwire import WebSocketStreams
from ugate.stream import StreamInfo


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
