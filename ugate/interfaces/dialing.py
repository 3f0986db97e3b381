# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where a stream may go, and by which way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from twisted.internet.interfaces import IStreamClientEndpoint

if TYPE_CHECKING:
    from ugate.stream import StreamInfo


class IDialer(Interface):
    """
    Where a stream goes.  One that carries datagrams, too, has an attribute C{networks} with C{"udp"} in it,
    one that leads to UNIX sockets C{"unix"} (L{ugate.posting.checkCarries} looks); one without carries bytes
    to hosts alone, and is not asked for the others.
    """

    def endpointFor(info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint that leads to C{info.target}.  Quick: what is slow happens
        in its C{connect()}, whose failures are L{ugate.errors.Refused}.

        @raise ugate.errors.Refused: there is no way there, and why.
        """

    def explain(info: StreamInfo) -> list[str]:
        """
        The same way in words, a line a decision or hop, without going it.
        """


class IPolicy(Interface):
    """
    Who may go where.  No policy means no.
    """

    def check(info: StreamInfo) -> None:
        """
        Return if the stream may go on.

        @raise ugate.errors.Denied: it may not; the error names the rule.
        """


class IEgress(Interface):
    """
    The rule on resolved addresses: C{IEgress(reactor)} of a tenant's reactor.
    """

    def check(host: str, port: int, network: str = "tcp") -> None:
        """
        Return if a connection may be made to that address, or datagrams sent.

        @param network: C{tcp}, C{udp}, or C{unix} for the path of a socket, with the port 0.
        @raise ugate.errors.Denied: it may not; the error says which rule.
        """

    def isOwn(host: str, port: int, network: str = "tcp") -> bool:
        """
        Whether a listener of this process is there.

        @param host: an address literal.
        """

    mark = Attribute("L{int}: what the kernel shall mark connections with that we make; 0 for nothing.")
    outgoing = Attribute(
        "L{None}, or while the kernel leads streams here those that were made last: C{add(made, socket)} and "
        "C{holds(made)}, where C{made} is the own address and port, and those of the other end."
    )

    def capture() -> None:
        """
        The kernel may lead connections of this machine here from now on, and must not do so with ours.
        """

    def cannotMark() -> None:
        """
        The kernel does not let us mark them.
        """


class ILimits(Interface):
    """
    How much a tenant may have at once.
    """

    meters = Attribute("What holds the rates of its streams, given to the relay; or L{None}.")

    def admit() -> None:
        """
        Count one more stream, here and for all above.

        @raise ugate.errors.Refused: there may not be one more; the error names the limit.
        """

    def release() -> None:
        """
        A stream that was admitted has ended.
        """
