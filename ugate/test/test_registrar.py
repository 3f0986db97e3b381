# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The modules C{registrar} and C{register}: a node that registers at a gate, in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError, UgateError
from ugate.interfaces import INode, MeshAddress
from ugate.modules.agent import ModuleAgent
from ugate.modules.register import DEADLINE, FIRST, PAUSE, Registering, RegisterModule, ownAddress
from ugate.modules.registrar import Registrar, RegistrarModule
from ugate.modules.sections import RegisterSection, RegistrarSection
from ugate.tenancy.nodes import Nodes
from ugate.test.adminfakes import FakeNode
from ugate.test.test_registrations import START, Signing
from ugate.test.tlsfakes import Logged


class Identity(Signing):
    """
    One that can change.
    """

    def __init__(self) -> None:
        super().__init__()
        self.callbacks: list[Any] = []

    def changed(self, callback: Any) -> Any:
        """
        As L{IIdentity.changed}.
        """
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


class Tenant:
    """
    A tenant that leads to its node.
    """

    name = "alice"

    def __init__(self) -> None:
        self.reactor = Clock()
        self.node = FakeNode(self.reactor)
        self.nodes = Nodes(self.reactor)
        self.identity = Identity()

    def __conform__(self, interface: Any) -> Any:
        return self.node if interface is INode else None


class RegistrarTests(SynchronousTestCase):
    """
    Both modules, of one tenant; the agent asks in memory.
    """

    def setUp(self) -> None:
        self.tenant: Any = Tenant()
        self.keyid = self.tenant.identity.keyid
        self.clock = self.tenant.reactor
        self.gate()

    def gate(self, **section: Any) -> None:
        """
        There is a registrar of that name.
        """
        registrar = Registrar(self.tenant, RegistrarSection(**{"keys": (self.keyid.lower(),), **section}))
        registrar._registrations._now = self.now
        self.tenant.node.modules["alice", "registrar", "gate"] = registrar

    def now(self) -> float:
        """
        The time of day.
        """
        seconds: float = START + self.clock.seconds()
        return seconds

    def service(self, **section: Any) -> Registering:
        """
        What registers there.
        """
        options: dict[str, Any] = {"addresses": ("connect:bob.example:15008",), "every": 100.0, **section}
        service = Registering(
            self.tenant,
            "gate",
            RegisterSection(**options),
            ModuleAgent(self.tenant),
            self.now,
            lambda: 1.0,
        )
        service.startService()
        self.clock.advance(FIRST)
        self.turn()
        return service

    def turn(self, count: int = 30) -> None:
        """
        Let the reactor go round.
        """
        for _ in range(count):
            self.clock.advance(0.001)

    def isKnown(self) -> bool:
        """
        Whether the gate knows the node.
        """
        return self.tenant.nodes.find(self.keyid) is not None

    def test_registered(self) -> None:
        """
        It says it again before it is over, and takes it back when it stops.
        """
        service = self.service(names=("Web",))
        node = self.tenant.nodes.find("web")
        assert node is not None
        self.assertEqual(node.addresses, (MeshAddress("connect", "bob.example", 15008),))
        before = node.expires
        self.assertApproximates(before, 300, 1)
        self.clock.advance(100)
        self.turn()
        self.assertApproximates(self.tenant.nodes.find("web").expires, before + 100, 1)
        stopped = service.stopService()
        self.turn()
        self.successResultOf(stopped)
        self.assertFalse(self.isKnown())
        self.assertEqual(self.tenant.identity.callbacks, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """
        What fails is tried again, at longer and longer times, and is told once; then all is well.
        """
        gate = self.tenant.node.modules.pop(("alice", "registrar", "gate"))
        with Logged() as logged:
            service = self.service()
            for pause in (PAUSE, 2 * PAUSE):
                self.clock.advance(pause)
                self.turn()
        self.assertEqual(len(logged.lines), 1)
        self.assertIn("has no module registrar gate", logged.lines[0])
        self.tenant.node.modules["alice", "registrar", "gate"] = gate
        self.clock.advance(4 * PAUSE - 0.1)
        self.assertFalse(self.isKnown())
        self.clock.advance(0.1)
        self.turn()
        self.assertTrue(self.isKnown())
        service.stopService()
        self.turn()

    def test_refused(self) -> None:
        """
        Why a gate says no is told.
        """
        self.gate(keys=("A" * 52,))
        with Logged() as logged:
            service = self.service()
        self.assertIn("it says 403: its key may not register here; add it to keys", "\n".join(logged.lines))
        self.successResultOf(service.stopService())

    def test_otherKey(self) -> None:
        """
        Another key registers at once.
        """
        self.gate(open=True)
        service = self.service()
        before, self.tenant.identity = self.tenant.identity, Identity()
        self.assertIsNone(self.tenant.nodes.find(self.tenant.identity.keyid))
        for callback in list(before.callbacks):
            callback()
        self.clock.advance(0)
        self.turn()
        self.assertIsNotNone(self.tenant.nodes.find(self.tenant.identity.keyid))
        service.stopService()
        self.turn()

    def test_silent(self) -> None:
        """
        A gate that does not answer is not waited for.
        """

        class Silent:
            def request(self, *arguments: Any) -> Deferred[Any]:
                return Deferred()

        section = RegisterSection(addresses=("connect::15008",))
        service = Registering(self.tenant, "gate", section, Silent(), self.now, lambda: 1.0)
        service.startService()
        with Logged() as logged:
            self.clock.advance(FIRST)
            self.clock.advance(DEADLINE)
        self.assertIn("it is tried again", "\n".join(logged.lines))
        self.clock.advance(PAUSE)
        self.successResultOf(service.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_addresses(self) -> None:
        """
        Without a host it is where the gate sees us.
        """
        self.assertEqual(ownAddress("connect::15008"), MeshAddress("connect", "", 15008))
        self.assertEqual(ownAddress("tls:[2001:db8::1]:443"), MeshAddress("tls", "2001:db8::1", 443))
        for text in ("connect", "::15008", "connect::", "connect::0", ""):
            self.assertRaises(StringError, ownAddress, text)

    def test_sections(self) -> None:
        """
        What cannot be is told when the section is read.
        """
        error = self.assertRaises(
            UgateError, RegistrarModule().makeService, self.tenant, "x", RegistrarSection()
        )
        self.assertIn("nobody could register", str(error))
        section = RegisterSection(addresses=("nowhere",))
        error = self.assertRaises(StringError, RegisterModule().makeService, self.tenant, "x", section)
        self.assertIn("addresses: ", str(error))
