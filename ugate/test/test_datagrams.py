# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A flow of datagrams as a transport.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.leg import EARLY_LIMIT, Leg
from ugate.protocols.capsules import LARGEST, capsule
from ugate.protocols.datagrams import DatagramStream
from ugate.test.datagramfakes import HERE, PEER, MemoryDatagrams


class DatagramStreamTests(SynchronousTestCase):
    """
    L{DatagramStream}.
    """

    def setUp(self) -> None:
        self.flow = MemoryDatagrams()
        self.leg = Leg()
        self.flow.begin(self.leg)

    def reason(self) -> Any:
        """
        Why its protocol was told that it is gone.
        """
        return None if self.leg.gone is None else self.leg.gone.value

    def test_toProtocol(self) -> None:
        """
        Its protocol gets capsules, one by one or several at once.
        """
        self.flow.arrived(b"one")
        self.flow.arrivedAll([b"two", b""])
        self.assertEqual(self.leg.takeEarly(), capsule(b"one") + capsule(b"two") + capsule(b""))

    def test_write(self) -> None:
        """
        What its protocol writes are capsules, however they are cut.
        """
        wire = capsule(b"one") + capsule(b"x" * 1000)
        self.flow.write(wire[:3])
        self.assertEqual(self.flow.sent, [])
        self.flow.writeSequence([wire[3:50], wire[50:]])
        self.assertEqual(self.flow.sent, [b"one", b"x" * 1000])

    def test_brokenCapsules(self) -> None:
        """
        What is no capsule ends it.
        """
        self.flow.write(capsule(bytes(LARGEST + 1)))
        self.assertIsInstance(self.reason(), ProtocolError)
        self.assertEqual((self.flow.sent, self.flow.ends), ([], 1))

    def test_receiver(self) -> None:
        """
        Once somebody wants them one by one, the protocol gets none.
        """
        got: list[bytes] = []
        self.flow.receive(got.extend)
        self.flow.arrived(b"one")
        self.assertEqual((got, self.leg.early), ([b"one"], b""))

    def test_paused(self) -> None:
        """
        What comes for a protocol that is full is dropped, and counted.
        """
        for _ in range(EARLY_LIMIT // 1000 + 2):
            self.flow.arrived(bytes(1000))
        self.assertLess(len(self.leg.early), EARLY_LIMIT + 1010)
        self.assertEqual(self.flow.dropped, 1)
        self.flow.arrivedAll([b"", b""])
        self.assertEqual(self.flow.dropped, 3)
        self.flow.resumeProducing()
        self.leg.takeEarly()
        self.flow.arrived(b"x")
        self.assertEqual(self.leg.early, capsule(b"x"))

    def test_ends(self) -> None:
        """
        However it ends, its protocol is told once, and what comes then is dropped.
        """
        for end, error in (
            (DatagramStream.loseConnection, ConnectionDone),
            (DatagramStream.loseWriteConnection, ConnectionDone),
            (DatagramStream.stopProducing, ConnectionDone),
            (DatagramStream.abortConnection, ConnectionAborted),
        ):
            self.setUp()
            end(self.flow)
            self.assertIsInstance(self.reason(), error)
            self.flow.loseConnection()
            self.flow.write(capsule(b"late"))
            self.flow.arrived(b"late")
            self.assertEqual((self.flow.ends, self.flow.sent, self.flow.dropped), (1, [], 1))

    def test_addresses(self) -> None:
        """
        It knows who its peer is; producers are nothing to it.
        """
        plain = DatagramStream(PEER, HERE)
        self.assertEqual((plain.getPeer(), plain.getHost()), (PEER, HERE))
        plain.registerProducer(None, True)
        plain.unregisterProducer()
        plain.post(b"nowhere to go")
        plain.arrived(b"nobody is there")
        self.assertEqual(plain.dropped, 2)
