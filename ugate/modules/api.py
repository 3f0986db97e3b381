# -*- test-case-name: ugate.test.test_admin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From requests to operations: the table decides what is understood, and what is read of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import UNSET

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ugate.modules.answers import AnySection
from ugate.modules.callers import Caller, isOperator
from ugate.modules.guard import checkKind
from ugate.modules.operations import BASE, OPERATIONS, Operation
from ugate.modules.problems import JSON, Trouble, send, sendTrouble

_ROOT: Final = BASE.encode() + b"/"


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One request, understood.
    """

    operation: Operation
    """What is wanted."""

    caller: Caller
    """Who wants it."""

    given: Mapping[str, Any]
    """The parameters, by name."""

    body: Any = None
    """The body, of the type that the operation has."""

    tag: str | None = None
    """The ETag that the section must still have; C{*} for any."""

    isNew: bool = False
    """Whether there must be no such section yet."""

    @property
    def tenant(self) -> str:
        """
        The path of the tenant that is meant: the caller's own unless they say which.
        """
        tenant: str = self.given.get("tenant") or self.caller.tenant
        return tenant


@dataclass(frozen=True, slots=True)
class Tagged:
    """
    An answer with an ETag.
    """

    value: Any
    """The answer."""

    tag: str = ""
    """The ETag, with its quotes; or empty if there is none any more."""

    status: int = 0
    """The HTTP status, unless it is the operation's own."""


Perform = Callable[[Asked], Any]
"""Does what is asked for; raises or fails with L{Trouble}."""


def tagOf(section: Mapping[str, object]) -> str:
    """
    The ETag of a section: of what is in it, in whatever order its keys are.
    """
    plain = msgspec.json.encode(section, order="deterministic")
    return f'"{hashlib.sha256(plain).hexdigest()[:32]}"'


@dataclass(slots=True)
class _Routes:
    """
    The table by the segments of the paths.
    """

    known: dict[tuple[str, ...], dict[str, Operation]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for operation in OPERATIONS:
            for path in operation.paths():
                segments = tuple(path.strip("/").split("/"))
                self.known.setdefault(segments, {})[operation.method] = operation

    def find(self, method: str, path: bytes) -> tuple[Operation, dict[str, str]]:
        """
        @raise Trouble: there is no such operation.
        """
        try:
            segments = [unquote(each.decode("ascii"), errors="strict") for each in path.split(b"/")]
        except UnicodeDecodeError:
            raise Trouble(404, "no such path") from None
        for pattern, methods in self.known.items():
            if len(pattern) == len(segments):
                pairs = list(zip(pattern, segments, strict=True))
                if all(one == other or one.startswith("{") for one, other in pairs):
                    operation = methods.get("GET" if method == "HEAD" else method)
                    if operation is None:
                        raise Trouble(405, f"wanted {', '.join(sorted(methods))}")
                    return operation, {one[1:-1]: other for one, other in pairs if one != other}
        raise Trouble(404, f"no such path; {BASE}/status is one, and /openapi.json describes all")


_ROUTES: Final = _Routes()


def understand(request: Any, caller: Caller, operation: Operation, found: Mapping[str, str]) -> Asked:
    """
    Read all of a request.

    @param found: the parameters that are in its path.
    @raise Trouble: it cannot be read, or its sender may not do that.
    """
    if operation.wholeNode and not isOperator(caller):
        raise Trouble(403, f"{operation.name} is for who looks after the whole node")
    if operation.changes and not caller.mayChange:
        raise Trouble(403, f"{caller} may look, and not change anything")
    given = _parameters(request, operation, found)
    tenant = given.get("tenant")
    if tenant is not None and not caller.sees(tenant):
        # Whether there is one of that name is nobody's business.
        raise Trouble(404, f"no tenant {tenant}")
    data = request.content.read()
    body = _body(request, operation, data) if operation.body is not None else None
    if data and operation.body is None:
        raise Trouble(400, f"{operation.name} takes no body")
    tag, isNew = _conditions(request) if operation.tagged else (None, False)
    return Asked(operation, caller, given, body, tag, isNew)


def _parameters(request: Any, operation: Operation, found: Mapping[str, str]) -> dict[str, Any]:
    _, _, query = request.uri.partition(b"?")
    try:
        # Strictly: what would be read as something else than what was meant is a mistake.
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict"
        )
    except ValueError:
        raise Trouble(400, "the query cannot be read") from None
    texts = dict(pairs)
    known = {each.name for each in operation.inQuery()}
    if len(texts) < len(pairs) or not texts.keys() <= known:
        names = ", ".join(sorted(known)) or "none"
        raise Trouble(400, f"wanted each parameter once, and of these only: {names}")
    texts.update(found)
    given = {}
    for parameter in operation.parameters:
        text = texts.get(parameter.name, UNSET)
        if text is UNSET:
            if parameter.default is UNSET:
                raise Trouble(400, f"{parameter.name} is missing: {parameter.summary}")
            given[parameter.name] = parameter.default
            continue
        try:
            given[parameter.name] = msgspec.convert(text, parameter.type, strict=False)
        except msgspec.ValidationError as error:
            status = 404 if parameter.name in found else 400
            raise Trouble(status, f"{parameter.name}: {error}") from error
    return given


def _body(request: Any, operation: Operation, data: bytes) -> Any:
    checkKind(request.requestHeaders.getRawHeaders(b"Content-Type"))
    try:
        # What is in a section is looked at where all sections are.
        return msgspec.json.decode(data, type=AnySection if operation.isSection else operation.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        status = 422 if isinstance(error, msgspec.ValidationError) else 400
        raise Trouble(status, f"the body: {error}") from error


def _conditions(request: Any) -> tuple[str | None, bool]:
    match = request.requestHeaders.getRawHeaders(b"If-Match")
    none = request.requestHeaders.getRawHeaders(b"If-None-Match")
    if none is not None and (none != [b"*"] or match is not None):
        raise Trouble(400, "wanted If-None-Match: *, or If-Match with one ETag")
    if match is not None and (len(match) != 1 or b"," in match[0]):
        raise Trouble(400, "wanted If-Match with one ETag")
    return (match[0].strip().decode("latin-1") if match else None), none is not None


def _inWords(asked: Asked) -> str:
    """
    What was asked for, for the log: never what is in a body but the name that it gives something.
    """
    given = {name: value for name, value in asked.given.items() if value not in (None, "")}
    body = asked.body
    name = body.get("name") if isinstance(body, dict) else getattr(body, "name", None)
    if asked.operation.inPath() == [] and isinstance(name, str):
        given["name"] = name[:100]
    return " ".join(f"{name}={value}" for name, value in given.items())


class Api(Resource):
    """
    The admin API for one request, of which it is known where it came to.

    @ivar perform: does what is asked for, by the name of the operation.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, caller: Callable[[Any], Deferred[Caller]], perform: Mapping[str, Perform]) -> None:
        """
        @param caller: who sends a request.
        @param perform: does what is asked for, by the name of the operation.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.caller = caller
        self.perform = perform

    def render(self, request: Any) -> Any:
        """
        Answer a request, whatever its method.
        """
        alive = [True]
        request.notifyFinish().addErrback(lambda gone: alive.clear())
        answered = maybeDeferred(self._answer, request)
        answered.addErrback(self._trouble)
        answered.addCallback(lambda sent: sent(request) if alive else None)
        answered.addErrback(lambda failure: self.log.failure("an answer was not sent", failure))
        return NOT_DONE_YET

    def _answer(self, request: Any) -> Deferred[Callable[[Any], None]]:
        asking = self.caller(request)

        def known(caller: Caller) -> Any:
            # Not before it is known who asks: what there is may be a secret already.
            if not request.path.startswith(_ROOT):
                raise Trouble(404, f"no such path; wanted {BASE}/...")
            operation, found = _ROUTES.find(
                request.method.decode("latin-1"), request.path.removeprefix(_ROOT)
            )
            asked = understand(request, caller, operation, found)
            done = maybeDeferred(self.perform[operation.name], asked)
            return done.addCallback(self._good, asked)

        return asking.addCallback(known)

    def _good(self, answer: Any, asked: Asked) -> Callable[[Any], None]:
        operation = asked.operation
        tag, status = "", operation.status
        if isinstance(answer, Tagged):
            tag, status, answer = answer.tag, answer.status or status, answer.value
        if operation.changes:
            self.log.info(
                "admin: {caller}: {operation} {given}",
                caller=str(asked.caller),
                operation=operation.name,
                given=_inWords(asked),
            )
        body = msgspec.json.encode(answer)

        def sent(request: Any) -> None:
            if tag:
                request.setHeader(b"ETag", tag.encode())
            send(request, status, body, JSON)

        return sent

    def _trouble(self, failure: Failure) -> Callable[[Any], None]:
        if isinstance(failure.value, Trouble):
            trouble = failure.value
        else:
            self.log.failure("the admin API failed", failure)
            trouble = Trouble(500, "see the log of this node")
        return lambda request: sendTrouble(request, trouble)
