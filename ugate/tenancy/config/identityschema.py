# -*- test-case-name: ugate.test.test_config_identity -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The shape of C{identity} and C{trust}: see L{ugate.tenancy.config.schema}, which has them too.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ugate.tenancy.config.texts import (
    ANY_KEYID,
    DOMAIN_NAME,
    ONE_OR_LIST,
    SECONDS,
    DomainName,
    Keyid,
    Label,
)
from ugate.tenancy.keyids import ACCOUNT, DOMAIN, NAMESPACE

_HERE: Final = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?")
"""What is on this machine."""


class Identity(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Who we are: a key, and what certifies it.  Without files it is one of our own.
    """

    dir: (
        Annotated[
            str, Meta(min_length=1, description="A folder with them, as Istio or Kubernetes mounts it.")
        ]
        | None
    ) = None
    key: Annotated[str, Meta(min_length=1, description="The private key: its path.")] | None = None
    cert: (
        Annotated[str, Meta(min_length=1, description="Its certificate, and those above: the path.")] | None
    ) = None
    roots: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="The certificates of those to believe: the path.",
                extra={"check": "roots", "wanted": "the path of a PEM file of certificates"},
            ),
        ]
        | None
    ) = None
    kind: Annotated[Literal["p256", "ed25519"], Meta(description="What key is made, if there is none.")] = (
        "p256"
    )
    domain: Annotated[DomainName, Meta(description="The trust domain, in our own certificate.")] = DOMAIN
    namespace: Annotated[Label, Meta(description="The namespace, in our own certificate.")] = NAMESPACE
    account: Annotated[DomainName, Meta(description="The service account, in our own certificate.")] = ACCOUNT
    pod: Annotated[
        str,
        Meta(
            pattern=f"^({DOMAIN_NAME})?$",
            max_length=253,
            extra={"wanted": "a name as of a host"},
            description="The name of the pod, in our own certificate too.",
        ),
    ] = ""
    servers: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="A folder of certificates with their keys, for the names of servers.",
                extra={"check": "servers", "wanted": "the path of a folder of PEM files"},
            ),
        ]
        | None
    ) = None
    ca: (
        Annotated[
            str,
            Meta(
                pattern=r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$",
                max_length=1024,
                examples=["https://ca.example:8443/ca"],
                extra={"wanted": "https://HOST:PORT/ca"},
                description="Who certifies our own key: the URL of a CA.",
            ),
        ]
        | None
    ) = None
    token: (
        Annotated[str, Meta(min_length=1, description="The enrolment token: the path of a file with it.")]
        | None
    ) = None
    caRoots: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Who certifies the CA: the path of a file of certificates.",
                extra={"check": "roots", "wanted": "the path of a PEM file of certificates"},
            ),
        ]
        | None
    ) = None
    caPin: (
        Annotated[
            str,
            Meta(
                pattern=f"^({ANY_KEYID}|sha256:[0-9A-Fa-f]{{64}})$",
                description="The CA, by the KEYID or the fingerprint of its certificate, or of its server.",
                extra={"wanted": "a KEYID, or sha256: and 64 hexadecimal digits, as ucli ca show prints"},
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if self.dir is not None and (self.key is not None or self.cert is not None):
            raise ValueError("it has dir beside key or cert; wanted the one or the others")
        if (self.key is None) != (self.cert is None):
            raise ValueError("it has one of key and cert; wanted both")
        self._checkAuthority()

    def _checkAuthority(self) -> None:
        if self.ca is None:
            if (self.token, self.caRoots, self.caPin) != (None, None, None):
                raise ValueError("it has token, caRoots or caPin, and no ca; wanted the URL of the CA too")
            return
        if (self.dir, self.key, self.roots) != (None, None, None):
            raise ValueError("it has ca beside dir, key or roots; wanted it without, for a key of our own")
        if self.caRoots is not None and self.caPin is not None:
            raise ValueError("it has caRoots and caPin; wanted one of them")
        host = self.ca.partition("://")[2].partition("/")[0]
        if self.ca.startswith("http://"):
            if _HERE.fullmatch(host) is None:
                raise ValueError("ca: a token would be sent for all to read; wanted https://")
        elif self.caRoots is None and self.caPin is None:
            raise ValueError("how is the CA known? wanted caRoots or caPin")

    @property
    def isGiven(self) -> bool:
        """
        Whether others made it.
        """
        return self.dir is not None or self.key is not None


class Trust(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Whom we believe to be who they say.
    """

    roots: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="The certificates of those who certify peers: the path.",
                extra={"check": "roots", "wanted": "the path of a PEM file of certificates"},
            ),
        ]
        | None
    ) = None
    domain: Annotated[DomainName, Meta(description="The trust domain that they have to be of.")] | None = None
    namespaces: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    pattern=r"^(\*|[A-Za-z0-9_.-]{1,63})$",
                    examples=["prod"],
                    extra={"wanted": "the name of a namespace, or * alone"},
                ),
            ],
            ...,
        ],
        Meta(
            min_length=1,
            description="The namespaces that they have to be of; * is any.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ("*",)
    pins: Annotated[
        tuple[Keyid, ...],
        Meta(
            description="Whose keys are believed whoever certifies them: KEYIDs.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    known: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Servers and their keys, learned when they are first met: the path.",
                extra={"check": "known", "wanted": "the path of a file of known peers"},
            ),
        ]
        | None
    ) = None
    revoked: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Who is believed no more: the path of a CRL, or of serial numbers and KEYIDs.",
                extra={"check": "revoked", "wanted": "the path of a CRL in PEM, or of serial numbers"},
            ),
        ]
        | None
    ) = None
    skew: Annotated[
        float, Meta(ge=0, le=86400, description="Seconds that clocks may differ.", extra=SECONDS)
    ] = 60.0
