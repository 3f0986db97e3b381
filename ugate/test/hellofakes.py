# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
ClientHellos of a real library, and made ones.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence

from ugate.errors import ProtocolError
from ugate.protocols.clienthello import (
    ClientHello,
    ClientHelloReader,
)

TLS10, TLS12, TLS13 = 0x0301, 0x0303, 0x0304


def realHello(
    name: str | None = "example.com",
    alpn: Sequence[str] = (),
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
) -> bytes:
    """
    The first flight of this machine's own TLS library.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.minimum_version, context.maximum_version = versions
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def vector(width: int, *items: bytes) -> bytes:
    body = b"".join(items)
    return len(body).to_bytes(width, "big") + body


def extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, value)


def sni(*names: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, *(bytes((kind,)) + vector(2, name) for name in names)))


def alpn(*names: bytes) -> bytes:
    return extension(16, vector(2, *(vector(1, name) for name in names)))


def versions(*numbers: int) -> bytes:
    return extension(43, vector(1, *(number.to_bytes(2, "big") for number in numbers)))


def body(
    *extensions: bytes,
    version: int = TLS12,
    session: bytes = b"s" * 32,
    suites: bytes = b"\x0a\x0a\x13\x01\x13\x02",
    compressions: bytes = b"\x00",
    tail: bytes = b"",
) -> bytes:
    start = version.to_bytes(2, "big") + bytes(32) + vector(1, session)
    return start + vector(2, suites) + vector(1, compressions) + vector(2, *extensions) + tail


def message(content: bytes, kind: int = 1) -> bytes:
    return bytes((kind,)) + vector(3, content)


def records(content: bytes, size: int = 16384, version: int = TLS10) -> bytes:
    """
    A message cut into records.
    """
    return b"".join(
        b"\x16" + version.to_bytes(2, "big") + vector(2, content[at : at + size])
        for at in range(0, len(content), size)
    )


def hello(*extensions: bytes) -> bytes:
    return records(message(body(*extensions)))


def read(chunks: Iterable[bytes]) -> ClientHello | None:
    reader = ClientHelloReader()
    found = None
    for chunk in chunks:
        if found is None:
            found = reader.feed(chunk)
    return found


def outcome(chunks: Iterable[bytes]) -> object:
    try:
        return read(chunks)
    except ProtocolError as e:
        return str(e), e.reply


def singles(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]
