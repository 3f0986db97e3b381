# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
ugate as the kernel leads streams to it: clients know nothing of it, and connect to the targets.
"""

from __future__ import annotations

from collections.abc import Collection

from bench.apart import cannot
from bench.contestants import CAPTURED, Command, Hop, onPath
from bench.dial import HOST
from bench.ours import Ugate, twistd

_MARK = 0x7567

_RULES = """\
add table inet bench
delete table inet bench
table inet bench {{
    chain output {{
        type nat hook output priority -100; policy accept;
        meta mark {mark} accept
        ip daddr {host} tcp dport {{ {ports} }} redirect to :{port}
    }}
}}
"""


class CapturedUgate(Ugate):
    """
    The same, by REDIRECT.
    """

    name = "ugate-captured"
    speaks = CAPTURED
    hops = 1
    fronts: Collection[str] = ()
    apart = True
    datagrams = False

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        if not onPath("nft"):
            return "no nft: apt install nftables"
        return super().missing() or cannot()

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command, which makes the rules before; what is there of old targets hurts nobody.
        """
        port = hop.listen["captured"]
        ports = ", ".join(map(str, hop.onward.values()))
        rules = hop.directory / "rules.nft"
        rules.write_text(_RULES.format(mark=_MARK, host=HOST, ports=ports, port=port), encoding="utf-8")
        config = hop.directory / "ugate.yaml"
        config.write_text(
            f"node: {{flows: quiet, mark: {_MARK}}}\n"
            f'listen: {{captured: "redirect:tcp:{port}:interface={HOST}"}}\n',
            encoding="utf-8",
        )
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate", "--config", str(config)]
        return Command(["sh", "-c", 'nft -f "$0" && exec "$@"', str(rules), *argv])
