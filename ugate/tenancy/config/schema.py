# -*- test-case-name: ugate.test.test_config_check -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The shape of the configuration: types, defaults, ranges and words.

C{msgspec.json.schema(Document)} gives the JSON Schema of a file.  In C{Meta.extra}, C{check} names the
checker of a text, C{wanted} says in words what it is, and C{unit} is what a number counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, inspect

_LONGEST: Final = 30 * 86400
_SECONDS: Final = {"unit": "seconds"}

Name = Annotated[
    str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_.-]{0,63}$", description="A name that others refer to.")
]
Endpoint = Annotated[
    str,
    Meta(
        min_length=1,
        description="A server endpoint string: what is spoken, and where it listens.",
        examples=["auto:tcp:1080:interface=127.0.0.1"],
        extra={"check": "endpoint", "wanted": "an endpoint string, as in auto:tcp:1080:interface=127.0.0.1"},
    ),
]
Hops = Annotated[
    str,
    Meta(
        min_length=1,
        description="A hop, or a chain of hops in the order in which a stream passes them.",
        examples=["socks:proxy:1080", "socks:a:1080 -> connect:b:3128"],
        extra={"check": "hops", "wanted": "a hop or a chain, as in socks:a:1080 -> connect:b:3128"},
    ),
]
Address = Annotated[
    str,
    Meta(
        min_length=1,
        description="Where every stream of this listener goes.",
        examples=["db.internal:5432", "[2001:db8::1]:22"],
        extra={"check": "target", "wanted": "HOST:PORT"},
    ),
]
Pattern = Annotated[
    str,
    Meta(
        min_length=1,
        description="A host, *.suffix, *, an address or a range, each with an optional :PORT or :LOW-HIGH.",
        examples=["*.corp", "10.0.0.0/8", "*:25", "[2001:db8::/32]:443"],
        extra={"check": "match", "wanted": "a host, *.suffix, * or an address range, maybe with :PORT"},
    ),
]
Way = Annotated[
    str,
    Meta(
        min_length=1,
        description="The name of a dial section, hops, 'direct' or 'deny'.",
        examples=["office", "direct", "socks:proxy:1080"],
        extra={"check": "via", "wanted": "a name in dial, hops, direct or deny"},
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=_LONGEST, description="Seconds.", extra=_SECONDS)]
Grace = Annotated[float, Meta(ge=0, le=_LONGEST, description="Seconds, maybe none.", extra=_SECONDS)]


class Listener(Struct, frozen=True, forbid_unknown_fields=True):
    """
    One place where streams come in.
    """

    endpoint: Endpoint
    to: Address | None = None
    open: Annotated[bool, Meta(description="Whether whoever reaches it may use it without a password.")] = (
        False
    )


class Dial(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A way out that has a name.
    """

    hops: Hops
    timeout: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds until one try has failed.", extra=_SECONDS)
    ] = 10.0
    retries: Annotated[int, Meta(ge=0, le=20, description="How often to try again after a failure.")] = 2


class RouteSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which streams take which way; the first route that matches wins.
    """

    match: (
        Pattern
        | Annotated[tuple[Pattern, ...], Meta(min_length=1, description="Patterns of which any may fit.")]
    )
    via: Way | Annotated[tuple[Way, ...], Meta(min_length=1, description="Ways to be tried in order.")]
    reason: Annotated[str, Meta(max_length=1000, description="What whoever is refused is told.")] = ""


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Who may use the gateway, and what for.
    """

    users: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="The password file: its path.",
                extra={"check": "users", "wanted": "the path of a password file"},
            ),
        ]
        | None
    ) = None
    private: Annotated[
        Literal["allow", "deny"], Meta(description="Whether streams may go to private address ranges.")
    ] = "allow"


class Node(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What holds for the whole process.
    """

    connect: Annotated[Seconds, Meta(description="Seconds until a target must have answered.")] = 10.0
    handshake: Annotated[Seconds, Meta(description="Seconds that a client has to say what it wants.")] = 10.0
    idle: Annotated[Seconds, Meta(description="Seconds without a byte that end a stream.")] = 900.0
    drain: Annotated[Grace, Meta(description="Seconds that streams have to end at a shutdown.")] = 30.0
    flows: Annotated[
        Literal["log", "quiet"], Meta(description="Whether a stream leaves a line in the log.")
    ] = "log"
    streams: Annotated[int, Meta(ge=1, le=10_000_000, description="How many may be open at once.")] = 10_000


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A configuration file of ugate, in YAML or JSON.
    """

    listen: dict[Name, Endpoint | Listener] = {}
    dial: dict[Name, Hops | Dial] = {}
    routes: tuple[RouteSection, ...] = ()
    policy: Policy = Policy()
    node: Node = Node()


TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {"listen": Listener, "dial": Dial, "routes": RouteSection, "policy": Policy, "node": Node}
)
"""The type of the sections of each kind."""


def sectionTypes() -> dict[str, inspect.Type]:
    """
    What may be written for a section of each kind.
    """
    document = inspect.type_info(Document)
    assert isinstance(document, inspect.StructType)
    types = {}
    for field in document.fields:
        wanted = field.type
        if isinstance(wanted, inspect.DictType):
            wanted = wanted.value_type
        elif isinstance(wanted, inspect.VarTupleType):
            wanted = wanted.item_type
        types[field.encode_name] = wanted
    return types
