# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The rules that are generated, word by word.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.captureiptables import chainNames, restoreText
from ugate.modules.capturenft import chainsOf, networksOf, ownedTable, portsOf, tableText
from ugate.modules.capturesection import CaptureSection, Selection

FULL = CaptureSection(
    direction="both",
    include=Selection(
        ports=("443", "80", "8000-8099", "8050"),
        networks=("10.1.0.0/16", "10.0.0.0/8"),
        users=("nobody", "1000"),
        cgroups=("system.slice/app.service",),
    ),
    exclude=Selection(ports=("22",), networks=("10.9.0.0/16", "fd00::/8"), users=("root",), groups=("1337",)),
)

OUT = """\
table inet ugate_out {
    chain output {
        type nat hook output priority -100; policy accept;
        meta l4proto != tcp accept
        meta mark 0x7567 accept
        fib daddr type { local, broadcast, anycast, multicast } accept
        ip daddr 169.254.0.0/16 accept
        ip6 daddr fe80::/10 accept
        meta l4proto tcp redirect to :15001
    }
}
"""

FULL_NFT = """\
table inet ugate_x {
    chain led {
        ip daddr != { 10.0.0.0/8 } accept
        meta nfproto ipv6 accept
        th dport != { 80, 443, 8000-8099 } accept
        meta l4proto tcp redirect to :15001
    }
    chain output {
        type nat hook output priority -100; policy accept;
        meta l4proto != tcp accept
        meta mark 0x7567 accept
        fib daddr type { local, broadcast, anycast, multicast } accept
        ip daddr 169.254.0.0/16 accept
        ip6 daddr fe80::/10 accept
        meta skuid { root } accept
        meta skgid { 1337 } accept
        ip daddr { 10.9.0.0/16 } accept
        ip6 daddr { fd00::/8 } accept
        th dport { 22 } accept
        meta skuid { nobody, 1000 } goto led
        socket cgroupv2 level 2 "system.slice/app.service" goto led
    }
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        meta l4proto != tcp accept
        iifname "lo" accept
        fib daddr type != local accept
        ip saddr { 10.9.0.0/16 } accept
        ip6 saddr { fd00::/8 } accept
        th dport { 22 } accept
        ip saddr != { 10.0.0.0/8 } accept
        meta nfproto ipv6 accept
        th dport != { 80, 443, 8000-8099 } accept
        meta l4proto tcp redirect to :15001
    }
}
"""

TPROXY_OUT = """\
table inet ugate_t {
    chain here {
        meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:15001 meta mark set 7567 accept
        meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:15001 meta mark set 7567 accept
        meta l4proto tcp reject with tcp reset
    }
    chain output {
        type route hook output priority -150; policy accept;
        meta l4proto != tcp accept
        fib daddr type { local, broadcast, anycast, multicast } accept
        ip daddr 169.254.0.0/16 accept
        ip6 daddr fe80::/10 accept
        meta skuid { 1337 } accept
        ct state new ct mark set 7567
        ct mark 7567 ct direction original meta mark set 7567
    }
    chain prerouting {
        type filter hook prerouting priority -150; policy accept;
        meta l4proto != tcp accept
        tcp flags & (fin | syn | rst | ack) != syn socket transparent 1 meta mark set 7567 accept
        tcp flags & (fin | syn | rst | ack) != syn accept
        iifname "lo" meta mark 7567 goto here
        iifname "lo" accept
    }
}
"""

TPROXY_FORWARD = """\
table inet ugate_t {
    chain here {
        meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:7 meta mark set 9 accept
    }
    chain prerouting {
        type filter hook prerouting priority -150; policy accept;
        meta l4proto != tcp accept
        meta nfproto ipv6 accept
        tcp flags & (fin | syn | rst | ack) != syn socket transparent 1 meta mark set 9 accept
        tcp flags & (fin | syn | rst | ack) != syn accept
        iifname "lo" accept
        fib daddr type { local, broadcast, anycast, multicast } accept
        ip daddr 169.254.0.0/16 accept
        ip6 daddr fe80::/10 accept
        th dport != { 80 } accept
        goto here
    }
}
"""

FULL_IPTABLES = """\
*nat
:ugate_x_out - [0:0]
:ugate_x_out_net - [0:0]
:ugate_x_out_port - [0:0]
:ugate_x_pre - [0:0]
:ugate_x_pre_net - [0:0]
:ugate_x_pre_port - [0:0]
-A ugate_x_out -m mark --mark 0x7567 -j RETURN
-A ugate_x_out -m owner --uid-owner root -j RETURN
-A ugate_x_out -m owner --gid-owner 1337 -j RETURN
-A ugate_x_out -m addrtype --dst-type LOCAL -j RETURN
-A ugate_x_out -m addrtype --dst-type BROADCAST -j RETURN
-A ugate_x_out -m addrtype --dst-type ANYCAST -j RETURN
-A ugate_x_out -m addrtype --dst-type MULTICAST -j RETURN
-A ugate_x_out -d 169.254.0.0/16 -j RETURN
-A ugate_x_out -d 10.9.0.0/16 -j RETURN
-A ugate_x_out -p tcp --dport 22 -j RETURN
-A ugate_x_out -m owner --uid-owner nobody -g ugate_x_out_net
-A ugate_x_out -m owner --uid-owner 1000 -g ugate_x_out_net
-A ugate_x_out -m cgroup --path system.slice/app.service -g ugate_x_out_net
-A ugate_x_out_net -d 10.0.0.0/8 -g ugate_x_out_port
-A ugate_x_out_port -p tcp --dport 80 -j REDIRECT --to-ports 15001
-A ugate_x_out_port -p tcp --dport 443 -j REDIRECT --to-ports 15001
-A ugate_x_out_port -p tcp --dport 8000:8099 -j REDIRECT --to-ports 15001
-A OUTPUT -p tcp -j ugate_x_out
-A ugate_x_pre -i lo -j RETURN
-A ugate_x_pre -m addrtype ! --dst-type LOCAL -j RETURN
-A ugate_x_pre -s 10.9.0.0/16 -j RETURN
-A ugate_x_pre -p tcp --dport 22 -j RETURN
-A ugate_x_pre -g ugate_x_pre_net
-A ugate_x_pre_net -s 10.0.0.0/8 -g ugate_x_pre_port
-A ugate_x_pre_port -p tcp --dport 80 -j REDIRECT --to-ports 15001
-A ugate_x_pre_port -p tcp --dport 443 -j REDIRECT --to-ports 15001
-A ugate_x_pre_port -p tcp --dport 8000:8099 -j REDIRECT --to-ports 15001
-A PREROUTING -p tcp -j ugate_x_pre
COMMIT
"""

OUT_IPTABLES = """\
*nat
:ugate_out_out - [0:0]
:ugate_out_out_net - [0:0]
:ugate_out_out_port - [0:0]
-A ugate_out_out -m addrtype --dst-type LOCAL -j RETURN
-A ugate_out_out -m addrtype --dst-type ANYCAST -j RETURN
-A ugate_out_out -m addrtype --dst-type MULTICAST -j RETURN
-A ugate_out_out -d fe80::/10 -j RETURN
-A ugate_out_out -g ugate_out_out_net
-A ugate_out_out_net -g ugate_out_out_port
-A ugate_out_out_port -p tcp -j REDIRECT --to-ports 15001
-A OUTPUT -p tcp -j ugate_out_out
COMMIT
"""


class NftTests(SynchronousTestCase):
    """
    As nft reads them.
    """

    maxDiff = None

    def test_out(self) -> None:
        """
        Nothing but the defaults.
        """
        self.assertEqual(tableText("ugate_out", chainsOf(CaptureSection(), 0x7567)), OUT)

    def test_full(self) -> None:
        """
        All that can be included and excluded, both ways.
        """
        self.assertEqual(tableText("ugate_x", chainsOf(FULL, 0x7567)), FULL_NFT)

    def test_tproxy(self) -> None:
        """
        TPROXY of what this machine opens, with its own user left out, and of what passes through; the kernel
        refuses what nobody listens for, or lets it go its way.
        """
        section = CaptureSection(mode="tproxy", exclude=Selection(users=("1337",)))
        self.assertEqual(tableText("ugate_t", chainsOf(section, 0)), TPROXY_OUT)
        section = CaptureSection(
            direction="forward",
            mode="tproxy",
            failure="open",
            ipv6=False,
            table=9,
            port=7,
            include=Selection(ports=("80",)),
        )
        self.assertEqual(tableText("ugate_t", chainsOf(section, 5)), TPROXY_FORWARD)

    def test_datagrams(self) -> None:
        """
        Those have no first packet that would be another than the rest; nobody who listens is told by ICMP.
        """
        both: tuple[tuple[Literal["tcp", "udp"], ...], str] = ("udp", "tcp"), "{ tcp, udp }"
        for protocols, kinds in (both, (("udp",), "udp")):
            text = tableText("t", chainsOf(CaptureSection(mode="tproxy", protocols=protocols), 1))
            self.assertIn(f"meta l4proto != {kinds} accept\n", text)
            self.assertIn(f"meta nfproto ipv4 meta l4proto {kinds} tproxy ip to 127.0.0.1:15001 ", text)
            self.assertIn('        iifname != "lo" meta l4proto udp reject\n    }', text)
            self.assertEqual("tcp flags" in text, "tcp" in protocols)

    def test_owned(self) -> None:
        """
        The same in one line, with an owner.
        """
        for section in (FULL, CaptureSection(mode="tproxy")):
            chains = chainsOf(section, 1)
            line = ownedTable("ugate_x", chains)
            self.assertEqual(line.count("\n"), 1)
            self.assertTrue(line.startswith("table inet ugate_x { flags owner; chain "))
            plain = tableText("ugate_x", chains)
            self.assertEqual(
                line.replace("flags owner;", "").replace(";", " ").split(), plain.replace(";", " ").split()
            )


class IptablesTests(SynchronousTestCase):
    """
    As iptables-restore reads them.
    """

    maxDiff = None

    def test_full(self) -> None:
        """
        All that can be included and excluded, both ways.
        """
        self.assertEqual(restoreText("x", FULL, 0x7567, 4), FULL_IPTABLES)

    def test_out(self) -> None:
        """
        Nothing but the defaults, without a mark, of IPv6.
        """
        self.assertEqual(restoreText("out", CaptureSection(), 0, 6), OUT_IPTABLES)

    def test_names(self) -> None:
        """
        No name of a chain is longer than the kernel takes.
        """
        self.assertLess(max(map(len, chainNames("x" * 12, FULL))), 29)


PORT = st.integers(1, 65535)


class RangeTests(SynchronousTestCase):
    """
    Lists that have to be without overlap.
    """

    @given(
        st.lists(
            st.one_of(PORT.map(lambda n: (n, n)), st.tuples(PORT, PORT).map(sorted).map(tuple)), max_size=8
        )
    )
    def test_ports(self, ranges: list[tuple[int, int]]) -> None:
        """
        The same ports, in ranges apart from one another.
        """
        found = portsOf(f"{low}-{high}" if low != high else str(low) for low, high in ranges)
        for (_, before), (after, _) in pairwise(found):
            self.assertGreater(after, before + 1)
        edges = {each + more for low, high in ranges for each in (low, high) for more in (-1, 0, 1)}
        for port in edges:
            self.assertEqual(
                any(low <= port <= high for low, high in ranges),
                any(low <= port <= high for low, high in found),
            )

    def test_networks(self) -> None:
        """
        The same networks of one family, none of them twice.
        """
        texts = ("10.1.0.0/16", "::1", "10.0.0.0/8", "192.0.2.0/25", "192.0.2.128/25", "::/0")
        self.assertEqual(networksOf(texts, 4), ["10.0.0.0/8", "192.0.2.0/24"])
        self.assertEqual(networksOf(texts, 6), ["::/0"])
        self.assertEqual(networksOf((), 4), [])
