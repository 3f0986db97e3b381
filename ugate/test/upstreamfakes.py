# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of L{ugate.protocols.httpupstream} share: who asks, and for what.
"""

from __future__ import annotations

from collections.abc import Callable

import h11

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Refused
from ugate.protocols.httpupstream import Upstream
from ugate.stream import Target
from ugate.test.httpfakes import HTTP, PROXY, FakeGateway, FakeStream

INFO = HTTP.but(target=Target("a.example", 80))

GET = h11.Request(method="GET", target="/", headers=[("Host", "a.example")])

POST = h11.Request(method="POST", target="/", headers=[("Host", "a.example"), ("Content-Length", "4")])

END = h11.EndOfMessage()


class Asker:
    """
    Notes what it is told, as a request's owner and as a tunnel's.
    """

    def __init__(self) -> None:
        self.told: list[object] = []
        self.body = b""
        self.finish: Callable[[], None] | None = None

    def targetReady(self) -> None:
        """
        Note it.
        """
        self.told.append("ready")

    def targetEvent(self, event: h11.Event) -> None:
        """
        Note it; content is collected.
        """
        if isinstance(event, h11.Data):
            self.body += event.data
        elif isinstance(event, (h11.Response, h11.InformationalResponse)):
            self.told.append(event.status_code)
        else:
            self.told.append("end")
            if self.finish is not None:
                self.finish()

    def targetFailed(self, reason: Refused) -> None:
        """
        Note it.
        """
        self.told.append(reason.cause)

    def targetFull(self, full: bool) -> None:
        """
        Note it.
        """
        self.told.append(("full", full))

    def targetData(self, data: bytes) -> None:
        """
        Note it.
        """
        self.told.append(data)

    def targetEnded(self) -> None:
        """
        Note it.
        """
        self.told.append("ended")

    def targetLost(self) -> None:
        """
        Note it.
        """
        self.told.append("lost")


class Case(SynchronousTestCase):
    """
    An upstream with a gateway.
    """

    def make(self, answer: Refused | bool = True) -> None:
        """
        Open the stream.
        """
        self.clock = Clock()
        self.asker = Asker()
        self.gateway = FakeGateway(answer)
        self.upstream = Upstream(INFO, PROXY, self.clock, self.asker)
        self.upstream.open(self.gateway)
        self.clock.advance(0)

    def setUp(self) -> None:
        self.make()

    @property
    def stream(self) -> FakeStream:
        """
        The stream at the gateway.
        """
        return self.gateway.streams[0]

    def told(self) -> list[object]:
        """
        What the asker was told since the last time.
        """
        told, self.asker.told = self.asker.told, []
        return told

    def ask(self, *events: h11.Event) -> None:
        """
        Make a request.
        """
        for event in events:
            self.assertTrue(self.upstream.send(event))
        self.told()

    def lost(self) -> type[BaseException] | None:
        """
        How the stream ended for the gateway.
        """
        self.clock.advance(0)
        return None if self.stream.lost is None else self.stream.lost.type
