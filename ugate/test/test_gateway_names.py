# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams that ask for an address which only stands for a name.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from ugate.errors import Cause
from ugate.gateway import Gateway
from ugate.stream import NAME, Target
from ugate.tenancy import fakeaddresses
from ugate.tenancy.addressnames import AddressNames
from ugate.test.gatewayfakes import INFO, FakeTenant, GatewayCase


class NamedTests(GatewayCase):
    """
    L{ugate.naming}, as the gateway uses it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(fakeaddresses, "randbelow", lambda _: 0)
        self.tenant: Any = FakeTenant(self.clock, self.rules)
        self.names = self.tenant.names = AddressNames(self.clock)
        made = self.names.fake(ip_network("198.18.0.0/15"), set)
        made.addressFor("db.example")
        self.names.learn("real.example", b"\xc0\x00\x02\x01", 60)

    def to(self, host: str) -> Any:
        """
        A stream that asks for it.
        """
        return self.ask(INFO.but(target=Target(host, 443)), Gateway(self.tenant, self.flows))

    def test_named(self) -> None:
        """
        Rules and routes see the name, and the same port.
        """
        self.to("198.18.0.1")
        self.assertEqual([Target("db.example", 443)], [info.target for info in self.rules.asked])

    def test_others(self) -> None:
        """
        What asks for a name, or for an address that is somebody's, asks for that.
        """
        for host in ("192.0.2.1", "other.example", "::1"):
            self.to(host)
        hosts = [info.target.host for info in self.rules.asked if info.target]
        self.assertEqual(["192.0.2.1", "other.example", "::1"], hosts)

    def test_led(self) -> None:
        """
        A stream that the kernel led here is called by the name that its address was given for, unless its
        program has said one; it goes to its address.
        """
        for protocol, hints, name in (
            ("redirect", {}, "real.example"),
            ("tproxy", {"alpn": "h2"}, "real.example"),
            ("tun", {NAME: "said.example"}, "said.example"),
            ("socks5", {}, None),
        ):
            info = INFO.but(target=Target("192.0.2.1", 22), protocol=protocol, hints=hints)
            self.ask(info, Gateway(self.tenant, self.flows))
            asked = self.rules.asked[-1]
            self.assertEqual((Target("192.0.2.1", 22), name), (asked.target, asked.hints.get(NAME)))
            self.assertEqual(hints.get("alpn"), asked.hints.get("alpn"))
        self.ask(INFO.but(target=Target("192.0.2.2", 22), protocol="tun"), Gateway(self.tenant, self.flows))
        self.assertIsNone(self.rules.asked[-1].hints.get(NAME))

    def test_forgotten(self) -> None:
        """
        Nothing is dialed for an address that nobody was told.
        """
        refused = self.refusal(self.to("198.18.0.9"))
        self.assertIs(Cause.NAME_UNKNOWN, refused.cause)
        self.assertIn("look the name up again", str(refused))
        self.assertEqual([], self.rules.asked)
