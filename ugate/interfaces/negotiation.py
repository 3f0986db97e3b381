# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The bytes spoken before a stream is usable.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.cred.credentials import ICredentials

    from ugate.errors import Refused
    from ugate.stream import Principal, StreamInfo


class Auth(Enum):
    """
    Whether the peer of a server negotiation has to prove who it is.
    """

    NONE = "none"
    """Nobody could check a credential: offer no authentication."""

    OPTIONAL = "optional"
    """Check a credential if one is given: the listener is open to this machine."""

    REQUIRED = "required"
    """Nothing passes without a good credential."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    What a negotiation wants done after it was fed.
    """

    send: bytes = b""
    """Bytes for the peer, now."""

    done: bool = False
    """Whether the metadata is whole; then C{info} holds it on the server side."""

    rest: bytes = b""
    """With C{done}: bytes that came after the negotiation, part of the stream."""

    info: StreamInfo | None = None
    """With C{done}, on the server side: what is now known of the stream."""

    credentials: ICredentials | None = None
    """Something to check before going on: answered with C{login()}."""


class INegotiation(Interface):
    """
    The bytes spoken before a stream is usable.  Sans-io: bytes in, bytes and
    values out; the host writes the cap, the deadline and the replay.

    A server negotiation is made with the L{StreamInfo} known so far and the
    L{Auth} mode; a client negotiation with what it asks for.
    """

    def start() -> bytes:
        """
        The first bytes, sent as soon as the connection is up; a server that
        waits for its client returns none.
        """

    def receive(data: bytes) -> Step:
        """
        Take more bytes, of any size.

        @raise ugate.errors.ProtocolError: the peer broke the protocol (servers).
        @raise ugate.errors.Refused: the peer said no, or broke the protocol (clients).
        """

    def login(principal: Principal | None) -> Step:
        """
        The answer to C{Step.credentials}: who it is, or L{None} if they were bad.

        @raise ugate.errors.ProtocolError: the peer has no further try; its
            C{reply} says so.
        """

    def accept() -> bytes:
        """
        After C{done}, on the server side: the bytes that say that the stream is up.
        """

    def refuse(reason: Refused) -> bytes:
        """
        At any time, on the server side: the bytes that say why not.
        """


class ISilence(INegotiation):
    """
    A server negotiation that decides something when its peer says nothing, as
    the clients of servers that speak first do.
    """

    def silent() -> Step:
        """
        The peer has sent nothing at all for the time that the listener grants.

        @raise ugate.errors.ProtocolError: that is not served here.
        """
