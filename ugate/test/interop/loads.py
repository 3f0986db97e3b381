# -*- test-case-name: ugate.test.interop.test_mtlsrenewal,ugate.test.interop.test_mtlsroots -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gate and a gateway beside the programs that are changed while clients connect and a stream flows.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable

from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, waitUntil
from ugate.test.interop.targets import BLOCK, StreamServer, echo, readExactly
from ugate.test.interop.test_mtlspeers import NAME, DomainTestCase

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


class LoadTestCase(DomainTestCase):
    """
    Both, and what asks them.

    @ivar gateway: the gate.
    @ivar side: the gateway beside the programs.
    @ivar context: with what a client goes to the gate.
    @ivar seen: the certificates of the gate that such clients saw.
    """

    gateway: Gateway
    side: Gateway
    context: ssl.SSLContext

    def setUp(self) -> None:
        super().setUp()
        self.target = StreamServer(self, echo)
        self.seen: set[bytes] = set()

    def configs(self) -> tuple[str, Callable[[int], str]]:
        """
        The configuration of the gate, and that of the other from the port of the gate.
        """
        gate = (
            f'listen: {{main: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{self.target.port}"}}}}\n'
            "policy: {rules: [{who: 'certificate:*', action: allow}]}\n"
        )

        def side(port: int) -> str:
            hop = f"mtls:{HOST}:{port}:name={NAME}"
            return f'listen: {{main: "socks:tcp:0:{LOOPBACK}"}}\nroutes: [{{match: "*", via: "{hop}"}}]\n'

        return gate, side

    def straight(self, context: ssl.SSLContext | None = None) -> None:
        """
        A connection to the gate, whose certificate is noted.
        """
        with (
            connected(self.gateway.port) as plain,
            (context or self.context).wrap_socket(plain, server_hostname=NAME) as client,
        ):
            client.sendall(_SMALL)
            if readExactly(client, len(_SMALL)) != _SMALL:
                raise AssertionError("not what was sent")
            self.seen.add(client.getpeercert(True) or b"")

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

    def underLoad(self, times: int, change: Callable[[int, list[Load]], None]) -> None:
        """
        Change something so often while clients go to either, and one stream goes on: nobody is refused.
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
                for number in range(1, times + 1):
                    change(number, loads)
            finally:
                for each in loads:
                    each.end()
            for each in loads:
                self.assertEqual([], each.failures, (self.gateway.said(), self.side.said()))
                self.assertGreater(each.count, times)
        self.assertNotIn("refused", self.side.said())
