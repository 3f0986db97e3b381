# -*- test-case-name: ugate.test.test_servernames -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.servernames}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.protocols.servernames import ServerNames, isHostName, requested
from ugate.stream import Target


class NameTests(SynchronousTestCase):
    """
    L{isHostName}.
    """

    def test_hosts(self) -> None:
        """
        Names as they are in use.
        """
        for name in ("a", "example.com", "xn--bcher-kva.example", "a_b._tcp.x", "1.2.3.4.x", "a" * 63, "9a"):
            self.assertTrue(isHostName(name), name)

    def test_others(self) -> None:
        """
        Addresses in every notation that some resolver takes, and what is no name.
        """
        for name in (
            *("", ".", "a.", ".a", "a..b", "-a", "a-", "*", "*.a", "a" * 64, ".".join(["a" * 63] * 4)),
            *("192.0.2.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "a.0x", "x.1", "::1", "[::1]"),
            *("a b", "a/b", "a:1", "a%0", "b\u00fccher", "a\n", "\uff41", "A"),
        ):
            self.assertFalse(isHostName(name), name)


class RequestedTests(SynchronousTestCase):
    """
    L{requested}.
    """

    def test_plain(self) -> None:
        """
        A name stands for the port that the listener says.
        """
        self.assertEqual((Target("db.example", 443), ""), requested("db.example", 443))
        self.assertEqual((Target("outbound.example", 8443), ""), requested("outbound.example", 8443))

    def test_outbound(self) -> None:
        """
        Istio's form says the port, and may say a subset.
        """
        self.assertEqual(
            (Target("web.ns.svc.cluster.local", 8080), ""),
            requested("outbound_.8080_._.web.ns.svc.cluster.local", 443),
        )
        self.assertEqual(
            (Target("web.ns.svc.cluster.local", 80), "v1"),
            requested("outbound_.80_.v1_.web.ns.svc.cluster.local", 443),
        )

    def test_refused(self) -> None:
        """
        What only looks like one of these is neither.
        """
        for name in (
            *("outbound_.", "outbound_.80", "outbound_.80_.web", "outbound_.80_._.", "outbound_.x_._.web"),
            *("outbound_.0_._.web", "outbound_.65536_._.web", "outbound_.080000_._.web", "outbound_._._.web"),
            *("outbound_.80_._.10.0.0.1", "outbound_.80_.-_.web", "outbound_.80_.a b_.web", "192.0.2.1"),
            "outbound_.\u0668_._.web",
        ):
            self.assertRaises(StringError, requested, name, 443)

    @given(st.text("outbound_.0189-ax", max_size=60))
    def test_anything(self, name: str) -> None:
        """
        Whatever is asked for, it is a target whose host is one, or an error of ours.
        """
        try:
            target, _ = requested(name, 443)
        except StringError:
            return
        self.assertTrue(isHostName(target.host))
        self.assertTrue(0 < target.port < 65536)


class ServerNamesTests(SynchronousTestCase):
    """
    L{ServerNames}.
    """

    def test_entries(self) -> None:
        """
        A host is itself, a suffix what is below it; each with the port of the listener, or its own.
        """
        names = ServerNames(r"Web.Example, *.corp,*.corp:22,db.corp:5000-5432,a.:80", 443)
        for target, entry in (
            ("web.example:443", "Web.Example"),
            ("WEB.example.:443", "Web.Example"),
            ("a.web.example:443", ""),
            ("web.example:80", ""),
            ("corp:443", ""),
            ("wiki.corp:443", "*.corp"),
            ("a.wiki.corp:443", "*.corp"),
            ("wiki.corp:22", "*.corp:22"),
            ("wiki.corp:23", ""),
            ("db.corp:443", "*.corp"),
            ("db.corp:5000", "db.corp:5000-5432"),
            ("db.corp:5432", "db.corp:5000-5432"),
            ("db.corp:5433", ""),
            ("a:80", "a.:80"),
            ("acorp:443", ""),
        ):
            self.assertEqual(entry, names.entryFor(Target.fromText(target)), target)
        self.assertEqual(r"Web.Example, *.corp,*.corp:22,db.corp:5000-5432,a.:80", str(names))

    def test_port(self) -> None:
        """
        A name stands for the one port that it is listed with alone; for any other, who asks has to say it.
        """
        names = ServerNames("a,b:5432,c:443,c:22,d:1-9,*.e:25,f:22,*.f", 443)
        for host, port in (("a", 443), ("b", 5432), ("c", 443), ("d", 443), ("x.e", 443), ("f", 22)):
            self.assertEqual(port, names.portOf(host, 443), host)
        self.assertEqual(8443, ServerNames("b:8443", 8443).portOf("b", 8443))

    def test_many(self) -> None:
        """
        However many there are, each is found.
        """
        names = ServerNames(",".join(f"h{number}.example" for number in range(3000)), 443)
        self.assertEqual("h2999.example", names.entryFor(Target("h2999.example", 443)))

    def test_mistakes(self) -> None:
        """
        There is none for all, none for addresses, and what is wrong is said with the wanted shape.
        """
        for text, what in (
            ("*", "proves nothing"),
            ("*:443", "proves nothing"),
            ("", "nothing"),
            ("a,,b", "nothing"),
            ("*.", "nothing"),
            ("a*.b", "not the name of a host"),
            ("*.*.b", "not the name of a host"),
            ("10.0.0.0/8", "not the name of a host"),
            ("10.0.0.1", "not the name of a host"),
            ("a:x", "no port"),
            ("a:", "no port"),
            ("a:0", "from 1 to"),
            ("a:9-8", "smaller one first"),
            ("a:1-65536", "from 1 to"),
        ):
            error = str(self.assertRaises(StringError, ServerNames, text, 443))
            self.assertIn(what, error)
            self.assertIn("*.SUFFIX", error)
