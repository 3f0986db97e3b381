# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{mesh:HOST:PORT}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import clientFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialing import dialerFromText
from ugate.endpoints.meshstring import MeshEndpoint
from ugate.errors import Cause, Refused, StringError
from ugate.stream import Target
from ugate.test.dialfakes import Net, Recorders
from ugate.test.test_dialing import FakeTenant


class MeshStringTests(SynchronousTestCase):
    """
    Reading it, and connecting.
    """

    def setUp(self) -> None:
        self.net = Net()
        self.tenant: Any = FakeTenant(self.net, {})
        self.net._tenant = self.tenant

    def endpoint(self, text: str) -> MeshEndpoint:
        """
        What a string means.
        """
        endpoint = clientFromString(self.net, text)
        assert isinstance(endpoint, MeshEndpoint)
        return endpoint

    def test_read(self) -> None:
        """
        A host and a port, and nothing else.
        """
        for text, target in (
            ("mesh:bob:22", Target("bob", 22)),
            (r"mesh:fd00\:\:1:22", Target("fd00::1", 22)),
            (r"mesh:[fd00\:\:1]:22", Target("fd00::1", 22)),
        ):
            endpoint = self.endpoint(text)
            self.assertEqual(str(endpoint), f"mesh:{target}")
        for text in ("mesh:bob", "mesh:bob:22:1", "mesh:bob:x", "mesh:bob:22:via=a"):
            self.assertRaises(StringError, clientFromString, self.net, text)

    def test_connect(self) -> None:
        """
        It goes as the routes of the tenant say.
        """
        self.tenant.dialer = dialerFromText(self.net, "direct")
        endpoint = self.endpoint("mesh:192.0.2.1:22")
        recorders = Recorders()
        connected = endpoint.connect(recorders)
        self.assertEqual(self.net.dialed, ["192.0.2.1:22"])
        self.net.up()
        self.assertIs(self.successResultOf(connected), recorders.made[0])
        self.assertIn("connect to 192.0.2.1:22", endpoint.explain()[0])

    def test_noTenant(self) -> None:
        """
        Without one there are no nodes.
        """
        endpoint = MeshEndpoint(MemoryReactorClock(), Target("bob", 22))
        failure = self.failureResultOf(endpoint.connect(Recorders()), Refused)
        self.assertIn("with the reactor of an ITenant", str(failure.value))
        self.assertIn("we know no nodes", endpoint.explain()[0])

    def test_circle(self) -> None:
        """
        One that its own routes lead back to is refused.
        """
        self.tenant.dialer = dialerFromText(self.net, r"socks:10.0.0.1:1080:via=mesh\:bob\:1080")
        failure = self.failureResultOf(self.endpoint("mesh:bob:1080").connect(Recorders()), Refused)
        refused: Any = failure.value
        self.assertIs(refused.cause, Cause.UNSUPPORTED)
        self.assertIn("leads to itself", str(refused))
