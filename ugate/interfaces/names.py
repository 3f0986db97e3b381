# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which names addresses stand for.
"""

from __future__ import annotations

from zope.interface import Interface


class INames(Interface):
    """
    What a tenant's own resolver has told its clients, the other way round: for streams that come with an
    address and were meant for a name.

    Addresses are literals of IPv4 or IPv6; whatever else is asked for is no address of anybody.
    """

    def nameFor(address: str) -> str | None:
        """
        The name that was last asked for when that address was an answer; in lower case, without a dot at its
        end.  L{None} if nobody asked, or if it is too long ago.
        """

    def isFake(address: str) -> bool:
        """
        Whether it stands for a name alone: nothing is there, and a stream for it has to go to the name, or
        nowhere if that is forgotten.
        """
