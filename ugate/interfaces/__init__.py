# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The seams: what the pieces of a gateway promise each other.  All of them are imported from here.
"""

from __future__ import annotations

from ugate.interfaces.config import IConfigStore, IStoreModule, IWatching, IWritableStore
from ugate.interfaces.dialing import IDialer, IEgress, ILimits, IPolicy
from ugate.interfaces.identity import IIdentity, ITrust
from ugate.interfaces.links import IChannel, ILink, ISession
from ugate.interfaces.mesh import INodes, MeshAddress, MeshNode
from ugate.interfaces.modules import IAsker, IModule, INeedsAsyncio, INode, IServesHTTP
from ugate.interfaces.names import INames
from ugate.interfaces.negotiation import Auth, INegotiation, ISilence, Step
from ugate.interfaces.streams import (
    Detached,
    IDatagrams,
    IDetachable,
    IDetachableTLS,
    IHalfCloseableTransport,
    IPending,
    IPrincipal,
    IStreamInfo,
)
from ugate.interfaces.tenancy import ITenant

__all__ = [
    "Auth",
    "Detached",
    "IAsker",
    "IChannel",
    "IConfigStore",
    "IDatagrams",
    "IDetachable",
    "IDetachableTLS",
    "IDialer",
    "IEgress",
    "IHalfCloseableTransport",
    "IIdentity",
    "ILimits",
    "ILink",
    "IModule",
    "INames",
    "INeedsAsyncio",
    "INegotiation",
    "INode",
    "INodes",
    "IPending",
    "IPolicy",
    "IPrincipal",
    "IServesHTTP",
    "ISession",
    "ISilence",
    "IStoreModule",
    "IStreamInfo",
    "ITenant",
    "ITrust",
    "IWatching",
    "IWritableStore",
    "MeshAddress",
    "MeshNode",
    "Step",
]
