# -*- test-case-name: ugate.test.test_httpreply -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a proxy says in its own name, and how its clients read it: HTTP statuses and
the errors of C{Proxy-Status} (RFC 9209), from and to L{Cause}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.protocols.httpauth import CHALLENGE
from ugate.protocols.httpfields import Fields

_PHRASES: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    407: b"Proxy Authentication Required",
    408: b"Request Timeout",
    426: b"Upgrade Required",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}

# A hop that refuses our login is no matter between the client and us: 407 would
# make the client send us the secrets of somebody else.
_ANSWERS: Final = {
    Cause.DENIED: (403, "http_request_denied"),
    Cause.NAME_UNKNOWN: (502, "dns_error"),
    Cause.NETWORK_UNREACHABLE: (502, "destination_ip_unroutable"),
    Cause.HOST_UNREACHABLE: (502, "destination_unavailable"),
    Cause.CONNECTION_REFUSED: (502, "connection_refused"),
    Cause.TIMED_OUT: (504, "connection_timeout"),
    Cause.AUTHENTICATION: (502, "proxy_configuration_error"),
    Cause.UNSUPPORTED: (501, "http_request_error"),
    Cause.OVERLOADED: (503, "connection_limit_reached"),
    Cause.PEER_CLOSED: (502, "connection_terminated"),
    Cause.PEER_MISBEHAVED: (502, "http_protocol_error"),
    Cause.GENERAL: (502, "proxy_internal_error"),
}

_BY_PHASE: Final = {
    (Phase.RESOLVE, Cause.TIMED_OUT): "dns_timeout",
    (Phase.TLS, Cause.GENERAL): "tls_protocol_error",
    (Phase.TLS, Cause.PEER_MISBEHAVED): "tls_protocol_error",
    (Phase.REMOTE, Cause.TIMED_OUT): "http_response_timeout",
}

_BY_ERROR: Final = {
    "http_request_denied": Cause.DENIED,
    "destination_ip_prohibited": Cause.DENIED,
    "dns_error": Cause.NAME_UNKNOWN,
    "destination_not_found": Cause.NAME_UNKNOWN,
    "destination_ip_unroutable": Cause.NETWORK_UNREACHABLE,
    "destination_unavailable": Cause.HOST_UNREACHABLE,
    "connection_refused": Cause.CONNECTION_REFUSED,
    "dns_timeout": Cause.TIMED_OUT,
    "connection_timeout": Cause.TIMED_OUT,
    "connection_read_timeout": Cause.TIMED_OUT,
    "connection_write_timeout": Cause.TIMED_OUT,
    "http_response_timeout": Cause.TIMED_OUT,
    "connection_limit_reached": Cause.OVERLOADED,
    "connection_terminated": Cause.PEER_CLOSED,
    "http_response_incomplete": Cause.PEER_CLOSED,
    "http_protocol_error": Cause.PEER_MISBEHAVED,
    "tls_protocol_error": Cause.PEER_MISBEHAVED,
    "tls_certificate_error": Cause.PEER_MISBEHAVED,
    "tls_alert_received": Cause.PEER_MISBEHAVED,
    "http_request_error": Cause.UNSUPPORTED,
}

_BY_STATUS: Final = {
    401: Cause.AUTHENTICATION,
    403: Cause.DENIED,
    405: Cause.UNSUPPORTED,
    407: Cause.AUTHENTICATION,
    408: Cause.TIMED_OUT,
    429: Cause.OVERLOADED,
    501: Cause.UNSUPPORTED,
    504: Cause.TIMED_OUT,
    505: Cause.UNSUPPORTED,
}

# What Squid says in X-Squid-Error: a name, and an errno of Linux.
_BY_SQUID: Final = {
    b"ERR_ACCESS_DENIED": Cause.DENIED,
    b"ERR_CACHE_ACCESS_DENIED": Cause.AUTHENTICATION,
    b"ERR_CONNECT_FAIL 101": Cause.NETWORK_UNREACHABLE,
    b"ERR_CONNECT_FAIL 110": Cause.TIMED_OUT,
    b"ERR_CONNECT_FAIL 111": Cause.CONNECTION_REFUSED,
    b"ERR_CONNECT_FAIL 113": Cause.HOST_UNREACHABLE,
    b"ERR_DNS_FAIL": Cause.NAME_UNKNOWN,
    b"ERR_READ_TIMEOUT": Cause.TIMED_OUT,
}

_quoted = re.compile(rb'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Reply:
    """
    A final response that the proxy itself gives.

    @since: ugate NEXT
    """

    status: int
    """The status code."""

    text: str
    """What a person shall read, without secrets."""

    fields: tuple[tuple[bytes, bytes], ...] = ()
    """Header fields that belong to this reply, apart from those that all have."""

    @property
    def phrase(self) -> bytes:
        """
        The words that stand beside the status code.
        """
        return _PHRASES[self.status]

    @property
    def body(self) -> bytes:
        """
        The content.
        """
        return self.text.encode("utf-8", "backslashreplace") + b"\n" if self.text else b""

    def header(self, close: bool) -> Fields:
        """
        All the header fields, with the length of the content.

        @param close: whether the connection ends with this reply.
        """
        fields = [*self.fields, (b"Content-Length", b"%d" % len(self.body))]
        if self.text:
            fields += [
                (b"Content-Type", b"text/plain; charset=utf-8"),
                (b"X-Content-Type-Options", b"nosniff"),
            ]
        fields.append((b"Cache-Control", b"no-store"))
        if close:
            fields.append((b"Connection", b"close"))
        return fields

    def toBytes(self, close: bool = True) -> bytes:
        """
        The whole response, for whoever has no state of HTTP to keep.

        @param close: whether the connection ends with it.
        """
        head = b"".join(b"%b: %b\r\n" % field for field in self.header(close))
        return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (self.status, self.phrase, head, self.body)


class Unserved(UgateError):
    """
    A request that gets no further, with the answer that says why and what to do.

    @ivar reply: the answer.
    @since: ugate NEXT
    """

    def __init__(self, status: int, text: str, fields: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(text)
        self.reply = Reply(status, text, fields)


def refusal(reason: Refused) -> Reply:
    """
    A refusal in the words of HTTP.

    @since: ugate NEXT
    """
    status, error = _ANSWERS[reason.cause]
    error = _BY_PHASE.get((reason.phase, reason.cause), error)
    return Reply(status, str(reason), ((b"Proxy-Status", b"ugate; error=%b" % error.encode("ascii")),))


def challenge(text: str) -> Reply:
    """
    A 407 that asks for Basic credentials.

    @since: ugate NEXT
    """
    return Reply(407, text, ((b"Proxy-Authenticate", CHALLENGE),))


def causeOf(status: int, proxyStatus: bytes, squidError: bytes = b"") -> Cause:
    """
    Why a proxy said no, as far as it lets us know.

    @param status: the status code of its response, which is not 2xx.
    @param proxyStatus: the value of its C{Proxy-Status}, or empty.  Of several
        members the first with a known error counts: it is the nearest to the target.
    @param squidError: the value of its C{X-Squid-Error}, or empty.
    @since: ugate NEXT
    """
    # The text in quotation marks may look like parameters.
    for part in re.split(b"[;,]", _quoted.sub(b"", proxyStatus)):
        name, _, error = part.partition(b"=")
        if name.strip() == b"error":
            cause = _BY_ERROR.get(error.strip().decode("latin-1"))
            if cause is not None:
                return cause
    squid = _BY_SQUID.get(squidError) or _BY_SQUID.get(squidError.partition(b" ")[0])
    return squid or _BY_STATUS.get(status, Cause.GENERAL)
