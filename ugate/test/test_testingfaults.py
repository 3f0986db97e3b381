# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What each fault does to a connection in memory, to whom, and when it ends.
"""

from __future__ import annotations

import errno

from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError, NoRouteError
from twisted.internet.error import TimeoutError as TookTooLong
from twisted.trial.unittest import SynchronousTestCase

from ugate.testing import (
    NO_ROUTE,
    Blackhole,
    Conversation,
    Conversations,
    Fault,
    HalfClose,
    LostName,
    MemoryMesh,
    MeshError,
    Refuse,
    Reset,
    SlowReader,
    SplitWrites,
    Stall,
)
from ugate.testing.wire import CAPACITY


class FaultCase(SynchronousTestCase):
    """
    Two hosts.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.served = Conversations()
        self.mesh.serve("db", 5432, self.served)
        self.app = self.mesh.client("app")

    def connected(self) -> tuple[Conversation, Conversation]:
        """
        Both ends of a new connection.
        """
        near = self.app.connect("tcp:db:5432")
        self.mesh.flush()
        return near, self.served.last


class WireTests(FaultCase):
    """
    Faults of connections that are up.
    """

    def test_reset(self) -> None:
        """
        After so many bytes both ends lose the connection, and all else is lost.
        """
        applied = self.mesh.apply(Reset(after=4), "app", "db")
        near, far = self.connected()
        near.write(b"123")
        self.mesh.flush()
        self.assertTrue(near.isOpen and far.isOpen)
        near.write(b"456")
        far.write(b"answer")
        self.mesh.flush()
        self.assertEqual(b"1234", far.received)
        for end in (near, far):
            assert end.lost is not None
            end.lost.trap(ConnectionLost)
            self.assertFalse(end.isClean)
        self.assertEqual(([], 1), (self.mesh.connections(), applied.hits))

    def test_resetNow(self) -> None:
        """
        A connection that is up is reset at once; one that comes later too, until the
        fault is lifted.
        """
        near, _ = self.connected()
        applied = self.mesh.apply(Reset(), "app", "db")
        self.mesh.flush()
        later, _ = self.connected()
        self.assertFalse(near.isOpen or later.isOpen)
        applied.lift()
        again, _ = self.connected()
        self.assertTrue(again.isOpen)
        self.assertEqual(2, applied.hits)

    def test_directions(self) -> None:
        """
        It is the sender that counts, not who connected.
        """
        self.mesh.apply(Reset(after=1), "db", "app")
        near, far = self.connected()
        near.write(b"many bytes")
        self.mesh.flush()
        self.assertTrue(near.isOpen)
        far.write(b"2 bytes")
        self.mesh.flush()
        self.assertEqual((b"2", False), (near.received, near.isOpen))

    def test_halfClose(self) -> None:
        """
        The receiver reads an end that the sender has not said; the other direction
        goes on.
        """
        self.mesh.apply(HalfClose(after=4), "app", "db")
        near, far = self.connected()
        near.write(b"123456")
        self.mesh.flush()
        self.assertEqual((b"1234", True, None), (far.received, far.isEnded, near.lost))
        near.write(b"x" * (3 * CAPACITY))
        far.write(b"answer")
        self.mesh.flush()
        self.assertEqual((b"1234", b"answer"), (far.received, near.received))
        near.abort()
        self.mesh.flush()
        far.write(b"more")
        self.mesh.flush()
        self.assertIsNotNone(far.lost)

    def test_stall(self) -> None:
        """
        Neither bytes nor ends arrive until it is lifted; then nothing is missing.
        """
        applied = self.mesh.apply(Stall(after=2), "app", "db")
        near, far = self.connected()
        near.write(b"123456")
        near.halfClose()
        far.write(b"answer")
        self.mesh.advance(3600)
        self.assertEqual((b"12", False, b"answer"), (far.received, far.isEnded, near.received))
        applied.lift()
        self.mesh.flush()
        self.assertEqual((b"123456", True), (far.received, far.isEnded))

    def test_stallHoldsResets(self) -> None:
        """
        Who waits for a stalled peer does not learn that it is gone.
        """
        near, far = self.connected()
        applied = self.mesh.apply(Stall(), "app", "db")
        near.abort()
        far.write(b"is anybody there?")
        self.mesh.flush()
        self.assertIsNone(far.lost)
        applied.lift()
        self.mesh.flush()
        self.assertIsNotNone(far.lost)

    def test_slowReader(self) -> None:
        """
        So many bytes arrive in a second, and the sender feels it.
        """
        applied = self.mesh.apply(SlowReader(100), "app", "db")
        near, far = self.connected()
        much = bytes(range(250)) * 4000
        near.pour(much)
        near.halfClose()
        self.mesh.flush()
        self.assertEqual(100, len(far.received))
        self.mesh.advance(9)
        self.assertEqual(1000, len(far.received))
        self.assertLess(len(much) - len(near.unpoured), 4 * CAPACITY)
        applied.lift()
        self.mesh.flush()
        self.assertTrue(much == far.received and far.isEnded)

    def test_slowReaderRests(self) -> None:
        """
        With nothing to read it has no timer.
        """
        self.mesh.apply(SlowReader(1), "app", "db")
        near, far = self.connected()
        near.write(b"12")
        self.mesh.advance(10)
        self.assertEqual(b"12", far.received)
        self.assertEqual((), tuple(self.mesh.host("app").reactor.getDelayedCalls()))

    def test_splitWrites(self) -> None:
        """
        Each byte by itself; or pieces of several sizes, the same each time.
        """
        for most, sizes in ((1, {1}), (3, {1, 2, 3})):
            pieces: list[list[bytes]] = []
            for _ in range(2):
                applied = self.mesh.apply(SplitWrites(most, seed=7), "app", "db")
                near, far = self.connected()
                pieces.append([])
                far.dataReceived = pieces[-1].append  # type: ignore[method-assign,assignment]
                near.write(bytes(range(100)))
                self.mesh.flush()
                applied.lift()
            self.assertEqual(bytes(range(100)), b"".join(pieces[0]))
            self.assertEqual(sizes, {len(piece) for piece in pieces[0]})
            self.assertEqual(pieces[0], pieces[1])

    def test_several(self) -> None:
        """
        Faults add up.
        """
        self.mesh.apply(SplitWrites(), "app", "db")
        self.mesh.apply(SlowReader(5), "app", "db")
        self.mesh.apply(Reset(after=7), "app", "db")
        near, far = self.connected()
        near.write(b"1234567890")
        self.mesh.flush()
        self.assertEqual(b"12345", far.received)
        self.mesh.advance(1)
        self.assertEqual((b"1234567", False), (far.received, far.isOpen))

    def test_nth(self) -> None:
        """
        Only the nth connection from now on.
        """
        first, _ = self.connected()
        applied = self.mesh.apply(Reset(), "app", "db", nth=2)
        ends = [self.connected()[0] for _ in range(3)]
        self.assertEqual([True, True, False, True], [end.isOpen for end in (first, *ends)])
        self.assertEqual(1, applied.hits)

    def test_others(self) -> None:
        """
        Other hosts are spared; a host may have faults with itself.
        """
        self.mesh.host("other")
        self.mesh.apply(Reset(), "other", "db")
        near, _ = self.connected()
        self.assertTrue(near.isOpen)
        self.mesh.apply(Reset(after=1), "db", "db")
        own = self.mesh.client("db").connect("tcp:localhost:5432", b"xx")
        self.mesh.flush()
        self.assertEqual((False, b"x"), (own.isOpen, self.served.last.received))


class DialTests(FaultCase):
    """
    Faults of connections that are being made, and of names.
    """

    def outcome(self) -> type[BaseException] | None:
        """
        What becomes of a connection, with all the time that it wants.
        """
        near = self.app.connect("tcp:db:5432:timeout=5")
        self.mesh.advance(5)
        return None if near.failure is None else near.failure.type

    def test_outcomes(self) -> None:
        """
        Refused, unreachable, no answer, no name: each until it is lifted.
        """
        faults: list[tuple[Fault, type[BaseException]]] = [
            (Refuse(), ConnectionRefusedError),
            (NO_ROUTE, NoRouteError),
            (Blackhole(), TookTooLong),
            (LostName("db"), DNSLookupError),
            (LostName("db", answers=False), TookTooLong),
        ]
        for fault, error in faults:
            applied = self.mesh.apply(fault, "app", "db")
            self.assertIs(error, self.outcome(), fault)
            self.assertEqual(1, applied.hits)
            applied.lift()
            self.assertIsNone(self.outcome(), fault)
            self.assertEqual(1, applied.hits)

    def test_number(self) -> None:
        """
        A refusal has the number of the error that is wanted.
        """
        self.mesh.apply(Refuse(errno.EHOSTUNREACH), "app", "db")
        near = self.app.connect("tcp:db:5432")
        self.mesh.flush()
        assert near.failure is not None
        self.assertEqual(errno.EHOSTUNREACH, near.failure.value.osError)  # type: ignore[union-attr]

    def test_whose(self) -> None:
        """
        They are of one host, and of one direction.
        """
        self.mesh.serve("app", 80, Conversations())
        self.mesh.apply(Refuse(), "db", "app")
        self.mesh.apply(LostName("db"), "db")
        self.assertIsNone(self.outcome())
        back = self.mesh.client("db").connect("tcp:app:80")
        self.mesh.flush()
        self.assertIsNotNone(back.failure)

    def test_nth(self) -> None:
        """
        Only the nth attempt from now on; an earlier fault is before a later one.
        """
        self.mesh.apply(Refuse(), "app", "db", nth=2)
        self.mesh.apply(NO_ROUTE, "app", "db", nth=2)
        self.assertEqual([None, ConnectionRefusedError, None], [self.outcome() for _ in range(3)])

    def test_mistakes(self) -> None:
        """
        What makes no sense is said at once.
        """
        for wrong in (
            lambda: Reset(after=-1),
            lambda: HalfClose(after=-1),
            lambda: Stall(after=-1),
            lambda: SlowReader(0),
            lambda: SplitWrites(0),
        ):
            self.assertRaises(ValueError, wrong)
        error = self.assertRaises(MeshError, self.mesh.apply, Refuse(), "app", "bd")
        self.assertIn("'bd'", str(error))
