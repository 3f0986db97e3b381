# -*- test-case-name: ugate.test.test_config_mesh -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The shape of C{nodes} and C{serve}: see L{ugate.tenancy.config.schema}, which has them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from ugate.tenancy.config.texts import ONE_OR_LIST, Hosts, Keyid, Who

if TYPE_CHECKING:
    from ugate.stream import Target


class Peer(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A node of the mesh: whose key it has, and how it is reached; or users who publish by SSH.
    """

    keyid: Keyid | None = None
    who: Annotated[
        tuple[Who, ...],
        Meta(
            description="In place of a KEYID, users who may publish by ssh -R what the rest says.",
            examples=["key:bob"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    addresses: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    min_length=1,
                    examples=["connect:10.0.0.2:15008"],
                    extra={"check": "meshAddress", "wanted": "TRANSPORT:HOST:PORT"},
                ),
            ],
            ...,
        ],
        Meta(
            description="The ways there, best first; more may be learned from the network.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    names: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    min_length=1,
                    examples=["bob.example"],
                    extra={"check": "nodeName", "wanted": "a name as of a host, or its address fd00::..."},
                ),
            ],
            ...,
        ],
        Meta(
            description="What else it is called, beside the name of the section.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    hosts: Annotated[
        tuple[Hosts, ...],
        Meta(
            description="Other names that it may ask for here, if it dials in or publishes.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...],
        Meta(
            description="Ports of ours that it may ask for, if it dials in or publishes.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()

    sockets: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    min_length=1,
                    examples=["/run/ugate/published"],
                    extra={"check": "folder", "wanted": "an absolute path, without .. and //"},
                ),
            ],
            ...,
        ],
        Meta(
            description="Folders of ours in which users may have UNIX sockets.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()

    def __post_init__(self) -> None:
        if (self.keyid is None) == (not self.who):
            raise ValueError("wanted either keyid, for a node, or who, for users")
        if self.who and (self.addresses or self.names):
            raise ValueError("users have neither addresses nor names of their own; wanted hosts and ports")
        if self.sockets and not self.who:
            raise ValueError("sockets are for users; wanted who, in place of keyid")


class Service(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What we are, on a port of our own name.
    """

    to: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where streams to that port go.",
            examples=["127.0.0.1:8080"],
            extra={"check": "service", "wanted": "HOST:PORT, or udp:HOST:PORT"},
        ),
    ]
    port: (
        Annotated[int, Meta(ge=1, le=65535, description="The port of our name; that of to unless given.")]
        | None
    ) = None

    @property
    def at(self) -> int:
        """
        The port of our name.
        """
        return self.target.port if self.port is None else self.port

    @property
    def target(self) -> Target:
        """
        Where streams go, or datagrams.
        """
        # Not at the top: the client command line has no Twisted.
        from ugate.stream import Target

        # It has been checked.
        return Target.anyFromText(self.to)
