# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The ways that streams take through whole gateways: listeners of other kinds, names with
several addresses, ways to fall back on.
"""

from __future__ import annotations

from ugate.test.meshes import ALLOW, DB, HELLO, OPEN, PORT, WELCOME, MeshCase
from ugate.testing import Blackhole, Conversations, LostName, Refuse, Reset, SplitWrites, Stall

UP = "socks:gate2:1080"
PATH = r"socks:any:1080:via=unix\:/run/gate"


class ListenerTests(MeshCase):
    """
    What else can listen.
    """

    def test_silence(self) -> None:
        """
        Who says nothing waits for a server that speaks first.
        """
        greeter = Conversations(b"220 ready\r\n")
        self.mesh.serve("db", 25, greeter)
        self.mesh.gateway(
            "quiet",
            listen={"main": {"endpoint": "auto:tcp:1080:silent=db\\:25:wait=2", "open": True}},
            policy=ALLOW,
        )
        near = self.mesh.client("alice").connect("tcp:quiet:1080")
        self.mesh.advance(1.9)
        self.assertEqual(b"", near.received)
        self.mesh.advance(0.1)
        self.assertEqual(b"220 ready\r\n", near.received)
        near.write(b"QUIT\r\n")
        near.close()
        self.mesh.flush()
        self.assertEqual((b"QUIT\r\n", True), (greeter.last.received, greeter.last.isClean))

    def test_announced(self) -> None:
        """
        The address of a client survives two gateways, in PROXY headers, however the
        network cuts them.
        """
        served = Conversations()
        self.mesh.serve("db", 1, served)
        for version in (1, 2):
            for split in (False, True):
                self.build(1, routes=[{"match": "*", "via": f"direct:proxyproto=v{version}"}])
                self.mesh.serve("db", 1, served)
                listen = {"main": {"endpoint": "forward:proxyproto:tcp:5432:to=db\\:1", "open": True}}
                routes = [{"match": "*", "via": "direct:proxyproto=v1"}]
                self.mesh.gateway("front", listen=listen, routes=routes, policy=ALLOW)
                if split:
                    self.mesh.apply(SplitWrites(), "gate1", "front")
                near = self.mesh.client("alice").connect(f"socks:gate1:1080:to=front\\:{PORT}", b"hello")
                self.mesh.flush()
                (alice,) = self.mesh.host("alice").addresses
                header, _, rest = served.last.received.partition(b"\r\n")
                words = header.decode().split(" ")
                self.assertEqual((["PROXY", "TCP4", alice], b"hello"), (words[:3], rest), (version, split))
                near.abort()
                self.mesh.flush()
                self.assertDone()

    def test_fixedTarget(self) -> None:
        """
        A listener can have a target of its own.
        """
        self.mesh.gateway(
            "fixed", listen={"main": {"endpoint": "tcp:99", "to": f"db:{PORT}", "open": True}}, policy=ALLOW
        )
        near = self.mesh.client("alice").connect("tcp:fixed:99", HELLO)
        self.mesh.flush()
        self.assertEqual(WELCOME, near.received)

    def test_unix(self) -> None:
        """
        A gateway on a path, used by another one on the same host.
        """
        self.mesh.gateway(
            "local", listen={"path": "socks:unix:/run/gate", "main": {**OPEN, "endpoint": "auto:tcp:99"}}
        )
        asking = self.ask(f"{PATH}:to=db\\:{PORT}")
        self.mesh.flush()
        self.assertIsNotNone(asking.failure)
        again = self.mesh.client("local").connect(f"{PATH}:to=db\\:{PORT}", HELLO)
        self.mesh.flush()
        self.assertEqual(WELCOME, again.received)


class WayTests(MeshCase):
    """
    Which way is taken when one is closed.
    """

    def test_secondAddress(self) -> None:
        """
        Of a name with several addresses, the first that answers is taken: at once
        after a refusal, soon when there is no answer.
        """
        self.mesh.host("other", "192.0.2.8", "2001:db8::8")
        self.mesh.names["both"] = ("2001:db8::8", "192.0.2.8", DB)
        for fault, soon in ((Refuse(), 0.0), (Blackhole(), 0.6)):
            applied = self.mesh.apply(fault, "gate1", "other")
            asking = self.ask(f"socks:gate1:1080:to=both\\:{PORT}")
            self.mesh.advance(soon)
            self.assertWell(asking, fault)
            applied.lift()
        self.assertEqual(1, applied.hits)

    def test_rules(self) -> None:
        """
        The first route that means a target decides.
        """
        routes = [
            {"match": "db", "via": "deny"},
            {"match": ["192.0.2.0/24:5432", "*.corp"], "via": UP},
            {"match": "*", "via": "deny"},
        ]
        self.build(1, routes=routes)
        self.mesh.gateway("gate2", listen={"main": OPEN}, policy=ALLOW)
        self.mesh.names["db.corp"] = (DB,)
        for target, isOpen in (("db", False), (DB, True), ("db.corp", True), ("other", False)):
            asking = self.ask(f"socks:gate1:1080:to={target}\\:{PORT}")
            self.mesh.flush()
            self.assertEqual(isOpen, asking.isWhole, target)
        self.assertEqual(2, len(self.echoes.made))

    def test_fallback(self) -> None:
        """
        When one way is refused, the next one is taken; what breaks later is not tried
        again.
        """
        for fault, wait in (
            (Refuse(), 0),
            (LostName("gate2"), 0),
            (Blackhole(), 10),
            (Stall(), 10),
            (Reset(), 0),
            (Reset(after=3), 0),
        ):
            self.build(1, routes=[{"match": "*", "via": [UP, "direct"]}])
            self.mesh.gateway("gate2", listen={"main": OPEN}, policy=ALLOW)
            self.mesh.apply(fault, "gate1", "gate2")
            asking = self.ask("connect:gate1:1080:timeout=60:to=db\\:5432")
            self.mesh.advance(wait)
            self.assertWell(asking, fault)
        self.build(1, routes=[{"match": "*", "via": [UP, "direct"]}])
        self.mesh.gateway("gate2", listen={"main": OPEN}, policy=ALLOW)
        self.mesh.apply(Reset(after=20), "gate1", "gate2")
        asking = self.ask("socks5")
        self.mesh.flush()
        self.assertEqual((False, 1), (asking.isClean, len(self.echoes.made)))

    def test_retry(self) -> None:
        """
        A named hop is tried again, as often as the configuration says.
        """
        for retries in (0, 1, 2):
            self.build(
                1,
                dial={"up": {"hops": UP, "retries": retries}},
                routes=[{"match": "*", "via": "up"}],
            )
            self.mesh.gateway("gate2", listen={"main": OPEN}, policy=ALLOW)
            for nth in (1, 2):
                self.mesh.apply(Refuse(), "gate1", "gate2", nth)
            asking = self.ask("socks5")
            self.mesh.advance(5)
            self.assertEqual(retries == 2, asking.isWhole, retries)
            self.assertEqual(retries < 2, asking.failure is not None, retries)
            self.assertDone(retries)
