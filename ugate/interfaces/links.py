# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Links that carry many streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from twisted.internet.interfaces import IStreamServerEndpoint

from ugate.interfaces.dialing import IDialer

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from ugate.errors import Refused
    from ugate.stream import StreamInfo, Target


class IChannel(Interface):
    """
    One stream of a link, as the protocol of that link moves it.  What is above it is a
    C{ugate.protocols.mux.MuxStream}, which it tells of what comes: C{received(data)}, C{ended()},
    C{drained()}, and last of all C{closed(reason)}; after L{reset} and L{refuse} nothing has to be told.
    """

    unsent = Attribute("L{int}: bytes that were written and wait for a window or for the link.")

    def write(data: bytes) -> None:
        """
        Send it as far as windows let; the rest is kept, and C{drained()} is called when it is gone.
        """

    def finish() -> None:
        """
        After what was written, nothing more comes.
        """

    def consumed(count: int) -> None:
        """
        The reader has taken so many bytes: the peer may send as many again.
        """

    def reset() -> None:
        """
        End both directions at once; what is unsent is dropped.
        """

    def accept() -> None:
        """
        Of a stream that the peer opened: tell it that it is up.
        """

    def refuse(reason: Refused) -> None:
        """
        Of a stream that the peer opened: tell it why not, and close.
        """


class ILink(Interface):
    """
    One connection that carries many streams, once its handshake is over: what each multiplexing
    protocol writes for itself.  Whoever holds it sets C{incoming}.
    """

    incoming = Attribute(
        "Callable or L{None}: called with the C{MuxStream} of each stream that the peer opens, which is an "
        "L{IPending}; all are refused while it is L{None}."
    )
    info = Attribute(
        "L{ugate.stream.StreamInfo}: of the connection itself: by which address, and proven to be whom."
    )
    protocol = Attribute("L{str}: what is spoken on it, for people.")
    streams = Attribute("L{int}: how many are up or being opened.")
    isDraining = Attribute("L{bool}: whether no more streams begin, since one of its ends said so.")
    onDraining = Attribute("Callable or L{None}: called, once, when the peer says so.")
    room = Attribute("L{int}: how many more the peer lets us open now; 0 once it is going away.")

    def open(info: StreamInfo) -> Deferred[Any]:
        """
        Ask the peer for a stream to C{info.target}.

        @return: fires with its C{MuxStream} when the peer has accepted it; fails with
            L{ugate.errors.Refused}.  Cancelling it gives the stream up.
        """

    def ping() -> Deferred[None]:
        """
        Fires when the peer has answered; fails when the link is gone before that.
        """

    def drain() -> None:
        """
        Let no more streams begin, here or there; the link closes when the last has ended.
        """

    def abort(reason: str) -> None:
        """
        Cut the link with all its streams.
        """

    def whenClosed() -> Deferred[Any]:
        """
        A new Deferred that fires with why, a L{str}, when the link is gone; it never fails.
        """


class ISession(IDialer):
    """
    A link to one peer: its streams are dialed by L{IDialer.endpointFor}, and those that the peer
    opens are listened for.
    """

    principal = Attribute("L{ugate.stream.Principal} or L{None}: who the peer has proven to be.")
    link = Attribute("L{ILink}: what carries it.")

    def listener(target: Target | None = None) -> IStreamServerEndpoint:
        """
        The endpoint of the streams that the peer opens.

        @param target: only those to there; L{None} for all that nobody else listens for.
        """

    def whenClosed() -> Deferred[Any]:
        """
        A new Deferred that fires with why when it is gone; it never fails.
        """

    def close() -> Deferred[Any]:
        """
        Let no more streams begin, and close when the last has ended.

        @return: as L{whenClosed} gives it.
        """
