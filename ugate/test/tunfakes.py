# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Packets for tests of TUN devices, made and read by the letter of the RFCs.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from itertools import pairwise

from ugate.protocols.tunpackets import ACK, LARGEST, SYN

OWN = {4: "10.98.0.1", 6: "fd98::1"}
PEER = {4: "10.98.0.2", 6: "fd98::2"}
FAR = {4: "203.0.113.5", 6: "2001:db8::5"}

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def packed(host: str) -> bytes:
    """
    An address.
    """
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)


def checksum(data: bytes) -> int:
    """
    That of RFC 1071, as it says: 0 for data with their right checksum in them.
    """
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Segment:
    """
    A packet of TCP or UDP.
    """

    source: str
    sport: int
    target: str
    dport: int
    flags: int = SYN
    body: bytes = b""
    sequence: int = 1000
    acknowledged: int = 0
    protocol: int = 6

    @property
    def version(self) -> int:
        """
        Of IP.
        """
        return 6 if ":" in self.source else 4

    def _pseudo(self, size: int) -> bytes:
        addresses = packed(self.source) + packed(self.target)
        return addresses + struct.pack("!II", size, self.protocol)

    def _transport(self) -> bytes:
        if self.protocol == 17:
            return struct.pack("!HHHH", self.sport, self.dport, 8 + len(self.body), 0) + self.body
        numbers = self.sport, self.dport, self.sequence, self.acknowledged
        return struct.pack("!HHIIBBHHH", *numbers, 0x50, self.flags, 512, 0, 0) + self.body

    def toBytes(self, partial: bool = False) -> bytes:
        """
        The packet, behind its header of virtio.

        @param partial: whether the kernel has left the checksum half done.
        """
        transport = self._transport()
        at = 6 if self.protocol == 17 else 16
        pseudo = self._pseudo(len(transport))
        found = ~checksum(pseudo) & 0xFFFF if partial else checksum(pseudo + transport)
        transport = transport[:at] + struct.pack("!H", found) + transport[at + 2 :]
        addresses = packed(self.source) + packed(self.target)
        if self.version == 6:
            header = struct.pack("!IHBB", 6 << 28, len(transport), self.protocol, 64) + addresses
        else:
            head = 0x4500, 20 + len(transport), 7, 0x4000, 64, self.protocol
            header = struct.pack("!HHHHBBH", *head, 0) + addresses
            header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
        virtio = struct.pack("=BBHHHH", int(partial), 0, 0, 0, len(header), at)
        return virtio + header + transport

    def buffered(self, partial: bool = False) -> tuple[bytearray, int]:
        """
        It in the place where packets are read to, and its size.
        """
        packet = self.toBytes(partial)
        return bytearray(packet.ljust(LARGEST, b"\xaa")), len(packet)


def read(packet: bytes) -> Segment:
    """
    A packet as a segment.

    @raise AssertionError: a checksum or a length is wrong.
    """
    needs, _, _, _, start, offset = struct.unpack("=BBHHHH", packet[:10])
    packet = packet[10:]
    version = packet[0] >> 4
    if version == 4:
        assert checksum(packet[:20]) == 0, "the checksum of IP is wrong"
        size, protocol = struct.unpack("!H", packet[2:4])[0] - 20, packet[9]
        source, target, transport = packet[12:16], packet[16:20], packet[20:]
    else:
        size, protocol = struct.unpack("!H", packet[4:6])[0], packet[6]
        source, target, transport = packet[8:24], packet[24:40], packet[40:]
    assert size == len(transport), f"{size} bytes are said, and there are {len(transport)}"
    at = 6 if protocol == 17 else 16
    pseudo = source + target + struct.pack("!II", size, protocol)
    if needs:
        assert (start, offset) == (len(packet) - size, at), "the kernel would look elsewhere"
        bare = transport[:at] + b"\0\0" + transport[at + 2 :]
        half = struct.unpack("!H", transport[at : at + 2])[0]
        want = checksum(pseudo + bare)
        got = checksum(half.to_bytes(2, "big") + bare)
        assert got % 65535 == want % 65535, "the half checksum is wrong"
    else:
        assert checksum(pseudo + transport) in (0, 0xFFFF), "the checksum is wrong"
    hosts = (socket.inet_ntop(FAMILY[version], each) for each in (source, target))
    (host, there), (sport, dport) = hosts, struct.unpack("!HH", transport[:4])
    if protocol == 17:
        assert struct.unpack("!H", transport[4:6])[0] == size
        return Segment(host, sport, there, dport, 0, transport[8:], 0, 0, protocol)
    sequence, acknowledged = struct.unpack("!II", transport[4:12])
    flags = transport[13]
    return Segment(host, sport, there, dport, flags, transport[20:], sequence, acknowledged)


@dataclass(frozen=True)
class Message:
    """
    A message of ICMP.
    """

    source: str
    target: str
    kind: int
    code: int = 0
    rest: bytes = b""

    @property
    def _isV6(self) -> bool:
        return ":" in self.source

    @property
    def _pseudo(self) -> bytes:
        if not self._isV6:
            return b""
        return packed(self.source) + packed(self.target) + struct.pack("!II", 4 + len(self.rest), 58)

    def toBytes(self) -> bytes:
        """
        The packet, behind its header of virtio.
        """
        message = struct.pack("!BBH", self.kind, self.code, 0) + self.rest
        found = checksum(self._pseudo + message)
        message = message[:2] + struct.pack("!H", found) + message[4:]
        protocol = 58 if self._isV6 else 1
        like = Segment(self.source, 0, self.target, 0, protocol=protocol).toBytes()
        header = bytearray(like[10 : 50 if self._isV6 else 30])
        if self._isV6:
            header[4:6] = struct.pack("!H", len(message))
        else:
            header[2:4] = struct.pack("!H", 20 + len(message))
            header[10:12] = b"\0\0"
            header[10:12] = struct.pack("!H", checksum(bytes(header)))
        return bytes(10) + bytes(header) + message

    def buffered(self) -> tuple[bytearray, int]:
        """
        It in the place where packets are read to, and its size.
        """
        packet = self.toBytes()
        return bytearray(packet.ljust(LARGEST, b"\xaa")), len(packet)


def readMessage(packet: bytes) -> Message:
    """
    A packet as a message of ICMP.

    @raise AssertionError: a checksum or a length is wrong.
    """
    assert packet[:10] == bytes(10), "something is left to the kernel"
    packet = packet[10:]
    if packet[0] >> 4 == 4:
        assert checksum(packet[:20]) == 0, "the checksum of IP is wrong"
        size, protocol, at, places = struct.unpack("!H", packet[2:4])[0] - 20, packet[9], 20, (12, 16, 20)
    else:
        size, protocol, at, places = struct.unpack("!H", packet[4:6])[0], packet[6], 40, (8, 24, 40)
    family = FAMILY[packet[0] >> 4]
    hosts = [socket.inet_ntop(family, packet[start:end]) for start, end in pairwise(places)]
    message = packet[at:]
    assert (size, protocol) == (len(message), 1 if at == 20 else 58), (size, protocol)
    made = Message(hosts[0], hosts[1], message[0], message[1], message[4:])
    assert checksum(made._pseudo + message) == 0, "the checksum is wrong"
    return made


def outwards(version: int = 4, sport: int = 40000, dport: int = 80, **more: object) -> Segment:
    """
    What a program of this host sends.
    """
    return Segment(OWN[version], sport, FAR[version], dport, **more)  # type: ignore[arg-type]


def answerTo(segment: Segment, flags: int = SYN | ACK, body: bytes = b"") -> Segment:
    """
    What our port answers.
    """
    return Segment(
        segment.target, segment.dport, segment.source, segment.sport, flags, body, 7000, segment.sequence + 1
    )
