# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The nodes of a mesh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import Interface


@dataclass(frozen=True, slots=True)
class MeshAddress:
    """
    One way to a node of the mesh.
    """

    transport: str
    """How to speak there: a name that C{ugate.endpoints.meshtransports.TRANSPORTS} has."""

    host: str
    """An address literal or a DNS name."""

    port: int
    """1 to 65535."""


@dataclass(frozen=True, slots=True)
class MeshNode:
    """
    A node of the mesh, as far as it is known here.
    """

    keyid: str
    """The hash of its key, 52 characters in upper case."""

    addresses: tuple[MeshAddress, ...]
    """The ways there, best first."""

    names: tuple[str, ...] = ()
    """Other names that it has, in lower case; only those of the config are believed without a certificate."""

    source: str = "config"
    """Who says so: C{config}, C{discovery}, C{registration}, or what another module calls itself."""

    expires: float | None = None
    """When that is forgotten, by the reactor's clock; L{None} for never."""

    hosts: tuple[str, ...] = ()
    """Names that it may ask for when it comes: hosts, and suffixes with C{*.}; of the config alone."""

    ports: tuple[int, ...] = ()
    """Ports of ours that it may ask for then; of the config alone."""

    sockets: tuple[str, ...] = ()
    """Folders of ours in which it may have UNIX sockets then; of the config alone."""


class INodes(Interface):
    """
    The nodes of the mesh that a tenant knows.
    """

    def find(name: str) -> MeshNode | None:
        """
        The node of a KEYID, a host that begins with one, a VIP6, or another name of it; with the
        addresses of all sources, those of the config first.
        """

    def all() -> Sequence[MeshNode]:
        """
        All that are known, one for each KEYID and source, in the order of their KEYIDs.
        """

    def learn(node: MeshNode) -> None:
        """
        Put it in place of what the same source said of that KEYID before.

        @raise ugate.errors.Refused: there are too many, it has too many addresses, or a name of it is that
            of another node already.
        """

    def forget(keyid: str, source: str) -> None:
        """
        Drop what that source said of it, if it did.
        """
