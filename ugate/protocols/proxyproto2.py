# -*- test-case-name: ugate.test.test_proxyproto2,ugate.test.test_proxyproto -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Version 2 of the PROXY protocol: a binary header with type-length-value fields
at its end (proxy-protocol.txt, 2.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from socket import AF_INET, AF_INET6
from typing import Final

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from ugate.errors import ProtocolError
from ugate.protocols.proxyproto1 import packAddress, unpackAddress

SIGNATURE_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""What each header of version 2 begins with."""

FIXED_V2: Final = 16
"""The bytes of a header before its addresses; its length is known from them."""

MAX_V2: Final = 4096
"""
The longest header of version 2 that is read, in bytes.  The format allows 65551,
but addresses need 232 at most, and the fields that follow are short: the largest
in use, a client certificate, fits too.
"""

_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_ADDRESS_BYTES: Final = (0, 12, 36, 216)
_STREAM: Final = 1
_DGRAM: Final = 2
_UNIX_PATH: Final = 108
_TLV_HEADER: Final = 3
_CRC_BYTES: Final = 4
_SSL_HEADER: Final = 5
_CLIENT_CERT: Final = 0x06
_MAX_LENGTH: Final = 0xFFFF


class Tlv(IntEnum):
    """
    The types of fields that have a meaning here; all others are skipped.

    @since: ugate NEXT
    """

    ALPN = 0x01
    AUTHORITY = 0x02
    CRC32C = 0x03
    SSL = 0x20
    SSL_CN = 0x22


def _crcTable() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        yield value


_CRC_TABLE: Final = tuple(_crcTable())


def crc32c(data: bytes) -> int:
    """
    The Castagnoli checksum (RFC 4960, appendix B).

    @since: ugate NEXT
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def encodeV2(
    source: IAddress | None,
    destination: IAddress | None,
    tlvs: Iterable[tuple[int, bytes]] = (),
    checksum: bool = False,
) -> bytes:
    """
    The header that says for whom a connection is made.

    Without a source, or if the two addresses are not of one family or of one that
    has no form here, it says C{LOCAL}: the receiver then goes by the addresses of
    the connection itself.  (C{UNSPEC} would say the same, but HAProxy resets
    connections that begin with it.)

    @param tlvs: types and values of the fields to add; C{LOCAL} has none.
    @param checksum: whether to add a CRC32c over the whole header.
    @raise ValueError: if the fields do not fit into a header.
    @since: ugate NEXT
    """
    pair = _packPair(source, destination)
    if pair is None:
        return SIGNATURE_V2 + bytes((_LOCAL, 0, 0, 0))
    family, addresses = pair
    fields = [bytes((kind,)) + len(value).to_bytes(2, "big") + value for kind, value in tlvs]
    if checksum:
        fields.append(bytes((Tlv.CRC32C, 0, _CRC_BYTES)) + bytes(_CRC_BYTES))
    body = addresses + b"".join(fields)
    if len(body) > _MAX_LENGTH:
        raise ValueError(f"the fields of a PROXY header are {len(body)} bytes: wanted at most {_MAX_LENGTH}")
    fixed = bytes((_PROXY, family << 4 | _STREAM)) + len(body).to_bytes(2, "big")
    header = SIGNATURE_V2 + fixed + body
    if checksum:
        header = header[:-_CRC_BYTES] + crc32c(header).to_bytes(_CRC_BYTES, "big")
    return header


def _packPair(source: IAddress | None, destination: IAddress | None) -> tuple[int, bytes] | None:
    """
    The family number of the header, and both addresses in its form.
    """
    if isinstance(source, UNIXAddress) and isinstance(destination, UNIXAddress):
        names = source.name or b"", destination.name or b""
        if max(map(len, names)) > _UNIX_PATH:
            return None
        return _UNIX, b"".join(name.ljust(_UNIX_PATH, b"\x00") for name in names)
    first, second = packAddress(source), packAddress(destination)
    if first is None or second is None or first[0] != second[0]:
        return None
    ports = first[2].to_bytes(2, "big") + second[2].to_bytes(2, "big")
    return (_INET if first[0] == AF_INET else _INET6), first[1] + second[1] + ports


def sizeV2(fixed: bytes) -> int:
    """
    How long a header is in all, in bytes.

    @param fixed: its first 16 bytes or more, of which the signature is checked already.
    @raise ProtocolError: if it is of no known version, command, family or
        protocol, too short for its addresses, or longer than L{MAX_V2}.
    @since: ugate NEXT
    """
    command, kind = fixed[12], fixed[13]
    length = int.from_bytes(fixed[14:FIXED_V2], "big")
    if command not in (_LOCAL, _PROXY):
        raise ProtocolError(f"PROXY header: version and command {command:#04x}: wanted 0x20 or 0x21")
    if command == _PROXY:
        if kind >> 4 > _UNIX or kind & 15 > _DGRAM:
            raise ProtocolError(f"PROXY header: unknown family and protocol {kind:#04x}")
        if length < _ADDRESS_BYTES[kind >> 4]:
            raise ProtocolError(f"PROXY header: {length} bytes cannot hold addresses of {kind:#04x}")
    if FIXED_V2 + length > MAX_V2:
        raise ProtocolError(
            f"PROXY header of {FIXED_V2 + length} bytes: at most {MAX_V2} are read, send fewer fields"
        )
    return FIXED_V2 + length


def decodeV2(header: bytes) -> tuple[tuple[IAddress, IAddress] | None, dict[str, str]]:
    """
    Read a header that L{sizeV2} has accepted.

    @param header: exactly the header.
    @return: source and destination, or L{None} if the addresses of the connection
        itself are to be used; and what its fields claim: C{sni}, C{alpn}, and
        C{cn} for the common name of a client's certificate that the sender has verified.
    @raise ProtocolError: if a field is broken or the checksum is wrong.
    @since: ugate NEXT
    """
    if header[12] == _LOCAL:
        return None, {}
    family, protocol = header[13] >> 4, header[13] & 15
    end = FIXED_V2 + _ADDRESS_BYTES[family]
    hints: dict[str, str] = {}
    if end < len(header):
        hints = _hints(header, end)
    if family == _UNSPEC or protocol == 0:
        return None, hints
    block = header[FIXED_V2:end]
    if family == _UNIX:
        return (_unixAddress(block[:_UNIX_PATH]), _unixAddress(block[_UNIX_PATH:])), hints
    number, size = (int(AF_INET), 4) if family == _INET else (int(AF_INET6), 16)
    udp = protocol == _DGRAM
    sourcePort, destinationPort = int.from_bytes(block[-4:-2], "big"), int.from_bytes(block[-2:], "big")
    source = unpackAddress(number, block[:size], sourcePort, udp)
    return (source, unpackAddress(number, block[size : 2 * size], destinationPort, udp)), hints


def _unixAddress(path: bytes) -> UNIXAddress:
    if path[:1] == b"\x00":
        # An abstract name begins with a zero byte; an unnamed socket has nothing else.
        return UNIXAddress(path.rstrip(b"\x00") or None)
    return UNIXAddress(path.partition(b"\x00")[0])


def _tlvs(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """
    The fields from an offset to the end: type, offset of the value, value.
    """
    while at < len(data):
        start = at + _TLV_HEADER
        end = start + int.from_bytes(data[at + 1 : start], "big")
        if start > len(data) or end > len(data):
            raise ProtocolError(f"PROXY header: a field of type {data[at]:#04x} is longer than the header")
        yield data[at], start, data[start:end]
        at = end


def _hints(header: bytes, at: int) -> dict[str, str]:
    hints: dict[str, str] = {}
    for kind, start, value in _tlvs(header, at):
        if kind == Tlv.CRC32C:
            blank = header[:start] + bytes(len(value)) + header[start + len(value) :]
            if value != crc32c(blank).to_bytes(_CRC_BYTES, "big"):
                raise ProtocolError("PROXY header: the CRC32c checksum is wrong")
        elif kind == Tlv.AUTHORITY:
            hints["sni"] = _text("authority", value).lower().removesuffix(".")
        elif kind == Tlv.ALPN:
            hints["alpn"] = _text("ALPN", value)
        elif kind == Tlv.SSL:
            name = _verifiedName(value)
            if name is not None:
                hints["cn"] = _text("common name", name)
    return hints


def _verifiedName(value: bytes) -> bytes | None:
    """
    The common name in an SSL field, if the sender has verified a certificate.
    """
    if len(value) < _SSL_HEADER:
        raise ProtocolError(
            f"PROXY header: an SSL field of {len(value)} bytes: wanted at least {_SSL_HEADER}"
        )
    names = [name for kind, _, name in _tlvs(value, _SSL_HEADER) if kind == Tlv.SSL_CN]
    verified = value[0] & _CLIENT_CERT and not any(value[1:_SSL_HEADER])
    return names[0] if names and verified else None


def _text(which: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as e:
        raise ProtocolError(f"PROXY header: the {which} {value[:64]!r} is not UTF-8") from e
    if not text or not text.isprintable():
        raise ProtocolError(f"PROXY header: the {which} {value[:64]!r} is empty or not printable")
    return text
