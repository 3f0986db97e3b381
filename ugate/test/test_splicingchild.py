# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.splicingchild}: the program of the process that moves bulk.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate import slots, splice, splicing
from ugate.slots import ORDER, REPORT, SIZE, Slots
from ugate.splicingchild import Child
from ugate.test.socketfakes import descriptors, tcpPair


class ChildTests(SynchronousTestCase):
    """
    The program, run here: orders in, reports out.
    """

    def obey(self, *orders: tuple[bytes, list[int]]) -> list[tuple[int, ...]]:
        """
        What it reports of some orders.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, mmap.mmap(-1, SIZE) as memory:
            numbers = Slots(memory)
            child = Child(theirs, numbers, 1)
            for order, files in orders:
                socket.send_fds(ours, [order], files)
            ours.shutdown(socket.SHUT_WR)
            child.run()
            child._splicers.stop()
            numbers.close()
            theirs.close()
            ours.setblocking(False)
            reports = []
            while report := ours.recv(REPORT.size):
                reports.append(REPORT.unpack(report))
            return reports

    def test_noDescriptors(self) -> None:
        """
        A loan whose sockets did not arrive, for want of descriptors, is given back as such.
        """
        order = ORDER.pack(slots.LEND, 3)
        before = descriptors()
        self.assertEqual(self.obey((order, [])), [(3, 0, splice.NO_ROOM, 0)])
        with open(os.devnull) as one:
            self.assertEqual(self.obey((order, [one.fileno()])), [(3, 0, splice.NO_ROOM, 0)])
        self.assertEqual(descriptors() - before, set())

    def test_noPipe(self) -> None:
        """
        So is one for which there is no pipe, and its sockets are closed.
        """

        def refuse() -> Any:
            raise OSError(errno.EMFILE, "no descriptors")

        self.patch(splice, "openPipe", refuse)
        before = descriptors()
        one, two = tcpPair()
        reports = self.obey((ORDER.pack(slots.LEND, 4), [one.fileno(), two.fileno()]))
        one.close()
        two.close()
        self.assertEqual(reports, [(4, 0, errno.EMFILE, 0)])
        self.assertEqual(descriptors() - before, set())

    def test_noThread(self) -> None:
        """
        And one for which there is no thread.
        """

        def refuse(*args: Any) -> Any:
            raise OSError(errno.EAGAIN, "no threads")

        self.patch(splicing, "Splicer", refuse)
        before = descriptors()
        one, two = tcpPair()
        reports = self.obey((ORDER.pack(slots.LEND, 4), [one.fileno(), two.fileno()]))
        one.close()
        two.close()
        self.assertEqual(reports, [(4, 0, errno.EAGAIN, 0)])
        self.assertEqual(descriptors() - before, set())

    def test_lenderGone(self) -> None:
        """
        A lender that is gone without having read all reports is gone like any other.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, mmap.mmap(-1, SIZE) as memory:
            numbers = Slots(memory)
            theirs.send(REPORT.pack(0, 0, 0, 0))
            ours.close()
            Child(theirs, numbers, 1).run()
            numbers.close()

    def test_crossed(self) -> None:
        """
        To want back what is on its way back is no mistake.
        """
        self.assertEqual(self.obey((ORDER.pack(slots.RECALL, 9), [])), [])
