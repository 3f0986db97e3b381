# -*- test-case-name: ugate.test.test_dnshttp1 -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Servers of the DNS that are asked by HTTPS (RFC 8484) and know no more than HTTP/1.1.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory

from ugate.bodies import Collecting
from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.protocols.dnswire import Asked

KIND: Final = b"application/dns-message"
MAX_UNANSWERED: Final = 64
"""Questions that wait for answers, each on a connection."""

MAX_CONNECTIONS: Final = 4
"""Connections that are kept for the next requests."""

_IDLE: Final = 10
_LARGEST: Final = 65535


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """
    The way to one server, whatever the URI.
    """

    def __init__(self, endpoint: Callable[[], IStreamClientEndpoint]) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        """
        See L{IAgentEndpointFactory}.
        """
        return self._endpoint()


class Http1Server:
    """
    A server that is asked by HTTP/1.1.

    @ivar title: what it is called.
    @since: ugate NEXT
    """

    def __init__(
        self, clock: Any, url: str, endpoint: Callable[[], IStreamClientEndpoint], title: str = ""
    ) -> None:
        """
        @param endpoint: makes what connects to it, in TLS.
        @param title: what it is called, if not by its URL.
        """
        self.title = title or url
        self._url = url.replace("%", "%%").encode("ascii") + (b"&" if "?" in url else b"?") + b"dns=%b"
        self._pool = HTTPConnectionPool(clock)
        self._pool.maxPersistentPerHost = MAX_CONNECTIONS
        self._pool.cachedConnectionTimeout = _IDLE
        self._agent = Agent.usingEndpointFactory(clock, _Endpoints(endpoint), self._pool)
        self._asking: set[Deferred[Any]] = set()

    def ask(self, asked: Asked) -> Deferred[bytes]:
        """
        See L{ugate.modules.dnsforwarding.Server.ask}.
        """
        if len(self._asking) >= MAX_UNANSWERED:
            return fail(self._refused(f"{MAX_UNANSWERED} questions wait for answers", Cause.OVERLOADED))
        # Always the same number, so that caches on the way can be of use.
        question = urlsafe_b64encode(asked.wire(0, padded=True)).rstrip(b"=")
        headers = Headers({b"Accept": [KIND]})
        request: Deferred[Any] = self._agent.request(b"GET", self._url % question, headers)
        self._asking.add(request)
        request.addCallback(self._responded)
        request.addBoth(self._ended, request)
        request.addCallback(self._checked, asked)
        request.addErrback(self._failed)
        return request

    def _responded(self, response: Any) -> Deferred[bytes]:
        kinds = response.headers.getRawHeaders(b"Content-Type", [b""])
        trouble = ""
        if response.code != 200:
            trouble = f"it answers {response.code}"
        elif kinds[0].partition(b";")[0].strip().lower() != KIND:
            trouble = f"it answers with {kinds[0][:80].decode('latin-1')!a}, and no message of the DNS"
        body = Collecting(_LARGEST, self._refused)
        response.deliverBody(body)
        if not trouble:
            return body.done
        # To be read to its end, so that the connection is good for the next one.
        body.done.addErrback(lambda _: None)
        return fail(self._refused(trouble))

    def _ended(self, result: Any, request: Deferred[Any]) -> Any:
        self._asking.discard(request)
        return result

    def _checked(self, data: bytes, asked: Asked) -> bytes:
        if not asked.isAnsweredBy(data):
            raise self._refused("it answers what was not asked")
        return data

    def _failed(self, failure: Failure) -> bytes:
        reason = failure.value
        if isinstance(reason, UgateError):
            raise reason
        inner: Any = getattr(reason, "reasons", None)
        if inner:
            # What a request failed of is within.
            reason = inner[0].value
            if isinstance(reason, UgateError):
                raise reason
        raise self._refused(str(reason) or type(reason).__name__) from reason

    def _refused(self, detail: str, cause: Cause = Cause.PEER_MISBEHAVED) -> Refused:
        return Refused(cause, Phase.REMOTE, self.title, detail)

    def stop(self) -> None:
        """
        Close it.
        """
        for request in [*self._asking]:
            request.cancel()
        self._pool.closeCachedConnections()
