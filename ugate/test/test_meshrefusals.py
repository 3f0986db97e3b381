# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a client is told, in its own protocol, of a stream that does not come up: through
one gateway, and through two whatever they speak to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ugate.errors import Cause, Refused
from ugate.test.meshes import DB, OPEN, PORT, MeshCase, connect, forward, socks4a, socks5
from ugate.testing import NO_ROUTE, Blackhole, Fault, LostName, Refuse, SplitWrites

HOPS = ("", "socks", "connect")
"""What two gateways speak to each other; with nothing there is but one."""

CODES: Mapping[Cause, tuple[int, int]] = {
    Cause.CONNECTION_REFUSED: (5, 502),
    Cause.NAME_UNKNOWN: (4, 502),
    Cause.NETWORK_UNREACHABLE: (3, 502),
    Cause.TIMED_OUT: (6, 504),
    Cause.DENIED: (2, 403),
}
"""The reply code of SOCKS5 and the status of HTTP."""

FAULTS: tuple[tuple[Fault, Cause], ...] = (
    (Refuse(), Cause.CONNECTION_REFUSED),
    (LostName("db"), Cause.NAME_UNKNOWN),
    (NO_ROUTE, Cause.NETWORK_UNREACHABLE),
    (Blackhole(), Cause.TIMED_OUT),
    (LostName("db", answers=False), Cause.TIMED_OUT),
)

FORBIDDEN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("db", {"routes": [{"match": "db", "via": "deny", "reason": "not that one"}]}),
    (DB, {"policy": {"private": "deny"}}),
    ("db", {"policy": {"private": "deny"}}),
    ("169.254.169.254", {}),
    ("metadata", {}),
    ("own", {}),
)
"""Targets that may not be reached, and by which configuration of the last gateway."""


REQUESTS: Mapping[str, Callable[[str], bytes]] = {
    "socks5": socks5,
    "socks4a": socks4a,
    "connect": connect,
    "forward": forward,
}


def said(protocol: str, answer: bytes) -> int:
    """
    The code of an answer.
    """
    if protocol == "socks5":
        return answer[3] if answer.startswith(b"\x05\x00\x05") and len(answer) == 12 else -1
    if protocol == "socks4a":
        return answer[1] if answer.startswith(b"\0") and len(answer) == 8 else -1
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else -1


class RefusalTests(MeshCase):
    """
    All causes, in all protocols.
    """

    def chain(self, hop: str, **more: Any) -> str:
        """
        Make a new mesh.

        @return: the host of the gateway that is asked for the target itself.
        """
        self.build(2 if hop else 1, hop, **more)
        self.mesh.names["metadata"] = ("169.254.169.254",)
        self.mesh.names["own"] = ("127.0.0.1",)
        return self.gates[-1]

    def assertSaid(self, host: str, cause: Cause, message: object) -> None:
        """
        Each protocol says so, closes, and leaves nothing behind.
        """
        socksCode, status = CODES[cause]
        for protocol, request in REQUESTS.items():
            near = self.mesh.client("alice").connect("tcp:gate1:1080", request(host))
            self.mesh.advance(15)
            wanted = {"socks5": socksCode, "socks4a": 0x5B}.get(protocol, status)
            self.assertEqual(wanted, said(protocol, near.received), (protocol, message, near.received))
            if protocol != "forward":
                self.assertTrue(near.isEnded and near.isClean, (protocol, message))
            near.close()
            self.mesh.advance(5)
            self.assertDone((protocol, message))

    def test_faults(self) -> None:
        """
        Refused, no name, no route, no answer from the target or the resolver.
        """
        for hop in HOPS:
            for fault, cause in FAULTS:
                last = self.chain(hop)
                applied = self.mesh.apply(fault, last, "db")
                self.assertSaid("db", cause, (hop, fault))
                self.assertEqual(len(REQUESTS), applied.hits, (hop, fault))

    def test_forbidden(self) -> None:
        """
        A route that denies; private addresses, by name too; the metadata service; the
        gateway itself.
        """
        for hop in HOPS:
            for host, more in FORBIDDEN:
                if host == "own":
                    more = {
                        "listen": {"main": OPEN, "second": {"endpoint": f"auto:tcp:{PORT}", "open": True}}
                    }
                self.chain(hop, **more)
                self.assertSaid(host, Cause.DENIED, (hop, host))
                self.assertEqual([], self.echoes.made)

    def test_hopsAreNamed(self) -> None:
        """
        What a client endpoint fails with names the hop that said no, and the cause.
        """
        for hop in HOPS:
            for fault, cause in FAULTS:
                for prefix in ("socks", "connect"):
                    last = self.chain(hop)
                    self.mesh.apply(fault, last, "db")
                    near = self.mesh.client("alice").connect(f"{prefix}:gate1:1080:timeout=30:to=db\\:{PORT}")
                    self.mesh.advance(15)
                    assert near.failure is not None
                    refused = near.failure.value
                    assert isinstance(refused, Refused)
                    if cause is Cause.NAME_UNKNOWN and "socks" in (prefix, hop):
                        # SOCKS has one code for both.
                        self.assertEqual(Cause.HOST_UNREACHABLE, refused.cause)
                    else:
                        self.assertEqual(cause, refused.cause, (hop, fault, prefix))
                    self.assertIn("gate1:1080", refused.hop)

    def test_gatewayIsGone(self) -> None:
        """
        A next gateway that refuses, does not answer, cannot be found or says nothing
        is an error like that of a target.
        """
        for hop in HOPS[1:]:
            for fault, cause in (
                (Refuse(), Cause.CONNECTION_REFUSED),
                (LostName("gate2"), Cause.NAME_UNKNOWN),
                (NO_ROUTE, Cause.NETWORK_UNREACHABLE),
                (Blackhole(), Cause.TIMED_OUT),
            ):
                self.chain(hop)
                self.mesh.apply(fault, "gate1", "gate2")
                self.assertSaid("db", cause, (hop, fault))

    def test_splitAnswers(self) -> None:
        """
        An answer that comes byte by byte says the same.
        """
        for hop in HOPS:
            last = self.chain(hop)
            self.mesh.apply(Refuse(), last, "db")
            for source, destination in (("gate1", "alice"), (last, "gate1"), ("alice", "gate1")):
                self.mesh.apply(SplitWrites(), source, destination)
            self.assertSaid("db", Cause.CONNECTION_REFUSED, hop)

    def test_readsOnWhenRefused(self) -> None:
        """
        A client that has sent much already still gets to read why not: with bytes of
        it unread, closing would be a reset, which loses the answer.
        """
        for fault, cause in ((Refuse(), Cause.CONNECTION_REFUSED), (Blackhole(), Cause.TIMED_OUT)):
            for hop in HOPS:
                last = self.chain(hop)
                self.mesh.apply(fault, last, "db")
                socksCode, status = CODES[cause]
                for protocol, request in REQUESTS.items():
                    if protocol == "forward":
                        continue
                    near = self.mesh.client("alice").connect("tcp:gate1:1080")
                    self.mesh.flush()
                    near.pour(request("db") + bytes(300_000))
                    self.mesh.advance(15)
                    wanted = {"socks5": socksCode, "socks4a": 0x5B}.get(protocol, status)
                    self.assertEqual(wanted, said(protocol, near.received), (protocol, fault, hop))
                    near.abort()
                    self.mesh.flush()
                    self.assertDone((protocol, fault, hop))

    def test_limit(self) -> None:
        """
        A gateway that has as many streams as it may refuses more, and takes others
        when some have ended.
        """
        self.build(1, node={"streams": 2})
        streams = [self.mesh.client("alice").connect("tcp:gate1:1080", socks5("db")) for _ in range(3)]
        self.mesh.flush()
        self.assertEqual([0, 0, 1], [stream.received[3] for stream in streams])
        for stream in streams:
            stream.abort()
        self.mesh.flush()
        again = self.mesh.client("alice").connect("tcp:gate1:1080", socks5("db"))
        self.mesh.flush()
        self.assertEqual(0, again.received[3])
