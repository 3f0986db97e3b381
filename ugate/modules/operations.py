# -*- test-case-name: ugate.test.test_openapi -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The operations of the admin API: one table, of which the server, its description and C{ucli} are made.

It imports nothing of Twisted, so that C{ucli} starts quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta

from ugate.modules import answers
from ugate.modules.answers import AnySection, Path
from ugate.modules.newtenant import NewTenant

BASE: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Parameter:
    """
    One thing that an operation has to be told.
    """

    name: str
    """What it is called, in the path, in the query and as an option of C{ucli}."""

    type: Any
    """Its type: an annotation for msgspec."""

    summary: str
    """What it is, in a few words."""

    default: Any = UNSET
    """What it is unless given; C{UNSET} if it has to be given."""

    isArgument: bool = False
    """Whether C{ucli} takes it as an argument, and not as an option."""


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One operation.
    """

    name: str
    """What it is called: the C{operationId}."""

    method: str
    """The HTTP method."""

    path: str
    """The path below L{BASE}, with parameters in braces; the last one may have a default."""

    summary: str
    """What it does, in one line."""

    answer: Any
    """The type of what is given."""

    parameters: tuple[Parameter, ...] = ()
    """What it has to be told; those not in the path are in the query."""

    body: Any = None
    """The type of what it takes, if it takes anything."""

    isSection: bool = False
    """Whether the body is part of a configuration, and read as such: sizes may be texts, for one."""

    status: int = 200
    """The HTTP status when it went well."""

    changes: bool = False
    """Whether it changes anything: not for who may only read."""

    wholeNode: bool = False
    """Whether it is about the node as a whole: for who looks after the root tenant."""

    tagged: bool = False
    """Whether there is an ETag, and conditions on it hold."""

    command: str = ""
    """The words of C{ucli}; its name unless given."""

    file: str = ""
    """If C{ucli} takes the body from a file: the argument that names it."""

    columns: tuple[str, ...] = ()
    """Which fields C{ucli} shows to people; all of them unless given."""

    @property
    def words(self) -> str:
        """The words of C{ucli}."""
        return self.command or self.name

    def inPath(self) -> list[Parameter]:
        """
        The parameters that are in the path, in order.
        """
        return [each for each in self.parameters if f"{{{each.name}}}" in self.path]

    def inQuery(self) -> list[Parameter]:
        """
        The others.
        """
        return [each for each in self.parameters if f"{{{each.name}}}" not in self.path]

    def paths(self) -> list[str]:
        """
        The path, and a shorter one if the last parameter in it may be left out.
        """
        inPath = self.inPath()
        if inPath and inPath[-1].default is not UNSET:
            return [self.path, self.path.rpartition("/")[0]]
        return [self.path]


_COUNT = Annotated[int, Meta(ge=1, le=1000)]
_KIND = Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,63}$")]
# What is in a list is named by its place, as FILE:LINE:COLUMN.
_NAME = Annotated[str, Meta(pattern="^[^\\x00-\\x1f\\x7f]*$", max_length=1024)]
_TEXT = Annotated[str, Meta(max_length=1024)]

_TENANT: Final = Parameter("tenant", Path | None, "whose, by path; your own unless given", None)
_WITHIN: Final = Parameter("tenant", Path | None, "only of this tenant and those below it", None)
_WHERE: Final = (
    Parameter("kind", _KIND, "the kind of the section, as in listen", isArgument=True),
    Parameter(
        "name",
        _NAME,
        "its name, as config shows it; nothing where a kind has one section",
        "",
        isArgument=True,
    ),
    _TENANT,
)

OPERATIONS: Final = (
    Operation("status", "GET", "/status", "how the node does", answers.Status),
    Operation("tenants", "GET", "/tenants", "the tenants", list[answers.TenantState], (_WITHIN,)),
    Operation(
        "addTenant",
        "POST",
        "/tenants",
        "add a tenant",
        answers.Applied,
        (Parameter("tenant", Path | None, "below which tenant; your own unless given", None),),
        body=NewTenant,
        isSection=True,
        status=201,
        changes=True,
        command="tenant add",
    ),
    Operation("listeners", "GET", "/listeners", "what listens", list[answers.Listening], (_WITHIN,)),
    Operation(
        "streams",
        "GET",
        "/streams",
        "the streams that are open or on their way",
        list[answers.Stream],
        (
            _WITHIN,
            Parameter("principal", _TEXT | None, "only of this principal", None),
            Parameter("target", _TEXT | None, "only to targets with this text in them", None),
            Parameter("listener", _TEXT | None, "only those that came in here", None),
            Parameter("limit", _COUNT, "at most so many", 100),
        ),
        columns=(
            *("id", "tenant", "listener", "peer", "principal", "protocol", "target", "via"),
            *("state", "began", "sent", "received"),
        ),
    ),
    Operation(
        "kill",
        "DELETE",
        "/streams/{id}",
        "close a stream",
        answers.Killed,
        (Parameter("id", Annotated[int, Meta(ge=0)], "which, as streams shows it", isArgument=True),),
        changes=True,
    ),
    Operation(
        "why",
        "GET",
        "/refusals",
        "the last streams that were refused, newest first, and why",
        list[answers.RefusedStream],
        (_WITHIN, Parameter("limit", _COUNT, "at most so many", 20)),
        columns=("wall", "tenant", "listener", "stream", "principal", "phase", "cause", "detail", "nextStep"),
    ),
    Operation("limits", "GET", "/limits", "what limits tenants", list[answers.LimitState], (_WITHIN,)),
    Operation(
        "identity",
        "GET",
        "/identity",
        "the key of a tenant, and the names that it has by it",
        answers.IdentityState,
        (_TENANT,),
    ),
    Operation(
        "nodes",
        "GET",
        "/nodes",
        "the nodes of the mesh that are known, and how they are reached",
        list[answers.MeshNodeState],
        (_WITHIN,),
    ),
    Operation(
        "sessions",
        "GET",
        "/sessions",
        "the links that are up, which many streams share",
        list[answers.LinkState],
        (_WITHIN,),
    ),
    Operation("config", "GET", "/config", "which sections there are", list[answers.SectionName], (_WITHIN,)),
    Operation("get", "GET", "/config/{kind}/{name}", "show a section", AnySection, _WHERE, tagged=True),
    Operation(
        "put",
        "PUT",
        "/config/{kind}/{name}",
        "write a section, and apply it",
        answers.Applied,
        _WHERE,
        body=AnySection,
        isSection=True,
        changes=True,
        tagged=True,
        file="FILE",
    ),
    Operation(
        "delete",
        "DELETE",
        "/config/{kind}/{name}",
        "remove a section, and apply that",
        answers.Applied,
        _WHERE,
        changes=True,
        tagged=True,
    ),
    Operation(
        "check",
        "POST",
        "/check",
        "check a configuration file, without applying it",
        answers.Checked,
        body=answers.Document,
        # It looks at all files that the document names.
        changes=True,
        wholeNode=True,
        file="FILE",
    ),
    Operation(
        "explain",
        "GET",
        "/explain",
        "which rule and which hops a stream would take",
        answers.Explanation,
        (
            Parameter("target", _TEXT, "where to, as HOST:PORT", isArgument=True),
            Parameter("principal", _TEXT, "who asks, as METHOD:NAME", "local:operator"),
            Parameter("protocol", _TEXT, "what is spoken", ""),
            _TENANT,
        ),
    ),
    Operation(
        "reload",
        "POST",
        "/reload",
        "read the configuration again",
        answers.Applied,
        changes=True,
        wholeNode=True,
    ),
    Operation(
        "drain",
        "POST",
        "/drain",
        "let no more streams in, let those that are open end, and stop",
        answers.Draining,
        status=202,
        changes=True,
        wholeNode=True,
    ),
    Operation(
        "token",
        "POST",
        "/tokens",
        "make a bearer token, which is shown once",
        answers.Token,
        (_TENANT,),
        body=answers.NewToken,
        status=201,
        changes=True,
    ),
    Operation("schema", "GET", "/schema", "the JSON Schema of the configuration", dict[str, Any]),
)
"""All operations, in the order in which they are told."""

BY_NAME: Final = {each.name: each for each in OPERATIONS}
