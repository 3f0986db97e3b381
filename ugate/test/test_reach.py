# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who could connect to a server endpoint.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    SSL4ServerEndpoint,
    StandardIOEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
    wrapServerTLS,
)
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.haproxy import proxyEndpoint
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.reach import (
    addressOf,
    asksForTarget,
    innermost,
    isHaproxy,
    isLoopback,
    listedTargets,
    onlyLocal,
    takesLogins,
    within,
)


@implementer(IStreamServerEndpoint)
class OnionEndpoint:
    """
    An endpoint that nothing is known of.
    """

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        return Deferred()


class IsLoopbackTests(SynchronousTestCase):
    """
    L{isLoopback}.
    """

    def test_loopback(self) -> None:
        """
        The loopback addresses of both families, and their name.
        """
        for host in ("127.0.0.1", "127.255.0.1", "::1", "0:0:0:0:0:0:0:1", "localhost"):
            self.assertTrue(isLoopback(host), host)

    def test_others(self) -> None:
        """
        Every other address is reached from elsewhere, and so may be what a name means;
        an empty interface is all of them.
        """
        for host in (
            "",
            "0.0.0.0",
            "::",
            "192.0.2.1",
            "10.0.0.1",
            "fe80::1",
            "myhost",
            "127.1",
            "localhost.evil",
        ):
            self.assertFalse(isLoopback(host), host)


class EndpointTests(SynchronousTestCase):
    """
    The other functions.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def parse(self, text: str) -> Any:
        """
        The endpoint that a string means.
        """
        return serverFromString(self.reactor, text)

    def test_byAddress(self) -> None:
        """
        TCP and SSL endpoints are as local as their interface.
        """
        for kind in (TCP4ServerEndpoint, TCP6ServerEndpoint):
            self.assertTrue(onlyLocal(kind(self.reactor, 0, interface="127.0.0.1")), kind)
            self.assertTrue(onlyLocal(kind(self.reactor, 0, interface="::1")), kind)
            for interface in ("", "0.0.0.0", "192.0.2.1", "::"):
                self.assertFalse(onlyLocal(kind(self.reactor, 0, interface=interface)), interface)
            self.assertFalse(onlyLocal(kind(self.reactor, 0)), kind)
        self.assertTrue(onlyLocal(SSL4ServerEndpoint(self.reactor, 0, None, interface="127.0.0.1")))
        self.assertFalse(onlyLocal(SSL4ServerEndpoint(self.reactor, 0, None)))

    def test_strings(self) -> None:
        """
        The same for strings, with our prefixes around it.
        """
        for text, local in (
            ("tcp:1080", False),
            ("tcp:1080:interface=127.0.0.1", True),
            ("tcp6:1080", False),
            ("tcp6:1080:interface=\\:\\:1", True),
            ("unix:/run/ugate", True),
            ("stdio:", True),
            ("auto:tcp:1080", False),
            ("auto:tcp:1080:interface=127.0.0.1", True),
            ("socks:connect:unix:/run/ugate", True),
            ("forward:stdio:to=localhost\\:22", True),
        ):
            self.assertEqual(onlyLocal(self.parse(text)), local, text)

    def test_forOthers(self) -> None:
        """
        Who sends a PROXY header comes for others, wherever in the string it is read.
        """
        for text in (
            "socks:proxyproto:tcp:1080:interface=127.0.0.1",
            "proxyproto:socks:tcp:1080:interface=127.0.0.1",
            "proxyproto:unix:/run/ugate",
            "socks:haproxy:tcp:1080:interface=127.0.0.1",
            "haproxy:unix:/run/ugate",
        ):
            self.assertFalse(onlyLocal(self.parse(text)), text)

    def test_tls(self) -> None:
        """
        Through TLS the same programs come as without.
        """
        local: Any = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        for inner, isLocal in ((local, True), (TCP4ServerEndpoint(self.reactor, 0), False)):
            endpoint: Any = wrapServerTLS(None, inner)  # type: ignore[arg-type]
            self.assertIs(within(endpoint), inner)
            self.assertEqual(onlyLocal(endpoint), isLocal)
        self.assertFalse(onlyLocal(proxyEndpoint(wrapServerTLS(None, local))))  # type: ignore[arg-type]

    def test_unknown(self) -> None:
        """
        What nothing is known of is not local.
        """
        self.assertFalse(onlyLocal(OnionEndpoint()))
        self.assertFalse(asksForTarget(OnionEndpoint()))

    def test_adopted(self) -> None:
        """
        A socket that was opened by somebody else is looked at, and left as it is.
        """
        path = self.mktemp()
        for family, where, local in (
            (socket.AF_INET, ("127.0.0.1", 0), True),
            (socket.AF_INET, ("0.0.0.0", 0), False),
            (socket.AF_UNIX, path, True),
        ):
            with socket.socket(family, socket.SOCK_STREAM) as listening:
                listening.bind(where)
                listening.listen()
                before = len(os.listdir("/proc/self/fd"))
                endpoint = AdoptedStreamServerEndpoint(self.reactor, listening.fileno(), family)
                self.assertEqual(onlyLocal(endpoint), local, where)
                self.assertEqual(len(os.listdir("/proc/self/fd")), before)
                self.assertTrue(listening.getsockname())

    def test_asksForTarget(self) -> None:
        """
        Some negotiation has to learn where to; a PROXY header does not say.
        """
        for text, asks in (
            ("tcp:80", False),
            ("proxyproto:tcp:80", False),
            ("haproxy:tcp:80", False),
            ("socks:tcp:80", True),
            ("socks:haproxy:tcp:80", True),
            ("socks:proxyproto:tcp:80", True),
            ("forward:tcp:80:to=localhost\\:22", True),
        ):
            self.assertEqual(asksForTarget(self.parse(text)), asks, text)

    def test_takesLogins(self) -> None:
        """
        Some protocols have no logins.
        """
        for text, takes in (
            ("tcp:80", False),
            ("proxyproto:tcp:80", False),
            ("forward:tcp:80:to=localhost\\:22", False),
            ("sni:tcp:80:names=a", False),
            ("socks4:tcp:80", False),
            ("socks:tcp:80", True),
            ("auto:tcp:80", True),
            ("connect:haproxy:tcp:80", True),
            ("socks:proxyproto:tcp:80", True),
        ):
            self.assertEqual(takesLogins(self.parse(text)), takes, text)

    def test_listedTargets(self) -> None:
        """
        What is written down of targets, unless something around it has targets of its own.
        """
        sni = "sni:tcp:443:names=a,*.b"
        self.assertEqual("a,*.b", listedTargets(self.parse(sni)))
        self.assertEqual("a,*.b", listedTargets(self.parse("sni:proxyproto:tcp:443:names=a,*.b")))
        for text in (f"auto:{sni}", f"haproxy:{sni}", f"proxyproto:{sni}", "socks:tcp:80", "tcp:80"):
            self.assertEqual("", listedTargets(self.parse(text)), text)

    def test_innermost(self) -> None:
        """
        What itself listens is found under all that is around it.
        """
        for text, kind in (
            ("tcp:80", TCP4ServerEndpoint),
            ("socks:proxyproto:haproxy:tcp:80", TCP4ServerEndpoint),
            ("auto:unix:/run/x", UNIXServerEndpoint),
            ("forward:stdio:to=localhost\\:22", StandardIOEndpoint),
        ):
            self.assertIsInstance(innermost(self.parse(text)), kind, text)

    def test_addressOf(self) -> None:
        """
        Where it listens, whatever is around it; nothing if that is chosen later.
        """
        for text, address in (
            ("auto:tcp:80", (80, "0.0.0.0")),
            ("tcp:80:interface=127.0.0.1", (80, "127.0.0.1")),
            ("socks:tcp6:80", (80, "::")),
            ("unix:/run/x", ("/run/x",)),
            ("tcp:0", ()),
            ("stdio:", ()),
        ):
            self.assertEqual(address, addressOf(self.parse(text)), text)

    def test_isHaproxy(self) -> None:
        """
        Twisted's wrapper for PROXY headers is told from all others.
        """
        self.assertTrue(isHaproxy(self.parse("haproxy:tcp:80")))
        for text in ("tcp:80", "proxyproto:tcp:80", "socks:haproxy:tcp:80"):
            self.assertFalse(isHaproxy(self.parse(text)), text)
