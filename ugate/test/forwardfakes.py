# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gate between two links in HTTP/2: with peers that a test plays, or with links of ours at the far ends.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.copying import Copying
from ugate.leg import Leg
from ugate.metering import Meters
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2frames import DATA, RST_STREAM, WINDOW_UPDATE
from ugate.protocols.h2link import H2Link
from ugate.protocols.mux import MuxStream
from ugate.stream import StreamInfo, Target
from ugate.test.h2fakes import HOST, PEER, RawPeer, Wire
from ugate.test.muxfakes import Half

FIRST: Final = H2Limits().firstWindow
TARGET: Final = Target("db.example", 5432)


class Joining:
    """
    Joins what comes on a link to what it opens on another one.

    @ivar copies: the streams, each in the middle.
    @ivar reasons: why those that are over ended.
    """

    def __init__(self, clock: Clock, inward: H2Link, outward: H2Link) -> None:
        self.copies: list[Copying] = []
        self.reasons: list[str] = []
        self.meters: Meters | None = None
        self._clock = clock
        self._outward = outward
        inward.incoming = self._incoming

    def _incoming(self, stream: MuxStream) -> None:
        asked = Leg()
        stream.begin(asked)

        def opened(out: MuxStream) -> None:
            target = Leg()
            out.begin(target)
            stream.accept()
            copying = Copying(self._clock, asked, target, self.reasons.append, self.meters)
            self.copies.append(copying)
            copying.start()

        def failed(failure: Failure) -> None:
            refusal: Any = failure.value
            stream.refuse(refusal)

        self._outward.open(stream.info).addCallbacks(opened, failed)


class RawGate:
    """
    A gate whose peers are the test's.

    @ivar near: the peer that opens streams.
    @ivar far: the one that is asked for them.
    """

    def __init__(self) -> None:
        self.near = RawPeer()
        self.far = RawPeer(client=True)
        self.joining = Joining(self.near.clock, self.near.link, self.far.link)
        self.near.frames()
        self.far.frames()

    def up(self, stream: int = 1) -> None:
        """
        A stream that both know by the same number.
        """
        self.near.headers(stream)
        self.far.headers(stream, [(":status", "200")])
        self.near.frames()
        self.far.frames()

    @staticmethod
    def window(peer: RawPeer, stream: int, more: int) -> None:
        """
        A peer takes so much more of a stream, and of all together.
        """
        for number in (0, stream):
            peer.send(WINDOW_UPDATE, 0, number, struct.pack(">L", more))

    @staticmethod
    def came(peer: RawPeer) -> dict[int, Came]:
        """
        What came to a peer since this was last asked, by stream.
        """
        found: dict[int, Came] = {}
        for kind, flags, stream, payload in peer.frames():
            found.setdefault(stream, Came()).add(kind, flags, payload)
        return found


class Came:
    """
    What came of one stream.

    @ivar sizes: the lengths of its frames of data.
    @ivar granted: by how much its window was enlarged.
    @ivar code: what it was reset with.
    """

    def __init__(self) -> None:
        self.data = b""
        self.sizes: list[int] = []
        self.granted = 0
        self.ended = False
        self.code: int | None = None

    def add(self, kind: int, flags: int, payload: bytes) -> None:
        """
        One more frame.
        """
        if kind == DATA:
            self.data += payload
            self.sizes.append(len(payload))
            self.ended = bool(flags & 1)
        elif kind == WINDOW_UPDATE:
            self.granted += struct.unpack(">L", payload)[0]
        elif kind == RST_STREAM:
            (self.code,) = struct.unpack(">L", payload)


class GateTestCase(SynchronousTestCase):
    """
    Has the gate, and a stream through it.
    """

    def setUp(self) -> None:
        self.gate = RawGate()
        self.near, self.far = self.gate.near, self.gate.far
        self.gate.up()

    def came(self, peer: RawPeer, stream: int = 1) -> Came:
        """
        What came to a peer of a stream.
        """
        return RawGate.came(peer).get(stream, Came())

    def held(self, stream: int = 1) -> int:
        """
        The bytes of a stream that wait in the gate, on their way to the far peer.
        """
        inward = self.near.link.core.channels[stream]
        outward = self.far.link.core.channels[stream]
        return inward.unread + outward.unsent


class Cable:
    """
    What is between two links: bytes move when they are told to.
    """

    def __init__(self, one: H2Link, two: H2Link) -> None:
        self._wires = (Wire(), Wire())
        self._links = (one, two)
        self._under = [bytearray(), bytearray()]
        for link, wire in zip(self._links, self._wires, strict=True):
            link.makeConnection(wire)

    def move(self, way: int, most: int = 1 << 30) -> int:
        """
        Let so many bytes arrive.

        @param way: 0 for those that the first link has sent.
        @return: how many there were.
        """
        wire, under = self._wires[way], self._under[way]
        under += wire.value()
        wire.clear()
        data = bytes(under[:most])
        del under[:most]
        if data:
            self._links[1 - way].dataReceived(data)
        return len(data)


class Chain:
    """
    Links of ours: from a client to a gate, and from there to a server.

    @ivar near: the ends of the streams at the client.
    @ivar far: those at the server.
    """

    def __init__(self, count: int, limits: H2Limits | None = None) -> None:
        self.clock = Clock()
        self.client = H2Link(self.clock, StreamInfo(HOST, PEER), True, limits)
        self.gate = (
            H2Link(self.clock, StreamInfo(PEER, HOST), False, limits),
            H2Link(self.clock, StreamInfo(HOST, PEER), True, limits),
        )
        self.server = H2Link(self.clock, StreamInfo(PEER, HOST), False, limits)
        self.cables = (Cable(self.client, self.gate[0]), Cable(self.gate[1], self.server))
        self.joining = Joining(self.clock, *self.gate)
        self.near: list[Half] = []
        self.far: list[Half] = []
        self.server.incoming = self._accepted
        self.flow()
        for _ in range(count):
            self.client.open(self.client.info.but(target=TARGET)).addCallback(self._opened)
        self.flow()
        assert len(self.near) == len(self.far) == len(self.joining.copies) == count

    def _accepted(self, stream: MuxStream) -> None:
        stream.accept()
        self.far.append(_begun(stream))

    def _opened(self, stream: MuxStream) -> None:
        self.near.append(_begun(stream))

    def flow(self) -> None:
        """
        All that is under way arrives.
        """
        while any(cable.move(way) for cable in self.cables for way in (0, 1)):
            pass


def _begun(stream: MuxStream) -> Half:
    half = Half()
    stream.begin(half)
    return half


def heard(half: Half) -> tuple[bytes, list[object]]:
    """
    The bytes that an end has had, and what it was told of ends: not that its own was sent, which it may hear
    before all is over or not at all.
    """
    data = b"".join(each for each in half.heard if isinstance(each, bytes))
    return data, [each for each in half.heard if not isinstance(each, bytes) and each != "write lost"]


def copied(*args: Callable[..., object]) -> bool:
    """
    In place of L{ugate.protocols.h2forward.forward}: nothing is forwarded.
    """
    return False
