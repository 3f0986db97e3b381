# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The numbers of flows of datagrams are those of the code.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate import leg, relay
from ugate.endpoints import associations, flowtable, udp, udpport, udpstring
from ugate.tenancy.config.schema import Node
from ugate.test.docpages import page, table


class NumbersTests(SynchronousTestCase):
    """
    C{doc/udp.rst}.
    """

    def test_limits(self) -> None:
        """
        Each of its table.
        """
        wanted = [
            f"{Node().datagrams:g} s",
            f"{relay.BRIEF:g} s",
            f"{associations.ASSOCIATIONS}",
            f"{associations.FLOWS}",
            f"{flowtable.DEFAULT_FLOWS}",
            f"{udpstring.MAX_FLOWS}",
            f"{leg.EARLY_LIMIT >> 10} KiB",
            f"{flowtable.QUIET:g} s",
            f"{udp.AT_ONCE}",
            f"{udpport.RECEIVE_BUFFER >> 20} MiB",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("udp"), "udp-limits")])
        self.assertEqual(Node().datagrams, relay.IDLE_DATAGRAMS)
