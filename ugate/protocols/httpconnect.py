# -*- test-case-name: ugate.test.test_httpconnect -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The server side of an HTTP/1.1 proxy as a negotiation: C{CONNECT}, and the
recognition of requests that others serve (RFC 9110, 9.3.6; RFC 9112, 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zope.interface import implementer

from ugate.errors import ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.httpauth import UNREAD, WRONG, loginFrom
from ugate.protocols.httpfields import tokens, values
from ugate.protocols.httpreply import Reply, Unserved, challenge, refusal
from ugate.stream import Principal, StreamInfo, Target

# h11 is imported where it is wanted: it takes over ten milliseconds.
if TYPE_CHECKING:
    import h11

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""The answer to a C{CONNECT} whose stream is up."""

MAX_TRIES: Final = 3
"""How many requests of a connection may lack a good login (L{int})."""

_MORE: Final = Step()
_USAGE: Final = (
    "This port is a proxy, not a web site.\n"
    "Point a program at it, as in: curl -x http://{where} http://example.com/"
)


@implementer(INegotiation)
class HttpProxy:
    """
    The server side of an HTTP proxy, up to the first request that is no matter
    of negotiation.

    A C{CONNECT} makes a stream of protocol C{connect}.  A request with a whole URI
    ends the negotiation with protocol C{http} and without a target, and one
    without a host, if C{origin} serves these, with protocol C{http-origin}: in
    both cases C{Step.rest} starts with that request, and neither its login nor
    its host has been looked at.

    @since: ugate NEXT
    """

    __slots__ = ("_auth", "_conn", "_info", "_origin", "_request", "_seen", "_target", "_tries")

    def __init__(self, info: StreamInfo, auth: Auth, origin: Target | None = None) -> None:
        """
        @param info: what is known so far.
        @param auth: whether a C{CONNECT} has to prove who asks.
        @param origin: who serves those that take this port for a web site; L{None}
            tells them that it is a proxy.
        """
        self._info = info
        self._auth = auth
        self._origin = origin
        self._conn: h11.Connection | None = None
        self._request: h11.Request | None = None
        self._target: Target | None = None
        self._seen = b""
        self._tries = 0

    def start(self) -> bytes:
        """
        Nothing: the client speaks first.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more of a request.

        @raise ProtocolError: it is none, or none for a proxy.
        """
        return self._read(data, b"")

    def _read(self, data: bytes, send: bytes) -> Step:
        """
        @param send: what is owed to the client from before.
        """
        import h11

        from ugate.protocols.httphead import MAX_HEAD, problem

        conn = self._conn
        if conn is None:
            # Empty lines before a request are to be ignored (RFC 9112, 2.2).
            data = data.lstrip(b"\r\n")
            conn = h11.Connection(h11.SERVER, MAX_HEAD)
            if data:
                self._conn = conn
        if not data:
            return Step(send) if send else _MORE
        self._seen = self._seen + data if self._seen else data
        conn.receive_data(data)
        try:
            try:
                event = conn.next_event()
            except h11.RemoteProtocolError as e:
                raise problem(e) from e
            if isinstance(event, h11.Request):
                return self._asked(event, send)
        except Unserved as e:
            line = str(e).partition("\n")[0]
            raise ProtocolError(f"HTTP: {line}", send + e.reply.toBytes()) from e
        return Step(send) if send else _MORE

    def _asked(self, request: h11.Request, send: bytes) -> Step:
        """
        Find out what a request is for.

        @raise Unserved: it is for nothing that is served here.
        """
        from ugate.protocols.httphead import authority, checkFraming

        target = request.target
        if request.method == b"CONNECT":
            checkFraming(request)
            self._target = authority(target)
            return self._connect(request, send)
        if b"://" in target:
            return self._elsewhere("http", None, send)
        if request.http_version[:2] == b"1." and (target[:1] == b"/" or target == b"*"):
            if self._origin is not None:
                return self._elsewhere("http-origin", self._origin, send)
            raise Unserved(400, _USAGE.format(where=self._where()))
        raise Unserved(400, "This port speaks HTTP/1.1, as a proxy: CONNECT HOST:PORT or GET http://HOST/.")

    def _where(self) -> str:
        """
        The address of this proxy, as the client has it.
        """
        host, port = getattr(self._info.host, "host", ""), getattr(self._info.host, "port", 0)
        return str(Target(host, port)) if host and port else "THIS-HOST:THIS-PORT"

    def _elsewhere(self, protocol: str, target: Target | None, send: bytes) -> Step:
        """
        Leave the request to others, unread.
        """
        layers = (*self._info.layers, "http")
        self._info = self._info.but(target=target, protocol=protocol, layers=layers)
        rest = self._seen
        self._forget()
        return Step(send, done=True, rest=rest, info=self._info)

    def _connect(self, request: h11.Request, send: bytes) -> Step:
        """
        See to the login of a C{CONNECT}.

        @raise Unserved: there are two logins.
        """
        self._request = request
        if self._auth is Auth.NONE:
            return self._done(self._info.principal, send)
        given = values(request.headers.raw_items(), b"proxy-authorization")
        if not given:
            if self._auth is Auth.OPTIONAL:
                return self._done(self._info.principal, send)
            return self._challenge("This proxy wants a user name and a password.", send)
        if len(given) > 1:
            raise Unserved(400, "A request has one Proxy-Authorization.")
        credentials = loginFrom(given[0])
        if credentials is None:
            return self._challenge(UNREAD, send)
        return Step(send, credentials=credentials)

    def login(self, principal: Principal | None) -> Step:
        """
        Go on with the C{CONNECT} that had a login.

        @raise ProtocolError: it was not good, and there were too many of these.
        """
        if principal is not None:
            return self._done(principal, b"")
        return self._challenge(WRONG, b"")

    def _done(self, principal: Principal | None, send: bytes) -> Step:
        """
        The stream that is asked for is known.
        """
        base = self._info
        layers = (*base.layers, "connect")
        # Not by but(), which takes longer than all the rest of this.
        info = StreamInfo(base.peer, base.host, self._target, principal, "connect", base.hints, layers)
        self._info = info
        rest = self._unread()
        self._forget()
        return Step(send, done=True, rest=rest, info=info)

    def _unread(self) -> bytes:
        """
        The bytes after the head.
        """
        return self._conn.trailing_data[0] if self._conn is not None else b""

    def _forget(self) -> None:
        """
        Let go of a request: a stream may be up for days.
        """
        self._conn = self._request = None
        self._seen = b""

    def _challenge(self, text: str, send: bytes) -> Step:
        """
        Ask for a login, and go on with the next request.

        @raise ProtocolError: there is no further try.
        """
        self._tries += 1
        reply: Reply = challenge(text)
        request = self._request
        if (
            request is None
            or request.http_version < b"1.1"
            or b"close" in tokens(request.headers, b"connection")
            or self._tries >= MAX_TRIES
        ):
            raise ProtocolError(f"HTTP: {text}", send + reply.toBytes())
        rest = self._unread()
        self._forget()
        return self._read(rest, send + reply.toBytes(close=False))

    def accept(self) -> bytes:
        """
        The stream is up; what serves other requests than C{CONNECT} says so itself.
        """
        return ESTABLISHED if self._info.protocol == "connect" else b""

    def refuse(self, reason: Refused) -> bytes:
        """
        Why there is no stream.
        """
        return refusal(reason).toBytes()
