# -*- test-case-name: ugate.test.test_tundevice,ugate.test.interop.test_tun -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A TUN device of Linux: a network interface whose packets a process reads and writes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from select import select
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import ListenRefused
from ugate.protocols.tunpackets import LARGEST

AT_ONCE: Final = 32
"""Packets that are read before others have their turn."""

_ROUNDS: Final = 256
"""How often so many are read when all ends: no more than are in the queue of a device."""

QUIET: Final = 0.05
"""Seconds without a packet after which all is said when all ends: a reset that overtakes data is asked about,
and only the second one is heard (RFC 5961, 3.2)."""

_PATIENCE: Final = 1.0
"""Seconds for that, whatever comes."""

_PATH: Final = "/dev/net/tun"
_SET_INTERFACE: Final = 0x400454CA
_SET_OFFLOAD: Final = 0x400454D0
_TUN: Final = 0x0001
_NO_INFORMATION: Final = 0x1000
_VIRTIO: Final = 0x4000
_ONLY: Final = 0x8000
_CHECKSUM: Final = 0x01
_SEGMENTS: Final = 0x02 | 0x04
"""Of TCP in IPv4 and IPv6: the kernel gives and takes them in one piece, whatever the MTU."""

_STEPS: Final = {
    errno.EPERM: "it needs CAP_NET_ADMIN: start it as root, or with AmbientCapabilities= of systemd",
    errno.EACCES: "let it open /dev/net/tun, which root may",
    errno.EBUSY: "there is a device of that name: take another name, or remove that one (ip link delete)",
    errno.ENOENT: "load the module tun of the kernel (modprobe tun), or give the container /dev/net/tun",
    errno.ENODEV: "load the module tun of the kernel (modprobe tun), or give the container /dev/net/tun",
}


def openDevice(name: str) -> int:
    """
    Make a device, which is there as long as its descriptor is open.

    @raise ListenRefused: it cannot be, and why.
    """
    descriptor = -1
    try:
        descriptor = os.open(_PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        flags = _TUN | _NO_INFORMATION | _VIRTIO | _ONLY
        fcntl.ioctl(descriptor, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(descriptor, _SET_OFFLOAD, _CHECKSUM | _SEGMENTS)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        step = _STEPS.get(error.errno or 0, "see whether this kernel has TUN devices")
        raise ListenRefused(f"there is no TUN device {name}: {error.strerror}; {step}") from error
    return descriptor


@implementer(IReadDescriptor)
class Device:
    """
    The descriptor of a device.

    @ivar dropped: how many packets the kernel did not take.
    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        received: Callable[[bytearray, int], bytes | bytearray | None],
        lost: Callable[[], object],
    ) -> None:
        """
        @param reactor: what waits for the descriptor.
        @param received: is given each packet, with its size; what it returns is written as one of that size,
            if it is the packet itself, or as it is.
        @param lost: called when the reactor is done with it.
        """
        self._reactor = reactor
        self._descriptor = descriptor
        self._received = received
        self._lost = lost
        self._packet = bytearray(LARGEST)
        self._view = memoryview(self._packet)
        self._isBroken = False
        self.dropped = 0

    def start(self) -> None:
        """
        Take what comes.
        """
        self._reactor.addReader(self)

    def fileno(self) -> int:
        """
        The descriptor, while it is open.
        """
        return self._descriptor

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "tun"

    def doRead(self) -> None:
        """
        Take what is there, but not for long.
        """
        self._read()

    def _read(self) -> bool:
        """
        @return: whether there may be more.
        """
        descriptor, packet, view, received = self._descriptor, self._packet, self._view, self._received
        into = [packet]
        for _ in range(AT_ONCE):
            try:
                size = os.readv(descriptor, into)
            except BlockingIOError:
                return False
            except OSError as error:
                self._isBroken = True
                self._log.critical("a TUN device cannot be read any more: {error}", error=str(error))
                self._reactor.removeReader(self)
                return False
            try:
                answer = received(packet, size)
            except Exception:
                # It is no matter of the others.
                self._log.failure("a packet could not be served")
                continue
            if answer is packet:
                self.write(view[:size])
            elif answer is not None:
                self.write(answer)
            if self._descriptor != descriptor:
                return False
        return True

    def write(self, packet: bytes | bytearray | memoryview) -> bool:
        """
        Give a packet to the kernel.

        @return: whether it took it.
        """
        try:
            os.write(self._descriptor, packet)
        except OSError:
            self.dropped += 1
            return False
        return True

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor is done with it.  Those whose connections were cut just now are told first.
        """
        if self._descriptor >= 0:
            until = self._reactor.seconds() + _PATIENCE
            for _ in range(_ROUNDS):
                if not (self._read() or (self._reactor.seconds() < until and self._mayCome())):
                    break
            self.close()
            self._lost()

    def _mayCome(self) -> bool:
        return not self._isBroken and bool(select([self], [], [], QUIET)[0])

    def close(self) -> None:
        """
        Let the device be gone.
        """
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1
