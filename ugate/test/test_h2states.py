# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2core} beside the h2 library: the states of streams are the same.
"""

from __future__ import annotations

from typing import Any

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError, StreamClosedError
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.h2blocks import Blocks
from ugate.protocols.h2frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Code,
    frameHead,
    number,
)
from ugate.protocols.httpfields import Fields
from ugate.stream import StreamInfo, Target
from ugate.test.h2fakes import CONNECT, HOST, PEER, Frame, RawPeer, Upper

Told = list[tuple[Any, ...]]
"""What is seen of streams: what was sent, and what was heard."""

REQUESTS = (
    CONNECT,
    [(":method", "CONNECT"), (":authority", "other.example:1")],
    [(":method", "CONNECT")],
    [(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")],
    [(":method", "CONNECT"), (":authority", "a:1"), ("Upper", "x")],
)
ANSWERS = (
    [(":status", "200")],
    [(":status", "200"), ("x", "y")],
    [(":status", "103")],
    [("x", "y")],
    [(":status", "200"), (":method", "CONNECT")],
)


class Library:
    """
    The library alone, with the streams that it has.
    """

    def __init__(self, client: bool) -> None:
        self.connection = H2Connection(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.connection.initiate_connection()
        self.told: Told = []
        self.fault: int | None = None

    def receive(self, data: bytes) -> None:
        """
        Take frames.  An answer is given to each request at once.
        """
        connection = self.connection
        try:
            events = connection.receive_data(data)
        except StreamClosedError:
            self.fault = Code.STREAM_CLOSED
            return
        except ProtocolError as error:
            self.fault = int(error.error_code)
            return
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                self.told.append(("asked", event.stream_id))
                connection.send_headers(event.stream_id, [(":status", "200")])
            elif isinstance(event, h2.events.ResponseReceived):
                self.told.append(("answered", event.stream_id))
            elif isinstance(event, h2.events.StreamEnded):
                self.told.append(("ended", event.stream_id))
            self._sweep()

    def _sweep(self) -> None:
        """
        Forget what is over, and no more than that.
        """
        streams = self.connection.streams
        for stream in [each for each, state in streams.items() if state.closed]:
            self.connection._closed_streams[stream] = streams.pop(stream).closed_by

    def finish(self, stream: int) -> None:
        """
        End our direction.
        """
        self.connection.end_stream(stream)
        self._sweep()

    def reset(self, stream: int, code: int) -> None:
        """
        End both.
        """
        self.connection.reset_stream(stream, code)
        self._sweep()

    @property
    def open(self) -> set[int]:
        """
        The streams that are up.
        """
        return set(self.connection.streams)

    def resets(self) -> list[tuple[int, int]]:
        """
        Those that it has sent.
        """
        reader = RawPeer(client=False, greet=False)._frames
        data = self.connection.data_to_send()
        reader.feed(data.removeprefix(PREFACE))
        return resets(reader.all)


def resets(frames: list[Frame]) -> list[tuple[int, int]]:
    """
    The streams that were reset, with the code.
    """
    return [(stream, number(payload)) for kind, _, stream, payload in frames if kind == RST_STREAM]


class Listens(Upper):
    """
    Writes down that its stream has ended.
    """

    def __init__(self, channel: Any, told: Told) -> None:
        super().__init__(channel)
        self._into = told
        self._number = channel.id

    def ended(self) -> None:
        self._into.append(("ended", self.channel.id))
        super().ended()

    def closed(self, reason: Failure) -> None:
        # That both have ended as they should says it, too, of who had not before.
        if reason.check(ConnectionDone) and "ended" not in self.told:
            self._into.append(("ended", self._number))
        super().closed(reason)


class Forgetful(Blocks[bytes, Fields]):
    """
    Remembers nothing.
    """

    def learn(self, key: bytes, value: Fields) -> None:
        """
        Do not.
        """


class Ours:
    """
    A link, which is asked and answered in the same way.
    """

    def __init__(self, client: bool, fresh: bool) -> None:
        self.peer = RawPeer(client=client)
        self.core = self.peer.link.core
        self.told: Told = []
        self._client = client
        if fresh:
            # Whatever comes is looked at as if it came for the first time.
            self.core._met = Forgetful()
        self.peer.link.requested = self._asked  # type: ignore[method-assign]
        self.peer.link.answered = self._answered  # type: ignore[method-assign]
        self.peer.frames()

    def _asked(self, channel: Any, fields: Any) -> None:
        self.told.append(("asked", channel.id))
        channel.attach(Listens(channel, self.told))
        channel.accept()

    def _answered(self, channel: Any, fields: Any) -> None:
        self.told.append(("answered", channel.id))
        self.peer.link._openings.pop(channel.id)
        channel.attach(Listens(channel, self.told))
        channel.up()


HEADER_STEPS = st.tuples(
    st.just("headers"),
    st.integers(1, 7),
    st.integers(0, 4),
    st.sampled_from((0, 0, 0, END_STREAM)),
    st.booleans(),
)
STEPS = st.one_of(
    HEADER_STEPS,
    HEADER_STEPS,
    st.tuples(st.just("good"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("good"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("data"), st.integers(1, 7), st.sampled_from((0, END_STREAM))),
    st.tuples(st.just("reset"), st.integers(1, 7), st.sampled_from((0, 2, 8))),
    st.tuples(st.just("finish"), st.integers(1, 7)),
    st.tuples(st.just("abort"), st.integers(1, 7)),
)


class SameTests(SynchronousTestCase):
    """
    The same frames for both.
    """

    def _same(self, client: bool, steps: list[tuple[Any, ...]], fresh: bool) -> None:
        ours, library = Ours(client, fresh), Library(client)
        encoder = Encoder()
        if not client:
            library.receive(PREFACE)
        library.receive(frameHead(0, SETTINGS, 0, 0))
        waiting: list[Deferred[Any]] = []
        for stream in (1, 3, 5) if client else ():
            waiting.append(ours.peer.link.open(StreamInfo(PEER, HOST, Target("a", 1))))
            waiting[-1].addErrback(lambda _: None)
            library.connection.send_headers(stream, CONNECT)
        ours.peer.frames()
        library.resets()
        for step in steps:
            self._step(client, step, ours, library, encoder)
            frames = ours.peer.frames()
            gone = [number(payload, 4) for kind, _, _, payload in frames if kind == 7]
            self.assertEqual([] if library.fault is None else [library.fault], gone, step)
            if gone:
                return
            self.assertEqual(library.told, ours.told)
            self.assertEqual(library.open, set(ours.core.channels))
            self.assertEqual(library.resets(), resets(frames))
            self.assertEqual({}, ours.core.control.streams)

    def test_last(self) -> None:
        """
        The end of who ends last is told, though only once.
        """
        self._same(False, [("good", 0, 0), ("finish", 1), ("data", 1, END_STREAM)], False)

    def _step(
        self, client: bool, step: tuple[Any, ...], ours: Ours, library: Library, encoder: Encoder
    ) -> None:
        what, stream = step[:2]
        if what == "good":
            # The next of them, so that many go well.
            control = ours.core.control
            which = 2 * stream + 1 if client else max(control.highest_inbound_stream_id, -1) + 2
            step = ("headers", which if client or which & 1 else which - 1, step[2], 0, False)
            what, stream = step[:2]
        if what == "headers":
            if client and stream & 1 == 0:
                stream += 1
            data = self._headers(client, step, stream, encoder)
        elif what == "data":
            data = frameHead(0, DATA, step[2], stream)
        elif what == "reset":
            if ours.core.control.isIdle(stream):
                return
            data = frameHead(4, RST_STREAM, 0, stream) + step[2].to_bytes(4, "big")
        else:
            channel = ours.core.channels.get(stream)
            if channel is None or channel.finished or not channel.isUp:
                return
            if what == "finish":
                channel.finish()
                library.finish(stream)
            else:
                channel.reset()
                library.reset(stream, Code.CONNECT_ERROR)
            return
        ours.peer.raw(data)
        library.receive(data)

    def _headers(self, client: bool, step: tuple[Any, ...], stream: int, encoder: Encoder) -> bytes:
        block = encoder.encode((ANSWERS if client else REQUESTS)[step[2]])
        flags = step[3]
        if not step[4]:
            return frameHead(len(block), HEADERS, flags | END_HEADERS, stream) + block
        head = frameHead(1, HEADERS, flags, stream) + block[:1]
        return head + frameHead(len(block) - 1, CONTINUATION, END_HEADERS, stream) + block[1:]

    @given(st.integers(0, 3), st.lists(STEPS, max_size=30), st.booleans())
    def test_met(self, before: int, steps: list[tuple[Any, ...]], client: bool) -> None:
        """
        The same streams are up, the same is told, reset and refused, and with the same codes.

        @param before: how many go well first, so that blocks are known.
        """
        self._same(client, [("good", number, 0) for number in range(before)] + steps, False)

    def test_numbers(self) -> None:
        """
        A block that is known begins no stream with a number that was there, or that is not the peer's.
        """
        good = [("good", 0, 0)] * 3
        for stream in range(1, 7):
            self._same(False, [*good, ("headers", stream, 0, 0, False)], False)
            self._same(False, [*good, ("reset", 5, 8), ("headers", stream, 0, 0, False)], False)

    def test_answers(self) -> None:
        """
        One that is known answers no stream twice, and none that is not there.
        """
        good = [("good", 0, 0), ("good", 1, 0)]
        for stream in (1, 3, 5, 7):
            self._same(True, [*good, ("headers", stream, 0, 0, False)], False)
            self._same(True, [*good, ("abort", 1), ("headers", stream, 0, 0, False)], False)

    @given(st.lists(STEPS, max_size=30), st.booleans())
    def test_fresh(self, steps: list[tuple[Any, ...]], client: bool) -> None:
        """
        So it is, too, when no block is remembered.
        """
        self._same(client, steps, True)
