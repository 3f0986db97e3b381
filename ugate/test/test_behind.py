# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listening behind a gate, in a network in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.behind import MOST, BehindServerEndpoint
from ugate.endpoints.ready import EVERY, PATIENCE
from ugate.errors import ListenRefused, StringError
from ugate.protocols import readywire
from ugate.protocols.clienthello import Alert, alertRecord
from ugate.stream import Target
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import hostOf, keyidOf
from ugate.test.howtofakes import clientHello
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversations, MemoryMesh

ALERT = b"\x15"
ALLOW = {"rules": [{"action": "allow"}]}


class BehindTests(SynchronousTestCase):
    """
    A gate, and nodes that come to it.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.keys: dict[str, str] = {}
        self.states: dict[str, str] = {}
        for name in ("gate", "bob", "eve"):
            self.states[name] = self.mktemp()
            own = Own(self.states[name], Identity()).load()
            self.keys[name] = keyidOf(own.certificate.public_key())

    def gate(self, ready: str = "ready:tcp:15007", **more: Any) -> Any:
        """
        Who has an address.
        """
        return self.mesh.gateway(
            "gate",
            listen={"tls": "sni:tcp:443:names=*.default.cluster.local", "ready": ready},
            node={"state": self.states["gate"]},
            policy=ALLOW,
            **{"trust": {"pins": [self.keys["bob"]]}, **more},
        )

    def node(self, name: str = "bob", more: str = "") -> Conversations:
        """
        Who has none: what it serves is whatever comes.
        """
        served = Conversations()
        self.mesh.serve(name, 8080, served, "127.0.0.1")
        self.mesh.gateway(
            name,
            listen={"web": {"endpoint": f"behind:gate:15007{more}", "to": "127.0.0.1:8080", "open": True}},
            node={"state": self.states[name]},
            policy=ALLOW,
        )
        self.mesh.advance(2)
        return served

    def ask(self, name: str = "bob") -> Any:
        """
        A client asks for a node.
        """
        stream = self.mesh.client("client").connect("tcp:gate:443", clientHello(hostOf(self.keys[name])))
        self.mesh.flush()
        return stream

    def test_streams(self) -> None:
        """
        More streams than connections are kept, one after another; both ways, and with half-closes.
        """
        self.gate()
        served = self.node(more=":ready=2")
        for number in range(1, 6):
            stream = self.ask()
            self.mesh.advance(1)
            self.assertEqual(len(served.accepted), number)
            self.assertIn(hostOf(self.keys["bob"]).encode(), served.last.received)
            served.last.write(b"answer")
            self.mesh.flush()
            stream.halfClose()
            self.mesh.flush()
            self.assertTrue(served.last.isEnded)
            served.last.write(b"more")
            served.last.halfClose()
            self.mesh.flush()
            self.assertEqual((stream.received, stream.isClean), (b"answermore", True))

    def test_outsider(self) -> None:
        """
        Who is not believed keeps nothing, and knows why; with keys= the list decides.
        """
        self.gate()
        with Logged() as logged:
            self.node("eve")
        self.assertIn("is not pinned", "\n".join(logged.lines))
        stream = self.ask("eve")
        self.mesh.advance(11)
        self.assertEqual(stream.received[:1], ALERT)

    def test_keys(self) -> None:
        """
        A list of keys takes the place of trust.
        """
        self.gate(f"ready:tcp:15007:keys={self.keys['eve']}", trust={})
        with Logged() as logged:
            self.node("bob")
        self.assertIn("its key may keep no connections here", "\n".join(logged.lines))
        served = self.node("eve")
        self.ask("eve")
        self.assertEqual(len(served.accepted), 1)

    def test_otherKeys(self) -> None:
        """
        Who came by a listener that is another one by now is cut off soon, and has to be good for the new one.
        """
        gate: Any = self.gate()
        served = self.node("bob")
        self.ask("bob")
        text = f"ready:tcp:15007:keys={self.keys['eve']}"
        gate.store.put(ROOT, "listen", "ready", {"endpoint": text})
        self.mesh.advance(EVERY)
        self.assertEqual(0, len(gate.tenant.mesh.ready))
        self.ask("bob")
        self.mesh.advance(PATIENCE + 1)
        self.assertEqual(1, len(served.accepted))
        gate.store.put(ROOT, "listen", "ready", {"endpoint": "ready:tcp:15007"})
        self.mesh.advance(60)
        self.ask("bob")
        self.assertEqual(2, len(served.accepted))

    def test_claim(self) -> None:
        """
        Who has one key is not let in as another, neither by trust nor by a list; nor does it get the streams
        of that.
        """
        real = readywire._Proof
        for ready in ("ready:tcp:15007", f"ready:tcp:15007:keys={self.keys['bob']}"):
            self.mesh = MemoryMesh()
            self.gate(ready)
            patch = self.patch(readywire, "_Proof", lambda _, *more: real(self.keys["bob"], *more))
            with Logged() as logged:
                served = self.node("eve")
            patch.restore()
            self.assertIn(f"its key is {self.keys['eve']}, and not that", "\n".join(logged.lines))
            self.ask("bob")
            self.mesh.advance(11)
            self.assertEqual([], served.accepted)

    def test_gate(self) -> None:
        """
        A node proves nothing to a gate that it does not mean.
        """
        self.gate()
        with Logged() as logged:
            self.node(more=f":gate={self.keys['eve']}")
        self.assertIn(f"and not {self.keys['eve']}", "\n".join(logged.lines))

    def test_later(self) -> None:
        """
        A gate that is not there yet is tried again.
        """
        self.mesh.host("gate")
        served = self.node()
        self.gate()
        self.mesh.advance(31)
        self.ask()
        self.assertEqual(len(served.accepted), 1)

    def test_quiet(self) -> None:
        """
        Connections that wait for long are good still, and so are those that took the place of old ones.
        """
        self.gate()
        served = self.node()
        for _ in range(250):
            self.mesh.advance(15)
        self.ask()
        self.mesh.advance(1)
        self.assertEqual(len(served.accepted), 1)

    def test_notTLS(self) -> None:
        """
        What has no name gets nowhere.
        """
        self.gate()
        self.node()
        stream = self.mesh.client("client").connect("tcp:gate:443", clientHello("www.example"))
        self.mesh.flush()
        self.assertEqual(stream.received, alertRecord(Alert.UNRECOGNIZED_NAME))


class StringTests(SynchronousTestCase):
    """
    The string.
    """

    def test_good(self) -> None:
        """
        The gate, and the keywords.
        """
        key = "g" * 51 + "a"
        endpoint = serverFromString(MemoryReactorClock(), rf"behind:[\:\:1]:15007:ready=2:gate={key}")
        assert isinstance(endpoint, BehindServerEndpoint)
        self.assertEqual(endpoint.gate, Target("::1", 15007))
        self.assertEqual((endpoint.keyid, endpoint.ready), (key.upper(), 2))

    def test_bad(self) -> None:
        """
        What is wrong is said.
        """
        for rest, wrong in (
            ("gate", "behind which gate"),
            ("gate:0", "port 0"),
            ("gate:x", "HOST:PORT"),
            ("gate:1:ready=17", "1 to 16"),
            ("gate:1:ready=0", "1 to 16"),
            ("gate:1:gate=x", "KEYIDs"),
            ("gate:1:via=x", "via= is not known"),
        ):
            error = self.assertRaises(StringError, serverFromString, MemoryReactorClock(), f"behind:{rest}")
            self.assertIn(wrong, str(error))
        self.assertRaises(ValueError, BehindServerEndpoint, None, Target("gate", 1), ready=MOST + 1)

    def test_noTenant(self) -> None:
        """
        Without an identity there is none.
        """
        for text in ("behind:gate:1", "ready:tcp:1"):
            listening = serverFromString(MemoryReactorClock(), text).listen(Conversations())
            self.assertIn("has no identity here", str(self.failureResultOf(listening, ListenRefused).value))
