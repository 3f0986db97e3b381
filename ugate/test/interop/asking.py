# -*- test-case-name: ugate.test.interop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Clients of a proxy in a few lines each, written anew so that they share no mistake with ugate; and curl.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugate.test.interop.processes import DEADLINE, HOST, InteropTestCase, program
from ugate.test.interop.targets import readExactly

Send = Callable[[socket.socket, bytes], object]


def _atOnce(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)


def connected(port: int, host: str = HOST) -> socket.socket:
    """
    A connection with a deadline.
    """
    connection = socket.create_connection((host, port), DEADLINE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def isCut(connection: socket.socket) -> bool:
    """
    Whether the other side ends the connection, one way or the other, without a word.
    """
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def socks5Request(host: str, port: int) -> bytes:
    """
    A CONNECT request of SOCKS5, with an address where the host is one.
    """
    for family, kind in ((socket.AF_INET, b"\x01"), (socket.AF_INET6, b"\x04")):
        try:
            return b"\x05\x01\x00" + kind + socket.inet_pton(family, host) + struct.pack(">H", port)
        except OSError:
            continue
    name = host.encode()
    return b"\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack(">H", port)


def socks5(connection: socket.socket, host: str, port: int, send: Send = _atOnce) -> int:
    """
    Ask for a stream.

    @return: the reply code.
    """
    send(connection, b"\x05\x01\x00")
    assert readExactly(connection, 2) == b"\x05\x00"
    send(connection, socks5Request(host, port))
    version, code, _, kind = readExactly(connection, 4)
    assert version == 5, version
    size = {1: 4, 4: 16}.get(kind)
    readExactly(connection, (readExactly(connection, 1)[0] if size is None else size) + 2)
    return code


def socks4Request(host: str, port: int) -> bytes:
    """
    A CONNECT request of SOCKS4, or of 4A when the host is a name.
    """
    head = b"\x04\x01" + struct.pack(">H", port)
    try:
        return head + socket.inet_aton(host) + b"me\x00"
    except OSError:
        return head + b"\x00\x00\x00\x07me\x00" + host.encode() + b"\x00"


def socks4(connection: socket.socket, host: str, port: int, send: Send = _atOnce) -> int:
    """
    Ask for a stream.

    @return: the reply code.
    """
    send(connection, socks4Request(host, port))
    reply = readExactly(connection, 8)
    assert reply[0] == 0, reply
    return reply[1]


def readHead(connection: socket.socket) -> tuple[int, dict[str, str]]:
    """
    The head of an HTTP response, and not a byte more.

    @return: the status and the fields, by their names in lower case.
    """
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += readExactly(connection, 1)
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split(" ")[1]), fields


def connect(
    connection: socket.socket, host: str, port: int, send: Send = _atOnce
) -> tuple[int, dict[str, str]]:
    """
    Ask for a stream by HTTP.

    @return: the status and the fields of the response.
    """
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    send(connection, f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
    return readHead(connection)


@dataclass(frozen=True)
class Answer:
    """
    What curl got.
    """

    exit: int
    """Its exit status."""

    status: int
    """The HTTP status of the target; 0 for none."""

    connect: int
    """The HTTP status of the proxy for a CONNECT; 0 for none."""

    body: bytes
    """The content."""

    errors: str
    """What it says of errors."""

    def json(self) -> Any:
        """
        The content as a value.
        """
        return json.loads(self.body)


_WRITTEN = "%{http_code} %{http_connect}"


def curl(
    test: InteropTestCase, *arguments: str | Path, data: bytes = b"", env: Mapping[str, str] | None = None
) -> Answer:
    """
    Run curl.

    @param data: its standard input.
    @raise SkipTest: there is none.
    """
    body = test.directory / "curl.body"
    body.unlink(missing_ok=True)
    always: list[str | Path] = [
        "-q",
        "-sS",
        "--noproxy",
        "",
        "--max-time",
        str(int(test.limit)),
        "-o",
        body,
        "-w",
        _WRITTEN,
    ]
    done = test.finish([program("curl"), *always, *arguments], data, env)
    status, _, connected = done.stdout.decode().rpartition("\n")[2].partition(" ")
    content = body.read_bytes() if body.exists() else b""
    return Answer(done.returncode, int(status), int(connected or 0), content, done.stderr.decode())
