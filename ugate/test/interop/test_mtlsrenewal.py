# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Certificates that are renewed under load: nobody is refused for it, and nothing that is up is cut.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from ugate.test.identityfakes import Holder
from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, waitUntil
from ugate.test.interop.targets import BLOCK, StreamServer, echo, readExactly
from ugate.test.interop.test_mtlspeers import NAME, DomainTestCase

RENEWALS = 20
SEEN = 5
"""After each of so many renewals, it is waited for that it is seen."""

_SMALL = BLOCK[:1000]
_LARGE = 50_000


class Load:
    """
    Does something again and again in a thread.

    @ivar count: how often it was done.
    @ivar failures: what went wrong.
    """

    def __init__(self, once: Callable[[], None]) -> None:
        self.count = 0
        self.failures: list[Exception] = []
        self._once = once
        self._isOver = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._isOver:
            try:
                self._once()
            except Exception as error:
                self.failures.append(error)
            self.count += 1

    def more(self, count: int) -> None:
        """
        Wait until it was done so many times more.
        """
        until = self.count + count
        waitUntil(lambda: self.count >= until, "more connections")

    def end(self) -> None:
        """
        Stop.
        """
        self._isOver = True
        self._thread.join()


class RenewalTests(DomainTestCase):
    """
    A gate whose files are a secret of Kubernetes, and a gateway beside the programs with files one by one.
    """

    limit = 100.0

    def setUp(self) -> None:
        super().setUp()
        self.target = StreamServer(self, echo)
        self.seen: set[bytes] = set()
        names = (self.gate, NAME)
        self.gateFolder = self.domain.kubernetes("gate", self.domain.member("gate", "edge", names=names))
        self.gateway = self.node(
            self.gateFolder,
            f'listen: {{main: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{self.target.port}"}}}}\n'
            "policy: {rules: [{who: 'certificate:*', action: allow}]}\n",
        )
        self.sideFolder = self.domain.istio("side", self.domain.member("web0"))
        hop = f"mtls:{HOST}:{self.gateway.port}:name={NAME}"
        self.side: Gateway = self.node(
            self.sideFolder,
            f'listen: {{main: "socks:tcp:0:{LOOPBACK}"}}\nroutes: [{{match: "*", via: "{hop}"}}]\n',
        )
        client = self.domain.pem("client", self.domain.member("client"))
        self.context = ssl.create_default_context(cafile=str(self.domain.roots))
        self.context.load_cert_chain(client)

    def straight(self) -> None:
        """
        A connection to the gate, whose certificate is noted.
        """
        with (
            connected(self.gateway.port) as plain,
            self.context.wrap_socket(plain, server_hostname=NAME) as client,
        ):
            self.seen.add(client.getpeercert(True) or b"")
            client.sendall(_SMALL)
            if readExactly(client, len(_SMALL)) != _SMALL:
                raise AssertionError("not what was sent")

    def chained(self) -> None:
        """
        A stream by both.
        """
        with self.stream() as client:
            client.sendall(_SMALL)
            if readExactly(client, len(_SMALL)) != _SMALL:
                raise AssertionError("not what was sent")

    def stream(self) -> socket.socket:
        """
        The beginning of one.
        """
        client = connected(self.side.port)
        code = socks5(client, "any.where", 1)
        if code:
            client.close()
            raise AssertionError(f"refused: {code}")
        return client

    def replace(self, name: str, data: bytes) -> None:
        """
        One file of the gateway beside the programs, as a whole.
        """
        other: Path = self.sideFolder / f".{name}"
        other.touch(0o600)
        other.write_bytes(data)
        os.replace(other, self.sideFolder / name)

    def half(self, holder: Holder) -> None:
        """
        The key is there, and its certificate is not yet.
        """
        folder = self.domain.istio("next", holder)
        self.replace("key.pem", (folder / "key.pem").read_bytes())

    def whole(self) -> None:
        """
        It is.
        """
        self.replace("cert-chain.pem", (self.directory / "next" / "cert-chain.pem").read_bytes())

    def test_renewed(self) -> None:
        """
        Both are renewed twenty times.
        """
        with self.stream() as long:
            at = 0

            def further() -> None:
                nonlocal at
                data = (BLOCK + BLOCK)[at : at + _LARGE]
                long.sendall(data)
                if readExactly(long, len(data)) != data:
                    raise AssertionError(f"not what was sent, at {at}")
                at = (at + _LARGE) % len(BLOCK)

            loads = [Load(once) for once in (self.straight, self.chained, self.chained, further)]
            try:
                for number in range(1, RENEWALS + 1):
                    self.renew(number, loads)
            finally:
                for each in loads:
                    each.end()
            for each in loads:
                self.assertEqual([], each.failures)
                self.assertGreater(each.count, RENEWALS)
        for gateway in (self.gateway, self.side):
            self.assertNotIn("refused", gateway.said())

    def renew(self, number: int, loads: list[Load]) -> None:
        """
        Once more.
        """
        account = self.domain.spiffe(f"web{number}")
        gate = self.domain.member("gate", "edge", names=(self.gate, NAME))
        self.domain.kubernetes("gate", gate)
        self.half(self.domain.member(f"web{number}"))
        told = "stays what it was: "
        if number % SEEN == 0:
            before = self.side.said().count(told)
            waitUntil(lambda: self.side.said().count(told) > before, "that half a pair is told")
        loads[0].more(5)
        self.whole()
        loads[1].more(5)
        if number % SEEN == 0:
            expected = gate.certificate.public_bytes(Encoding.DER)
            waitUntil(lambda: expected in self.seen, "the new certificate of the gate", 10)
            waitUntil(lambda: f"mtls {account}: " in self.gateway.said(), "that of the other", 10)
