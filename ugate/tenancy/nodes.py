# -*- test-case-name: ugate.test.test_nodes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The nodes of the mesh that a tenant knows: those of its config, and what the network says.

A name belongs to a key.  What the network says takes over no name that the config gives to another key,
nor one that another key has already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Final

from zope.interface import implementer

from twisted.internet.interfaces import IReactorTime

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.interfaces import INodes, MeshAddress, MeshNode
from ugate.stream import Principal, Target
from ugate.tenancy.config.texts import DOMAIN_NAME
from ugate.tenancy.keyids import keyidIn
from ugate.tenancy.match import normalHost, packed
from ugate.tenancy.publishers import Publisher, userNode

CONFIG: Final = "config"
"""The source that is believed before all others."""

PUBLISHED: Final = ("reverse", "ssh")
"""The sources whose names the config has let nodes, or users, have."""

MAX_NODES: Final = 4096
"""Nodes that one source may have told of."""

MAX_SOURCES: Final = 8
"""Sources beside the config."""

MAX_ADDRESSES: Final = 16
"""Addresses of a node that one source may have told of."""

MAX_NAMES: Final = 16
"""Names of a node that one source may have told of."""

_KEYID_SIZE: Final = 52
_LONGEST: Final = 253
_NAME: Final = re.compile(DOMAIN_NAME)
_TRANSPORT: Final = re.compile("[a-z][a-z0-9]{0,31}")
_NETWORK: Final = IPv6Address("fd00::").packed[:8]


def addressFromText(text: str) -> MeshAddress:
    """
    Read C{TRANSPORT:HOST:PORT}, as in C{connect:[2001:db8::2]:15008}.

    @raise StringError: it cannot be read.
    @since: ugate NEXT
    """
    transport, _, rest = text.partition(":")
    if _TRANSPORT.fullmatch(transport) is None or not rest:
        raise StringError(f"{text[:200]!r}: wanted TRANSPORT:HOST:PORT, as in connect:10.0.0.2:15008")
    target = Target.fromText(rest)
    return MeshAddress(transport, target.host, target.port)


def addressText(address: MeshAddress) -> str:
    """
    The opposite.

    @since: ugate NEXT
    """
    return f"{address.transport}:{Target(address.host, address.port)}"


def nodeName(text: str) -> str:
    """
    Read a name of a node that is not its KEYID: one as of a host, or its VIP6.

    @return: as it is compared.
    @raise StringError: it can be none.
    @since: ugate NEXT
    """
    name = _normal(text)
    number = packed(name)
    if number is not None:
        if number[:8] == _NETWORK:
            return name
        raise StringError(
            f"{text[:80]!r}: wanted a name, or the address that follows from its key, fd00::..."
        )
    if len(name) > _LONGEST or _NAME.fullmatch(name) is None:
        raise StringError(f"{text[:80]!r}: wanted a name as of a host")
    if name == "localhost" or name.endswith(".localhost"):
        raise StringError(f"{name!r} is always this machine; wanted another name")
    if keyidIn(name) is not None:
        raise StringError(f"{name[:80]!r} follows from a key, and need not be said; wanted another name")
    return name


def _normal(host: str) -> str:
    """
    A host as it is compared.
    """
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except ValueError:
            return host
    return normalHost(host)


@implementer(INodes)
class Nodes:
    """
    The table of a tenant.  It stays the same object whatever becomes of its sections.

    @since: ugate NEXT
    """

    __slots__ = ("_claimed", "_clock", "_counts", "_given", "_learned", "_names", "_publishers")

    def __init__(
        self, clock: IReactorTime, given: Iterable[MeshNode] = (), publishers: Iterable[Publisher] = ()
    ) -> None:
        """
        @param clock: by which nodes expire.
        @param given: those of the config, each KEYID once.
        @param publishers: the users whom it lets publish something.
        """
        self._clock = clock
        self._given: dict[str, MeshNode] = {}
        self._names: dict[str, str] = {}
        # By KEYID, then by source.
        self._learned: dict[str, dict[str, MeshNode]] = {}
        self._claimed: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._use(given, publishers)

    def _use(self, given: Iterable[MeshNode], publishers: Iterable[Publisher]) -> None:
        self._publishers = tuple(publishers)
        self._given = {node.keyid: node for node in given}
        self._names = {name: node.keyid for node in self._given.values() for name in node.names}

    def change(self, given: Iterable[MeshNode], publishers: Iterable[Publisher] = ()) -> Callable[[], None]:
        """
        Let the config have given others; what the network says stays.

        @return: what takes that back.
        """
        before = tuple(self._given.values()), self._publishers
        self._use(given, publishers)
        return lambda: self._use(*before)

    def user(self, principal: Principal) -> MeshNode:
        """
        What the config alone says of a user who publishes.
        """
        return userNode(principal, self._publishers)

    def given(self, keyid: str) -> MeshNode | None:
        """
        What the config alone says of a KEYID.
        """
        return self._given.get(keyid)

    def find(self, name: str) -> MeshNode | None:
        """
        See L{INodes.find}.
        """
        keyid = self._keyidOf(_normal(name))
        found = () if keyid is None else tuple(self._of(keyid))
        if len(found) <= 1:
            return found[0] if found else None
        ends = [node.expires for node in found]
        return MeshNode(
            found[0].keyid,
            tuple(dict.fromkeys(address for node in found for address in node.addresses)),
            tuple(dict.fromkeys(name for node in found for name in node.names)),
            found[0].source,
            None if None in ends else max(end for end in ends if end is not None),
        )

    def leads(self, host: str) -> bool:
        """
        Whether streams to a host go to a node although no route says so: to a name that follows from a key
        or that the config gives, and to one from the network that has no dots, so that it cannot be a
        name that others have in the DNS, or which the config lets a node have that has dialed in.
        """
        if len(host) < _KEYID_SIZE and not self._names and not self._claimed:
            return False
        if keyidIn(host) is not None:
            return True
        name = _normal(host)
        if name in self._names:
            return True
        keyid = self._keyidOf(name)
        return keyid is not None and ("." not in name or self._isPublished(name, keyid))

    def _isPublished(self, name: str, keyid: str) -> bool:
        known = self._learned.get(keyid, {})
        return any(source in known and name in known[source].names for source in PUBLISHED)

    def all(self) -> Sequence[MeshNode]:
        """
        See L{INodes.all}.
        """
        self._expire()
        return [node for keyid in sorted({*self._given, *self._learned}) for node in self._of(keyid)]

    def learn(self, node: MeshNode) -> None:
        """
        See L{INodes.learn}.
        """
        self._checkShape(node)
        names = tuple(dict.fromkeys(self._checkName(node, name) for name in node.names))
        known = self._learned.get(node.keyid, {})
        if node.source not in known:
            self._checkRoom(node)
            self._counts[node.source] = self._counts.get(node.source, 0) + 1
        self._unclaim(node.keyid)
        self._learned.setdefault(node.keyid, {})[node.source] = replace(node, names=names)
        self._claim(node.keyid)

    def forget(self, keyid: str, source: str) -> None:
        """
        See L{INodes.forget}.
        """
        known = self._learned.get(keyid)
        if known is None or source not in known:
            return
        self._unclaim(keyid)
        del known[source]
        self._counts[source] -= 1
        if not self._counts[source]:
            del self._counts[source]
        if known:
            self._claim(keyid)
        else:
            del self._learned[keyid]

    def _keyidOf(self, name: str) -> str | None:
        """
        Whose name it is, if it is somebody's.
        """
        keyid = keyidIn(name) or self._names.get(name)
        if keyid is None:
            keyid = self._claimed.get(name)
            if keyid is not None and not any(name in node.names for node in self._of(keyid)):
                return None
        return keyid

    def _of(self, keyid: str) -> Iterator[MeshNode]:
        """
        What is known of a KEYID, the config first.
        """
        given = self._given.get(keyid)
        if given is not None:
            yield given
        known = self._learned.get(keyid)
        if known:
            for source in sorted(known):
                if not self._isOver(known[source]):
                    yield known[source]

    def _isOver(self, node: MeshNode) -> bool:
        return node.expires is not None and node.expires <= self._clock.seconds()

    def _checkShape(self, node: MeshNode) -> None:
        what = ""
        if keyidIn(node.keyid) != node.keyid:
            what = f"{node.keyid[:80]!r} is no KEYID"
        elif node.source == CONFIG:
            what = "only the config speaks for the config"
        elif len(node.addresses) > MAX_ADDRESSES:
            what = f"{len(node.addresses)} addresses, wanted at most {MAX_ADDRESSES}"
        elif len(node.names) > MAX_NAMES:
            what = f"{len(node.names)} names, wanted at most {MAX_NAMES}"
        if what:
            raise _refused(Cause.UNSUPPORTED, node, what, "see what that node says of itself")

    def _checkName(self, node: MeshNode, text: str) -> str:
        try:
            name = nodeName(text)
        except StringError as error:
            raise _refused(Cause.UNSUPPORTED, node, str(error), "have that node take another name") from error
        owner = self._keyidOf(name)
        if owner is not None and owner != node.keyid:
            step = "see whose it is; the section nodes can give it to another"
            raise _refused(Cause.DENIED, node, f"the name {name} is that of {owner}", step)
        return name

    def _checkRoom(self, node: MeshNode) -> None:
        source = node.source
        if self._counts.get(source, 0) >= MAX_NODES or len(self._counts) >= MAX_SOURCES:
            self._expire()
        full = ""
        if self._counts.get(source, 0) >= MAX_NODES:
            full = f"there are {MAX_NODES} nodes by {source} already"
        elif source not in self._counts and len(self._counts) >= MAX_SOURCES:
            full = f"there are {MAX_SOURCES} sources already"
        if full:
            raise _refused(Cause.OVERLOADED, node, full, "wait until some are forgotten")

    def _unclaim(self, keyid: str) -> None:
        for node in self._learned.get(keyid, {}).values():
            for name in node.names:
                if self._claimed.get(name) == keyid:
                    del self._claimed[name]

    def _claim(self, keyid: str) -> None:
        for node in self._learned[keyid].values():
            if not self._isOver(node):
                self._claimed.update(dict.fromkeys(node.names, keyid))

    def _expire(self) -> None:
        """
        Forget what is over.
        """
        over = [node for known in self._learned.values() for node in known.values() if self._isOver(node)]
        for node in over:
            self.forget(node.keyid, node.source)


def _refused(cause: Cause, node: MeshNode, detail: str, step: str) -> Refused:
    return Refused(cause, Phase.RESOLVE, f"node {node.keyid[:_KEYID_SIZE]}", detail, step)
