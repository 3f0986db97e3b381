# -*- test-case-name: ugate.test.test_capages -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A CA by HTTP: what is public as files, and what is asked of it in JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ugate.errors import UgateError
from ugate.interfaces import IAsker, IPrincipal
from ugate.modules import cashapes as shapes
from ugate.modules.guard import checkKind
from ugate.modules.problems import JSON, Trouble, send, sendTrouble
from ugate.modules.tries import FailedTries
from ugate.tenancy.ca import errors
from ugate.tenancy.ca.authority import Authority, Certified
from ugate.tenancy.ca.inturn import InTurn
from ugate.tenancy.ca.policy import Rules
from ugate.tenancy.ca.requests import readCSR, readSSHKey
from ugate.tenancy.ca.sshcertificates import publicText
from ugate.tenancy.keyids import keyidOf

MAX_BODY: Final = 256 * 1024
"""How many bytes may be asked of a CA at once."""

MAX_LISTED: Final = 10_000
"""How many certificates are listed."""

_PEM: Final = b"application/x-pem-file"
_TEXT: Final = b"text/plain; charset=utf-8"

_AGAIN: Final = b"5"
"""Seconds after which to ask again, if there was no time for one."""

_STATUSES: Final[Mapping[type[UgateError], int]] = {
    errors.BadRequest: 400,
    errors.NotKnown: 401,
    errors.NotAllowed: 403,
    errors.NoSuch: 404,
    errors.TooMany: 429,
}


class AuthorityPages(Resource):
    """
    The resource of a CA.

    @since: ugate NEXT
    """

    isLeaf = True
    log = Logger()

    def __init__(self, authority: Authority, rules: Rules, tries: FailedTries, inTurn: InTurn) -> None:
        """
        @param rules: who may have what.
        @param tries: how often whoever fails to prove who they are may try.
        @param inTurn: does what needs the record.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.authority = authority
        self.rules = rules
        self.tries = tries
        self.inTurn = inTurn
        self._shown: Mapping[str, tuple[bytes, Callable[[], Any]]] = {
            "": (JSON, self._about),
            "roots.pem": (_PEM, lambda: authority.rootText),
            "crl.pem": (_PEM, lambda: inTurn.do(authority.lists.crl, isShared=True)),
            "crl.der": (b"application/pkix-crl", lambda: inTurn.do(authority.lists.crlDER, isShared=True)),
            "krl": (b"application/octet-stream", lambda: inTurn.do(authority.lists.krl, isShared=True)),
            "ssh-user.pub": (_TEXT, lambda: publicText(authority.keys.userKey.public_key()) + b"\n"),
            "ssh-host.pub": (_TEXT, lambda: publicText(authority.keys.hostKey.public_key()) + b"\n"),
        }
        self._done: Mapping[str, tuple[Any, Callable[[Any, Any], Any]]] = {
            "sign": (shapes.Sign, self._sign),
            "ssh": (shapes.SignSSH, self._ssh),
            "renew": (shapes.Renew, self._renew),
            "revoke": (shapes.Revoke, self._revoke),
            "token": (shapes.MakeToken, self._token),
        }

    def render(self, request: Any) -> Any:
        """
        See L{IResource}.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        answered = maybeDeferred(self._answer, request)
        answered.addErrback(self._trouble, request)
        answered.addCallback(lambda sent: None if gone else sent())
        answered.addErrback(lambda failure: self.log.failure("an answer was not sent", failure))
        return NOT_DONE_YET

    def _answer(self, request: Any) -> Any:
        path = "/".join(each.decode("utf-8", "replace") for each in request.postpath)
        isRead = request.method in (b"GET", b"HEAD")
        if isRead and path in self._shown:
            kind, show = self._shown[path]
            shown = maybeDeferred(show)
            return shown.addCallback(lambda body: lambda: send(request, 200, body, kind))
        if isRead and path == "issued":
            asked = _asker(request).administrator(False)
            asked.addCallback(lambda _: self.inTurn.do(self._list, isShared=True))
            return asked.addCallback(_sending(request))
        if path not in self._done:
            raise Trouble(405 if path in (*self._shown, "issued") else 404, "a CA has no such thing")
        if request.method != b"POST":
            raise Trouble(405, "wanted POST")
        shape, do = self._done[path]
        checkKind(request.requestHeaders.getRawHeaders(b"Content-Type"))
        data = request.content.read(MAX_BODY + 1)
        if len(data) > MAX_BODY:
            raise Trouble(413, f"the body may have {MAX_BODY} bytes")
        try:
            body = msgspec.json.decode(data, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Trouble(400, f"the body: {error}") from error
        return maybeDeferred(do, request, body).addCallback(_sending(request))

    def _trouble(self, failure: Failure, request: Any) -> Callable[[], None]:
        error = failure.value
        if isinstance(error, UgateError) and not isinstance(error, Trouble):
            status = _STATUSES.get(type(error), 503)
            if isinstance(error, errors.Busy):
                request.setHeader(b"Retry-After", _AGAIN)
            elif status == 503:
                self.log.error("ca: {error}", error=error)
            error = Trouble(status, str(error))
        elif not isinstance(error, Trouble):
            self.log.failure("a request to the CA failed", failure)
            error = Trouble(500, "see the log of this node")
        return lambda: sendTrouble(request, error)

    def _certify(self, request: Any, wanted: Any, token: str) -> Deferred[shapes.Given]:
        """
        @param wanted: has been read: what cannot be is no try.
        """
        peer = request.getClientAddress()
        if self.tries.isTooMany(peer):
            raise Trouble(429, "too many tries failed; wait a minute")
        began = self.tries.failed(peer)

        def ended(result: Any) -> Any:
            if not (isinstance(result, Failure) and _isGuess(result)):
                self.tries.good(peer, began)
            return result

        def known(who: Any) -> Deferred[Certified]:
            return self.inTurn.do(lambda: self.authority.certify(wanted, who, self.rules))

        asking: Deferred[Any] = succeed(token) if token else maybeDeferred(_someone, request)
        return asking.addCallback(known).addBoth(ended).addCallback(self._given)

    def _given(self, given: Certified) -> shapes.Given:
        issued = given.issued
        roots = self.authority.rootText.decode() if issued.kind == "tls" else ""
        return shapes.Given(
            issued.serial, issued.names, issued.begins, issued.ends, given.text, roots, given.host
        )

    def _sign(self, request: Any, body: shapes.Sign) -> Any:
        wanted = readCSR(
            body.csr.encode(), self.authority.keys.domain, names=body.names, life=body.life, host=body.host
        )
        return self._certify(request, wanted, body.token)

    def _ssh(self, request: Any, body: shapes.SignSSH) -> Any:
        wanted = readSSHKey(body.key, body.kind, body.principals, life=body.life)
        return self._certify(request, wanted, body.token)

    def _renew(self, request: Any, body: shapes.Renew) -> Any:
        # Not limited: whoever shares an address with somebody who fails would lose its certificate.
        wanted = readCSR(body.csr.encode(), self.authority.keys.domain, host=body.host)
        data = body.certificate.encode()
        renewing = self.inTurn.do(lambda: self.authority.renew(wanted, data, self.rules))
        return renewing.addCallback(self._given)

    def _revoke(self, request: Any, body: shapes.Revoke) -> Any:
        def known(principal: Any) -> Deferred[shapes.Revoked]:
            revoking = self.inTurn.do(lambda: self.authority.revoke(body.what, body.reason))
            return revoking.addCallback(lambda all: shapes.Revoked(tuple(each.serial for each in all)))

        return _asker(request).administrator(True).addCallback(known)

    def _token(self, request: Any, body: shapes.MakeToken) -> Any:
        def made(token: str, principal: Any) -> shapes.MadeToken:
            self.log.info(
                "ca: {method}:{name} made a token for {owner}",
                method=principal.method,
                name=principal.name,
                owner=body.name,
            )
            return shapes.MadeToken(token)

        def known(principal: Any) -> Deferred[shapes.MadeToken]:
            making = self.inTurn.do(lambda: self.authority.token(body.name, body.life, body.uses))
            return making.addCallback(made, principal)

        return _asker(request).administrator(True).addCallback(known)

    def _list(self) -> shapes.Listed:
        # No more are even read: there may be a million.
        return shapes.Listed([*self.authority.list(MAX_LISTED)])

    def _about(self) -> bytes:
        root = self.authority.keys.root
        from cryptography.hazmat.primitives.serialization import Encoding

        about = shapes.About(
            root.subject.rfc4514_string(),
            self.authority.keys.domain,
            keyidOf(root.public_key()),
            sha256(root.public_bytes(Encoding.DER)).hexdigest(),
            root.not_valid_after_utc.timestamp(),
        )
        return msgspec.json.encode(about)


def _isGuess(failure: Failure) -> bool:
    """
    Whether somebody has not proven who they are, or may not have that.
    """
    isUnknown = getattr(failure.value, "status", 0) == 401
    return isUnknown or failure.check(errors.NotKnown, errors.NotAllowed) is not None


def _sending(request: Any) -> Callable[[Any], Callable[[], None]]:
    return lambda answer: lambda: send(request, 200, msgspec.json.encode(answer))


def _asker(request: Any) -> IAsker:
    asker: IAsker | None = IAsker(request, None)
    if asker is None:
        raise Trouble(403, "this is for who looks after the tenant, by the HTTP port")
    return asker


def _someone(request: Any) -> Deferred[Any]:
    asker = IAsker(request, None)
    if asker is None:
        # Another module of the same tenant.
        return succeed(IPrincipal(request))
    someone: Deferred[Any] = asker.someone()
    return someone
