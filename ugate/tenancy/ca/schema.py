# -*- test-case-name: ugate.test.test_ca -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who may be certified as what: the shape of the rules of a CA, in the config and in JSON.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ugate.tenancy.config.texts import ONE_OR_LIST, SECONDS

DAY: Final = 86400.0
MAX_LIFE: Final = 366 * DAY
"""How many seconds any certificate may be good for."""

TLS: Final = "tls"
SSH_HOST: Final = "ssh-host"
SSH_USER: Final = "ssh-user"
KINDS: Final = (TLS, SSH_HOST, SSH_USER)

_Pattern = Annotated[str, Meta(min_length=1, max_length=253, extra={"wanted": "a pattern, maybe with *"})]
_Life = Annotated[float, Meta(ge=1, le=MAX_LIFE, extra=SECONDS)]


class CaRule(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What some may be certified as.  In patterns C{{name}} is the name of who asks, and C{{keyid}}
    that of the key.
    """

    who: Annotated[
        tuple[
            Annotated[
                str, Meta(min_length=1, extra={"check": "who", "wanted": "NAME or METHOD:NAME, maybe with *"})
            ],
            ...,
        ],
        Meta(
            min_length=1,
            description="Who asks: a name, or what proved it and a name, with *.",
            examples=["enrolment:*", "password:carol"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ]
    kinds: Annotated[
        tuple[Literal["tls", "ssh-host", "ssh-user"], ...],
        Meta(min_length=1, description="What certificates.", extra={"one": True}),
    ] = (TLS, SSH_HOST)
    domains: Annotated[
        tuple[_Pattern, ...],
        Meta(
            description="Trust domains; that of the CA unless given.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    namespaces: Annotated[
        tuple[_Pattern, ...],
        Meta(description="Namespaces.", extra={"one": True}, extra_json_schema=ONE_OR_LIST),
    ] = ("default",)
    accounts: Annotated[
        tuple[_Pattern, ...],
        Meta(description="Service accounts.", extra={"one": True}, extra_json_schema=ONE_OR_LIST),
    ] = ("default",)
    names: Annotated[
        tuple[_Pattern, ...],
        Meta(
            description="Names of hosts and pods.",
            examples=["*.corp.example"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    principals: Annotated[
        tuple[_Pattern, ...],
        Meta(
            description="What users of SSH may log in as.",
            examples=["{name}"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    permits: Annotated[
        tuple[
            Literal["agent-forwarding", "port-forwarding", "pty", "user-rc", "X11-forwarding"],
            ...,
        ],
        Meta(description="What users of SSH may do.", extra={"one": True}),
    ] = ("pty", "port-forwarding", "agent-forwarding")
    source: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    min_length=1,
                    extra={"check": "range", "wanted": "an address or a range, as in 10.1.0.0/16"},
                ),
            ],
            ...,
        ],
        Meta(
            description="Where users of SSH have to come from.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    command: Annotated[
        str, Meta(max_length=1000, description="The only command that users of SSH may run.")
    ] = ""
    life: Annotated[_Life, Meta(description="Seconds that it may be good for.")] = DAY


class CaSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A certification authority.
    """

    dir: Annotated[str, Meta(min_length=1, description="Its folder, as ucli ca init makes it.")]
    life: Annotated[
        _Life, Meta(description="Seconds that a certificate is good for, if nobody asks for less or more.")
    ] = DAY
    rules: Annotated[
        tuple[CaRule, ...], Meta(description="Who may be certified as what; nobody unless a rule allows it.")
    ] = ()
