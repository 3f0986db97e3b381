# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Requests through whole gateways to an HTTP server, well and with every fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import h11

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.test.meshes import MeshCase
from ugate.testing import (
    Applied,
    Conversation,
    Fault,
    HalfClose,
    Reset,
    SlowReader,
    SplitWrites,
    Stall,
)

PAGE = bytes(range(256)) * 12
FRAMINGS = ("length", "chunks", "close")
PLACES = (0, 1, 30, 90, 200, 2000)
LONG = 400.0


class Origin(Protocol):
    """
    A server that says of each request how much it has got, and then gives the page.
    """

    def __init__(self, uploads: list[bytes]) -> None:
        self._conn = h11.Connection(h11.SERVER)
        self._uploads = uploads
        self._path = b""
        self._content = b""

    def dataReceived(self, data: bytes) -> None:
        self._conn.receive_data(data)
        self._read()

    def _read(self) -> None:
        while True:
            try:
                event = self._conn.next_event()
            except h11.RemoteProtocolError:
                assert self.transport is not None
                self.transport.loseConnection()
                return
            if isinstance(event, h11.Request):
                self._path, self._content = event.target, b""
            elif isinstance(event, h11.Data):
                self._content += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._uploads.append(self._content)
                self._answer()
                return
            else:
                return

    def _answer(self) -> None:
        framing = self._path.decode().strip("/")
        fields = {
            "length": [("Content-Length", str(len(PAGE)))],
            "chunks": [("Transfer-Encoding", "chunked")],
            "close": [("Connection", "close")],
        }[framing]
        version = "1.0" if framing == "close" else "1.1"
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE), PAGE) if framing == "chunks" else PAGE
        assert self.transport is not None
        self.transport.write(f"HTTP/{version} 200 OK\r\n{head}\r\n".encode() + body)
        self._conn.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        self._conn.send(h11.EndOfMessage())
        if framing == "close" or self._conn.our_state is not h11.DONE:
            self.transport.loseConnection()
            return
        self._conn.start_next_cycle()
        self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._conn = h11.Connection(h11.SERVER)


class Origins(Factory):
    """
    That server.

    @ivar uploads: the content of each request that was whole.
    """

    noisy = False

    def __init__(self) -> None:
        self.uploads: list[bytes] = []

    def buildProtocol(self, addr: IAddress | None) -> Origin:
        return Origin(self.uploads)


def request(framing: str, upload: bytes = b"") -> bytes:
    """
    A request for the page.
    """
    method = "POST" if upload else "GET"
    head = f"{method} http://db/{framing} HTTP/1.1\r\nHost: db\r\nContent-Length: {len(upload)}\r\n\r\n"
    return head.encode() + upload


def answer(near: Conversation) -> tuple[int, bytes, bool]:
    """
    What a client takes from what it has got: status, content, and whether it is whole.
    """
    conn = h11.Connection(h11.CLIENT)
    conn.send(h11.Request(method="GET", target="http://db/", headers=[("Host", "db")]))
    conn.send(h11.EndOfMessage())
    if near.received:
        conn.receive_data(near.received)
    if near.isClean:
        conn.receive_data(b"")
    status, content = 0, b""
    while True:
        try:
            event = conn.next_event()
        except h11.RemoteProtocolError:
            return status, content, False
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            content += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, content, True
        else:
            return status, content, False


class HttpTests(MeshCase):
    """
    Pages and uploads.
    """

    def build(self, gates: int, hop: str = "socks", **more: object) -> object:  # type: ignore[override]
        mesh = super().build(gates, hop, **more)
        self.origins = Origins()
        mesh.serve("db", 80, self.origins)
        return mesh

    def get(self, data: bytes) -> Conversation:
        """
        Say something to the first gateway.
        """
        return self.mesh.client("alice").connect("tcp:gate1:1080", data)

    def links(self) -> Iterator[tuple[str, str]]:
        """
        All links of two gateways, each in both directions.
        """
        for near, far in pairwise(("alice", "gate1", "gate2", "db")):
            yield near, far
            yield far, near

    def eachCase(self, *faults: Fault) -> Iterator[tuple[Applied, Conversation, str]]:
        """
        Each fault on each link for each framing: applied, and the request made.
        """
        for source, destination in self.links():
            self.build(2)
            for fault in faults:
                for framing in FRAMINGS:
                    applied = self.mesh.apply(fault, source, destination)
                    upload = PAGE if framing == "chunks" else b""
                    case = f"{fault} {source} -> {destination} {framing}"
                    yield applied, self.get(request(framing, upload)), case
                    applied.lift()

    def assertReleased(self, near: Conversation, case: str) -> None:
        """
        After all deadlines the gateways hold nothing.
        """
        self.mesh.advance(LONG)
        self.assertDone(case)
        if near.isOpen:
            near.abort()
            self.mesh.flush()

    def test_pages(self) -> None:
        """
        One connection gets several pages, by each framing, through one and more
        gateways.
        """
        for gates, hop in ((1, ""), (2, "socks"), (2, "connect"), (3, "connect")):
            self.build(gates, hop)
            for framing in FRAMINGS:
                near = self.get(request(framing))
                self.mesh.flush()
                self.assertEqual((200, PAGE, True), answer(near), (hop, framing))
                near.received = b""
                near.write(request("length", PAGE))
                self.mesh.flush()
                self.assertEqual((200, PAGE, True), answer(near), (hop, framing))
                self.assertEqual(PAGE, self.origins.uploads[-1])
                near.close()
                self.mesh.flush()
                self.assertDone((hop, framing))

    def test_reset(self) -> None:
        """
        What was cut is not whole, or it is an error that says so.
        """
        for _, near, case in self.eachCase(*(Reset(after) for after in PLACES)):
            self.mesh.flush()
            self.assertHonest(near, case)
            self.assertReleased(near, case)

    def test_stall(self) -> None:
        """
        So it is when it ends at a deadline.
        """
        for _, near, case in self.eachCase(*(Stall(after) for after in PLACES)):
            self.mesh.advance(LONG)
            self.assertHonest(near, case)
            self.assertReleased(near, case)

    def test_halfClose(self) -> None:
        """
        And when a direction ends too early, unless nothing but that end says where a
        page ends.
        """
        for _, near, case in self.eachCase(*(HalfClose(after) for after in PLACES)):
            self.mesh.flush()
            status, content, isWhole = answer(near)
            if not (case.endswith("close") and ("db -> gate2" in case or "gate2 -> gate1" in case)):
                self.assertHonest(near, case)
            self.assertTrue(not isWhole or status != 200 or PAGE.startswith(content), case)
            self.assertReleased(near, case)

    def test_oldClients(self) -> None:
        """
        A client of HTTP/1.0 knows the end of a page by the end of its connection: one
        that is cut is reset.
        """
        for framing in FRAMINGS:
            for fault in (None, Reset(after=1000)):
                self.build(2)
                if fault is not None:
                    self.mesh.apply(fault, "db", "gate2")
                near = self.get(f"GET http://db/{framing} HTTP/1.0\r\n\r\n".encode())
                self.mesh.flush()
                self.assertEqual(fault is None, near.received.endswith(PAGE), framing)
                self.assertEqual(fault is None, near.isClean, (framing, near.received[:200]))

    def assertHonest(self, near: Conversation, case: str) -> None:
        """
        A page that seems whole is whole.
        """
        status, content, isWhole = answer(near)
        if status == 200:
            self.assertTrue(PAGE.startswith(content), case)
            self.assertEqual(isWhole, content == PAGE, case)
        elif status:
            self.assertIn(status, (400, 408, 502, 504), case)
        self.assertLessEqual(set(self.origins.uploads), {b"", PAGE}, case)

    def test_harmless(self) -> None:
        """
        Slow and in pieces, all arrives.
        """
        for applied, near, case in self.eachCase(SlowReader(400), SplitWrites()):
            self.mesh.advance(30)
            self.assertEqual((1, (200, PAGE, True)), (applied.hits, answer(near)), case)
            near.close()
            self.assertReleased(near, case)
