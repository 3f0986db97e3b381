# -*- test-case-name: ugate.test.test_config_check -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The shape of the configuration: types, defaults, ranges and words.

In C{Meta.extra}, C{check} names the checker of a text, C{wanted} says in words what it is, C{unit} is what a
number counts, C{size} lets a number have a suffix such as C{M}, and C{one} lets a list of one be written
without its brackets.  For other programs see L{ugate.tenancy.config.jsonschema}.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, inspect

from ugate.errors import UgateError
from ugate.tenancy.config.identityschema import Identity, Trust
from ugate.tenancy.config.meshschema import Peer, Service
from ugate.tenancy.config.texts import (
    ALPN,
    ONE_OR_LIST,
    SECONDS,
    Address,
    Certificates,
    Count,
    Endpoint,
    Grace,
    Hops,
    Hosts,
    Issuers,
    Keyid,
    Keys,
    Pattern,
    ProtocolName,
    Rate,
    Revoked,
    Seconds,
    Size,
    TenantPath,
    Tokens,
    Users,
    Way,
    Who,
)

MAX_SECRET: Final = 1024 * 1024
"""How large the file of a secret may be."""


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
        float, Meta(gt=0, le=3600, description="Seconds until one try has failed.", extra=SECONDS)
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
    alpn: Annotated[
        tuple[ALPN, ...],
        Meta(
            min_length=1,
            description="The protocols inside of TLS of which a client offers one, or which was chosen.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()


class PolicyRule(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Some streams, and whether they may be; the first rule that fits decides.  What is left out fits all.
    """

    action: Annotated[Literal["allow", "deny"], Meta(description="What is done with such a stream.")]
    who: Annotated[
        tuple[Who, ...],
        Meta(
            min_length=1,
            description="Principals: a name, or a method of login and a name, with * for any characters.",
            examples=["bob", "password:*"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    tenant: Annotated[
        tuple[TenantPath, ...],
        Meta(
            min_length=1,
            description="Whose credentials proved who it is: paths of tenants, with * for any characters.",
            examples=["alice", "alice/*"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    protocol: Annotated[
        tuple[ProtocolName, ...],
        Meta(
            min_length=1,
            description="What the client speaks.",
            examples=["socks5"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    target: Annotated[
        tuple[Pattern, ...],
        Meta(
            min_length=1,
            description="Targets, by patterns of which any may fit.",
            examples=["*.corp:443", "10.0.0.0/8"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    reason: Annotated[str, Meta(max_length=1000, description="What whoever is refused is told.")] = ""


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Who may use the gateway, and what for.
    """

    users: Users | None = None
    tokens: Tokens | None = None
    issuers: Issuers | None = None
    keys: Keys | None = None
    revoked: Revoked | None = None
    certificates: Certificates | None = None
    private: Annotated[
        Literal["allow", "deny"], Meta(description="Whether streams may go to private address ranges.")
    ] = "allow"
    close: Annotated[
        bool, Meta(description="Whether a change closes open streams that the new rules refuse.")
    ] = False
    rules: Annotated[
        tuple[PolicyRule, ...], Meta(description="Who may do what; the first that fits decides.")
    ] = ()


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
    log: Annotated[
        Literal["text", "json"], Meta(description="What a line of the log is: for people, or for programs.")
    ] = "text"
    state: Annotated[
        str, Meta(description="A folder for what outlives the process, such as the bytes of the month.")
    ] = ""
    mark: Annotated[
        int,
        Meta(
            ge=0,
            le=0xFFFFFFFF,
            description="What our own connections are marked with, where streams are captured.",
        ),
    ] = 0x7567


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """
    How much a tenant may use, its own tenants included.  What is left out has no limit of its own.
    """

    streams: Annotated[Count, Meta(description="Streams at once.")] | None = None
    opens: (
        Annotated[Count, Meta(description="New streams a second.", extra={"unit": "streams a second"})] | None
    ) = None
    up: Annotated[Rate, Meta(description="From clients to targets.")] | None = None
    down: Annotated[Rate, Meta(description="From targets to clients.")] | None = None
    month: Annotated[Size, Meta(description="Both ways in a calendar month.")] | None = None
    buffers: Annotated[Size, Meta(description="What may wait in buffers.")] | None = None


class Delegation(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a tenant has of its parent.
    """

    hosts: Annotated[
        tuple[Hosts, ...],
        Meta(description="The names that are its own.", extra={"one": True}, extra_json_schema=ONE_OR_LIST),
    ] = ()
    ranges: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    min_length=1,
                    examples=["10.1.0.0/16", "fd00:1::/32"],
                    extra={"check": "range", "wanted": "an address or a range, as in 10.1.0.0/16"},
                ),
            ],
            ...,
        ],
        Meta(
            description="The private addresses that its streams may go to, beside public ones.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    limits: Annotated[Limits, Meta(description="How much it may use.")] = Limits()


class Secret(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where a secret is: the secret itself is in no configuration.
    """

    file: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="The path of a file with nothing else in it; a line end after it is left out.",
                extra={"check": "secretFile", "wanted": "the path of a file"},
            ),
        ]
        | None
    ) = None
    env: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="The name of an environment variable.",
                extra={"check": "secretVariable", "wanted": "the name of an environment variable"},
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.env is None):
            raise ValueError("it is not one of both; wanted {file: PATH} or {env: NAME}")

    def read(self) -> bytes:
        """
        The secret as it is now.  Keep it no longer than needed, and print it nowhere.

        @raise UgateError: it cannot be had; the message says where it should be.
        """
        return secretFile(self.file) if self.file is not None else secretVariable(self.env or "")


def secretFile(path: str) -> bytes:
    """
    The secret in a file.

    @raise UgateError: it cannot be read, is empty, or larger than L{MAX_SECRET}.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SECRET + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UgateError(f"the secret in {path!r} cannot be read: {reason}") from error
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data or len(data) > MAX_SECRET:
        raise UgateError(f"the secret in {path!r} is {'over 1 MiB' if data else 'empty'}")
    return data


def secretVariable(name: str) -> bytes:
    """
    The secret in an environment variable.

    @raise UgateError: it is not set, or empty.
    """
    value = os.environ.get(name, "")
    if not value:
        raise UgateError(f"the environment variable {name!r}, which has a secret, is not set")
    return os.fsencode(value)


FORMS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "listen": Endpoint | Listener,
        "dial": Hops | Dial,
        "routes": RouteSection,
        "policy": Policy,
        "identity": Identity,
        "trust": Trust,
        "nodes": Keyid | Peer,
        "serve": Address | Service,
        "node": Node,
        "tenants": Delegation,
    }
)
"""What a section of each kind may be written as."""

TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "listen": Listener,
        "dial": Dial,
        "routes": RouteSection,
        "policy": Policy,
        "identity": Identity,
        "trust": Trust,
        "nodes": Peer,
        "serve": Service,
        "node": Node,
        "tenants": Delegation,
    }
)
"""The type of the sections of each kind."""


def sectionTypes() -> dict[str, inspect.Type]:
    """
    What may be written for a section of each kind.
    """
    return {kind: inspect.type_info(form) for kind, form in FORMS.items()}
