# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The page of C{tun:} says what is so.
"""

from __future__ import annotations

import re

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.captured import SNIFFED, WAIT
from ugate.endpoints.tunflows import MOST
from ugate.endpoints.tunport import FLOWS
from ugate.endpoints.tunstring import ADDRESSES, KEYWORDS, MOST_FLOWS, MTU, TABLE
from ugate.protocols.tunicmp import BURST, RATE
from ugate.test.dialfakes import Net
from ugate.test.docpages import page, table


class TunTests(SynchronousTestCase):
    """
    The page against the code.
    """

    def setUp(self) -> None:
        self.text = page("tun")
        self.rows = {row[0]: row for row in table(self.text, "tun-keywords")}

    def test_keywords(self) -> None:
        """
        All that there are, with what holds without them.
        """
        self.assertEqual(tuple(sorted(self.rows)), tuple(sorted(KEYWORDS)))
        given = {name: row[1].replace("\\", "") for name, row in self.rows.items()}
        self.assertEqual(given["addresses"], ADDRESSES)
        self.assertEqual({int(each) for each in given["sniff"].split(",")}, set(SNIFFED))
        self.assertEqual(float(given["wait"]), WAIT)
        self.assertEqual([int(given[name]) for name in ("mtu", "table", "flows")], [MTU, TABLE, FLOWS])
        self.assertIn(f"{MOST_FLOWS} at most", self.rows["flows"][2])

    def test_messages(self) -> None:
        """
        How many messages of ICMP there are.
        """
        self.assertIn(f"{BURST} messages at once and {RATE} a second", self.text)
        self.assertIn(f"more than {MOST:,} bytes", self.text)

    def test_example(self) -> None:
        """
        The listeners that it shows can be.
        """
        strings = re.findall(r'(?:out|endpoint): "(tun:[^"]+)"', self.text)
        self.assertEqual(len(strings), 3)
        for string in strings:
            serverFromString(Net(), string)
