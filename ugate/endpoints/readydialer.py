# -*- test-case-name: ugate.test.test_ready -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The way to a node without an address: one of the connections that it keeps ready here.
"""

from __future__ import annotations

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.dialers import Way
from ugate.endpoints.ready import Ready
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo


@implementer(IDialer)
class ReadyDialer:
    """
    Leads streams to one node that keeps connections ready.

    @since: ugate NEXT
    """

    def __init__(self, ready: Ready, keyid: str) -> None:
        """
        @param ready: where these are.
        @param keyid: whose.
        """
        self._ready = ready
        self._keyid = keyid

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint that takes one of them.
        """
        return Way(lambda factory: self._ready.connect(self._keyid, info, factory))

    def explain(self, info: StreamInfo) -> list[str]:
        """
        How many there are.
        """
        count = self._ready.count(self._keyid)
        return [f"by one of {count} connections that the node keeps ready here, as it is"]
