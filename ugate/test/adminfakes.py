# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of the admin API share: a node that is none, and clients of its HTTP port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase
from ugate.flows import Refusal, Totals
from ugate.interfaces import INode
from ugate.modules.admin import Admin
from ugate.modules.lazy import LazyModule
from ugate.modules.pages import Pages
from ugate.modules.sections import AdminSection
from ugate.modules.serving import LimitedSite
from ugate.stream import ROOT, Principal, StreamInfo, Target
from ugate.tenancy.config.kinds import kindsOf
from ugate.tenancy.config.sections import parentPath
from ugate.tenancy.config.whole import Config
from ugate.test.admintenants import FakeTenant, WritableStore

HERE = IPv4Address("TCP", "127.0.0.1", 15000)
PEER = IPv4Address("TCP", "127.0.0.1", 40000)
MODULES = (
    LazyModule("admin", "ugate.modules.admin:AdminModule"),
    LazyModule("http", "ugate.modules.http:HttpModule"),
)
KINDS = kindsOf(MODULES)


@dataclass
class FakeOutcome:
    """
    What a reload came to.
    """

    good: bool = True
    generation: int = 1
    changed: tuple[str, ...] = ()
    error: str = ""
    trigger: str = "start"
    wall: float = 1000.0
    others: str = ""
    later: tuple[str, ...] = ()


@dataclass
class FakeListening:
    """
    One listener.
    """

    tenant: str
    name: str
    endpoint: str = "auto:tcp:1080"
    address: str = "127.0.0.1:1080"
    accepted: int = 3


@dataclass
class FakeStream:
    """
    One stream.
    """

    id: int
    tenant: str
    info: StreamInfo
    listener: str = "main"
    via: str = "direct"
    wall: float = 1000.0
    state: str = "open"
    sent: int = 10
    received: int = 20
    closed: list[str] = field(default_factory=list)

    def close(self, reason: str) -> None:
        self.closed.append(reason)


class FakeFlows:
    """
    Streams and refusals.
    """

    def __init__(self) -> None:
        self.live: list[FakeStream] = []
        self.kept: list[Refusal] = []
        self.counted: dict[str, Totals] = {}
        self.causes: dict[tuple[str, Cause], int] = {}

    def __len__(self) -> int:
        return len(self.live)

    def streams(self) -> Any:
        return iter(self.live)

    def stream(self, number: int) -> FakeStream | None:
        return next((each for each in self.live if each.id == number), None)

    def refusals(self, tenant: str | None = None) -> list[Refusal]:
        return [each for each in reversed(self.kept) if tenant in (None, each.tenant)]

    def allTotals(self) -> dict[str, Totals]:
        return self.counted


@implementer(INode)
class FakeNode:
    """
    A node with two tenants, of which one has one more.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.started = 900.0
        self.running = True
        self.store = WritableStore()
        self.configs: dict[str, Config] = {}
        self.kinds = KINDS
        self.flows = FakeFlows()
        self.last = FakeOutcome()
        self.trouble = ""
        self.triggers: list[str] = []
        self.reloading = self
        self.good, self.bad = 3, 1
        self.drained = 0
        self.tenants: dict[str, Any] = {
            "root": FakeTenant(reactor, "root", ann="secret", eve="secret", carol_at_alice="secret"),
            "alice": FakeTenant(
                reactor, "alice", ("alice.example", "*.alice.example"), carol="secret", dave="secret"
            ),
            "alice/dev": FakeTenant(reactor, "alice/dev", ("dev.alice.example",)),
            "bob": FakeTenant(reactor, "bob", ("bob.example",), bob="secret"),
        }
        self.modules: dict[tuple[str, str, str], Any] = {
            ("root", "admin", "ops"): Admin(AdminSection(("ann",))),
            ("alice", "admin", "own"): Admin(AdminSection(("carol",))),
            ("alice", "admin", "watch"): Admin(AdminSection(("dave",), "look")),
        }
        for path in self.tenants:
            if path != ROOT:
                name = path.rpartition("/")[2]
                self.store.sections[parentPath(path) or ROOT, "tenants", name] = {
                    "hosts": list(self.tenants[path].hosts)
                }
        for path in ("root", "alice", "bob"):
            self.store.sections[path, "dial", "office"] = {"hops": f"socks:proxy.{path}:1080"}

    def listeners(self) -> list[FakeListening]:
        return [FakeListening("root", "main"), FakeListening("alice", "own"), FakeListening("bob", "own")]

    def reload(self, trigger: str, tenants: frozenset[str] | None = None) -> Deferred[FakeOutcome]:
        self.triggers.append(trigger)
        # What no schema knows.
        bad = any("bad" in str(section) for section in self.store.sections.values())
        error = "a.yaml:3:5: bad is bad; wanted good" if bad else ""
        self.last = FakeOutcome(not bad, self.last.generation + (not bad), ("root dial x",), error, trigger)
        return succeed(self.last)

    def drain(self) -> Deferred[None]:
        self.drained += 1
        return succeed(None)

    def stream(self, tenant: str, who: str = "carol", target: str = "db.example:5432") -> FakeStream:
        """
        One more stream is open.
        """
        info = StreamInfo(
            PEER, HERE, Target.fromText(target), Principal(who, "password", tenant), protocol="socks5"
        )
        made = FakeStream(len(self.flows.live) + 1, tenant, info)
        self.flows.live.append(made)
        return made

    def refuse(self, tenant: str, wall: float) -> None:
        """
        One more stream is refused.
        """
        info = StreamInfo(PEER, HERE, Target("gone.example", 80), Principal("carol", "password", tenant))
        self.flows.kept.append(
            Refusal(
                wall, tenant, "main", info, Cause.NAME_UNKNOWN, Phase.RESOLVE, "gone.example", "x", "look"
            )
        )


@dataclass
class Answer:
    """
    What came back.
    """

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """
        The body, read.
        """
        return msgspec.json.decode(self.body)


def parse(data: bytes, method: str = "GET") -> Answer:
    """
    Read one answer with a length, or in chunks.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name.lower()] = ", ".join(filter(None, [fields.get(name.lower()), value]))
    if fields.get("transfer-encoding") == "chunked":
        rest, body = body, b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
    return Answer(int(first.split()[1]), fields, body)


class Client:
    """
    A connection to an HTTP port.
    """

    def __init__(self, site: LimitedSite, peer: Any = PEER) -> None:
        self.transport = StringTransport(HERE, peer)
        self.protocol: Any = site.buildProtocol(peer)
        if self.protocol is not None:
            self.protocol.makeConnection(self.transport)

    def say(self, data: bytes) -> bytes:
        """
        Send bytes.

        @return: what is answered.
        """
        self.transport.clear()
        self.protocol.dataReceived(data)
        answer: bytes = self.transport.value()
        return answer

    def leave(self) -> None:
        """
        Hang up.
        """
        self.protocol.connectionLost(Failure(ConnectionResetError()))


class AdminCase(SynchronousTestCase):
    """
    An HTTP port on loopback of a node that is none.
    """

    isLocal = True
    serve: tuple[str, ...] = ("admin", "metrics", "modules")
    tenant = ROOT

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.node: Any = FakeNode(self.reactor)
        self.site = self.port()

    def port(self, tenant: str = "", isLocal: bool | None = None, serve: tuple[str, ...] = ()) -> LimitedSite:
        """
        A port of this node.
        """
        isLocal = self.isLocal if isLocal is None else isLocal
        pages = Pages(self.node, tenant or self.tenant, serve or self.serve, isLocal=isLocal)
        return LimitedSite(pages, self.reactor)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        /,
        *,
        site: Any = None,
        **fields: Any,
    ) -> Answer:
        """
        One request on a connection of its own.

        @param body: sent as JSON, or as it is if it is bytes.
        @param fields: more fields, with C{_} for C{-}; L{None} leaves one out.
        """
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        known: dict[str, str | None] = {"Host": "127.0.0.1:15000"}
        if body is not None:
            known |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        known |= {name.replace("_", "-"): value for name, value in fields.items()}
        path = path if path.startswith("/") else f"/api/v1/{path}"
        head = "".join(f"{name}: {value}\r\n" for name, value in known.items() if value is not None)
        client = Client(site or self.site)
        request = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + data
        return parse(client.say(request), method)

    def trouble(self, status: int, answer: Answer) -> str:
        """
        An answer is a problem of some status.

        @return: what it says.
        """
        self.assertEqual(status, answer.status, answer.body)
        self.assertEqual("application/problem+json", answer.fields["content-type"])
        problem = answer.json
        self.assertEqual(status, problem["status"])
        self.assertTrue(problem["title"])
        return str(problem["detail"])
