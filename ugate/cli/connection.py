# -*- test-case-name: ugate.test.test_cli,ugate.test.test_cli_options -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How C{ucli} reaches a node.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ugate.cli.arguments import URL
from ugate.cli.outcomes import Answer, Unreachable
from ugate.errors import UgateError

TIMEOUT: Final = 60.0
"""Seconds that an answer may take."""

MAX_ANSWER: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Node:
    """
    Where a node is, and with what one comes there.
    """

    url: str
    """C{http://HOST:PORT}, C{https://HOST:PORT} or C{unix:PATH}."""

    token: str = field(default="", repr=False)
    """A bearer token, or empty."""

    def ask(self, method: str, path: str, body: bytes | None, fields: Mapping[str, str]) -> Answer:
        """
        Ask for something.

        @raise Unreachable: there is no answer.
        """
        connection, prefix = self._connection()
        head = {"Accept": "application/json", **fields}
        if body is not None:
            head["Content-Type"] = "application/json"
        if self.token:
            head["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, prefix + path, body, head)
            response = connection.getresponse()
            data = response.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            raise Unreachable(
                f"no answer from {self.url}: {said}; does ugate run there, with an http section?"
            ) from error
        finally:
            connection.close()
        try:
            value = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise Unreachable(f"what answers at {self.url} is no ugate: HTTP {response.status}") from error
        return Answer(response.status, value, response.getheader("ETag", ""))

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        if self.url.startswith("unix:"):
            return _UNIXConnection(self.url.removeprefix("unix:")), ""
        url = urlsplit(self.url)
        try:
            port = url.port
        except ValueError as error:
            raise Unreachable(f"{self.url}: {error}") from error
        if url.scheme not in ("http", "https") or not url.hostname:
            raise Unreachable(f"{self.url}: wanted http://HOST:PORT, https://HOST:PORT or unix:PATH")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.hostname, port, timeout=TIMEOUT), url.path.rstrip("/")


class _UNIXConnection(http.client.HTTPConnection):
    """
    A connection to a UNIX socket.
    """

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """
        Connect.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def tokenFrom(path: str) -> str:
    """
    The token in a file.

    @raise UgateError: there is none.
    """
    try:
        with open(path, encoding="ascii") as file:
            token = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UgateError(f"the token in {path} cannot be read: {error}") from error
    if not token or not token.isprintable() or " " in token:
        raise UgateError(f"there is no token in {path}")
    return token


def nodeFrom(url: str | None, tokenFile: str | None, environment: Mapping[str, str] | None = None) -> Node:
    """
    The node that options and variables name.

    @raise UgateError: the token cannot be had, or would be sent for all to read.
    """
    environment = os.environ if environment is None else environment
    url = url or environment.get("UGATE_URL") or URL
    path = tokenFile or environment.get("UGATE_TOKEN_FILE")
    token = tokenFrom(path) if path else ""
    if token and url.startswith("http:") and urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        raise UgateError(f"the token would be sent to {url} for all to read: take https://")
    return Node(url, token)
