# -*- test-case-name: ugate.test.test_tunsessions -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections in a TUN device that the kernel of this host answers itself.

What a program sends into the device to any address is given back to the kernel as if it came from a
neighbour (RFC 3022) and was for a port of ours, and what that port answers as if it came from where the
program wanted to go.  So TCP is the kernel's on both sides; here are only the addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from ugate.protocols.tunpackets import ACK, FIN, RST, SYN, Layout, Rewriting, resetFor, reversedKey

LINGER: Final = 60.0
"""Seconds that a connection which has ended keeps its place: parts of it may still be under way."""

OPENING: Final = 5.0
"""Seconds that one may be about to begin when others want its place."""

_FIRST: Final = 1024
_PORTS: Final = 65536 - _FIRST
_THEIRS: Final = 1
_OURS: Final = 2
_BOTH: Final = _THEIRS | _OURS


class Session:
    """
    One connection.

    @ivar source: who asks, as an address and a port.
    @ivar target: where to.
    @ivar ends: who has ended it: 1 is who asked, 2 are we.
    """

    __slots__ = ("began", "ends", "inward", "isUp", "key", "outward", "port", "source", "target")

    def __init__(self, layout: Layout, key: bytes, own: bytes, peer: bytes, port: int) -> None:
        """
        @param key: whose packets they are, from who asks.
        @param own: our address, and the port that we listen on.
        @param peer: the address of the neighbour.
        @param port: the port that it has there.
        """
        self.key = key
        self.port = port
        size = layout.size
        self.source = _pair(key[:size], key[-4:-2])
        self.target = _pair(key[size : 2 * size], key[-2:])
        given = peer + own[:size] + port.to_bytes(2, "big") + own[size:]
        self.inward = Rewriting(layout, key, given)
        self.outward = Rewriting(layout, reversedKey(given), reversedKey(key))
        self.ends = 0
        self.began = 0.0
        self.isUp = False

    @property
    def back(self) -> bytes:
        """
        Whose packets they are that we answer with.
        """
        return self.outward.old


def _pair(address: bytes, port: bytes) -> tuple[str, int]:
    return str(ip_address(address)), int.from_bytes(port, "big")


class Sessions:
    """
    The connections of one version of IP.

    @ivar dropped: how many packets were for nobody.
    @ivar forward: the networks of other machines whose packets are taken.
    @ivar up: how many connections were taken that we have not ended.
    @ivar closed: called when there is none of these any more, once it is set; no others begin then.
    @since: ugate NEXT
    """

    def __init__(
        self,
        layout: Layout,
        own: bytes,
        peer: bytes,
        port: int,
        seconds: Callable[[], float],
        limit: int,
        forward: Collection[IPv4Network | IPv6Network] = (),
    ) -> None:
        """
        @param own: our address in the device.
        @param peer: that of the neighbour, who is not there.
        @param port: where we listen.
        @param limit: how many connections there may be.
        @param forward: whose packets are taken, besides our own.
        """
        self.layout = layout
        self.own = own
        self.peer = peer
        self.limit = limit
        self.forward = forward
        self.dropped = 0
        self.up = 0
        self.closed: Callable[[], object] | None = None
        self._here = own + port.to_bytes(2, "big")
        self._seconds = seconds
        self._sessions: dict[bytes, tuple[Session, Rewriting, int]] = {}
        self._ports: dict[int, Session] = {}
        self._opening: dict[Session, None] = {}
        self._ended: dict[Session, float] = {}
        self._next = 0
        self._key = slice(layout.key, layout.transport + 4)
        self._flags = layout.transport + 13
        self._least = layout.transport + 20

    def __len__(self) -> int:
        return len(self._ports)

    def translate(self, packet: bytearray, size: int) -> bytes | bytearray | None:
        """
        What to give to the kernel for a packet of TCP that it gave us.

        @return: the packet itself, with other addresses; another one; or L{None} for nothing.
        """
        if size < self._least:
            self.dropped += 1
            return None
        key = bytes(packet[self._key])
        found = self._sessions.get(key)
        flags = packet[self._flags]
        if found is None or (flags & (SYN | ACK) == SYN and found[0].ends):
            found = self._begin(key, flags, found)
            if found is None:
                self.dropped += 1
                return resetFor(self.layout, packet, size) if self.isFromUs(key) else None
        session, rewriting, direction = found
        rewriting.apply(packet)
        if flags & (FIN | RST):
            self._end(session, direction if flags & FIN else _BOTH)
        return packet

    def find(self, port: int) -> Session | None:
        """
        The connection that came from that port of the neighbour; it is up.
        """
        session = self._ports.get(port)
        if session is not None and not (session.isUp or session.ends & _OURS):
            session.isUp = True
            self.up += 1
            self._opening.pop(session, None)
        return session

    def isFromUs(self, key: bytes) -> bool:
        """
        Whether a packet is from a program of this host, or of one for which it is a router, to a port of
        another one.
        """
        return key[-2:] != b"\0\0" and self.isToOne(key)

    def isToOne(self, key: bytes) -> bool:
        """
        The same, but for the port.
        """
        size = self.layout.size
        target = key[size : 2 * size]
        first = target[0]
        isOne = 0 < first < 224 if size == 4 else first != 0xFF and target[:2] != b"\xfe\x80"
        source = key[:size]
        isKnown = source == self.own or any(ip_address(source) in each for each in self.forward)
        return isKnown and isOne and target not in (self.own, self.peer, source)

    def _begin(
        self, key: bytes, flags: int, before: tuple[Session, Rewriting, int] | None
    ) -> tuple[Session, Rewriting, int] | None:
        if flags & (SYN | ACK | RST) != SYN or self.closed is not None or not self.isFromUs(key):
            return None
        if before is not None:
            self._forget(before[0])
        now = self._seconds()
        while self._ended:
            session, when = next(iter(self._ended.items()))
            if now - when <= LINGER and len(self) < self.limit:
                break
            self._forget(session)
        if len(self) >= self.limit:
            oldest = next(iter(self._opening), None)
            if oldest is None or now - oldest.began < OPENING:
                return None
            self._forget(oldest)
        session = Session(self.layout, key, self._here, self.peer, self._free())
        session.began = now
        self._opening[session] = None
        self._ports[session.port] = session
        self._sessions[session.back] = session, session.outward, _OURS
        self._sessions[key] = found = session, session.inward, _THEIRS
        return found

    def _free(self) -> int:
        """
        The port that was not used for longest.
        """
        while True:
            self._next = (self._next + 1) % _PORTS
            if _FIRST + self._next not in self._ports:
                return _FIRST + self._next

    def _end(self, session: Session, direction: int) -> None:
        before = session.ends
        session.ends = after = before | direction
        if after == _BOTH != before:
            self._opening.pop(session, None)
            self._ended[session] = self._seconds()
        if after & _OURS and not before & _OURS:
            self._down(session)

    def _down(self, session: Session) -> None:
        if session.isUp:
            session.isUp = False
            self.up -= 1
            if not self.up and self.closed is not None:
                self.closed()

    def _forget(self, session: Session) -> None:
        del self._ports[session.port]
        del self._sessions[session.key]
        del self._sessions[session.back]
        self._opening.pop(session, None)
        self._ended.pop(session, None)
        self._down(session)
