# -*- test-case-name: ugate.test.test_httpconnectclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{CONNECT} as a client speaks it (RFC 9110, 9.3.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import INegotiation, Step
from ugate.protocols.httpauth import basicValue
from ugate.protocols.httpfields import values
from ugate.protocols.httpreply import causeOf
from ugate.stream import Principal, Target

if TYPE_CHECKING:
    import h11

_MORE: Final = Step()
_MAX_TEXT: Final = 200

_NEXT_STEP: Final = {
    Cause.DENIED: "have the rules of that proxy changed, or go another way",
    Cause.AUTHENTICATION: "give that hop a user name and a password that it takes",
    Cause.UNSUPPORTED: "use a proxy that serves CONNECT to that port",
    Cause.GENERAL: "look into the log of that proxy",
}


def _printable(text: bytes) -> str:
    """
    The first line of a text from a stranger, fit for a log.
    """
    line = text[:_MAX_TEXT].lstrip().partition(b"\n")[0]
    return "".join(c for c in line.decode("utf-8", "replace") if c.isprintable()).strip()


def refusalOf(
    hop: str,
    target: str,
    status: int,
    reason: bytes,
    fields: Iterable[tuple[bytes, bytes]],
    text: bytes,
) -> Refused:
    """
    What a response other than 2xx to a C{CONNECT} means.

    @param reason: the words beside the status.
    @param text: what its content begins with, if that is to be read.
    @since: ugate NEXT
    """
    fields = list(fields)
    squid = b",".join(values(fields, b"x-squid-error"))
    cause = causeOf(status, b",".join(values(fields, b"proxy-status")), squid)
    phase = Phase.AUTH if cause is Cause.AUTHENTICATION else Phase.REMOTE
    detail = f"{target}, {status} {_printable(reason)}".rstrip()
    said = _printable(text) or _printable(squid)
    if said:
        detail += f": {said}"
    return Refused(cause, phase, hop, detail, _NEXT_STEP.get(cause, ""))


def authorityOf(target: Target, hop: str) -> str:
    """
    The authority that asks for a target.

    @raise Refused: its name is not ASCII.
    """
    text = str(target)
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    raise Refused(
        Cause.NAME_UNKNOWN,
        Phase.NEGOTIATE,
        hop,
        f"{target.host!r} is not printable ASCII, and HTTP has no other names",
        "write the name in its ASCII form, with other letters as xn--...",
    )


class TunnelClient:
    """
    The client side of a request in HTTP/1.1 for a stream to a target, by name where it has one, so that the
    server resolves it.

    @cvar method: that of the request.
    @cvar step: what to do about a server that does not speak this.
    @since: ugate NEXT
    """

    __slots__ = ("_answer", "_conn", "_fields", "_hop", "_target", "_text", "_wanted")

    method = "CONNECT"
    step = ""

    def __init__(self, target: Target, hop: str) -> None:
        """
        @param target: where the server shall connect to.
        @param hop: what L{Refused} names.
        @raise Refused: the target cannot be said in HTTP.
        """
        self._target = self._wanted = authorityOf(target, hop)
        self._hop = hop
        self._fields: list[tuple[bytes, bytes]] = []
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
        request = h11.Request(method=self.method, target=self._wanted, headers=self._fields)
        return self._conn.send(request) + self._conn.send(h11.EndOfMessage())

    def receive(self, data: bytes) -> Step:
        """
        Take more of what the server says.

        @raise Refused: it says no, or it does not speak what was asked for.
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
                if isinstance(event, h11.InformationalResponse | h11.Response):
                    if self._isOpen(event):
                        return Step(done=True, rest=conn.trailing_data[0])
                    if isinstance(event, h11.InformationalResponse):
                        continue
                    self._answer = event
                    if _isWorthReading(event):
                        continue
                elif isinstance(event, h11.Data):
                    self._text += event.data
                    if len(self._text) < _MAX_TEXT and b"\n" not in self._text.lstrip():
                        continue
                elif not isinstance(event, h11.EndOfMessage):
                    return _MORE
                raise self._refusal()
        except h11.RemoteProtocolError as e:
            if self._answer is not None:
                raise self._refusal() from e
            raise self._misbehaved(f"its answer is no HTTP/1.1: {whyResponse(e)}") from e

    def _isOpen(self, answer: h11.InformationalResponse | h11.Response) -> bool:
        """
        Whether an answer is the last before the stream.

        @raise Refused: it is not, and no refusal either.
        """
        return 200 <= answer.status_code < 300

    def _misbehaved(self, detail: str) -> Refused:
        return Refused(Cause.PEER_MISBEHAVED, Phase.REMOTE, self._hop, detail, self.step)

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


@implementer(INegotiation)
class ConnectClient(TunnelClient):
    """
    The client side of C{CONNECT}: ask an HTTP proxy for a stream.

    @since: ugate NEXT
    """

    __slots__ = ()

    def __init__(
        self, target: Target, login: UsernamePassword | None = None, hop: str = "the HTTP proxy"
    ) -> None:
        """
        @param target: where the proxy shall connect to.
        @param login: sent to the proxy, if given; its fields are L{bytes}.
        @param hop: what L{Refused} names.
        @raise Refused: the target or the login cannot be said in HTTP.
        """
        super().__init__(target, hop)
        self._fields.append((b"Host", self._target.encode("ascii")))
        if login is not None:
            self._fields.append((b"Proxy-Authorization", basicValue(login, hop)))


def _isWorthReading(answer: h11.Response) -> bool:
    """
    Is there a text whose end will come without the end of the connection?
    """
    kind = b"".join(values(answer.headers, b"content-type"))
    framed = values(answer.headers, b"content-length") + values(answer.headers, b"transfer-encoding")
    return kind.lower().startswith(b"text/plain") and bool(framed)
