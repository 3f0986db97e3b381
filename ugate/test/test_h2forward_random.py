# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2forward}: whatever happens, and in whatever pieces it comes, the far ends see
what they would if the streams were copied.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols import h2forward
from ugate.protocols.h2calm import H2Limits
from ugate.test.forwardfakes import Chain, copied, heard
from ugate.test.splicefakes import noise

LIMITS = H2Limits(streamWindow=1 << 14, firstWindow=1 << 10, connectionWindow=1 << 17)

SIDES = st.sampled_from(["near", "far"])
STREAMS = st.integers(0, 2)

HARMLESS = st.one_of(
    st.tuples(st.just("write"), SIDES, STREAMS, st.integers(1, 9000)),
    st.tuples(st.just("end"), SIDES, STREAMS),
    st.tuples(st.just("pause"), SIDES, STREAMS),
    st.tuples(st.just("resume"), SIDES, STREAMS),
    st.tuples(st.just("move"), st.integers(0, 1), st.integers(0, 1), st.integers(1, 20000)),
    st.tuples(st.just("block"), st.integers(0, 1)),
    st.tuples(st.just("unblock"), st.integers(0, 1)),
)
RESET = st.tuples(st.just("reset"), SIDES, STREAMS)


@cache
def _data(side: str, number: int) -> bytes:
    """
    What an end writes, from its beginning.
    """
    return noise(40 * 9000, number + 3 * (side == "far"))


class Schedule:
    """
    Things that happen to a chain, one after another; then all that waits goes on.
    """

    def __init__(self) -> None:
        self.chain = Chain(3, LIMITS)
        self.written = {(side, number): 0 for side in ("near", "far") for number in range(3)}
        self.whole: dict[tuple[str, int], int] = {}

    def stream(self, side: str, number: int) -> Any:
        """
        An end of a stream.
        """
        return getattr(self.chain, side)[number].transport

    def write(self, side: str, number: int, size: int) -> None:
        """
        An end writes so much more.
        """
        key = (side, number)
        at = self.written[key]
        self.written[key] += size
        self.stream(*key).write(_data(*key)[at : at + size])

    def end(self, side: str, number: int) -> None:
        """
        An end writes no more.
        """
        self.whole.setdefault((side, number), self.written[side, number])
        self.stream(side, number).loseWriteConnection()

    def reset(self, side: str, number: int) -> None:
        """
        An end cuts its stream.
        """
        self.stream(side, number).abortConnection()

    def pause(self, side: str, number: int) -> None:
        """
        An end reads no more.
        """
        self.stream(side, number).pauseProducing()

    def resume(self, side: str, number: int) -> None:
        """
        It reads on.
        """
        self.stream(side, number).resumeProducing()

    def move(self, cable: int, way: int, most: int) -> None:
        """
        So many bytes arrive.
        """
        self.chain.cables[cable].move(way, most)

    def block(self, side: int) -> None:
        """
        The gate cannot send to one side.
        """
        self.chain.gate[side].pauseProducing()

    def unblock(self, side: int) -> None:
        """
        It can.
        """
        self.chain.gate[side].resumeProducing()

    def run(self, steps: list[Any]) -> list[tuple[bytes, list[object]]]:
        """
        Do all of it.

        @return: what each end has heard.
        """
        for name, *args in steps:
            getattr(self, name)(*args)
            self.check()
        for gate in (0, 1):
            self.unblock(gate)
        for side, number in self.written:
            self.resume(side, number)
        self.chain.flow()
        for side, number in self.written:
            self.checkEnd(side, number)
        return [heard(half) for half in (*self.chain.near, *self.chain.far)]

    def checkEnd(self, side: str, number: int) -> None:
        """
        What came is what was sent, and an end that looks good comes after all of it.
        """
        data, told = heard(getattr(self.chain, side)[number])
        sender = ("far" if side == "near" else "near", number)
        assert data == _data(*sender)[: len(data)]
        assert len(data) <= self.written[sender]
        if "read lost" in told or ConnectionDone in told:
            assert len(data) == self.whole.get(sender), (sender, told)

    def check(self) -> None:
        """
        No more of a stream waits in the gate than both windows of it, nor is more promised.
        """
        for link in self.chain.gate:
            for channel in link.core.channels.values():
                other = channel.other
                if other is not None:
                    here = channel.unread + other.unsent
                    assert here <= channel.core.limits.streamWindow + LIMITS.firstWindow, here
                    assert 0 <= channel._taken <= channel.promised


class SameTests(SynchronousTestCase):
    """
    Forwarded and copied.
    """

    def both(self, steps: list[Any]) -> list[list[tuple[bytes, list[object]]]]:
        """
        What comes of it, one way and the other.
        """
        forwarded = Schedule()
        found = [forwarded.run(steps)]
        with_ = h2forward.forward
        h2forward.forward = copied  # type: ignore[assignment]
        try:
            found.append(Schedule().run(steps))
        finally:
            h2forward.forward = with_
        return found

    @settings(max_examples=60, deadline=None)
    @given(st.lists(HARMLESS, max_size=40))
    def test_noResets(self, steps: list[Any]) -> None:
        """
        The same bytes, and the same ends.
        """
        one, two = self.both(steps)
        self.assertEqual(one, two)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.one_of(HARMLESS, RESET), max_size=40))
    def test_resets(self, steps: list[Any]) -> None:
        """
        How much comes before a cut, and whether it comes before all is over, is up to the windows: the other
        streams have the same bytes, and the same ends.
        """
        cut = {number for name, _, number, *_ in (s for s in steps if s[0] == "reset")}
        one, two = self.both(steps)
        for at, (first, second) in enumerate(zip(one, two, strict=True)):
            if at % 3 not in cut:
                self.assertEqual(first, second)
