# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams on links of SSH.
"""

from __future__ import annotations

from typing import Any

from ugate.errors import Cause, Denied, Refused
from ugate.protocols import sshpackets as say
from ugate.protocols.capsules import capsule
from ugate.protocols.sshpackets import U32, string
from ugate.stream import UDP, Target
from ugate.test.datagramfakes import flowTo
from ugate.test.sshpeer import DIRECT, PeerCase


class DatagramTests(PeerCase):
    """
    What a peer asks for, and is asked for.
    """

    def test_asked(self) -> None:
        """
        A channel of our own kind is a flow; all else is as for a stream.
        """
        self.ask(say.DATAGRAMS)
        (stream,) = self.streams
        self.assertEqual(stream.info.target, Target("db.example", 5432, UDP))
        self.assertEqual((stream.info.protocol, stream.info.layers), ("direct-tcpip", ("ssh",)))
        self.assertEqual(stream.info.hints["originator"], "10.0.0.9:4711")

    def test_refused(self) -> None:
        """
        It is refused where a stream is: by no place, and by what the credentials are good for.
        """
        self.ask(say.DATAGRAMS, string(b"db") + U32.pack(0) + string(b"") + U32.pack(0))
        self.assertRefuses(2, "port 0")
        asked: list[str] = []

        def mayOpen(target: Target) -> None:
            asked.append(str(target))
            raise Denied(str(target), "the key is not good for it")

        self.link.mayOpen = mayOpen
        self.ask(say.DATAGRAMS)
        self.assertEqual((self.streams, asked), ([], ["udp:db.example:5432"]))

    def test_asks(self) -> None:
        """
        A peer is asked in the same way, and a server of others says that it knows no such channels.
        """
        opened = self.link.open(flowTo("db.example", 5432))
        ((number, packet),) = self.said()
        self.assertEqual(number, say.OPEN)
        self.assertTrue(packet.startswith(string(b"direct-udp@ugate")))
        self.assertIn(DIRECT[: len(DIRECT) - 16], packet)
        self.link.packetReceived(
            say.OPEN_FAILURE, U32.pack(0) + U32.pack(3) + string(b"unknown channel type") + string(b"")
        )
        refused: Any = self.failureResultOf(opened, Refused).value
        self.assertIs(refused.cause, Cause.UNSUPPORTED)

    def test_forwards(self) -> None:
        """
        What is published by C{ssh -R} takes no datagrams.
        """
        link: Any = self.link
        link.forwards = object()
        refused: Any = self.failureResultOf(link.open(flowTo("db.example", 5432)), Refused).value
        self.assertIs(refused.cause, Cause.UNSUPPORTED)
        self.assertEqual(self.said(), [])

    def test_bytes(self) -> None:
        """
        What is on it are capsules.
        """
        self.ask(say.DATAGRAMS)
        (stream,) = self.streams
        stream.accept()
        stream.write(capsule(b"answer"))
        number, packet = self.said()[-1]
        self.assertEqual((number, packet), (say.DATA, U32.pack(7) + string(capsule(b"answer"))))
