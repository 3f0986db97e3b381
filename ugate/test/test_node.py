# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From a configuration to a node that runs.
"""

from __future__ import annotations

import errno
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import capturedLogs, formatEvent

from ugate import listeners as listenersModule
from ugate.node import ANYONE, OPERATOR, Node
from ugate.stream import Principal
from ugate.tenancy.config.schema import Listener
from ugate.test.nodefakes import HELLO, REQUEST, NodeCase, inUse

LOCAL = "tcp:1080:interface=127.0.0.1"


class StartTests(NodeCase):
    """
    Listeners.
    """

    def test_several(self) -> None:
        """
        All listeners of the config listen; then it is said so, once.
        """
        started: list[Node] = []
        node = Node(
            self.reactor,
            self.config(
                {
                    "main": f"auto:{LOCAL}",
                    "six": "socks:tcp6:1081:interface=\\:\\:1",
                    "local": "connect:unix:/run/ugate",
                }
            ),
            started=started.append,
            threads=0,
        )
        node.privilegedStartService()
        self.assertEqual(started, [])
        node.startService()
        self.assertEqual(started, [node])
        self.assertEqual(list(node.ports), ["main", "six", "local"])
        self.assertTrue(all(port.listening for port in self.reactor.ports))

    def test_carries(self) -> None:
        """
        Who connects is served, and the log says on which listener.
        """
        node = self.start(self.config({"main": f"auto:{LOCAL}"}))
        line = self.client(node)
        self.assertEqual(line.say(HELLO), b"\x05\x00")
        self.assertEqual(line.say(REQUEST), b"")
        self.assertEqual(self.reactor.tcpClients[0][:2], ("203.0.113.9", 80))
        target = self.target()
        self.assertEqual(line.value()[:2], b"\x05\x00")
        line.say(b"hello")
        self.assertEqual(target.value(), b"hello")
        with capturedLogs() as events:
            target.loseConnection()
            target.settle()
        self.assertIn("main: 192.0.2.7:40000 -> 203.0.113.9:80 socks5 operator: ", formatEvent(events[-1]))

    def test_inUse(self) -> None:
        """
        A port that somebody else has ends the start with a sentence that names the
        listener; what listened already does so no longer.
        """
        self.reactor.taken = inUse(1081)
        (said,) = self.cannotStart(
            self.config({"main": f"auto:{LOCAL}", "other": "socks:tcp:1081:interface=127.0.0.1"})
        )
        self.assertTrue(
            said.startswith("ugate: listener other (socks:tcp:1081:interface=127.0.0.1) cannot listen: "),
            said,
        )
        self.assertIn("Address already in use; stop what listens there", said)
        self.assertEqual([port.listening for port in self.reactor.ports], [False])

    def test_otherReasons(self) -> None:
        """
        Whatever the reason, all are told at once, with what can be done.
        """
        self.reactor.taken = {80: errno.EACCES, 81: errno.EADDRNOTAVAIL, 82: errno.EINVAL}
        said = self.cannotStart(
            self.config({f"p{port}": f"socks:tcp:{port}:interface=127.0.0.1" for port in (80, 81, 82)})
        )
        self.assertEqual(len(said), 3)
        self.assertIn("p80", said[0])
        self.assertIn("a port above 1023", said[0])
        self.assertIn("an address that this host has", said[1])
        self.assertTrue(said[2].endswith("Invalid argument"), said[2])

    def test_failsLater(self) -> None:
        """
        A listener that takes its time and then fails is told, while the others go on.
        """
        listening: Deferred[Any] = Deferred()

        @implementer(IStreamServerEndpoint)
        class Slow:
            def listen(self, factory: object) -> Deferred[Any]:
                return listening

        real = listenersModule.listenerEndpoint

        def endpointFor(tenant: Any, name: str, listener: Listener) -> Any:
            return Slow() if name == "slow" else real(tenant, name, listener)

        self.patch(listenersModule, "listenerEndpoint", endpointFor)
        node = self.start(self.config({"slow": f"auto:{LOCAL}", "main": f"auto:{LOCAL}"}))
        with capturedLogs() as events:
            listening.errback(OSError("no onions today"))
        (event,) = events
        self.assertEqual(event["log_level"].name, "critical")
        self.assertIn("listener slow", formatEvent(event))
        self.assertIn("no onions today", formatEvent(event))
        self.assertEqual(list(node.ports), ["main"])

    def test_badString(self) -> None:
        """
        A string that cannot be read by now is told like the rest.
        """
        (said,) = self.cannotStart(self.config({"main": "forward:tcp:80:interface=127.0.0.1"}))
        self.assertIn("where to?", said)


class OpenRelayTests(NodeCase):
    """
    Who may use a listener.
    """

    def anonymous(self, node: Node, name: str = "main") -> Principal | None:
        """
        Who somebody is that has not logged in.
        """
        port: Any = node.ports[name]
        wrapped = port.factory
        while hasattr(wrapped, "wrappedFactory") or hasattr(wrapped, "_inner"):
            wrapped = getattr(wrapped, "wrappedFactory", None) or wrapped._inner
        who: Principal | None = wrapped.anonymous
        return who

    def test_refused(self) -> None:
        """
        A listener that anybody reaches does not start without a word on who may use it;
        the sentence has each way out.
        """
        for endpoint in (
            "auto:tcp:1080",
            "socks:tcp:1080:interface=0.0.0.0",
            "socks:proxyproto:tcp:1080:interface=127.0.0.1",
            "socks:haproxy:tcp:1080:interface=127.0.0.1",
        ):
            (said,) = self.cannotStart(self.config({"main": endpoint}))
            self.assertIn(f"listener main ({endpoint}) would carry the streams of anybody", said)
            for way in ("interface=127.0.0.1", "policy.users", "open: true"):
                self.assertIn(way, said)
        self.assertEqual(self.reactor.ports, [])

    def test_noLogins(self) -> None:
        """
        A listener whose protocol has no logins does not start either where they are
        needed; the sentence says that this is so.
        """
        for listener in (
            Listener("tcp:8080", to="db:5432"),
            Listener("proxyproto:tcp:8080", to="db:5432"),
            Listener("forward:tcp:8080:to=db\\:5432"),
            Listener("socks4:tcp:8080"),
        ):
            (said,) = self.cannotStart(self.config({"main": listener}, users=True))
            self.assertIn(f"listener main ({listener.endpoint}) could let nobody in", said)
            self.assertIn("its protocol has no logins", said)
            (said,) = self.cannotStart(self.config({"main": listener}))
            self.assertIn("would carry the streams of anybody", said)
            self.start(self.config({"main": Listener(listener.endpoint, listener.to, True)}, users=True))

    def test_listed(self) -> None:
        """
        A listener that lists all that can be reached by it may start anywhere, and whoever
        reaches it is anybody; but not with something around it that has other targets.
        """
        for users in (False, True):
            node = self.start(self.config({"main": "sni:tcp:443:names=www.example"}, users=users))
            self.assertEqual(self.anonymous(node), ANYONE)
            node = self.start(self.config({"main": f"sni:{LOCAL}:names=www.example"}, users=users))
            self.assertEqual(self.anonymous(node), OPERATOR)
            proxied = "sni:proxyproto:tcp:443:interface=127.0.0.1:names=a"
            self.assertEqual(self.anonymous(self.start(self.config({"main": proxied}, users=users))), ANYONE)
        for endpoint in ("auto:sni:tcp:443:names=a", "haproxy:sni:tcp:443:names=a"):
            (said,) = self.cannotStart(self.config({"main": endpoint}))
            self.assertIn("would carry the streams of anybody", said)

    def test_local(self) -> None:
        """
        Whoever is on this machine is the operator.
        """
        for endpoint in (f"auto:{LOCAL}", "socks:unix:/run/ugate"):
            self.assertEqual(self.anonymous(self.start(self.config({"main": endpoint}))), OPERATOR)

    def test_users(self) -> None:
        """
        With a password file nobody is anybody without a login, but on this machine.
        """
        node = self.start(self.config({"main": "auto:tcp:1080", "here": f"auto:{LOCAL}"}, users=True))
        self.assertEqual((self.anonymous(node), self.anonymous(node, "here")), (None, OPERATOR))
        self.assertEqual(self.client(node).say(HELLO), b"\x05\xff")
        self.assertEqual(self.client(node).say(b"\x05\x02\x00\x02"), b"\x05\x02")
        self.assertEqual(self.client(node, "here").say(HELLO), b"\x05\x00")

    def test_open(self) -> None:
        """
        One that the config says is open is, with a password file or without.
        """
        for users in (False, True):
            node = self.start(self.config({"main": Listener("auto:tcp:1080", open=True)}, users=users))
            self.assertEqual(self.anonymous(node), ANYONE)
            line = self.client(node)
            self.assertEqual(line.say(HELLO), b"\x05\x00")
            line.say(REQUEST)
            self.assertEqual(self.reactor.tcpClients.pop()[:2], ("203.0.113.9", 80))

    def test_openForward(self) -> None:
        """
        So is one that leads to one place, though its protocol has no logins.
        """
        listener = Listener("forward:tcp:8080:to=203.0.113.9\\:80", open=True)
        node = self.start(self.config({"main": listener}, users=True))
        self.client(node)
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("203.0.113.9", 80))

    def test_openBehindHeader(self) -> None:
        """
        The word is for all that is in the string.
        """
        node = self.start(self.config({"main": Listener("socks:proxyproto:tcp:1080", open=True)}, users=True))
        line = self.client(node)
        self.assertEqual(line.say(b"PROXY TCP4 203.0.113.4 203.0.113.5 5555 443\r\n" + HELLO), b"\x05\x00")
