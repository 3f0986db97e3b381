# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is known of a stream, and what may be done with its transport.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from twisted.internet.interfaces import IAddress

if TYPE_CHECKING:
    from socket import socket

    from ugate.errors import Refused


class IStreamInfo(IAddress):
    """
    What is known of one stream; a frozen value that is the peer address.
    """

    peer = Attribute("L{IAddress}: who connected.")
    host = Attribute("L{IAddress}: the local address it connected to.")
    target = Attribute("L{ugate.stream.Target} or L{None}: where it wants to go.")
    principal = Attribute("L{ugate.stream.Principal} or L{None}: who asks, proven.")
    protocol = Attribute("L{str}: what it was recognized as.")
    hints = Attribute("Mapping of L{str} to L{str}: unproven claims: sni, alpn, user ...")
    layers = Attribute("Tuple of L{str}: the negotiations passed, outermost first.")


class IPrincipal(Interface):
    """
    What the portal of a tenant is asked for: its avatar is a L{ugate.stream.Principal}.
    """


class IPending(Interface):
    """
    A transport that owes its peer an answer.  Exactly one of the two is called,
    once; bytes written before are an error.
    """

    def accept() -> None:
        """
        Tell the peer, in its own protocol, that its stream is up.
        """

    def refuse(reason: Refused) -> None:
        """
        Tell the peer, in its own protocol, why not, and close.
        """


class IHalfCloseableTransport(Interface):
    """
    A transport that can end one direction and go on reading.
    """

    def loseWriteConnection() -> None:
        """
        Tell the peer, after what was written, that nothing more will come.
        """


class IDatagrams(Interface):
    """
    A transport whose stream is datagrams.  Its protocol gets and writes them as DATAGRAM capsules (RFC 9297,
    with the context ID of RFC 9298), so that whatever carries bytes carries them on; two such transports
    pass them on as they are, as many at once as there are.
    """

    dropped = Attribute("L{int}: how many could not be passed on, either way.")
    failed = Attribute("Called with an L{OSError} when one that was sent did not get there; or L{None}.")

    def post(datagram: bytes) -> None:
        """
        Send one to the peer.  If it cannot be taken at once, it is dropped, and counted.
        """

    def postAll(datagrams: Sequence[bytes]) -> None:
        """
        Send some, in their order.
        """

    def receive(receiver: Callable[[Sequence[bytes]], object]) -> None:
        """
        Give what comes to C{receiver} from now on, and nothing to the protocol.
        """

    def undelivered(error: OSError) -> None:
        """
        Something that came from here did not get where it was to go: tell the peer, if there is a way.
        """


@dataclass(frozen=True, slots=True)
class Detached:
    """
    A socket that left its transport, and the bytes that were under way there.
    """

    socket: socket
    """The connected, non-blocking socket; the caller owns and closes it."""

    unread: bytes = b""
    """Bytes that came from the peer and that nobody has consumed."""

    unsent: bytes = b""
    """Bytes that were written for the peer and are not yet in the kernel."""

    waiting: object | None = None
    """The L{ugate.poll.Poll} that waits already for the socket to be readable, if one does."""

    reactor: object | None = None
    """That of the transport."""


class IDetachable(Interface):
    """
    A transport that can hand over its socket, so that the kernel can move the
    bytes.  Bare TCP and UNIX transports have it by adaptation.
    """

    def detach() -> Detached:
        """
        Take the socket out.  The transport is dead afterwards and tells nobody;
        the caller owns the socket and every byte under way.
        """


class IDetachableTLS(Interface):
    """
    A transport in TLS that can hand over its socket, and what ends TLS on it.  It is another interface than
    L{IDetachable} since nobody may take what is on that socket for the bytes of the stream.
    """

    def detach() -> Detached:
        """
        As L{IDetachable.detach}; but the socket is a L{ugate.protocols.tlssocket.TLSSocket}, which is used as
        one is and cannot be spliced.
        """

    def part() -> tuple[Detached, Any]:
        """
        As L{IDetachable.detach}; the socket is the bare one, what is unsent is encrypted, and what is unread
        is not.

        @return: that, and the L{ugate.protocols.tlsrecords.Records}, which may have read more.
        """
