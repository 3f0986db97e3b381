# -*- test-case-name: ugate.test.test_h2core,ugate.test.test_h2calm -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the h2 library does of a connection, and what is told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from ugate.errors import Refused
from ugate.protocols.h2frames import MAX_FRAME
from ugate.protocols.httpfields import Fields

if TYPE_CHECKING:
    from ugate.protocols.h2channel import H2Channel

_MANY: Final = 2**31 - 1


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
    That of the library, with streams counted elsewhere: it would look at all of them for each new one.
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
        self.decoder.max_header_list_size = headers

    @property
    def open_inbound_streams(self) -> int:
        """None that count."""
        return 0

    @property
    def open_outbound_streams(self) -> int:
        """None that count."""
        return 0

    def ignoreLength(self, stream: int) -> None:
        """
        What is said of the length of a stream does not matter: nobody counts its bytes here.
        """
        state = self.streams.get(stream)
        if state is not None:
            state._expected_content_length = None

    def forget(self, stream: int) -> None:
        """
        A stream is over.
        """
        state = self.streams.pop(stream, None)
        if state is not None:
            self._closed_streams[stream] = state.closed_by

    @property
    def unopened(self) -> int:
        """
        How many streams we could still begin, by their numbers.
        """
        return (self.HIGHEST_ALLOWED_STREAM_ID - self.highest_outbound_stream_id) // 2

    def isClosed(self, stream: int) -> bool:
        """
        Whether a stream has ended both ways.
        """
        state = self.streams.get(stream)
        return state is None or bool(state.closed)

    def isIdle(self, stream: int) -> bool:
        """
        Whether a stream has not been begun by whose it would be.
        """
        ours = stream % 2 == int(self.config.client_side)
        return stream > (self.highest_outbound_stream_id if ours else self.highest_inbound_stream_id)
