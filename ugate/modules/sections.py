# -*- test-case-name: ugate.test.test_http,ugate.test.test_callers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is in the sections of ugate's own modules.  A node knows these from its start, and imports the rest of a
module when there is such a section.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ugate.tenancy.config.schema import Secret
from ugate.tenancy.config.texts import ONE_OR_LIST, SECONDS, Endpoint, Keyid

ADMIN: Final = "admin"
METRICS: Final = "metrics"
MODULES: Final = "modules"


class AdminSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Who looks after this tenant and all below it.
    """

    who: Annotated[
        tuple[Annotated[str, Meta(min_length=1, extra={"wanted": "NAME or METHOD:NAME, maybe with *"})], ...],
        Meta(
            min_length=1,
            description="Principals of this tenant: a name, or a method of login and a name, with *.",
            examples=["carol", "token:*"],
            extra={"one": True},
            extra_json_schema={"x-type": ["array", "string"]},
        ),
    ]
    may: Annotated[Literal["change", "look"], Meta(description="What they may do.")] = "change"


class HttpSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    One port for HTTP.
    """

    endpoint: Annotated[
        Endpoint,
        Meta(description="Where it listens: an endpoint string.", examples=["tcp:15000:interface=127.0.0.1"]),
    ] = "tcp:15000:interface=127.0.0.1"
    serve: Annotated[
        tuple[Literal["admin", "metrics", "modules"], ...],
        Meta(min_length=1, description="What is there.", extra={"one": True}),
    ] = (ADMIN, METRICS, MODULES)


class RemoteSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where the modules are that have the name of this section.
    """

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="The HTTP port of the other node.",
            examples=["https://gate.example:15000"],
        ),
    ]
    token: Annotated[Secret, Meta(description="The bearer token with which we come.")] | None = None


class RegistrarSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Who may tell us how they are reached.
    """

    keys: Annotated[
        tuple[Keyid, ...],
        Meta(description="The KEYIDs that may.", extra={"one": True}, extra_json_schema=ONE_OR_LIST),
    ] = ()
    open: Annotated[bool, Meta(description="Whether every key may.")] = False
    longest: Annotated[int, Meta(ge=10, le=86400, description="Seconds that it may hold.", extra=SECONDS)] = (
        3600
    )
    most: Annotated[int, Meta(ge=1, le=4096, description="How many nodes there may be.")] = 1000


class RegisterSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    How we are reached, for the gate that has the name of this section.
    """

    addresses: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    min_length=1,
                    examples=["connect::15008", "connect:bob.example:15008"],
                    extra={"wanted": "TRANSPORT:HOST:PORT, or TRANSPORT::PORT for where the gate sees us"},
                ),
            ],
            ...,
        ],
        Meta(
            min_length=1,
            description="The ways to us, best first.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ]
    names: Annotated[
        tuple[Annotated[str, Meta(min_length=1, extra={"wanted": "a name as of a host"})], ...],
        Meta(
            description="What we say that we are called; our certificate has to say so, too.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    every: Annotated[
        float, Meta(ge=10, le=28800, description="Seconds until we say it again.", extra=SECONDS)
    ] = 300.0
