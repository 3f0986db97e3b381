# -*- test-case-name: ugate.test.test_h2core,ugate.test.test_h2calm,ugate.test.test_h2states -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the h2 library does of a connection, and what is told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState

from ugate.errors import Refused
from ugate.protocols.h2frames import MAX_FRAME
from ugate.protocols.httpfields import Fields

if TYPE_CHECKING:
    from ugate.protocols.h2channel import H2Channel

_MANY: Final = 2**31 - 1

TABLE: Final = 4096
"""Bytes of the table by which we pack header fields, though a peer lets us have a larger one."""


class H2Events(Protocol):
    """
    What is told of what comes.
    """

    def flush(self) -> None:
        """Send what is to go."""

    def settled(self, isOurs: bool) -> None:
        """The settings of the peer came, or its word on ours."""

    def requested(self, channel: H2Channel, fields: Fields) -> None:
        """The peer opens a stream."""

    def answered(self, channel: H2Channel, fields: Fields) -> None:
        """The peer has answered a stream of ours."""

    def lost(self, channel: H2Channel, code: int | None, text: str) -> None:
        """A stream is over: cleanly, or with a code."""

    def ponged(self, data: bytes) -> None:
        """A ping of ours was answered."""

    def goingAway(self, last: int, code: int, text: str) -> None:
        """The peer looks at no later streams."""

    def accept(self, channel: H2Channel) -> None:
        """Tell the peer that a stream is up."""

    def refuse(self, channel: H2Channel, reason: Refused) -> None:
        """Tell the peer why a stream is not."""


class Control(H2Connection):
    """
    That of the library, which keeps no streams: it is told of one when a frame comes that is out of
    the ordinary.
    """

    MAX_CLOSED_STREAMS = 4096

    def __init__(self, client: bool, headers: int) -> None:
        """
        @param headers: bytes of all header fields of one message.
        """
        super().__init__(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.local_settings = Settings(
            client=client,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: _MANY,
                SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self.max_inbound_frame_size = MAX_FRAME
        self.state_machine.state = ConnectionState.CLIENT_OPEN if client else ConnectionState.SERVER_OPEN
        self.decoder.max_header_list_size = headers

    @property
    def open_inbound_streams(self) -> int:
        """None that count."""
        return 0

    @property
    def open_outbound_streams(self) -> int:
        """None that count."""
        return 0

    def settled(self) -> None:
        """
        The settings of the peer came: keep none that nobody knows, no table beyond L{TABLE}, and of its sizes
        what the next block has to say (RFC 7541, 4.2), which is the smallest and the last.
        """
        remote, encoder = self.remote_settings, self.encoder
        for unknown in [each for each in remote if not isinstance(each, SettingCodes)]:
            del remote[unknown]
        sizes = [min(each, TABLE) for each in encoder.table_size_changes]
        if sizes:
            encoder.header_table_size = sizes[-1]
            encoder.table_size_changes = sorted({min(sizes), sizes[-1]})
            # The library says nothing if it was told the last one twice.
            encoder.header_table.resized = True

    def restore(self, channel: H2Channel) -> None:
        """
        Have the library know a stream as it is, for the next frame alone.
        """
        state = H2Stream(
            channel.id,
            config=self.config,
            inbound_window_size=self.local_settings.initial_window_size,
            outbound_window_size=self.remote_settings.initial_window_size,
        )
        machine = state.state_machine
        machine.client = channel.isOurs
        machine.headers_sent = channel.isOurs or channel.isUp
        machine.headers_received = channel.mayRead
        if channel.isOver:
            machine.state = StreamState.HALF_CLOSED_REMOTE
        else:
            machine.state = StreamState.HALF_CLOSED_LOCAL if channel.finished else StreamState.OPEN
        self.streams[channel.id] = state

    def forget(self, stream: int, isReset: bool) -> None:
        """
        A stream is over.

        @param isReset: whether it did not end both ways.
        """
        how = StreamClosedBy.SEND_RST_STREAM if isReset else StreamClosedBy.SEND_END_STREAM
        self._closed_streams[stream] = how

    @property
    def unopened(self) -> int:
        """
        How many streams we could still begin, by their numbers.
        """
        return (self.HIGHEST_ALLOWED_STREAM_ID - self.highest_outbound_stream_id) // 2

    def isIdle(self, stream: int) -> bool:
        """
        Whether a stream has not been begun by whose it would be.
        """
        ours = stream % 2 == int(self.config.client_side)
        return stream > (self.highest_outbound_stream_id if ours else self.highest_inbound_stream_id)
