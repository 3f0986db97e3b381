# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
ugate as a gate with a node that nobody can connect to: the node keeps connections ready, and the gate joins
one with each client by the name that its TLS asks for.  Beside it, two instances that forward.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from bench.contestants import PLAIN, RELAY, Command, Hop
from bench.dial import HOST
from bench.ours import Ugate, twistd
from bench.secure import nameOf

_MEETING = "echo"
"""Of the ports between the two, the one that is used."""


class RelayedUgate(Ugate):
    """
    A node, which is started first, and the gate.
    """

    name = "ugate-ready"
    fronts = (RELAY,)
    leastHops = 2
    alone = True

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        node, gate = (keyid(hop.directory.parent / f"key-{name}") for name in ("node", "gate"))
        names = {target: nameOf(RELAY, target) for target in hop.listen}
        config: dict[str, object] = {
            "node": {"flows": "quiet"},
            "policy": {"rules": [{"action": "allow", "who": "open:*", "target": "*.bench.example"}]},
        }
        if hop.isFirst:
            config["trust"] = {"pins": node}
            config["nodes"] = {"there": {"keyid": node, "names": list(names.values())}}
            config["listen"] = {
                "ready": f"ready:tcp:{hop.onward[_MEETING]}:interface={HOST}",
                **{
                    target: f"sni:tcp:{hop.listen[target]}:interface={HOST}:names={name}"
                    for target, name in names.items()
                },
            }
        else:
            listed = ",".join(names.values())
            endpoint = f"sni:behind:{HOST}:{hop.listen[_MEETING]}:gate={gate}:names={listed}"
            config["listen"] = {"main": {"endpoint": endpoint, "open": True}}
            config["routes"] = [
                {"match": name, "via": f"forward:{HOST}:{hop.onward[target]}"}
                for target, name in names.items()
            ]
        state = hop.directory.parent / f"key-{'gate' if hop.isFirst else 'node'}"
        written = hop.directory / "ugate.json"
        written.write_text(json.dumps(config), encoding="utf-8")
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate"]
        return Command([*argv, "--state", str(state), "--config", str(written)], accepts=hop.isFirst)


class PlainUgate(Ugate):
    """
    The same way by ports that are forwarded, with nothing to find out.
    """

    name = "ugate-plain"
    fronts = (RELAY,)
    leastHops = 2
    alone = True

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        return super().command(replace(hop, front=PLAIN))


def keyid(folder: Path) -> str:
    """
    @param folder: the state of an instance; its key is made with the first question.
    @return: its KEYID.
    """
    from ugate.tenancy.config.identityschema import Identity
    from ugate.tenancy.identityown import Own
    from ugate.tenancy.keyids import keyidOf

    folder.mkdir(0o700, exist_ok=True)
    return keyidOf(Own(str(folder), Identity()).load().certificate.public_key())
