# -*- test-case-name: ugate.test.test_caclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Asking a CA by HTTP, after it has proven that it is the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory

from ugate.bodies import Collecting, Whole
from ugate.endpoints.direct import Direct
from ugate.endpoints.tlsclient import TLSClientEndpoint
from ugate.errors import UgateError
from ugate.protocols.tlsverify import Check, PeerCheck
from ugate.stream import Principal, StreamInfo, Target

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

DEADLINE: Final = 30.0
"""Seconds that a CA has for an answer."""

MAX_ANSWER: Final = 16 * 1024 * 1024
"""How many bytes it may have: a list of revocations may be long."""

_NOWHERE: Final = IPv4Address("TCP", "0.0.0.0", 0)


class Said(UgateError):
    """
    The CA has said no: the message says why.

    @ivar status: of HTTP.
    @since: ugate NEXT
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        return f"the CA says {self.status}: {self.detail}"


def _anybody(chain: Sequence[Certificate]) -> Principal:
    return Principal("anybody", "open")


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """
    The ways to a CA.
    """

    def __init__(self, reactor: Any, check: Check) -> None:
        self._reactor = reactor
        self._check = check

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        """
        See L{IAgentEndpointFactory}.
        """
        host = uri.host.decode().strip("[]")
        info = StreamInfo(_NOWHERE, _NOWHERE, Target.checked(host, uri.port))
        inner = Direct(self._reactor, DEADLINE).endpointFor(info)
        if uri.scheme != b"https":
            return inner
        from twisted.internet.ssl import CertificateOptions, TLSVersion

        from ugate.tenancy.identitytls import ClientConnections

        # Without a certificate of ours: whether the CA believes that yet is not known.
        context = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2).getContext()
        return TLSClientEndpoint(
            self._reactor,
            inner,
            ClientConnections(lambda: context, host),
            hop=str(info.target),
            deadline=DEADLINE,
            check=lambda: PeerCheck(self._check, str(info.target)),
        )


class AuthorityClient:
    """
    Asks a CA.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, url: str) -> None:
        """
        @param reactor: connects to it.
        @param url: where it is.
        """
        self._reactor = reactor
        self.url = url.rstrip("/")

    def get(self, path: str, check: Check = _anybody) -> Deferred[bytes]:
        """
        What is public.

        @param check: says whether it is the right one; unless given, whoever answers is believed.
        @return: fails with L{UgateError}.
        """
        return self._ask(b"GET", path, None, check)

    def post(self, path: str, body: object, check: Check) -> Deferred[bytes]:
        """
        What it does.

        @param body: is sent as JSON.
        @param check: says whether it is the right one, before anything is sent.
        @return: fails with L{UgateError}.
        """
        return self._ask(b"POST", path, msgspec.json.encode(body), check)

    def _ask(self, method: bytes, path: str, body: bytes | None, check: Check) -> Deferred[bytes]:
        agent = Agent.usingEndpointFactory(self._reactor, _Endpoints(self._reactor, check))
        headers = Headers({b"Accept": [b"*/*"]})
        producer = None
        if body is not None:
            headers.addRawHeader(b"Content-Type", b"application/json")
            producer = Whole(body)
        asked: Deferred[Any] = agent.request(method, f"{self.url}/{path}".encode(), headers, producer)
        asked.addCallback(_read)
        asked.addTimeout(DEADLINE, self._reactor, _late)
        return asked


def _read(response: Any) -> Deferred[bytes]:
    collecting = Collecting(MAX_ANSWER, lambda why: UgateError(f"the CA: {why}"))
    response.deliverBody(collecting)
    return collecting.done.addCallback(_said, response.code)


def _said(data: bytes, status: int) -> bytes:
    if status == 200:
        return data
    try:
        detail = str(msgspec.json.decode(data)["detail"])
    except (msgspec.DecodeError, LookupError, TypeError):
        detail = "no ugate answers so; see identity.ca"
    raise Said(status, "".join(each for each in detail[:500] if each.isprintable()))


def _late(result: Any, timeout: float) -> None:
    raise UgateError(f"the CA has not answered in {timeout:g} s")
