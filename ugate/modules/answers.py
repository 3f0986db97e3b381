# -*- test-case-name: ugate.test.test_openapi -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the admin API takes and gives: shapes, from which its description and C{ucli} are made.

Times are seconds since 1970, sizes are bytes.  In C{Meta.extra}, C{show} says how C{ucli} writes a number for
people: as a C{time}, as C{bytes} or as C{seconds}.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

Time = Annotated[float, Meta(description="Seconds since 1970.", extra={"show": "time"})]
Bytes = Annotated[int, Meta(description="Bytes.", extra={"show": "bytes"})]
Path = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}(/[A-Za-z_][A-Za-z0-9_.-]{0,63}){0,15}$",
        max_length=1040,
        description="The path of a tenant: root, a name in the section tenants, or names with / between.",
        examples=["root", "alice", "alice/dev"],
    ),
]


class Applied(Struct, frozen=True):
    """
    What a start or a reload came to.
    """

    good: Annotated[bool, Meta(description="Whether the configuration is in force.")]
    generation: Annotated[int, Meta(description="How many configurations have been in force.")]
    changed: Annotated[tuple[str, ...], Meta(description="The sections that changed: TENANT KIND NAME.")]
    error: Annotated[str, Meta(description="Why it is not in force, a line for each mistake.")]
    trigger: Annotated[str, Meta(description="Who asked for it.")]
    wall: Time
    others: Annotated[
        str, Meta(description="What is still wrong with earlier changes of others, which are not in force.")
    ] = ""
    later: Annotated[
        tuple[str, ...],
        Meta(description="What differs from the start, and holds from the next one."),
    ] = ()


class Status(Struct, frozen=True):
    """
    How the node does.
    """

    version: Annotated[str, Meta(description="The version of ugate.")]
    caller: Annotated[str, Meta(description="Who you are.")]
    tenant: Annotated[str, Meta(description="The tenant that you look after, and all below it.")]
    started: Time
    tenants: Annotated[int, Meta(description="How many there are.")]
    listeners: Annotated[int, Meta(description="How many there are.")]
    streams: Annotated[int, Meta(description="How many are open or on their way.")]
    opened: Annotated[int, Meta(description="How many have been open since the start.")]
    refused: Annotated[int, Meta(description="How many were refused since the start.")]
    sent: Bytes
    received: Bytes
    applied: Annotated[
        Applied | None, Meta(description="The last reload, or the start; for the operator of the node.")
    ] = None


class TenantState(Struct, frozen=True):
    """
    One tenant.
    """

    tenant: Annotated[str, Meta(description="Its path.")]
    hosts: Annotated[tuple[str, ...], Meta(description="The names that its parent has delegated to it.")]
    streams: Annotated[int, Meta(description="How many are open or on their way.")]
    opened: Annotated[int, Meta(description="How many have been open since the start.")]
    refused: Annotated[int, Meta(description="How many were refused since the start.")]
    sent: Bytes
    received: Bytes


class Listening(Struct, frozen=True):
    """
    One listener.
    """

    tenant: Annotated[str, Meta(description="Whose it is.")]
    name: Annotated[str, Meta(description="The name of its section.")]
    endpoint: Annotated[str, Meta(description="The endpoint string.")]
    address: Annotated[str, Meta(description="Where it listens.")]
    streams: Annotated[int, Meta(description="How many have come in by it.")]


class Stream(Struct, frozen=True):
    """
    One stream that is open or on its way.
    """

    id: Annotated[int, Meta(description="What names it, for kill.")]
    tenant: Annotated[str, Meta(description="Whose rules hold for it.")]
    listener: Annotated[str, Meta(description="Where it came in.")]
    peer: Annotated[str, Meta(description="Who connected.")]
    principal: Annotated[str, Meta(description="Who it was proven to be.")]
    protocol: Annotated[str, Meta(description="What was spoken.")]
    target: Annotated[str, Meta(description="Where it wants to go.")]
    via: Annotated[str, Meta(description="The way it takes.")]
    state: Annotated[str, Meta(description="dialing or open.")]
    began: Time
    sent: Bytes
    received: Bytes


class RefusedStream(Struct, frozen=True):
    """
    One stream that was not carried, and why.
    """

    wall: Time
    tenant: Annotated[str, Meta(description="Whose rules held for it.")]
    listener: Annotated[str, Meta(description="Where it came in.")]
    stream: Annotated[str, Meta(description="Who asked, and for what.")]
    principal: Annotated[str, Meta(description="Who it was proven to be.")]
    cause: Annotated[str, Meta(description="Why.")]
    phase: Annotated[str, Meta(description="How far it had come.")]
    hop: Annotated[str, Meta(description="Where it was refused.")]
    detail: Annotated[str, Meta(description="What exactly happened there.")]
    nextStep: Annotated[str, Meta(description="What can be done about it.")]


class LimitState(Struct, frozen=True):
    """
    One limit of a tenant.
    """

    tenant: Annotated[str, Meta(description="Whose it is.")]
    limit: Annotated[str, Meta(description="The key in limits.")]
    used: Annotated[float | None, Meta(description="How much of it is in use, if that is counted.")]
    allowed: Annotated[float | None, Meta(description="How much there may be; nothing for no limit.")]


class IdentityState(Struct, frozen=True):
    """
    Who a tenant is; nothing here is secret.
    """

    tenant: Annotated[str, Meta(description="Whose it is.")]
    keyid: Annotated[str, Meta(description="The hash of the public key: the name that peers may pin.")]
    vip6: Annotated[str, Meta(description="The IPv6 address that follows from the public key.")]
    principal: Annotated[str, Meta(description="Who it is to peers.")]
    names: Annotated[tuple[str, ...], Meta(description="The names in its certificate.")]
    issuer: Annotated[str, Meta(description="Who certified it; empty for itself.")]
    begins: Time
    ends: Time
    certificate: Annotated[
        str, Meta(description="The fingerprint of the certificate: SHA-256 in hexadecimal.")
    ]
    key: Annotated[
        str,
        Meta(
            description="The fingerprint of the public key: SHA-256 of its SubjectPublicKeyInfo, in base64."
        ),
    ]
    ssh: Annotated[str, Meta(description="The fingerprint of the public key, as OpenSSH shows it.")]


class MeshNodeState(Struct, frozen=True):
    """
    One way to a node of the mesh.
    """

    tenant: Annotated[str, Meta(description="Who knows it.")]
    names: Annotated[tuple[str, ...], Meta(description="What it is called beside its KEYID.")]
    keyid: Annotated[str, Meta(description="The hash of its public key.")]
    address: Annotated[str, Meta(description="Where it is reached, as TRANSPORT:HOST:PORT; maybe nowhere.")]
    source: Annotated[str, Meta(description="Who says so: config, discovery, registration ...")]
    expires: Annotated[
        float | None,
        Meta(description="Seconds until that is forgotten; nothing for never.", extra={"show": "seconds"}),
    ]
    tried: Annotated[
        float | None,
        Meta(description="Seconds since the last attempt; nothing for none.", extra={"show": "seconds"}),
    ]
    failure: Annotated[str, Meta(description="Why that failed; empty if it did not.")]


class LinkState(Struct, frozen=True):
    """
    One link that many streams share.
    """

    tenant: Annotated[str, Meta(description="Whose it is.")]
    kind: Annotated[
        str,
        Meta(
            description="dialed or accepted; reverse, if we open streams on one that came to us; linked, if "
            "the peer does on one that we dialed."
        ),
    ]
    place: Annotated[str, Meta(description="The hop, the listener or the gate that it is of.")]
    peer: Annotated[str, Meta(description="Its other end.")]
    principal: Annotated[str, Meta(description="Who that has proven to be.")]
    protocol: Annotated[str, Meta(description="What is spoken on it.")]
    streams: Annotated[int, Meta(description="How many are open or on their way.")]
    age: Annotated[float, Meta(description="Seconds since it came up.", extra={"show": "seconds"})]
    idle: Annotated[
        float | None,
        Meta(description="Seconds without a stream; nothing if it has some.", extra={"show": "seconds"}),
    ]
    draining: Annotated[bool, Meta(description="Whether it takes no new streams.")]


class SectionName(Struct, frozen=True):
    """
    Where a section is.
    """

    tenant: Annotated[str, Meta(description="Whose it is.")]
    kind: Annotated[str, Meta(description="Its kind.")]
    name: Annotated[str, Meta(description="Its name; nothing where a kind has one section.")]


class Explanation(Struct, frozen=True):
    """
    Which rule and which hops decide.
    """

    lines: tuple[str, ...]


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A configuration file.
    """

    text: Annotated[str, Meta(description="What is in it.", max_length=1 << 20)]
    name: Annotated[
        str,
        Meta(
            description="How mistakes are to call it; .json at its end says that it is not YAML.",
            max_length=255,
        ),
    ] = "config.yaml"


class Checked(Struct, frozen=True):
    """
    A configuration without a mistake.
    """

    normal: Annotated[str, Meta(description="Its normal form.")]


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """
    For whom a bearer token shall be.
    """

    name: Annotated[
        str,
        Meta(
            description="The name of the principal.",
            pattern="^[A-Za-z0-9_.@-]{1,64}$",
            extra={"argument": True},
        ),
    ]
    days: (
        Annotated[
            int, Meta(ge=1, le=36500, description="For how many days it is good; for ever unless given.")
        ]
        | None
    ) = None


class Token(Struct, frozen=True):
    """
    A bearer token, which is shown this once.
    """

    token: Annotated[str, Meta(description="The secret.")]
    line: Annotated[str, Meta(description="Its line for the file that policy.tokens names.")]
    stored: Annotated[bool, Meta(description="Whether the line has been added there.")]


class Killed(Struct, frozen=True):
    """
    A stream that is being closed.
    """

    id: Annotated[int, Meta(description="What named it.")]


class Draining(Struct, frozen=True):
    """
    That the node stops.
    """

    streams: Annotated[int, Meta(description="How many are still open or on their way.")]


class Mistake(Struct, frozen=True):
    """
    One mistake in a configuration.
    """

    place: Annotated[str, Meta(description="Where it is written.")]
    message: Annotated[str, Meta(description="What is wrong, and what is wanted.")]


class Problem(Struct, frozen=True, omit_defaults=True):
    """
    Why there is no answer (RFC 9457).
    """

    title: Annotated[str, Meta(description="The kind of problem.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What exactly it is, and what to do.")] = ""
    mistakes: Annotated[tuple[Mistake, ...], Meta(description="What is wrong with a configuration.")] = ()


AnySection = dict[str, Any]
"""A section as it is written: its keys are those of its kind."""
