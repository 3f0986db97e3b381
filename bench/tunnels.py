# -*- test-case-name: bench.test_apart -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TUN devices: ugate's C{tun:}, and that of sing-box with its stack C{system}.  Clients know nothing of them,
and connect to targets on another host.
"""

from __future__ import annotations

import json

from bench.apart import LINK, NETWORK, cannot, leads
from bench.contestants import CAPTURED, TUN, TUN_LONG, Command, Hop
from bench.ours import Ugate, twistd
from bench.peers import SingBox, executable

_DEVICE = "bench0"
_LENGTHS = {TUN: 1500, TUN_LONG: 9000}


def _isUp() -> bool:
    return leads(_DEVICE)


class TunUgate(Ugate):
    """
    Ours.
    """

    name = "ugate-tun"
    speaks = CAPTURED
    hops = 1
    fronts = tuple(_LENGTHS)
    alone = True
    apart = True

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return super().missing() or cannot()

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        config = hop.directory / "ugate.yaml"
        string = f"tun:{_DEVICE}:addresses=10.97.0.1/30:routes={NETWORK}:mtu={_LENGTHS[hop.front]}"
        config.write_text(f"node: {{flows: quiet}}\nlisten: {{tun: '{string}'}}\n", encoding="utf-8")
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate", "--config", str(config)]
        return Command(argv, accepts=False, isUp=_isUp)


class TunSingBox(SingBox):
    """
    sing-box's.
    """

    name = "sing-box-tun"
    speaks = CAPTURED
    hops = 1
    fronts = tuple(_LENGTHS)
    alone = True
    apart = True

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return super().missing() or cannot()

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        inbound = {
            "type": "tun",
            "interface_name": _DEVICE,
            "address": ["10.97.0.1/30"],
            "mtu": _LENGTHS[hop.front],
            "auto_route": True,
            "stack": "system",
            "route_address": [NETWORK],
        }
        outbound = {"type": "direct", "bind_interface": LINK}
        written = {"log": {"disabled": True}, "inbounds": [inbound], "outbounds": [outbound]}
        config = hop.directory / "sing-box.json"
        config.write_text(json.dumps(written))
        return Command(
            [executable(self.program, hop.shared), "run", "-c", str(config)], accepts=False, isUp=_isUp
        )
