# -*- test-case-name: ugate.test.test_dnspages -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Questions by HTTP (RFC 8484).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ugate.endpoints.sources import sourceOf
from ugate.modules.dnsplaces import Places
from ugate.modules.dnsserving import Answer
from ugate.modules.problems import Trouble, protect, sendTrouble
from ugate.protocols.dnsanswers import leastTtl

KIND: Final = b"application/dns-message"
MAX_SIZE: Final = 4096
"""Bytes of a question."""

MAX_UNANSWERED: Final = 256
"""Questions that wait for answers."""

_BASE64: Final = re.compile(rb"[A-Za-z0-9_-]*")


class DnsPages(Resource):
    """
    Where questions are asked.

    @since: ugate NEXT
    """

    isLeaf = True
    log = Logger()

    def __init__(self, answer: Answer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer
        self._places = Places()

    def render(self, request: Any) -> Any:
        """
        See L{IResource}.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        asked = maybeDeferred(self._ask, request)
        asked.addCallbacks(_send, _refuse, (request, gone), {}, (request, gone), {})
        asked.addErrback(lambda failure: self.log.failure("an answer was not sent", failure))
        return NOT_DONE_YET

    def _ask(self, request: Any) -> Any:
        data = _questionIn(request)
        if len(data) > MAX_SIZE:
            raise Trouble(413, f"a question may have {MAX_SIZE} bytes")
        source = sourceOf(request.getClientAddress())
        if not self._places.take(source, MAX_UNANSWERED):
            raise Trouble(503, "too many questions wait for answers")
        return maybeDeferred(self._answer, data, True, source).addBoth(self._answered, source)

    def _answered(self, result: Any, source: str | None) -> Any:
        self._places.give(source)
        return result


def _questionIn(request: Any) -> bytes:
    if any(request.postpath):
        raise Trouble(404, "there is nothing below this")
    if request.method == b"POST":
        kinds = request.requestHeaders.getRawHeaders(b"Content-Type", [])
        if [each.strip().lower() for each in kinds] != [KIND]:
            raise Trouble(415, f"wanted a body of the type {KIND.decode()}")
        body: bytes = request.content.read(MAX_SIZE + 1)
        return body
    if request.method not in (b"GET", b"HEAD"):
        raise Trouble(405, "wanted GET or POST")
    given = request.args.get(b"dns", [])
    if len(given) != 1 or _BASE64.fullmatch(given[0]) is None or len(given[0]) % 4 == 1:
        raise Trouble(400, "wanted ?dns= with one question, in base64url without =")
    return urlsafe_b64decode(given[0] + b"=" * (-len(given[0]) % 4))


def _send(answer: bytes, request: Any, gone: list[Failure]) -> None:
    if gone:
        return
    if not answer:
        sendTrouble(request, Trouble(400, "this is no question"))
        return
    protect(request)
    # For as long as all of it is good, and by nobody else: who may ask is asked each time.
    request.setHeader(b"Cache-Control", b"private, max-age=%d" % leastTtl(answer))
    request.setHeader(b"Content-Type", KIND)
    request.setHeader(b"Content-Length", b"%d" % len(answer))
    if request.method != b"HEAD":
        request.write(answer)
    request.finish()


def _refuse(failure: Failure, request: Any, gone: list[Failure]) -> None:
    trouble = failure.value
    if not isinstance(trouble, Trouble):
        failure.raiseException()
    elif not gone:
        sendTrouble(request, trouble)
