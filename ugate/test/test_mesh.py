# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whole gateways, one and several behind each other, from the first byte of a client to
the last of its target.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise

from ugate.errors import Cause
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.test.meshes import ALLOW, HELLO, OPEN, PORT, WAYS, WELCOME, MeshCase
from ugate.testing import Blackhole, Conversation, Conversations, LostName, SlowReader, SplitWrites, Stall
from ugate.testing.wire import CAPACITY

BODY = bytes(range(256)) * 1024


class StreamTests(MeshCase):
    """
    Streams of bytes.
    """

    def test_everyProtocol(self) -> None:
        """
        One port tells the protocols apart; each carries a stream through one, two
        and three gateways, whatever these speak to each other.
        """
        for gates, hops in ((1, ("",)), (2, ("socks", "connect", "socks4")), (3, ("socks", "connect"))):
            for hop in hops:
                self.build(gates, hop)
                for way in WAYS:
                    asking = self.ask(way, BODY)
                    self.mesh.flush()
                    self.assertWell(asking, (gates, hop, way))

    def test_chainOfTheClient(self) -> None:
        """
        A client may choose the hops itself.
        """
        self.mesh.gateway("gate2", listen={"main": OPEN}, policy=ALLOW)
        self.gates.append("gate2")
        asking = self.ask(f"socks:gate1:1080 -> connect:gate2:1080 -> tcp:db:{PORT}")
        self.mesh.flush()
        self.assertWell(asking)

    def test_namesAreResolvedAtTheEnd(self) -> None:
        """
        Only the last gateway looks the target up.
        """
        self.build(3)
        for host in ("alice", "gate1", "gate2"):
            self.mesh.apply(LostName("db"), host)
        for way in ("socks4a", "socks5", "connect"):
            asking = self.ask(way)
            self.mesh.flush()
            self.assertWell(asking, way)

    def test_sixthVersion(self) -> None:
        """
        IPv6 addresses are carried too, to a target that has no other.
        """
        self.build(2)
        self.mesh.host("gate3", "192.0.2.3", "2001:db8::3")
        self.mesh.host("six", "2001:db8::6")
        self.mesh.serve("six", PORT, self.echoes, interface="::")
        self.mesh.gateway("gate3", listen={"main": OPEN}, policy=ALLOW)
        self.gates.append("gate3")
        for prefix in ("socks", "connect"):
            for target in ("six", "[2001\\:db8\\:\\:6]"):
                asking = self.ask(f"{prefix}:gate3:1080:to={target}\\:{PORT}")
                self.mesh.flush()
                self.assertWell(asking, (prefix, target))

    def test_severalAtOnce(self) -> None:
        """
        Streams do not disturb each other.
        """
        self.build(2)
        asking = [self.ask(way, bytes([number]) * 50_000) for number in range(10) for way in WAYS]
        self.mesh.flush()
        self.assertEqual(40, len(self.echoes.made))
        for each in asking:
            self.assertWell(each)

    def test_login(self) -> None:
        """
        With a password file, only who logs in passes.
        """
        users, good, bad = self.mktemp(), self.mktemp(), self.mktemp()
        for path, text in (
            (users, f"alice:{PasswordHash.ofPassword(b'secret', ln=10)}"),
            (good, "secret"),
            (bad, "wrong"),
        ):
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o600)
        self.build(1, listen={"main": "auto:tcp:1080"}, policy={"users": users, **ALLOW})
        for prefix in ("socks", "connect"):
            for path, isGood in ((good, True), (bad, False)):
                asking = self.ask(f"{prefix}:gate1:1080:user=alice:passwordFile={path}:to=db\\:{PORT}")
                self.mesh.flush()
                if isGood:
                    self.assertWell(asking, prefix)
                else:
                    self.assertIn(Cause.AUTHENTICATION.value, str(asking.failure))
        self.mesh.advance(20)
        self.assertDone()

    def test_slowReaderBoundsMemory(self) -> None:
        """
        Who reads slowly slows down who sends: what is on the way stays small.
        """
        much = bytes(2 << 20)
        for way in WAYS:
            self.build(2)
            served = Conversations(half=True)
            self.mesh.serve("db", 1, served)
            near = self.mesh.client("alice").connect(WAYS[way].replace(str(PORT), "1"))
            self.mesh.flush()
            for sender, receiver, source, destination in (
                (near, served.last, "gate2", "db"),
                (near, served.last, "gate1", "gate2"),
            ):
                slow = self.mesh.apply(SlowReader(1000), source, destination)
                before = len(receiver.received)
                sender.pour(much)
                self.mesh.advance(10)
                onTheWay = len(much) - len(sender.unpoured) - (len(receiver.received) - before)
                self.assertLess(onTheWay, 20 * CAPACITY, way)
                self.assertGreater(len(sender.unpoured), len(much) // 2)
                slow.lift()
                self.mesh.flush()
                self.assertEqual(len(much), len(receiver.received) - before, way)

    def test_splitAtEveryByte(self) -> None:
        """
        It makes no difference how the network cuts what is said, on any link.
        """
        for hop in ("socks", "connect"):
            self.build(2, hop)
            hosts = ["alice", *self.gates, "db"]
            for near, far in pairwise(hosts):
                self.mesh.apply(SplitWrites(), near, far)
                self.mesh.apply(SplitWrites(), far, near)
            for way in WAYS:
                asking = self.ask(way, BODY[:1000])
                self.mesh.flush()
                self.assertWell(asking, (hop, way))


class EndTests(MeshCase):
    """
    How streams end, through two gateways.
    """

    def eachWay(self) -> Iterator[tuple[str, Conversation, Conversation]]:
        """
        Both ends of a new stream, by each protocol; they are to close it.
        """
        for way in WAYS:
            self.build(2)
            served = Conversations(b"first\n")
            self.mesh.serve("db", 1, served)
            near = self.mesh.client("alice").connect(WAYS[way].replace(str(PORT), "1"))
            self.mesh.flush()
            self.assertEqual((b"first\n", True), (near.received, near.isOpen), way)
            yield way, near, served.last
            near.close()
            served.last.close()
            self.mesh.flush()
            self.assertDone(way)
            self.assertEqual([], self.mesh.connections(), way)

    def test_serverSpeaksFirst(self) -> None:
        """
        A client that says nothing hears its server.
        """
        self.assertEqual(len(WAYS), len([way for way, _, _ in self.eachWay()]))

    def test_clientEndsFirst(self) -> None:
        """
        The server may go on for long after its client has said all.
        """
        for way, near, far in self.eachWay():
            near.write(b"all")
            near.halfClose()
            self.mesh.advance(30)
            self.assertEqual((b"all", True, None), (far.received, far.isEnded, far.lost), way)
            far.pour(BODY)
            self.mesh.advance(30)
            self.assertEqual((b"first\n" + BODY, False), (near.received, near.isEnded), way)
            far.halfClose()
            self.mesh.flush()
            self.assertTrue(near.isEnded and near.isClean and far.isClean, way)

    def test_serverEndsFirst(self) -> None:
        """
        The client may go on for long after its server has said all.
        """
        for way, near, far in self.eachWay():
            far.halfClose()
            self.mesh.advance(30)
            self.assertEqual((True, None), (near.isEnded, near.lost), way)
            near.pour(BODY)
            self.mesh.advance(30)
            self.assertEqual((BODY, False), (far.received, far.isEnded), way)
            near.halfClose()
            self.mesh.flush()
            self.assertTrue(far.isEnded and near.isClean and far.isClean, way)

    def test_bothEndAtOnce(self) -> None:
        """
        Neither loses what it said last.
        """
        for way, near, far in self.eachWay():
            for end in (near, far):
                end.write(BODY)
                end.halfClose()
            self.mesh.flush()
            self.assertEqual((b"first\n" + BODY, BODY), (near.received, far.received), way)
            self.assertTrue(near.isClean and far.isClean, way)

    def test_closes(self) -> None:
        """
        Who closes has said all: the other side has all of it, and a clean end.
        """
        for who in range(2):
            for way, *ends in self.eachWay():
                closing, other = ends[who], ends[1 - who]
                before = other.received
                closing.write(BODY)
                closing.close()
                self.mesh.flush()
                self.assertEqual((before + BODY, True), (other.received, other.isClean), (who, way))

    def test_resets(self) -> None:
        """
        A reset comes out as a reset, at the other end of the chain.
        """
        for who in range(2):
            for way, *ends in self.eachWay():
                ends[who].abort()
                self.mesh.flush()
                self.assertEqual((True, False), (ends[1 - who].lost is not None, ends[1 - who].isClean), way)
                self.assertDone((who, way))

    def test_wrongToWriteAfterClose(self) -> None:
        """
        A client that goes on when its server has closed hears of it.
        """
        for way, near, far in self.eachWay():
            far.close()
            self.mesh.flush()
            self.assertTrue(near.isEnded, way)
            for _ in range(8):
                near.write(b"is anybody there?")
                self.mesh.flush()
            self.assertIsNotNone(near.lost, way)

    def test_idle(self) -> None:
        """
        A stream without a byte for the idle time is cut, visibly; one with a byte now
        and then is not.
        """
        for way, near, far in self.eachWay():
            for _ in range(5):
                self.mesh.advance(40)
                near.write(b".")
            self.mesh.flush()
            self.assertEqual(b".....", far.received, way)
            self.mesh.advance(80)
            for end in (near, far):
                self.assertEqual((True, False), (end.lost is not None, end.isClean), way)

    def test_goneWhileDialing(self) -> None:
        """
        When a client goes away, what is done for it ends at once, on all gateways.
        """
        for gates in (1, 2):
            self.build(gates)
            self.mesh.apply(Blackhole(), self.gates[-1], "db")
            for way in WAYS:
                near = self.mesh.client("alice").connect("tcp:gate1:1080", ASKING[way])
                self.mesh.flush()
                self.assertEqual(1, len(self.mesh.gateways[self.gates[-1]].flows))
                near.abort()
                self.mesh.flush()
                self.assertDone((gates, way))

    def test_bytesWhileDialing(self) -> None:
        """
        Of what a client sends before its target is there, little is kept, and nothing
        is lost.
        """
        much = bytes(2 << 20)
        for gates in (1, 2):
            self.build(gates)
            served = Conversations()
            self.mesh.serve("db", PORT + 1, served)
            for way, asked in ASKING.items():
                lost = self.mesh.apply(Blackhole(), self.gates[-1], "db")
                near = self.mesh.client("alice").connect("tcp:gate1:1080")
                self.mesh.flush()
                near.pour(asked + much)
                self.mesh.flush()
                self.assertGreater(len(near.unpoured), len(much) // 2, (gates, way))
                lost.lift()
                self.mesh.advance(15)
                self.assertDone((gates, way))

    def test_endsWhileDialing(self) -> None:
        """
        What a client says, and that it has said all, waits for the target.
        """
        for gates in (1, 2):
            self.build(gates)
            for way, asked in ASKING.items():
                stalled = self.mesh.apply(Stall(), self.gates[-1], "db")
                near = self.mesh.client("alice").connect("tcp:gate1:1080", asked + HELLO + BODY, half=True)
                self.mesh.flush()
                stalled.lift()
                self.mesh.flush()
                self.assertTrue(near.received.endswith(WELCOME + BODY), (gates, way))
                self.assertTrue(near.isClean, (gates, way))
                near.close()
                self.mesh.flush()
                self.assertDone((gates, way))


ASKING = {
    "socks4": b"\x04\x01\x15\x38\xc0\x00\x02\x09\0",
    "socks4a": b"\x04\x01\x15\x38\x00\x00\x00\x01\0db\0",
    "socks5": b"\x05\x01\x00\x05\x01\x00\x03\x02db\x15\x38",
    "connect": b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n",
}
"""All that a client says before its stream, in one go."""
