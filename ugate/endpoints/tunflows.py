# -*- test-case-name: ugate.test.test_tunflows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams in a TUN device.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from ugate.endpoints.flowtable import Flow, FlowTable
from ugate.endpoints.udp import udpAddress
from ugate.errors import Refused
from ugate.protocols.tunicmp import noPortFor, tooLongFor
from ugate.protocols.tunpackets import Layout, datagramPacket, reversedKey
from ugate.stream import UDP, StreamInfo, Target

PROTOCOL: Final = "tun"
"""What streams of a device are recognized as."""

MOST: Final = 65000
"""Bytes of packets that go on by any way, whatever is put before them there."""


class DeviceFlow(Flow):
    """
    The datagrams of one program to one target.
    """

    def __init__(
        self,
        table: FlowTable[Any],
        layout: Layout,
        key: bytes,
        write: Callable[[bytes], bool],
        tell: Callable[[bytes], object],
        head: bytes,
    ) -> None:
        """
        @param key: whose packets they are.
        @param write: gives a packet to the kernel.
        @param tell: the same for a message about packets.
        @param head: that of the first of them.
        """
        size = layout.size
        family = socket.AF_INET if layout.version == 4 else socket.AF_INET6
        source = udpAddress(socket.inet_ntop(family, key[:size]), int.from_bytes(key[-4:-2], "big"))
        target = Target(socket.inet_ntop(family, key[size : 2 * size]), int.from_bytes(key[-2:], "big"), UDP)
        host = udpAddress(target.host, target.port)
        info = StreamInfo(source, host, target, protocol=PROTOCOL, layers=(PROTOCOL,))
        super().__init__(table, key, info, host)
        self._layout = layout
        self._back = reversedKey(key)
        self._write = write
        self._tell = tell
        self._head = head
        self.isRefused = False

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll<ugate.interfaces.IDatagrams.postAll>}.
        """
        for each in datagrams:
            if not self._write(datagramPacket(self._layout, self._back, each)):
                self.dropped += 1

    def refuse(self, reason: Refused) -> None:
        """
        See L{IPending.refuse<ugate.interfaces.IPending.refuse>}: the program is told that nobody is there, so
        that it need not wait.
        """
        self.isRefused = True
        self.noPort()
        super().refuse(reason)

    def noPort(self) -> None:
        """
        Say that nobody is there.
        """
        self._tell(noPortFor(self._layout, self._head))

    def undelivered(self, error: OSError) -> None:
        """
        See L{IDatagrams.undelivered<ugate.interfaces.IDatagrams.undelivered>}.
        """
        if error.errno == errno.EMSGSIZE:
            self._tell(tooLongFor(self._layout, self._head, MOST))
        else:
            self.noPort()
