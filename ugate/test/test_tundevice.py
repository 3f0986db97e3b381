# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tundevice}.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints import tundevice
from ugate.endpoints.tundevice import AT_ONCE, Device, openDevice
from ugate.errors import ListenRefused
from ugate.test.socketfakes import SocketReactor


class DeviceTests(SynchronousTestCase):
    """
    A device whose kernel is the other end of a socket.
    """

    def setUp(self) -> None:
        self.reactor = SocketReactor()
        self.addCleanup(self.reactor.close)
        self.kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.kernel.close)
        self.kernel.setblocking(False)
        ours.setblocking(False)
        self.got: list[bytes] = []
        self.answer: Any = None
        self.lost: list[None] = []
        self.device = Device(self.reactor, ours.detach(), self.received, lambda: self.lost.append(None))
        self.addCleanup(self.device.close)
        self.device.start()

    def received(self, packet: bytearray, size: int) -> Any:
        """
        What is done with a packet.
        """
        self.got.append(bytes(packet[:size]))
        return self.answer(packet) if callable(self.answer) else self.answer

    def test_swallows(self) -> None:
        """
        A packet without an answer.
        """
        self.kernel.send(b"one")
        self.kernel.send(b"two")
        self.device.doRead()
        self.assertEqual(self.got, [b"one", b"two"])
        self.assertRaises(BlockingIOError, self.kernel.recv, 99)

    def test_same(self) -> None:
        """
        The packet itself goes back as long as it was, with what was changed in it.
        """

        def changed(packet: bytearray) -> bytearray:
            packet[0] = ord("O")
            return packet

        self.answer = changed
        self.kernel.send(b"one")
        self.kernel.send(b"longer")
        self.device.doRead()
        self.assertEqual(self.kernel.recv(99), b"One")
        self.assertEqual(self.kernel.recv(99), b"Oonger")

    def test_other(self) -> None:
        """
        Another packet goes as it is.
        """
        self.answer = b"reset"
        self.kernel.send(b"one")
        self.device.doRead()
        self.assertEqual(self.kernel.recv(99), b"reset")

    def test_turns(self) -> None:
        """
        After so many packets it is the turn of others.
        """
        for number in range(AT_ONCE + 1):
            self.kernel.send(b"%d" % number)
        self.device.doRead()
        self.assertEqual(len(self.got), AT_ONCE)
        self.device.doRead()
        self.assertEqual(len(self.got), AT_ONCE + 1)

    def test_broken(self) -> None:
        """
        One packet that nobody can serve is no matter of the next.
        """
        self.answer = lambda packet: 1 // 0
        self.kernel.send(b"one")
        self.kernel.send(b"two")
        self.device.doRead()
        self.assertEqual(self.got, [b"one", b"two"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_full(self) -> None:
        """
        What the kernel does not take is dropped and counted.
        """
        while self.device.write(b"x" * 9999):
            pass
        self.assertEqual(self.device.dropped, 1)

    def test_closed(self) -> None:
        """
        Afterwards it has no descriptor, and the reactor does not wait for it; twice is no mistake.  What
        has come is answered before.
        """
        self.answer = b"reset"
        for number in range(AT_ONCE + 1):
            self.kernel.send(b"%d" % number)
        self.assertIn(self.device, self.reactor.getReaders())
        self.device.connectionLost(Failure(ConnectionDone()))
        self.device.connectionLost(Failure(ConnectionDone()))
        self.device.close()
        self.assertEqual(len(self.lost), 1)
        for _ in range(AT_ONCE + 1):
            self.assertEqual(self.kernel.recv(9), b"reset")
        self.assertEqual((self.device.fileno(), self.reactor.getReaders()), (-1, []))
        self.assertEqual(self.device.logPrefix(), "tun")
        self.assertEqual(self.kernel.recv(9), b"")

    def test_asked(self) -> None:
        """
        What is asked about the last answers is answered, too, but not for ever.
        """

        def select(reading: list[Any], *more: object) -> tuple[list[Any], ...]:
            self.kernel.send(b"and now?")
            self.reactor.advance(0.4)
            return reading, [], []

        self.patch(tundevice, "select", select)
        self.answer = b"reset"
        self.device.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.got, [b"and now?"] * 3)
        self.assertEqual([self.kernel.recv(9) for _ in range(4)], [*[b"reset"] * 3, b""])

    def test_closedMeanwhile(self) -> None:
        """
        By what came in a packet.
        """
        self.answer = lambda packet: self.device.close()
        self.kernel.send(b"one")
        self.kernel.send(b"two")
        self.device.doRead()
        self.assertEqual(self.got, [b"one"])

    def test_fails(self) -> None:
        """
        A device that somebody has removed is not asked again, and that is said.
        """

        def readv(descriptor: int, into: list[bytearray]) -> int:
            raise OSError(errno.EBADFD, os.strerror(errno.EBADFD))

        self.patch(os, "readv", readv)
        with capturedLogs() as logs:
            self.device.doRead()
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(logs[0]["log_level"], LogLevel.critical)


class OpenTests(SynchronousTestCase):
    """
    L{openDevice}, of which the kernel is a fake.
    """

    def setUp(self) -> None:
        self.asked: list[tuple[int, Any]] = []
        self.number = 0
        self.read, write = os.pipe()
        self.addCleanup(os.close, self.read)
        self.descriptors = [write]
        self.patch(os, "open", lambda path, flags: self.descriptors.pop())
        self.patch(fcntl, "ioctl", self.ioctl)
        self.write = write

    def ioctl(self, descriptor: int, request: int, argument: Any) -> int:
        """
        What the kernel says.
        """
        self.asked.append((request, argument))
        if self.number:
            raise OSError(self.number, os.strerror(self.number))
        return 0

    def test_opened(self) -> None:
        """
        It is a device of packets that is new, and whose packets may be long.
        """
        self.assertEqual(openDevice("ug0"), self.write)
        os.close(self.write)
        (_, interface), (_, offload) = self.asked
        name, flags = struct.unpack("16sH22x", interface)
        self.assertEqual((name.rstrip(b"\0"), flags), (b"ug0", 0x0001 | 0x1000 | 0x4000 | 0x8000))
        self.assertEqual(offload, 7)

    def test_refused(self) -> None:
        """
        Why it cannot be, and what to do; its descriptor is not left open.
        """
        self.number = errno.EPERM
        error = self.assertRaises(ListenRefused, openDevice, "ug0")
        self.assertEqual(
            str(error),
            "there is no TUN device ug0: Operation not permitted; it needs CAP_NET_ADMIN: start it as root, "
            "or with AmbientCapabilities= of systemd",
        )
        self.assertRaises(OSError, os.fstat, self.write)

    def test_unknown(self) -> None:
        """
        A reason of which nothing is known is told as it is.
        """
        self.number = errno.EIO
        error = self.assertRaises(ListenRefused, openDevice, "ug0")
        self.assertIn("Input/output error; see whether this kernel has TUN devices", str(error))
