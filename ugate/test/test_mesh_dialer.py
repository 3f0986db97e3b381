# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The dialer of the mesh beside the table: transports, what is remembered, and the rules for addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints import mesh
from ugate.endpoints.mesh import Mesh
from ugate.endpoints.meshtransports import PATIENCE, TRANSPORTS
from ugate.errors import Cause, Denied, Refused
from ugate.interfaces import IEgress, MeshAddress, MeshNode
from ugate.stream import StreamInfo
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.tenancy.nodes import Nodes
from ugate.test.dialfakes import Net, Recorders, streamTo
from ugate.test.test_nodes import BOB, EVE

TLS = (MeshAddress("tls", "10.0.0.2", 8443), MeshAddress("tls", "10.0.0.3", 8443))
CONNECT = MeshAddress("connect", "10.0.0.2", 15008)
LATER = MeshAddress("later", "10.0.0.2", 1)


class Clients(Net):
    """
    A reactor with rules for clients.
    """

    egress = Egress(OwnListeners(lambda address: False), True)

    def __conform__(self, interface: Any) -> object | None:
        return self.egress if interface is IEgress else super().__conform__(interface)


@dataclass
class FakeTenant:
    """
    A tenant that knows nodes.
    """

    nodes: Nodes
    reactor: Any
    hopReactor: Any
    learnedReactor: Any


class MeshDialerTests(SynchronousTestCase):
    """
    A node with addresses in the config, and one of which only the network knows.
    """

    def setUp(self) -> None:
        self.net, self.learned, self.clients = Net(), Net(), Clients()
        self.nodes = Nodes(self.net, [MeshNode(BOB, (LATER, CONNECT, *TLS), ("bob",))])
        self.mesh = Mesh(FakeTenant(self.nodes, self.clients, self.net, self.learned))
        self.recorders = Recorders()

    def stream(self, target: str = "bob:443", protocol: str = "sni") -> StreamInfo:
        """
        A stream that is TLS already.
        """
        return streamTo(target).but(protocol=protocol)

    def connect(self, target: str = "bob:443", protocol: str = "sni") -> Any:
        """
        Dial it.
        """
        return self.mesh.endpointFor(self.stream(target, protocol)).connect(self.recorders)

    def refused(self, target: str, protocol: str = "sni") -> Refused:
        """
        It cannot be dialed.
        """
        try:
            failed = self.failureResultOf(self.connect(target, protocol)).value
        except Refused as error:
            failed = error
        assert isinstance(failed, Refused)
        return failed

    def test_passes(self) -> None:
        """
        TLS goes to the TLS port as it is, whichever port it asks for; nothing is said before it.
        """
        for protocol in ("sni", "tls"):
            connected = self.connect("bob:443", protocol)
            self.assertEqual(self.net.dialed[-1], "10.0.0.2:8443")
            wire = self.net.up()
            self.assertEqual(wire.value(), b"")
            self.assertIs(self.successResultOf(connected), self.recorders.made[-1])

    def test_ended(self) -> None:
        """
        What is TLS no more does not go where TLS is wanted.
        """
        for layers, ways in (((), 3), (("sni",), 3), (("sni", "ended"), 1), (("sni", "connect"), 1)):
            said = "\n".join(self.mesh.explain(self.stream().but(layers=layers)))
            self.assertIn(f"way 1 of {ways}:", said, layers)

    def test_order(self) -> None:
        """
        After the TLS ports comes what encrypts once more; what is not TLS goes there alone.
        """
        connected = self.connect()
        for _ in TLS:
            self.net.down(ConnectionRefusedError())
        self.failureResultOf(connected, Refused)
        self.assertEqual(self.net.dialed, ["10.0.0.2:8443", "10.0.0.3:8443"])
        said = "\n".join(self.mesh.explain(self.stream("bob:80", "socks5")))
        self.assertIn("way 1 of 1", said)
        self.assertNotIn("8443", said)

    def test_noFit(self) -> None:
        """
        What has no address that would do is refused, and the refusal says what would.
        """
        self.nodes.change([MeshNode(BOB, (LATER, TLS[0]), ("bob",)), MeshNode(EVE, (), ("eve",))])
        refused = self.refused("bob:80", "socks5")
        self.assertIn("its addresses are for later, tls, which does not do here", str(refused))
        refused = self.refused("eve:443")
        self.assertIs(refused.cause, Cause.HOST_UNREACHABLE)
        self.assertIn(
            "(it has no address here, and no link to here); give it one in the section nodes", str(refused)
        )
        self.assertIs(self.refused("carol:443").cause, Cause.NAME_UNKNOWN)
        self.assertEqual(1, len(self.mesh.explain(self.stream("carol:443"))))

    def test_noTarget(self) -> None:
        """
        A stream has to say where it wants to go.
        """
        info = self.stream().but(target=None)
        self.assertIs(self.assertRaises(Refused, self.mesh.endpointFor, info).cause, Cause.UNSUPPORTED)

    def test_timeOut(self) -> None:
        """
        An address has so long, and is then tried last.
        """
        connected = self.connect()
        self.net.advance(PATIENCE)
        self.net.down(TimeoutError())
        self.assertEqual(self.net.dialed[1], "10.0.0.3:8443")
        self.net.up()
        self.successResultOf(connected)
        self.connect()
        self.assertEqual(self.net.dialed[2], "10.0.0.3:8443")
        self.assertIn("way 3 of 3, which has failed before", "\n".join(self.mesh.explain(self.stream())))

    def test_givenUp(self) -> None:
        """
        A client that waits no longer than a second has waited long enough; one that goes at once has not.
        """
        self.failureResultOf(self.cancelled(0.5), CancelledError)
        self.assertIsNone(self.mesh.lastTry(BOB, TLS[0]))
        self.failureResultOf(self.cancelled(1.0), CancelledError)
        tried = self.mesh.lastTry(BOB, TLS[0])
        assert tried is not None
        self.assertIn("gave up", tried.why)

    def cancelled(self, seconds: float) -> Any:
        """
        A stream that is given up.
        """
        connected = self.connect()
        self.clients.advance(seconds)
        connected.cancel()
        return connected

    def test_remembered(self) -> None:
        """
        No more is remembered than there is room for.
        """
        self.patch(mesh, "MAX_TRIED", 1)
        self.connect()
        self.net.down(ConnectionRefusedError())
        self.net.up()
        self.assertIsNone(self.mesh.lastTry(BOB, TLS[0]))
        tried = self.mesh.lastTry(BOB, TLS[1])
        assert tried is not None
        self.assertEqual(tried.why, "")

    def test_learned(self) -> None:
        """
        Addresses of the network have rules of their own; at a TLS port those for clients hold too.
        """
        self.nodes.learn(MeshNode(EVE, (TLS[0],), (), "discovery"))
        self.connect(f"{EVE}:443")
        self.assertEqual((self.net.dialed, self.learned.dialed), ([], ["10.0.0.2:8443"]))
        self.clients.egress.private = False
        refused = self.refused(f"{EVE}:443")
        self.assertIsInstance(refused, Denied)
        self.assertIn("a private address", str(refused))
        self.assertIn("a private address", "\n".join(self.mesh.explain(self.stream(f"{EVE}:443"))))
        self.nodes.learn(MeshNode(EVE, (MeshAddress("tls", "inside.corp", 443),), (), "discovery"))
        self.assertIn("the network has to give an address", str(self.refused(f"{EVE}:443")))
        self.connect()
        self.assertEqual(self.net.dialed, ["10.0.0.2:8443"])

    def test_who(self) -> None:
        """
        Who has to be there: the key for what the config gives or follows from it, else the name.
        """
        self.nodes.learn(MeshNode(EVE, (CONNECT,), ("eve", "fd00::1"), "discovery"))
        for target, who in (
            ("eve:80", "eve"),
            ("EVE:80", "eve"),
            ("[fd00::1]:80", EVE),
            (f"{EVE}.x:80", EVE),
        ):
            said = "\n".join(self.mesh.explain(self.stream(target, "socks5")))
            self.assertIn(f"has to prove that it is {who};", said)
        self.assertIn(f"that it is {BOB};", "\n".join(self.mesh.explain(self.stream("bob:80", "socks5"))))

    def test_transports(self) -> None:
        """
        Those that there are.
        """
        self.assertEqual(
            {name: each.passes for name, each in TRANSPORTS.items()},
            {
                "connect": False,
                "h2connect": False,
                "tls": True,
                "ready": True,
                "reverse": False,
                "ssh": False,
            },
        )
