# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams that go with one call.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.outlet import Outlet
from ugate.test.datagramfakes import Peer

HEADER = b"\0\0\0\1\x7f\0\0\1\0\x35"


class FakeSocket:
    """
    Remembers the calls, and fails as it is told.
    """

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.calls: list[tuple[Any, ...]] = []

    def _done(self, *call: Any) -> None:
        self.calls.append(call)
        number = self.failures.pop(0) if self.failures else 0
        if number:
            raise OSError(number, "as told")

    def send(self, data: bytes, flags: int) -> None:
        """
        See L{socket.socket}.
        """
        self._done("send", data)

    def sendto(self, data: bytes, flags: int, address: Any) -> None:
        """
        See L{socket.socket}.
        """
        self._done("sendto", data, address)

    def sendmsg(self, pieces: Sequence[bytes], how: Any, flags: int, *address: Any) -> None:
        """
        See L{socket.socket}.
        """
        ((_, _, packed),) = how
        self._done("sendmsg", b"".join(pieces), int.from_bytes(packed, "little"), *address)


def kinds(by: Any) -> list[str]:
    """
    Which calls there were.
    """
    return [call[0] for call in by.calls]


class OutletTests(SynchronousTestCase):
    """
    L{Outlet} and the kernel's idea of it.
    """

    def pair(self, header: bytes = b"", isConnected: bool = True) -> tuple[Peer, Outlet]:
        """
        A peer, and what sends to it.
        """
        peer, here = Peer(), Peer()
        self.addCleanup(peer.close)
        self.addCleanup(here.close)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        address = ("127.0.0.1", peer.port)
        if isConnected:
            here.socket.connect(address)
        return peer, Outlet(here.socket, None if isConnected else address, header)

    def test_kernel(self) -> None:
        """
        What is sent comes one by one and in order, in whichever way it went.
        """
        sent = [bytes(100)] * 70 + [b"short", b"", bytes(1200), bytes(1200), bytes(60000), b"x", b"", b"y"]
        for header in b"", HEADER:
            for isConnected in True, False:
                peer, outlet = self.pair(header, isConnected)
                self.assertEqual(outlet.post(sent), 0)
                self.assertEqual(peer.take(), [header + each for each in sent])

    def test_fragments(self) -> None:
        """
        Some that are too large to go together go one by one.
        """
        peer, outlet = self.pair()
        sent = [bytes(40000), bytes(40000), bytes(65507)]
        self.assertEqual(outlet.post(sent), 0)
        self.assertEqual(list(map(len, peer.take())), [40000, 40000, 65507])

    def test_together(self) -> None:
        """
        Those of one size are one call, with one that is smaller at their end.
        """
        by: Any = FakeSocket()
        outlet = Outlet(by, header=b"h")
        outlet.post([b"aaaa", b"bbbb", b"cc", b"dddd", b"eeeeee", b"ffffff"])
        self.assertEqual(
            by.calls,
            [("sendmsg", b"haaaahbbbbhcc", 5), ("send", b"hdddd"), ("sendmsg", b"heeeeeehffffff", 7)],
        )

    def test_one(self) -> None:
        """
        One alone is sent as it is.
        """
        by: Any = FakeSocket()
        Outlet(by, ("a", 1)).post([b"x"])
        self.assertEqual(by.calls, [("sendto", b"x", ("a", 1))])

    def test_unable(self) -> None:
        """
        A kernel that cannot, for these or at all, is not asked again for such.
        """
        by: Any = FakeSocket(errno.EINVAL)
        outlet = Outlet(by)
        self.assertEqual(outlet.post([bytes(1400)] * 2), 0)
        self.assertEqual(outlet.post([bytes(1400)] * 2), 0)
        self.assertEqual(outlet.post([bytes(1300)] * 2), 0)
        self.assertEqual(kinds(by), ["sendmsg", "send", "send", "send", "send", "sendmsg"])

    def test_full(self) -> None:
        """
        What there is no room for is dropped and counted; that is no reason not to try again.
        """
        by: Any = FakeSocket(errno.EAGAIN, errno.EAGAIN, 0)
        outlet = Outlet(by)
        self.assertEqual(outlet.post([b"aa", b"bb"]), 1)
        self.assertEqual(outlet.post([b"aa", b"bb"]), 0)
        self.assertEqual(kinds(by), ["sendmsg", "send", "send", "sendmsg"])

    def test_refused(self) -> None:
        """
        What the kernel says of one before is not of this one.
        """
        by: Any = FakeSocket(errno.ECONNREFUSED, 0, errno.ECONNREFUSED, errno.ECONNREFUSED)
        outlet = Outlet(by)
        self.assertEqual((outlet.post([b"a"]), outlet.post([b"b"])), (0, 1))
        by = FakeSocket(errno.EMSGSIZE)
        self.assertEqual(Outlet(by).post([b"a"]), 1)

    @given(st.lists(st.sampled_from([0, 1, 2, 3, 1400, 30000, 65507]), min_size=1, max_size=150))
    def test_whole(self, sizes: list[int]) -> None:
        """
        Whatever comes, all of it is sent in order, and no call has more than the kernel takes.
        """
        by: Any = FakeSocket()
        sent = [b"%d" % (number % 10) * size for number, size in enumerate(sizes)]
        self.assertEqual(Outlet(by).post(sent), 0)
        found: list[bytes] = []
        for call in by.calls:
            if call[0] == "send":
                found.append(call[1])
                continue
            _, data, size = call
            self.assertLessEqual(len(data), 65000)
            cut = [data[at : at + size] for at in range(0, len(data), size)]
            self.assertLessEqual(len(cut), 64)
            found += cut
        self.assertEqual(found, sent)
