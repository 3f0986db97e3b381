# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshlink}: the contract of links.
"""

from __future__ import annotations

from typing import Any

from ugate.errors import Cause
from ugate.test import sshcontract
from ugate.test.sshfakes import FakeWire, linkPair


class SSHLinkContractTests(sshcontract.SSHContract):
    """
    What every link has to do, by SSH.
    """

    causes = (
        Cause.DENIED,
        Cause.CONNECTION_REFUSED,
        Cause.TIMED_OUT,
        Cause.NAME_UNKNOWN,
        Cause.HOST_UNREACHABLE,
        Cause.NETWORK_UNREACHABLE,
        Cause.UNSUPPORTED,
        Cause.OVERLOADED,
    )
    wires: tuple[FakeWire, FakeWire]

    def makeLinks(self) -> tuple[Any, Any]:
        self.wires = linkPair()
        return self.wires[0].link, self.wires[1].link

    def step(self) -> bool:
        client, server = self.wires
        return bool(client.step() | server.step())
