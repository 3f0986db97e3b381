# -*- test-case-name: ugate.test.test_admin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the admin API says instead of an answer (RFC 9457), and how it answers at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.modules.answers import Mistake, Problem
from ugate.stream import Target

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
TITLES: Final[Mapping[int, str]] = {
    400: "not understood",
    401: "who are you?",
    403: "not allowed",
    404: "no such thing",
    405: "not that way",
    408: "too slow",
    409: "not as things are",
    412: "changed meanwhile",
    413: "too large",
    415: "not JSON",
    421: "not here",
    422: "mistakes in the configuration",
    429: "too often",
    500: "a fault of ours",
    501: "not here",
    503: "not now",
}
"""What a status is called."""

SAFETY: Final = (
    (b"Cache-Control", b"no-store"),
    (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; sandbox"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
)
"""The fields by which a browser lets no page make use of an answer."""

CHALLENGES: Final = (b'Basic realm="ugate", charset="UTF-8"', b'Bearer realm="ugate"')


_TOLD: Final = frozenset([401, 403, 421])
"""What is worth a line in the log: somebody tries what is not theirs."""

_log: Final = Logger()


class Trouble(UgateError):
    """
    An operation that is not done: C{status} says what sort of reason there is, C{detail} which.

    @since: ugate NEXT
    """

    def __init__(self, status: int, detail: str, mistakes: Sequence[Mistake] = ()) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        return self.detail

    def problem(self) -> Problem:
        """
        It as it is sent.
        """
        return Problem(TITLES[self.status], self.status, self.detail, self.mistakes)


def protect(request: Any) -> None:
    """
    Set the fields that keep pages of other sites, and of this one, from what we answer.
    """
    for name, value in SAFETY:
        request.responseHeaders.setRawHeaders(name, [value])


def send(request: Any, status: int, body: bytes, kind: bytes = JSON) -> None:
    """
    Answer a request and be done with it.
    """
    request.setResponseCode(status)
    protect(request)
    request.setHeader(b"Content-Type", kind)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    if request.method != b"HEAD":
        request.write(body)
    request.finish()


def sendTrouble(request: Any, trouble: Trouble) -> None:
    """
    Say why there is no answer.
    """
    if trouble.status in _TOLD:
        _log.info(
            "admin: {peer} is told {status}: {detail}",
            peer=_inWords(request.getClientAddress()),
            status=trouble.status,
            detail=trouble.detail,
        )
    if trouble.status == 401:
        request.responseHeaders.setRawHeaders(b"WWW-Authenticate", list(CHALLENGES))
    send(request, trouble.status, msgspec.json.encode(trouble.problem()), PROBLEM)


def _inWords(address: Any) -> str:
    host = getattr(address, "host", None)
    return str(Target(host, address.port)) if isinstance(host, str) else str(address)
