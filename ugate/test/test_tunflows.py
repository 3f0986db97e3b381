# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tunflows}, and for what a device says by ICMP.
"""

from __future__ import annotations

import errno
from typing import Any

from ugate.endpoints.flowtable import QUIET
from ugate.endpoints.tunflows import MOST
from ugate.errors import Cause, Phase, Refused
from ugate.protocols.tunicmp import BURST
from ugate.protocols.tunpackets import VIRTIO
from ugate.test.test_tunfragments import partsOf
from ugate.test.test_tunroutes import WAY
from ugate.test.tunfakes import FAR, OWN, PEER, Message, Segment, readMessage
from ugate.test.tunportfakes import Kept, TunCase

NO_PORT = {4: (3, 3), 6: (1, 4)}
ASKED = {4: 8, 6: 128}


class Refusing(Kept):
    """
    Is refused at once.
    """

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.refuse(Refused(Cause.DENIED, Phase.POLICY, "there", "no"))


class MessageCase(TunCase):
    """
    A device that is up.
    """

    def setUp(self) -> None:
        super().setUp()
        self.port_ = self.started()

    def give(self, *packets: bytes) -> list[Message]:
        """
        Packets of the kernel.

        @return: what is said to them.
        """
        for packet in packets:
            self.kernel.send(packet)
            self.reactor.getReaders()[0].doRead()
        found = []
        while True:
            try:
                found.append(readMessage(self.kernel.recv(70000)))
            except BlockingIOError:
                return found

    def datagram(self, version: int, target: str = "") -> bytes:
        """
        One of a program of this host.
        """
        there = target or FAR[version]
        return Segment(OWN[version], 40000, there, 53, 0, b"question", protocol=17).toBytes()


class RefusedTests(MessageCase):
    """
    Datagrams that go nowhere.
    """

    def test_refused(self) -> None:
        """
        Each datagram of a flow that was refused is answered, for as long as nobody is asked about it again.
        """
        self.factory.answer = Refusing
        for version in (4, 6):
            packet = self.datagram(version)
            for _ in range(2):
                (said,) = self.give(packet)
                self.assertEqual((said.source, said.target), (FAR[version], OWN[version]))
                self.assertEqual((said.kind, said.code), NO_PORT[version])
                self.assertEqual(said.rest[4:], packet[10:][: len(said.rest) - 4])
        self.assertEqual(len(self.factory.made), 2)
        self.reactor.advance(QUIET + 0.1)
        self.assertEqual(len(self.give(self.datagram(4))), 1)
        self.assertEqual(len(self.factory.made), 3)

    def test_served(self) -> None:
        """
        Whoever is served, or has ended, is told nothing.
        """
        self.assertEqual(self.give(self.datagram(4), self.datagram(4)), [])
        self.factory.made[0].transport.loseConnection()
        self.assertEqual(self.give(self.datagram(4)), [])

    def test_undelivered(self) -> None:
        """
        What does not get to the target is told as it is; that of a datagram too long for any way, too.
        """
        self.give(self.datagram(4))
        flow = self.factory.made[0].transport
        flow.undelivered(OSError(errno.ECONNREFUSED, "nobody"))
        flow.undelivered(OSError(errno.EMSGSIZE, "long"))
        one, other = self.give()
        self.assertEqual([(one.kind, one.code), (other.kind, other.code)], [(3, 3), (3, 4)])
        self.assertEqual(int.from_bytes(other.rest[:4], "big"), MOST)

    def test_limit(self) -> None:
        """
        There are only so many messages, of whatever kind.
        """
        self.factory.answer = Refusing
        self.assertEqual(len(self.give(*(self.datagram(4) for _ in range(BURST)))), BURST)
        ping = Message(OWN[4], FAR[4], ASKED[4], 0, bytes(8)).toBytes()
        self.assertEqual(self.give(self.datagram(4), ping), [])
        self.reactor.advance(0.0011)
        self.assertEqual(len(self.give(ping, ping)), 1)

    def test_gone(self) -> None:
        """
        When the device is gone, nobody is told anything.
        """
        self.give(self.datagram(4))
        flow = self.factory.made[0].transport
        self.port_._go()
        flow.post(b"late")
        flow.undelivered(OSError(errno.ECONNREFUSED, "nobody"))
        self.assertEqual((flow.dropped, self.kernel.recv(9)), (1, b""))

    def test_parts(self) -> None:
        """
        An answer that is longer than packets may be goes in parts.
        """
        self.give(self.datagram(4))
        self.factory.made[0].transport.post(b"x" * (2 * WAY.mtu))
        sizes = [len(self.kernel.recv(70000)) for _ in range(3)]
        self.assertLessEqual(max(sizes), VIRTIO + WAY.mtu)
        self.assertEqual(sum(sizes), 3 * (VIRTIO + 20) + 8 + 2 * WAY.mtu)

    def test_many(self) -> None:
        """
        Of datagrams that are for many nothing is said.
        """
        self.factory.answer = Refusing
        for version, target in (
            (4, "10.98.0.3"),
            (4, "224.0.0.251"),
            (4, "255.255.255.255"),
            (6, "ff02::fb"),
        ):
            self.assertEqual(self.give(self.datagram(version, target)), [], target)


class EchoTests(MessageCase):
    """
    C{ping}.
    """

    def ping(self, source: str, target: str, body: bytes = b"\0\1\0\2abc") -> bytes:
        """
        One.
        """
        return Message(source, target, ASKED[6 if ":" in source else 4], 0, body).toBytes()

    def test_answered(self) -> None:
        """
        The device answers for whatever is led there, over both versions of IP; also when that takes several
        packets.
        """
        body = b"\0\1\0\2" + bytes(range(250)) * 5
        for version in (4, 6):
            (said,) = self.give(self.ping(OWN[version], FAR[version]))
            self.assertEqual(
                (said.source, said.target, said.rest), (FAR[version], OWN[version], b"\0\1\0\2abc")
            )
            whole = self.ping(OWN[version], FAR[version], body)
            parts = partsOf(version, b"", [50, 100], protocol=58, packet=whole)
            self.assertEqual([said.rest for said in self.give(*parts)], [body])

    def test_others(self) -> None:
        """
        Not for others, for itself, or for many; no errors; and nothing when it is about to go.
        """
        wrong: list[bytes] = [
            self.ping(OWN[4], target)
            for target in (OWN[4], PEER[4], "10.98.0.3", "224.0.0.1", "255.255.255.255", "0.0.0.1")
        ]
        wrong += [self.ping(OWN[6], target) for target in (OWN[6], PEER[6], "ff02::1", "fe80::1")]
        wrong += [self.ping("192.0.2.9", FAR[4]), self.ping("2001:db8::9", FAR[6])]
        wrong += [Message(OWN[4], FAR[4], kind, 3, bytes(32)).toBytes() for kind in (0, 3, 4, 5, 11, 12)]
        wrong += [
            Message(OWN[6], FAR[6], kind, 0, bytes(52)).toBytes() for kind in (1, 2, 3, 4, 129, 133, 135)
        ]
        self.assertEqual(self.give(*wrong), [])
        self.connect(self.port_)
        self.port_.stopListening()
        self.back()
        self.assertEqual(self.give(self.ping(OWN[4], FAR[4])), [])
