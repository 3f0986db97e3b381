# -*- test-case-name: ugate.test.interop.test_hops,ugate.test.interop.test_faults -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Nodes with keys of their own, whose configurations are those that pages show.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import keyidOf
from ugate.test.docpages import listing
from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase

_WRITTEN: Final = "XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
"""How KEYIDs end that stand for those of nodes."""


def newKey(folder: Path) -> str:
    """
    Make the key of a node.

    @return: its KEYID.
    """
    folder.mkdir(0o700)
    return keyidOf(Own(str(folder), Identity()).load().certificate.public_key())


class MeshTestCase(InteropTestCase):
    """
    A test of several nodes.

    @ivar keys: their KEYIDs, by their names.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.keys: dict[str, str] = {}

    def key(self, name: str) -> str:
        """
        The KEYID of a node, whose key is made with the first question.
        """
        if name not in self.keys:
            self.keys[name] = newKey(self.directory / name)
        return self.keys[name]

    def node(self, name: str, config: str, places: Mapping[str, str] | None = None) -> Gateway:
        """
        Start a node.

        @param config: its configuration, or the name of a listing.  KEYIDs that begin with the name of a node
            are replaced by real ones, and the ports of listeners by free ones.
        @param places: what else is replaced.
        """
        text = listing(config) if config.endswith(".yaml") else config
        for written, replaced in (places or {}).items():
            text = text.replace(written, replaced)
        text = re.sub(r"\b[A-Z2-7]{52}\b", self._keyOf, text, flags=re.IGNORECASE)
        text = re.sub(rf":tcp:\d+(:interface={HOST})?", f":tcp:0:interface={HOST}", text)
        return self.ugate("--state", str(self.directory / name), config=text)

    def _keyOf(self, found: re.Match[str]) -> str:
        text = found[0]
        for name, keyid in self.keys.items():
            if text.upper().startswith(name.upper()) and text.upper().endswith(_WRITTEN):
                return keyid if text.isupper() else keyid.lower()
        return text

    def stream(self, gateway: Gateway, host: str, port: int, answer: int = 0) -> socket.socket:
        """
        Ask a node for a stream by SOCKS5.

        @param answer: what it has to reply.
        """
        connection = connected(gateway.port)
        self.addCleanup(connection.close)
        self.assertEqual(answer, socks5(connection, host, port), gateway.said())
        return connection
