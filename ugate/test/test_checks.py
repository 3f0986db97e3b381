# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What knows whether the strings of a configuration can be read.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.checks import stringChecks
from ugate.errors import StringError
from ugate.tenancy.config.schema import sectionTypes
from ugate.tenancy.passwordhashes import PasswordHash


def named(wanted: Any) -> set[str]:
    """
    The checkers that a schema names.
    """
    extra = getattr(wanted, "extra", None) or {}
    found = {extra["check"]} if "check" in extra else set()
    for name in ("type", "item_type", "key_type", "value_type"):
        inner = getattr(wanted, name, None)
        if inner is not None:
            found |= named(inner)
    for each in (*getattr(wanted, "types", ()), *getattr(wanted, "item_types", ())):
        found |= named(each)
    for field in getattr(wanted, "fields", ()):
        found |= named(field.type)
    return found


class StringChecksTests(SynchronousTestCase):
    """
    L{stringChecks}.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.checks = stringChecks(self.reactor)

    def wrong(self, check: str, text: str) -> str:
        """
        What is said of a bad text.
        """
        return str(self.assertRaises(ValueError, self.checks[check], text))

    def test_allThere(self) -> None:
        """
        There is a checker for each that the schema names, here or with the config itself.
        """
        wanted = set().union(*map(named, sectionTypes().values()))
        files = {"tokens", "keys", "certificates"}
        self.assertEqual(wanted - {"via", "host", "range"}, set(self.checks) | files)

    def test_good(self) -> None:
        """
        What is good passes.
        """
        for check, texts in (
            ("endpoint", ("tcp:80", "auto:tcp:1080:interface=127.0.0.1", "socks:unix:/run/x", "stdio:")),
            ("hops", ("socks:proxy:1080", "socks:a:1080 -> connect:b:3128")),
            ("match", ("*", "*.corp", "10.0.0.0/8", "*:25", "[2001:db8::/32]:443")),
            ("target", ("db:5432", "[::1]:22")),
        ):
            for text in texts:
                self.checks[check](text)

    def test_endpoints(self) -> None:
        """
        Whatever Twisted raises for a bad endpoint string, the error is ours and names it.
        """
        for text, why in (
            ("nonsense:1080", "nonsense"),
            ("tcp", "port"),
            ("tcp:http", "http"),
            ("auto:tcp:http", "http"),
            ("tcp:80:colour=red", "colour"),
            ("auto:tcp:1080:colour=red", "colour"),
            ("auto", "auto"),
            ("auto:", "auto"),
            ("ssl:443:privateKey=/nowhere/key.pem", "/nowhere/key.pem"),
            ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
            ("auto:nonsense:1", "nonsense"),
        ):
            error = self.assertRaises(StringError, self.checks["endpoint"], text)
            self.assertIn(why, str(error), text)

    @given(
        st.text(max_size=30)
        | st.from_regex(r"(socks|auto|tcp|unix|forward|connect):[a-z0-9:=\\]{0,20}", fullmatch=True)
    )
    def test_anyEndpoint(self, text: str) -> None:
        """
        Any text is an endpoint or a L{StringError}, and nothing is opened.
        """
        try:
            self.checks["endpoint"](text)
        except StringError:
            pass
        reactor = self.reactor
        self.assertEqual((reactor.tcpServers, reactor.unixServers, reactor.tcpClients), ([], [], []))
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_others(self) -> None:
        """
        The rest says itself what is wrong.
        """
        self.assertIn("nonsense", self.wrong("hops", "nonsense:1080"))
        self.assertIn("10.0.0.0/99", self.wrong("match", "10.0.0.0/99"))
        self.assertIn("HOST:PORT", self.wrong("target", "db"))

    def test_users(self) -> None:
        """
        A password file is read, with all of its mistakes.
        """
        path = self.mktemp()
        self.assertIn(path, self.wrong("users", path))
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"alice:{PasswordHash.ofPassword(b'secret')}\n")
        os.chmod(path, 0o600)
        self.checks["users"](path)
        with open(path, "a", encoding="utf-8") as out:
            out.write("bob\nbob:x\n")
        said = self.wrong("users", path)
        self.assertIn(f"{path}:2", said)
        self.assertIn(f"{path}:3", said)
