# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A program that reads a report from a server, and its tests through a gateway.
"""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from ugate.testing import Conversations, MemoryMesh, Refuse, Reset


# -- the program
class Report(Protocol):
    def __init__(self):
        self.text, self.done = b"", Deferred()

    def dataReceived(self, data):
        self.text += data

    def connectionLost(self, reason):
        if reason.check(ConnectionDone):
            self.done.callback(self.text)
        else:
            self.done.errback(reason)


async def report(reactor, where):
    protocol = await connectProtocol(clientFromString(reactor, where), Report())
    return await protocol.done


# -- its tests
WHERE = r"socks:gate:1080:to=db\:5432"


class ReportTests(SynchronousTestCase):
    def setUp(self):
        self.mesh = MemoryMesh()
        self.db = Conversations()
        self.mesh.serve("db", 5432, self.db)
        self.mesh.gateway(
            "gate",
            listen={"main": {"endpoint": "auto:tcp:1080", "open": True}},
            policy={"rules": [{"action": "allow"}]},
        )

    def test_report(self):
        result = Deferred.fromCoroutine(report(self.mesh.host("app").reactor, WHERE))
        self.mesh.flush()
        self.db.last.write(b"all is well")
        self.db.last.close()
        self.mesh.flush()
        self.assertEqual(b"all is well", self.successResultOf(result))
        self.assertEqual([], self.mesh.connections())

    # -- and what goes wrong
    def test_cutReport(self):
        self.mesh.apply(Reset(after=6), "db", "gate")
        result = Deferred.fromCoroutine(report(self.mesh.host("app").reactor, WHERE))
        self.mesh.flush()
        self.db.last.write(b"all is well")
        self.mesh.flush()
        self.failureResultOf(result)

    def test_noDatabase(self):
        self.mesh.apply(Refuse(), "gate", "db")
        result = Deferred.fromCoroutine(report(self.mesh.host("app").reactor, WHERE))
        self.mesh.flush()
        self.assertIn("connection refused", str(self.failureResultOf(result).value))
