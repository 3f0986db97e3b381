# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The mesh in memory itself: connections between its hosts, and gateways on them.
"""

from __future__ import annotations

import subprocess
import sys
import unittest
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import ugate
from ugate.errors import ListenRefused
from ugate.interfaces import IDetachable
from ugate.tenancy.config.mistakes import ConfigError
from ugate.testing import Conversations, MemoryMesh, MeshError
from ugate.testing.wire import CAPACITY

ALLOW = {"rules": [{"action": "allow"}]}
OPEN = {"endpoint": "auto:tcp:1080", "open": True}
LOCAL = "auto:tcp:1080:interface=127.0.0.1"

_ALONE = """
import socket
def never(*args, **kwargs):
    raise AssertionError("a socket")
from ugate.testing import Conversations, MemoryMesh
socket.socket = never
mesh = MemoryMesh()
served = Conversations(b"hello")
mesh.serve("db", 5432, served)
mesh.gateway(
    "gate",
    listen={"main": {"endpoint": "auto:tcp:1080", "open": True}},
    policy={"rules": [{"action": "allow"}]},
)
near = mesh.client("app").connect("socks:gate:1080:to=db\\\\:5432")
back = mesh.client("app").connect("socks:gate:1080:to=gate\\\\:1080")
mesh.flush()
assert near.received == b"hello" and back.failure
mesh.stop()
"""


class Pair(SynchronousTestCase):
    """
    Two hosts with a connection between them.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.served = Conversations()
        self.mesh.serve("db", 5432, self.served)
        self.near = self.mesh.client("app").connect("tcp:db:5432")
        self.mesh.flush()
        self.far = self.served.last


class ConnectionTests(Pair):
    """
    What TCP does, a connection in memory does.
    """

    def test_bytesBothWays(self) -> None:
        """
        What one side writes the other one reads; the addresses fit.
        """
        self.near.write(b"question")
        self.far.write(b"answer")
        self.mesh.flush()
        self.assertEqual((b"question", b"answer"), (self.far.received, self.near.received))
        assert self.near.transport is not None and self.far.transport is not None
        self.assertEqual(IPv4Address("TCP", "10.0.0.1", 5432), self.near.transport.getPeer())
        self.assertEqual(self.near.transport.getHost(), self.far.transport.getPeer())
        self.assertEqual(["app 10.0.0.2:49152 -> db 10.0.0.1:5432"], self.mesh.connections())

    def test_nothingHappensByItself(self) -> None:
        """
        Without a flush, nothing arrives.
        """
        self.near.write(b"question")
        self.assertEqual(b"", self.far.received)

    def test_interfaces(self) -> None:
        """
        The transports are those of TCP, but have no socket to hand over.
        """
        assert self.near.transport is not None
        verifyObject(ITCPTransport, self.near.transport)
        verifyObject(IPushProducer, self.near.transport)
        self.assertIsNone(IDetachable(self.near.transport, None))
        for name in ("TcpNoDelay", "TcpKeepAlive"):
            getattr(self.near.transport, f"set{name}")(True)
            self.assertTrue(getattr(self.near.transport, f"get{name}")())

    def test_halfClose(self) -> None:
        """
        Each direction ends by itself, after what was written.
        """
        self.near.write(b"all of it")
        self.near.halfClose()
        self.mesh.flush()
        self.assertEqual((b"all of it", True, None), (self.far.received, self.far.isEnded, self.far.lost))
        self.far.write(b"late")
        self.mesh.flush()
        self.assertEqual(b"late", self.near.received)
        self.far.close()
        self.near.close()
        self.mesh.flush()
        self.assertTrue(self.near.isClean and self.far.isClean)
        self.assertEqual([], self.mesh.connections())

    def test_protocolWithoutHalfClose(self) -> None:
        """
        To a protocol that knows no half-closed connections, the end is the end.
        """

        class Whole(Protocol):
            lost: Failure | None = None

            def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
                self.lost = reason

        made: list[Whole] = []

        class Wholes(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> Whole:
                made.append(Whole())
                return made[0]

        self.mesh.serve("db", 1, Wholes())
        near = self.mesh.client("app").connect("tcp:db:1", b"bye", half=True)
        self.mesh.flush()
        assert made[0].lost is not None
        made[0].lost.trap(ConnectionDone)
        self.assertTrue(near.isEnded)

    def test_abort(self) -> None:
        """
        A reset reaches the other side, and what was under way is lost.
        """
        self.near.write(b"lost")
        self.near.abort()
        self.mesh.flush()
        assert self.near.lost is not None and self.far.lost is not None
        self.near.lost.trap(ConnectionAborted)
        self.far.lost.trap(ConnectionLost)
        self.assertEqual((b"", False), (self.far.received, self.far.isClean))
        self.assertEqual([], self.mesh.connections())

    def test_closeWithUnread(self) -> None:
        """
        Who closes with bytes unread resets the connection, as a kernel does, and
        what it said last is lost.
        """
        self.far.pause()
        self.near.write(b"unread")
        self.mesh.flush()
        self.far.write(b"goodbye")
        self.far.close()
        self.mesh.flush()
        self.assertEqual((b"", False), (self.near.received, self.near.isClean))

    def test_writeToClosed(self) -> None:
        """
        Bytes for who has closed are answered with a reset.
        """
        self.far.close()
        self.mesh.flush()
        self.assertEqual((True, None), (self.near.isEnded, self.near.lost))
        self.near.write(b"is anybody there?")
        self.mesh.flush()
        # Nobody reads any more after the end; the next write finds it out.
        self.near.write(b"hello?")
        self.mesh.flush()
        assert self.near.lost is not None
        self.near.lost.trap(ConnectionLost)

    def test_backPressure(self) -> None:
        """
        Who reads nothing stops who pours, and nothing is lost when it reads on.
        """
        much = bytes(range(256)) * 4096
        self.far.pause()
        self.near.pour(much)
        self.near.halfClose()
        self.mesh.flush()
        inTheMiddle = len(much) - len(self.near.unpoured)
        self.assertLess(inTheMiddle, 4 * CAPACITY)
        self.assertEqual(b"", self.far.received)
        self.far.resume()
        self.mesh.flush()
        self.assertTrue(much == self.far.received and self.far.isEnded)

    def test_closeWaitsForWhatWasWritten(self) -> None:
        """
        More than all buffers hold still arrives before the end.
        """
        self.near.write(b"x" * (5 * CAPACITY))
        self.near.close()
        self.mesh.flush()
        self.assertEqual((5 * CAPACITY, True), (len(self.far.received), self.far.isClean))

    def test_failingProtocol(self) -> None:
        """
        What a protocol raises is logged and costs it its connection.
        """

        class Failing(Protocol):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        self.mesh.serve("db", 1, Factory.forProtocol(Failing))
        near = self.mesh.client("app").connect("tcp:db:1", b"boom")
        self.mesh.flush()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertTrue(near.isEnded)


class GatewayTests(SynchronousTestCase):
    """
    Gateways in a mesh.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()

    def test_mistakesAreNamed(self) -> None:
        """
        A configuration is checked as that of a file is.
        """
        listen = {"main": "auto:tcp:nowhere", "bad name": "socks:tcp:1"}
        error = self.assertRaises(ConfigError, self.mesh.gateway, "gate", listen=listen, policy=ALLOW)
        self.assertEqual(2, len(error.mistakes))
        self.assertIn("listen main", str(error))
        self.assertRaises(ListenRefused, self.mesh.gateway, "gate", listen={"main": "auto:tcp:1080"})
        routes = [{"match": "*", "via": "nowhere"}]
        self.assertRaises(ConfigError, self.mesh.gateway, "gate", listen={"main": LOCAL}, routes=routes)
        self.assertEqual({}, self.mesh.gateways)

    def test_oneEach(self) -> None:
        """
        A host has one gateway, whose ports are its own.
        """
        gate = self.mesh.gateway("gate", listen={"main": LOCAL})
        self.assertEqual({"gate": gate}, self.mesh.gateways)
        self.assertRaises(MeshError, self.mesh.gateway, "gate", listen={"main": LOCAL})
        self.mesh.serve("other", 1080, Conversations())
        error = self.assertRaises(MeshError, self.mesh.gateway, "other", listen={"main": OPEN})
        self.assertIn("other", str(error))

    def test_copies(self) -> None:
        """
        A stream through a gateway is carried, counted, and gone when it ends.
        """
        served = Conversations()
        self.mesh.serve("db", 5432, served)
        gate = self.mesh.gateway("gate", listen={"main": OPEN}, policy=ALLOW)
        near = self.mesh.client("app").connect("socks:gate:1080:to=db\\:5432", b"hello")
        self.mesh.flush()
        (stream,) = gate.relay
        self.assertEqual((b"hello", 5, 1), (served.last.received, stream.sent, len(gate.flows)))
        near.close()
        served.last.close()
        self.mesh.flush()
        self.assertEqual((0, []), (len(gate.flows), self.mesh.connections()))

    def test_ownListeners(self) -> None:
        """
        No stream leads back to a gateway, by whichever of its addresses.
        """
        self.mesh.host("gate", "192.0.2.1", "2001:db8::1")
        listen = {"four": OPEN, "six": {"endpoint": r"auto:tcp6:1080", "open": True}}
        self.mesh.gateway("gate", listen=listen, policy=ALLOW)
        for target in ("gate", "192.0.2.1", "127.0.0.1", "[2001\\:db8\\:\\:1]", "[\\:\\:1]"):
            near = self.mesh.client("app").connect(f"socks:192.0.2.1:1080:to={target}\\:1080")
            self.mesh.flush()
            assert near.failure is not None
            self.assertIn("denied", str(near.failure.value), target)

    def test_stop(self) -> None:
        """
        Stopping cuts what does not end in time.
        """
        served = Conversations()
        self.mesh.serve("db", 5432, served)
        self.mesh.gateway("gate", listen={"main": OPEN}, policy=ALLOW, node={"drain": 5})
        near = self.mesh.client("app").connect("socks:gate:1080 -> tcp:db:5432")
        self.mesh.flush()
        self.assertTrue(near.isOpen)
        before = self.mesh.seconds()
        self.mesh.stop()
        self.assertEqual((6, {}), (self.mesh.seconds() - before, self.mesh.gateways))
        self.assertFalse(near.isOpen or near.isClean)
        again = self.mesh.client("app").connect("tcp:gate:1080")
        self.mesh.flush()
        self.assertIsNotNone(again.failure)

    def test_hosts(self) -> None:
        """
        What cannot be is said at once.
        """
        host = self.mesh.host("db", "192.0.2.1")
        self.assertIs(host, self.mesh.host("db"))
        for name, addresses in (
            ("db", ("192.0.2.2",)),
            ("other", ("192.0.2.1",)),
            ("other", ("127.0.0.1",)),
            ("other", ("nonsense",)),
            ("Other", ()),
        ):
            self.assertRaises(MeshError, self.mesh.host, name, *addresses)
        self.assertRaises(LookupError, lambda: Conversations().last)

    def test_noSocket(self) -> None:
        """
        No socket is made, not even to see which addresses this machine has.
        """
        where = Path(ugate.__file__).resolve().parent.parent
        subprocess.run([sys.executable, "-c", _ALONE], check=True, timeout=60, cwd=where)


def listingResult(name: str) -> tuple[list[Any], list[Any], bool]:
    """
    Run the tests of a listing of the documentation.

    @return: errors, failures, and whether there were any tests.
    """
    path = Path(ugate.__file__).resolve().parent.parent / f"doc/howto/listings/{name}.py"
    if not path.exists():
        raise unittest.SkipTest("ugate is installed: the documentation is elsewhere")
    spec = spec_from_file_location(f"ugate_listing_{name}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    return result.errors, result.failures, result.testsRun > 0


class ListingTests(SynchronousTestCase):
    """
    The listing of the documentation.
    """

    def test_listing(self) -> None:
        """
        Its tests pass.
        """
        self.assertEqual(([], [], True), listingResult("test_example"))
