# -*- test-case-name: ugate.test.test_gateway -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What outlives the gateway of a listener.
"""

from __future__ import annotations

from typing import Any

from ugate.errors import Denied
from ugate.interfaces import ITenant
from ugate.stream import StreamInfo


class Entry:
    """
    What the gateways of a listener have in common that follow each other when it is changed.

    @ivar tenant: whose listener it is.
    @ivar accepted: how many streams came in so far.
    @since: ugate NEXT
    """

    __slots__ = ("accepted", "tenant")

    def __init__(self, tenant: ITenant) -> None:
        self.tenant = tenant
        self.accepted = 0

    def close(self) -> None:
        """
        The listener is gone: who has connected before may not open more streams.
        """
        gone: Any = _Gone(self.tenant.name)
        self.tenant = gone


class _Gone:
    """
    In place of the tenant of a listener that there is no more.
    """

    names = None

    def __init__(self, name: str) -> None:
        self.name = name

    def tenantFor(self, info: StreamInfo) -> ITenant:
        raise Denied(str(info), "its listener is gone", "connect to one that is there")
