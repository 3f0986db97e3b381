# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.poll}: descriptors are numbers, which others get when they are closed.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from ugate.test.pollfakes import Guest, PollTestCase


class NumberTests(PollTestCase):
    """
    Descriptors are numbers, which others get when they are closed.
    """

    def test_closed(self) -> None:
        """
        Who was closed while it waited is forgotten when it says so, and nobody else is.
        """
        guest, other = self.reader(), self.reader()
        guest.close()
        self.poll.removeReader(guest)
        self.assertEqual(list(self.poll._guests.values()), [other])
        self.poll.removeReader(guest)
        other.far.send(b"word")
        self.rest()
        self.assertEqual((guest.asked, other.asked), ([], ["read"]))

    def test_reused(self) -> None:
        """
        Who gets the number of one that was closed and never said so is served, and does
        not wait for what that one waited for.
        """
        guest, other = self.reader(), self.guest()
        number = guest.fileno()
        guest.close()
        os.dup2(other.near.fileno(), number, inheritable=False)
        other.near.close()
        other.near = socket.socket(fileno=number)
        self.poll.addWriter(other)
        other.writing = lambda: self.poll.removeWriter(other)
        other.far.send(b"word")
        self.rest()
        self.assertEqual(other.asked, ["write"])
        self.poll.addReader(other)
        # That one is late, and is none of its business.
        self.poll.removeReader(guest)
        self.rest()
        self.assertEqual((guest.asked, other.asked), ([], ["write", "read"]))

    def test_reusedAtOnce(self) -> None:
        """
        What was reported of one does not hurt another that has its number since.
        """
        first, second = self.reader(), self.reader()
        fresh = self.guest()
        served: list[Guest] = []

        def replace(mine: Guest, other: Guest) -> None:
            mine.read()
            if not served:
                served.append(mine)
                number = other.fileno()
                self.poll.removeReader(other)
                other.near.close()
                os.dup2(fresh.near.fileno(), number, inheritable=False)
                fresh.near.close()
                fresh.near = socket.socket(fileno=number)
                fresh.near.setblocking(False)
                self.poll.addReader(fresh)

        first.reading = lambda: replace(first, second)
        second.reading = lambda: replace(second, first)
        fresh.reading = lambda: None
        for guest in (first, second):
            guest.far.send(b"word")
        self.poll.doRead()
        self.assertEqual(len(first.asked) + len(second.asked), 1)
        self.assertNotIn("lost", fresh.asked)
        fresh.reading = fresh.read

    def test_left(self) -> None:
        """
        A socket that goes on to be somebody else's stays in the epoll, if nothing but
        reading is waited for there.
        """
        guest = self.reader()
        self.assertIs(self.poll.leave(guest), self.poll)
        registered: Any = self.poll._epoll
        registered.modify(guest.fileno(), 0)
        self.assertEqual((self.poll._guests, self.poll._masks), ({}, {}))

    def test_comesBack(self) -> None:
        """
        One that was left may come back, for something else too.
        """
        guest = self.reader()
        self.poll.leave(guest)
        guest.writing = lambda: self.poll.removeWriter(guest)
        self.poll.addWriter(guest)
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, ["write"])

    def test_notLeft(self) -> None:
        """
        Else it leaves the epoll.
        """
        writer, none = self.reader(), self.guest()
        self.poll.addWriter(writer)
        for guest in (writer, none):
            self.assertIs(self.poll.leave(guest), None)
            self.assertRaises(FileNotFoundError, self.poll._epoll.modify, guest.fileno(), 0)
        self.assertEqual(self.poll._guests, {})

    def test_leftForNobody(self) -> None:
        """
        A socket that was left and that nobody took over does not keep the reactor busy.
        """
        guest = self.reader()
        self.poll.leave(guest)
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, [])

    def test_files(self) -> None:
        """
        What the kernel has no epoll for is left to the reactor.
        """
        guest = self.guest()
        near = guest.near
        with open(self.mktemp(), "w+b") as file:
            guest.near = file  # type: ignore[assignment]
            for add in (self.poll.addReader, self.poll.addWriter):
                add(guest)
            self.assertEqual(self.reactor.getReaders(), [self.poll, guest])
            self.assertEqual(self.reactor.getWriters(), [guest])
            for remove in (self.poll.removeReader, self.poll.removeWriter):
                remove(guest)
            self.assertEqual(self.reactor.getReaders(), [self.poll])
            self.assertEqual(self.reactor.getWriters(), [])
        guest.near = near
