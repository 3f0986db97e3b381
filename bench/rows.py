# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is measured: the rows, what each of them yields, and what ugate must reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.contestants import DNS, PLAIN, RELAY, SNI, SSH, TLS, TUN, TUN_LONG

SING_BOX = "sing-box"
HAPROXY = "haproxy"
FRAMED = "envoy-h2"

US = "ugate"
"""Whose goals they are."""
FRAMED_US = "ugate-h2"
"""Those of HTTP/2."""
SECURE, SECURE_US = "envoy-h2s", "ugate-h2s"
"""The same in TLS."""
RELAYED, RELAYED_US = "ugate-plain", "ugate-ready"
"""Two instances that forward, and a gate with a node that goes to it."""
SSH_US, ASYNCSSH, SSHD = "ugate-ssh", "asyncssh", "sshd"
"""Servers of SSH."""
CAPTURED_US = "ugate-captured"
"""What the kernel leads to it, beside SOCKS."""
TUN_US, TUN_PEER = "ugate-tun", "sing-box-tun"
"""TUN devices."""
DNS_US = "ugate-dns"
"""The resolver."""
OURS = (US, FRAMED_US, SECURE_US, RELAYED_US, CAPTURED_US, SSH_US, TUN_US, DNS_US)
"""All who have goals."""


@dataclass(frozen=True, slots=True)
class Goal:
    """
    What ugate must reach.
    """

    factor: float
    """How many times the peer's figure; or the figure itself, if there is no peer."""

    peer: str = SING_BOX
    """Beside whom, or an empty string."""

    who: str = US
    """Who of ours has to reach it."""


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One line of the result.
    """

    key: str
    """Its name in files."""

    title: str
    """Its name in tables."""

    unit: str
    """What its figures are."""

    goals: tuple[Goal, ...] = ()
    """What ugate must reach."""

    lessIsBetter: bool = False
    """Whether small figures are good ones."""

    digits: int = 0
    """Digits after the point."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One kind of measurement.
    """

    key: str
    """Its name for C{--rows}."""

    work: str
    """Which work it is: what L{bench.measure} knows."""

    metrics: tuple[Metric, ...]
    """What it yields, in order."""

    hops: int = 1
    """How many instances the streams go through."""

    front: str = ""
    """What the streams go in by, if it is not SOCKS5 or a port for each target: see L{bench.contestants}."""


_GBIT = "Gbit/s"
_CAPTURED = Goal(0.95, US, CAPTURED_US)
# There the kernel changes each packet of the client, and that is all that it costs.
_AS_GOOD = (Goal(1.0), Goal(0.8, US, CAPTURED_US))
_BULK = (Goal(1.0), Goal(2.0, HAPROXY), _CAPTURED)
_TLS_BULK = (Goal(1.0, HAPROXY),)
_SHAKES = (Goal(0.8, HAPROXY),)
_THROUGH = (Goal(1.0, HAPROXY),)
_RELAYED = (Goal(0.95, RELAYED, RELAYED_US),)
_SSH = (Goal(0.9, ASYNCSSH, SSH_US), Goal(0.5, SSHD, SSH_US))
_SSH_SMALL = (Goal(0.9, ASYNCSSH, SSH_US),)
_LOGIN = (Goal(1.5, SSHD, SSH_US),)
_TUN = (Goal(0.5, TUN_PEER, TUN_US),)
_FRAMED = (Goal(1.0, FRAMED, FRAMED_US),)
_FRAMED_BULK = (Goal(1.5, FRAMED, FRAMED_US),)
_BULK_2 = (*_FRAMED_BULK, Goal(1.0, SECURE, SECURE_US))

ROWS = (
    Row(
        "bulk",
        "bulk",
        (
            Metric("bulk-up", "one bulk stream, up", _GBIT, _BULK, digits=1),
            Metric("bulk-down", "one bulk stream, down", _GBIT, _BULK, digits=1),
        ),
    ),
    Row(
        "bulk8", "bulk8", (Metric("bulk8", "eight bulk streams, 4 up 4 down", _GBIT, (Goal(1.0),), digits=1),)
    ),
    Row("connect", "connect", (Metric("connect", "new connections", "1/s", (Goal(0.9), _CAPTURED)),)),
    Row("rtt", "rtt", (Metric("rtt", "64-byte round trips, 32 streams", "1/s", _AS_GOOD),)),
    Row(
        "datagrams",
        "datagrams",
        (Metric("datagrams", "datagrams there and back, 1200 bytes", "1/s", (Goal(0.7),)),),
    ),
    Row(
        "mixed",
        "mixed",
        (
            Metric("mixed-bulk", "both at once: bulk, down", _GBIT, (Goal(0.8),), digits=1),
            Metric("mixed-rtt", "both at once: round trips, 8 streams", "1/s", (Goal(1.5),)),
        ),
    ),
    Row(
        "idle",
        "idle",
        (Metric("idle", "memory per idle stream", "KiB", (Goal(1.0),), lessIsBetter=True, digits=1),),
    ),
    Row(
        "start",
        "start",
        (
            Metric("start-rss", "memory at start", "MiB", (Goal(60.0, ""),), lessIsBetter=True, digits=1),
            Metric("start-time", "time until it accepts", "s", lessIsBetter=True, digits=3),
        ),
    ),
    Row(
        "bulk-2",
        "bulk",
        (
            Metric("bulk-2-up", "two gateways: one bulk stream, up", _GBIT, _BULK_2, digits=1),
            Metric("bulk-2-down", "two gateways: one bulk stream, down", _GBIT, _BULK_2, digits=1),
        ),
        hops=2,
    ),
    Row("bulk8-2", "bulk8", (Metric("bulk8-2", "two gateways: eight streams", _GBIT, digits=1),), hops=2),
    Row(
        "connect-2",
        "connect",
        (Metric("connect-2", "two gateways: new connections", "1/s", _FRAMED),),
        hops=2,
    ),
    Row("rtt-2", "rtt", (Metric("rtt-2", "two gateways: round trips", "1/s", _FRAMED),), hops=2),
    Row(
        "bulk-3",
        "bulk",
        (
            Metric("bulk-3-up", "three gateways: one bulk stream, up", _GBIT, _FRAMED_BULK, digits=1),
            Metric("bulk-3-down", "three gateways: one bulk stream, down", _GBIT, _FRAMED_BULK, digits=1),
        ),
        hops=3,
    ),
    Row("rtt-3", "rtt", (Metric("rtt-3", "three gateways: round trips", "1/s", _FRAMED),), hops=3),
    Row(
        "tls-bulk",
        "tls-bulk",
        (
            Metric("tls-up", "TLS ended here: one bulk stream, up", _GBIT, _TLS_BULK, digits=2),
            Metric("tls-down", "TLS ended here: one bulk stream, down", _GBIT, _TLS_BULK, digits=2),
        ),
        front=TLS,
    ),
    Row("tls-new", "tls-new", (Metric("tls-new", "TLS: full handshakes", "1/s", _SHAKES),), front=TLS),
    Row("tls-resumed", "tls-resumed", (Metric("tls-resumed", "TLS: resumed", "1/s", _SHAKES),), front=TLS),
    Row(
        "sni-bulk",
        "bulk",
        (
            Metric("sni-up", "TLS passing through: one bulk stream, up", _GBIT, _THROUGH, digits=1),
            Metric("sni-down", "TLS passing through: one bulk stream, down", _GBIT, _THROUGH, digits=1),
        ),
        front=SNI,
    ),
    Row(
        "plain-bulk",
        "bulk",
        (
            Metric("plain-up", "a plain forward: one bulk stream, up", _GBIT, digits=1),
            Metric("plain-down", "a plain forward: one bulk stream, down", _GBIT, digits=1),
        ),
        front=PLAIN,
    ),
    Row(
        "relay-bulk",
        "bulk",
        (
            Metric("relay-up", "TLS relayed to a node: one bulk stream, up", _GBIT, _RELAYED, digits=1),
            Metric("relay-down", "TLS relayed to a node: one bulk stream, down", _GBIT, _RELAYED, digits=1),
        ),
        hops=2,
        front=RELAY,
    ),
    Row(
        "ssh-bulk",
        "bulk",
        (
            Metric("ssh-up", "ssh -L: one bulk stream, up", _GBIT, _SSH, digits=2),
            Metric("ssh-down", "ssh -L: one bulk stream, down", _GBIT, _SSH, digits=2),
        ),
        hops=2,
        front=SSH,
    ),
    Row(
        "ssh-connect",
        "connect",
        (Metric("ssh-connect", "ssh -L: new streams", "1/s", _SSH_SMALL),),
        hops=2,
        front=SSH,
    ),
    Row(
        "ssh-rtt",
        "rtt",
        (Metric("ssh-rtt", "ssh -L: 64-byte round trips, 32 streams", "1/s", _SSH_SMALL),),
        hops=2,
        front=SSH,
    ),
    Row(
        "ssh-login",
        "ssh-login",
        (Metric("ssh-login", "ssh -W: time until it echoes", "ms", _LOGIN, lessIsBetter=True, digits=1),),
        hops=2,
        front=SSH,
    ),
    Row(
        "tun-bulk",
        "bulk",
        (
            Metric("tun-up", "a TUN device: one bulk stream, up", _GBIT, _TUN, digits=1),
            Metric("tun-down", "a TUN device: one bulk stream, down", _GBIT, _TUN, digits=1),
        ),
        front=TUN,
    ),
    Row(
        "tun-bulk-9000",
        "bulk",
        (
            Metric("tun-9000-up", "the same at an MTU of 9000: up", _GBIT, _TUN, digits=1),
            Metric("tun-9000-down", "the same at an MTU of 9000: down", _GBIT, _TUN, digits=1),
        ),
        front=TUN_LONG,
    ),
    Row(
        "tun-connect",
        "connect",
        (Metric("tun-connect", "a TUN device: new connections", "1/s", _TUN),),
        front=TUN,
    ),
    Row("tun-rtt", "rtt", (Metric("tun-rtt", "a TUN device: round trips", "1/s", _TUN),), front=TUN),
    Row(
        "dns",
        "dns",
        (
            Metric("dns", "answers of the resolver that are known", "1/s", (Goal(5000, "", DNS_US),)),
            Metric("dns-spelled", "the same in a new spelling each time", "1/s"),
        ),
        front=DNS,
    ),
)
"""Every row, in the order of the table."""
