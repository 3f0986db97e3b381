# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose rules and routes hold.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.cred.portal import Portal
from twisted.internet.protocol import ClientFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialers import Deny
from ugate.errors import Denied
from ugate.interfaces import ITenant
from ugate.tenancy.egress import OwnListeners
from ugate.tenancy.policy import KnownPrincipals
from ugate.tenancy.tenant import ROOT, Tenant


class TenantTests(SynchronousTestCase):
    """
    L{Tenant}.
    """

    def setUp(self) -> None:
        self.real: Any = MemoryReactorClock()
        self.policy = KnownPrincipals()

    def test_interface(self) -> None:
        """
        With a dialer, an identity and a trust it is whole.
        """
        tenant = Tenant(self.real, self.policy)
        tenant.dialer = Deny()
        vars(tenant).update(identity=None, trust=None)
        verifyObject(ITenant, tenant)

    def test_root(self) -> None:
        """
        A node's own tenant has no portal and no named hops unless it is given them.
        """
        tenant = Tenant(self.real, self.policy)
        self.assertEqual((tenant.name, tenant.portal, tenant.hops, tenant.handshake), (ROOT, None, {}, 10.0))
        self.assertIs(tenant.policy, self.policy)

    def test_given(self) -> None:
        """
        It keeps what it is made of.
        """
        portal = Portal(object())  # type: ignore[arg-type]
        tenant = Tenant(self.real, self.policy, name="alice", portal=portal, handshake=3)
        self.assertEqual((tenant.name, tenant.handshake), ("alice", 3))
        self.assertIs(tenant.portal, portal)

    def test_reactors(self) -> None:
        """
        Both of its reactors are of this tenant.
        """
        tenant = Tenant(self.real, self.policy)
        self.assertIs(ITenant(tenant.reactor), tenant)
        self.assertIs(ITenant(tenant.hopReactor), tenant)

    def _connect(self, reactor: Any, host: str, port: int = 80) -> bool:
        try:
            reactor.connectTCP(host, port, ClientFactory())
        except Denied:
            return False
        return True

    def test_hopsMayBePrivate(self) -> None:
        """
        Where clients may not reach private ranges, the hops of the config still do; but
        neither reaches a metadata service or the node itself.
        """
        own = OwnListeners()
        own.add("127.0.0.1", 1080)
        tenant = Tenant(self.real, self.policy, private=False, own=own)
        may = {
            host: (self._connect(tenant.reactor, host, port), self._connect(tenant.hopReactor, host, port))
            for host, port in (
                ("1.1.1.1", 80),
                ("10.0.0.1", 80),
                ("169.254.169.254", 80),
                ("127.0.0.1", 1080),
            )
        }
        self.assertEqual(
            may,
            {
                "1.1.1.1": (True, True),
                "10.0.0.1": (False, True),
                "169.254.169.254": (False, False),
                "127.0.0.1": (False, False),
            },
        )

    def test_privateByDefault(self) -> None:
        """
        Unless it is said otherwise, clients may reach private ranges.
        """
        tenant = Tenant(self.real, self.policy)
        self.assertTrue(self._connect(tenant.reactor, "10.0.0.1"))

    def test_ownIsShared(self) -> None:
        """
        A listener that begins later is known to both.
        """
        own = OwnListeners()
        tenant = Tenant(self.real, self.policy, own=own)
        self.assertTrue(self._connect(tenant.reactor, "127.0.0.1", 1080))
        own.add("127.0.0.1", 1080)
        self.assertFalse(self._connect(tenant.reactor, "127.0.0.1", 1080))
        self.assertFalse(self._connect(tenant.hopReactor, "127.0.0.1", 1080))
