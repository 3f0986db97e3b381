# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.tenantlinks}.
"""

from __future__ import annotations

import gc
from typing import Any

from ugate.endpoints.session import Session
from ugate.endpoints.sessions import KINDS, Sessions
from ugate.interfaces import ITenant
from ugate.tenancy.tenantlinks import TenantLinks
from ugate.test.muxfakes import INFO
from ugate.test.sessionfakes import Settling
from ugate.testing import Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.turns import MeshClock


class TenantClock(MeshClock):
    """
    The reactor of a tenant.
    """

    tenant: Any = None

    def __conform__(self, interface: object) -> object | None:
        return self.tenant if interface is ITenant else None


class TenantLinksTests(Settling):
    """
    Links at several places.
    """

    def setUp(self) -> None:
        self.clock = TenantClock()
        self.clock.tenant = self
        self.links = TenantLinks()
        self.served = Conversations()

    def session(self, place: Sessions) -> Session:
        """
        A link whose other end serves streams.
        """
        ours, theirs = linkPair(self.clock)
        far = Sessions(MeshClock())
        Session(self.clock, theirs, sessions=far).listener(accepts=True).listen(self.served)
        self.clock.rightNow += 1
        return Session(self.clock, ours, sessions=place)

    def test_all(self) -> None:
        """
        Those of all places, the oldest first,  and how many there were of each kind.
        """
        places = [Sessions(self.clock, kind=kind) for kind in KINDS[:2]]
        made = [self.session(places[number]) for number in (1, 0, 1)]
        self.assertEqual(made, self.links.sessions())
        made[0].endpointFor(INFO).connect(self.served)
        self.settle()
        self.assertEqual([1, 0, 0], [each.streams for each in self.links.sessions()])
        made[1].link.abort("gone")
        self.settle()
        self.assertEqual([made[0], made[2]], self.links.sessions())
        self.assertEqual({"accepted": 2, "dialed": 1}, dict(self.links.opened))

    def test_forgotten(self) -> None:
        """
        A place that nobody holds is none.
        """
        Sessions(self.clock)
        gc.collect()
        self.assertEqual([], list(self.links._places))

    def test_idle(self) -> None:
        """
        A session knows since when it has no stream.
        """
        session = self.session(Sessions(self.clock))
        self.assertEqual(session.began, session.idleSince)
        session.endpointFor(INFO).connect(self.served)
        self.settle()
        self.assertIsNone(session.idleSince)
        self.clock.rightNow += 5
        for each in self.served.accepted:
            each.abort()
        self.settle()
        self.assertEqual(session.began + 5, session.idleSince)

    def test_drain(self) -> None:
        """
        They close with their streams, or are cut.
        """
        busy, free = (self.session(Sessions(self.clock)) for _ in range(2))
        busy.endpointFor(INFO).connect(self.served)
        self.settle()
        drained = self.links.drain()
        self.settle()
        self.assertEqual((True, False, True), (busy.isClosing, busy.isClosed, free.isClosed))
        self.assertNoResult(drained)
        self.links.stop("enough")
        self.settle()
        self.successResultOf(drained)
        self.assertTrue(busy.isClosed)
