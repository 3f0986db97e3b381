# -*- test-case-name: ugate.test.test_testing,ugate.test.test_mesh -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A mesh of hosts and gateways in memory, for tests: those of this project and those of
programs that use it.

L{MemoryMesh} has the hosts; each has a reactor.  Nothing touches a socket, no real
time passes, and the same test does the same each time.
"""

from ugate.testing.applied import Applied
from ugate.testing.conversation import Conversation, Conversations
from ugate.testing.faults import (
    NO_ROUTE,
    Blackhole,
    Fault,
    HalfClose,
    LostName,
    Refuse,
    Reset,
    SlowReader,
    SplitWrites,
    Stall,
)
from ugate.testing.linkmaker import MemoryLinks, linkPair
from ugate.testing.links import MemoryLink
from ugate.testing.mesh import Client, Host, MemoryMesh
from ugate.testing.reactor import HostReactor
from ugate.testing.turns import MeshError, NeverQuiet

__all__ = [
    "NO_ROUTE",
    "Applied",
    "Blackhole",
    "Client",
    "Conversation",
    "Conversations",
    "Fault",
    "HalfClose",
    "Host",
    "HostReactor",
    "LostName",
    "MemoryLink",
    "MemoryLinks",
    "MemoryMesh",
    "MeshError",
    "NeverQuiet",
    "Refuse",
    "Reset",
    "SlowReader",
    "SplitWrites",
    "Stall",
    "linkPair",
]
