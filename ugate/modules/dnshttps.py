# -*- test-case-name: ugate.test.test_dnshttps -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Servers of the DNS that are asked by HTTPS (RFC 8484): all questions on one connection of HTTP/2.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from ugate.errors import Cause, Refused
from ugate.modules.dnsforwarding import Server
from ugate.modules.dnsstreams import Connection, StreamServer
from ugate.protocols.dnswire import Asked

KIND: Final = b"application/dns-message"
ALPN: Final = (b"h2", b"http/1.1")

_LARGEST: Final = 65535
_STATUS: Final = b":status"
_TYPE: Final = b"content-type"


@dataclass(slots=True)
class _Exchange:
    """
    One request.
    """

    asked: Asked
    """What is asked."""

    answered: Deferred[bytes]
    """Where the answer goes."""

    trouble: str = "it answers nothing"
    """What is wrong with it; empty if nothing is."""

    body: bytearray = field(default_factory=bytearray)
    """What has come of the answer."""


class H2Connection(Connection):
    """
    One connection of HTTP/2.
    """

    def __init__(self, server: StreamServer, url: str) -> None:
        """
        @param url: what is asked for.
        """
        super().__init__(server)
        parts = urlsplit(url)
        self._authority = parts.netloc.encode()
        self._path = (parts.path or "/").encode() + b"?" + (f"{parts.query}&" if parts.query else "").encode()
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        self._exchanges: dict[int, _Exchange] = {}
        self.isSpoken = False

    def connectionMade(self) -> None:
        """
        It is up, in TLS.
        """
        transport: Any = self.transport
        if transport.negotiatedProtocol != ALPN[0]:
            self.abort()
            return
        self.isSpoken = True
        self._h2.initiate_connection()
        self._flush()

    def ask(self, asked: Asked, answered: Deferred[bytes]) -> None:
        """
        Send a question.
        """
        if not self.isSpoken:
            answered.errback(self.server.refused(Cause.UNSUPPORTED, "no HTTP/2"))
            return
        # Always the same number, so that caches on the way can be of use.
        question = urlsafe_b64encode(asked.wire(0, padded=True)).rstrip(b"=")
        headers = [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", self._authority),
            (b":path", self._path + b"dns=" + question),
            (b"accept", KIND),
        ]
        try:
            number = self._h2.get_next_available_stream_id()
            self._h2.send_headers(number, headers, end_stream=True)
        except h2.exceptions.ProtocolError as error:
            # It takes no more at once, or is going away.
            self.server.leave(self)
            answered.errback(self.server.refused(Cause.OVERLOADED, str(error)))
            return
        self.waiting[number] = asked, answered
        self._exchanges[number] = _Exchange(asked, answered)
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """
        Answers come.
        """
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()
            self.abort()
            return
        for event in events:
            self._happened(event)
        self._flush()

    def _happened(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._responded(event)
        elif isinstance(event, h2.events.DataReceived):
            self._came(event)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._ended(event.stream_id, "it breaks off")
        elif isinstance(event, h2.events.ConnectionTerminated):
            # It may answer what it has begun with, and takes nothing new.
            self.server.leave(self)

    def _responded(self, event: h2.events.ResponseReceived) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is None:
            return
        fields: dict[Any, Any] = dict(event.headers or ())
        status, kind = fields.get(_STATUS, b""), fields.get(_TYPE, b"")
        exchange.trouble = ""
        if status != b"200":
            exchange.trouble = f"it answers {status.decode('latin-1')}"
        elif kind.partition(b";")[0].strip().lower() != KIND:
            exchange.trouble = f"it answers with {kind[:80].decode('latin-1')!a}, and no message of the DNS"

    def _came(self, event: h2.events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        exchange = self._exchanges.get(event.stream_id)
        if exchange is None:
            return
        exchange.body += event.data or b""
        if len(exchange.body) > _LARGEST:
            self._h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.CANCEL)
            self._ended(event.stream_id, f"an answer of more than {_LARGEST} bytes")

    def _ended(self, number: int, trouble: str = "") -> None:
        exchange = self._exchanges.pop(number, None)
        if exchange is None:
            return
        del self.waiting[number]
        trouble = trouble or exchange.trouble
        data = bytes(exchange.body)
        if not trouble and not exchange.asked.isAnsweredBy(data):
            trouble = "it answers what was not asked"
        result = self.server.refused(Cause.PEER_MISBEHAVED, trouble) if trouble else data
        self.answered(exchange.answered, result)

    def _flush(self) -> None:
        transport: Any = self.transport
        data = self._h2.data_to_send()
        if data and transport is not None:
            transport.write(data)


class HttpsServer:
    """
    A server that is asked by HTTPS, in HTTP/2 if it knows that.

    @ivar title: what it is called.
    @since: ugate NEXT
    """

    def __init__(
        self,
        clock: Any,
        url: str,
        endpoint: Callable[[], IStreamClientEndpoint],
        older: Callable[[], Server],
        title: str = "",
    ) -> None:
        """
        @param endpoint: makes what connects to it, in TLS that offers L{ALPN}.
        @param older: makes what asks it if it knows no HTTP/2.
        @param title: what it is called, if not by its URL.
        """
        self.title = title or url
        self._server: Server = StreamServer(
            clock, self.title, endpoint, makes=lambda server: H2Connection(server, url)
        )
        self._older: Callable[[], Server] | None = older

    def ask(self, asked: Asked) -> Deferred[bytes]:
        """
        See L{ugate.modules.dnsforwarding.Server.ask}.
        """
        asking = self._server.ask(asked)
        if self._older is not None:
            asking.addErrback(self._failed, asked)
        return asking

    def _failed(self, failure: Failure, asked: Asked) -> Any:
        error = failure.value
        if not isinstance(error, Refused) or error.cause is not Cause.UNSUPPORTED:
            return failure
        if self._older is not None:
            self._server, self._older = self._older(), None
        return self._server.ask(asked)

    def stop(self) -> None:
        """
        See L{ugate.modules.dnsforwarding.Server.stop}.
        """
        self._server.stop()
