# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A program that asks its peer over a link of many streams, and its tests without a network.
"""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.session import Session
from ugate.errors import Refused
from ugate.stream import Target
from ugate.testing import Conversations, linkPair


# -- the program
class Answer(Protocol):
    def __init__(self):
        self.text, self.done = b"", Deferred()

    def dataReceived(self, data):
        self.text += data

    def connectionLost(self, reason):
        self.done.callback(self.text)


async def ask(session, host, question):
    info = session.link.info.but(target=Target(host, 80))
    protocol = await connectProtocol(session.endpointFor(info), Answer())
    protocol.transport.write(question)
    protocol.transport.loseWriteConnection()
    return await protocol.done


# -- its tests
class AskTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.here, self.there = linkPair(self.clock, delay=0.1)
        self.session = Session(self.clock, self.here)
        self.server = Conversations()
        Session(self.clock, self.there).listener(Target("web", 80), accepts=True).listen(self.server)

    def test_ask(self):
        asking = Deferred.fromCoroutine(ask(self.session, "web", b"who are you?"))
        self.clock.pump([0.1] * 3)
        self.assertEqual(b"who are you?", self.server.last.received)
        self.server.last.write(b"a server")
        self.server.last.close()
        self.clock.pump([0.1] * 2)
        self.assertEqual(b"a server", self.successResultOf(asking))

    def test_nobody(self):
        asking = Deferred.fromCoroutine(ask(self.session, "elsewhere", b"who are you?"))
        self.clock.pump([0.1] * 3)
        self.assertIn("nobody listens", str(self.failureResultOf(asking, Refused).value))

    def test_dead(self):
        asking = Deferred.fromCoroutine(ask(self.session, "web", b"who are you?"))
        self.there.stall()
        self.clock.pump([1] * 50)
        self.failureResultOf(asking, Refused)
        self.assertTrue(self.session.isClosed)
