# -*- test-case-name: ugate.test.test_config_mesh -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What sections of C{nodes} mean, and what is wrong with those and with C{serve} that no single one shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ugate.errors import StringError
from ugate.interfaces import MeshNode
from ugate.tenancy.config.delegated import placeOf
from ugate.tenancy.config.meshschema import Peer, Service
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import Section
from ugate.tenancy.match import normalHost
from ugate.tenancy.nodes import addressFromText, nodeName
from ugate.tenancy.publishers import Publisher
from ugate.tenancy.who import parseWho


def nodesFrom(peers: Mapping[str, Peer]) -> list[MeshNode]:
    """
    The nodes that a config gives.
    """
    return [
        MeshNode(
            peer.keyid.upper(),
            tuple(map(addressFromText, peer.addresses)),
            tuple(dict.fromkeys(map(nodeName, (name, *peer.names)))),
            hosts=tuple(map(normalHost, peer.hosts)),
            ports=peer.ports,
        )
        for name, peer in peers.items()
        if peer.keyid is not None
    ]


def publishersFrom(peers: Mapping[str, Peer]) -> list[Publisher]:
    """
    The users that a config lets publish something, in place of nodes.
    """
    return [
        Publisher(
            tuple(map(parseWho, peer.who)), tuple(map(normalHost, peer.hosts)), peer.ports, peer.sockets
        )
        for peer in peers.values()
        if peer.who
    ]


def meshMistakes(
    peers: Mapping[str, Peer], services: Mapping[str, Service], places: Mapping[tuple[str, str], Section]
) -> Iterator[Mistake]:
    """
    Keys, names and ports that two sections have.

    @param places: the sections, by kind and name.
    """
    keys: dict[str, str] = {}
    names: dict[str, str] = {}
    for section, peer in peers.items():
        if peer.keyid is None:
            continue
        other = keys.setdefault(peer.keyid.upper(), section)
        if other != section:
            message = f"nodes.{section}: nodes.{other} has that KEYID; wanted one section with more names"
            yield Mistake(placeOf(places["nodes", section], "keyid", 0), message)
        yield from _named(section, peer, names, places["nodes", section])
    ports: dict[tuple[str, int], str] = {}
    for section, service in services.items():
        other = ports.setdefault((service.target.network, service.at), section)
        if other != section:
            message = f"serve.{section}: serve.{other} has port {service.at} too; wanted each port once"
            yield Mistake(placeOf(places["serve", section], "port", 0), message)


def _named(section: str, peer: Peer, names: dict[str, str], written: Section) -> Iterator[Mistake]:
    for index, text in enumerate((section, *peer.names)):
        try:
            name = nodeName(text)
        except StringError as error:
            # Of the names within, each was checked when it was read.
            yield Mistake(written.place, f"nodes.{section}: {error}")
            continue
        other = names.setdefault(name, section)
        if other != section:
            place = written.place if index == 0 else placeOf(written, "names", index - 1)
            yield Mistake(place, f"nodes.{section}: nodes.{other} is called {name!r} too; wanted one of both")
