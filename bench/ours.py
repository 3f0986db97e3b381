# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
ugate as a contestant: C{twistd ugate} from this checkout, or any command that stands in for it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection
from pathlib import Path

from bench.child import CHECKOUT
from bench.contestants import PLAIN, SNI, SOCKS5, TLS, Command, Contestant, Hop, firstLine
from bench.dial import HOST
from bench.secure import NAME, certificate

_PLUGIN = CHECKOUT / "twisted" / "plugins" / "ugate_plugin.py"
_VERSION = "import ugate; print(getattr(ugate, '__version__', 'unknown'))"


class Ugate(Contestant):
    """
    This project, run as an operator runs it.
    """

    name = "ugate"
    speaks = SOCKS5
    datagrams = True
    fronts: Collection[str] = (PLAIN, TLS, SNI)

    def __init__(self, listen: str = "socks") -> None:
        """
        @param listen: the string in front of C{:tcp:PORT}: C{socks} or C{auto}.
        """
        self._listen = listen

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        if not _PLUGIN.exists():
            return f"no {_PLUGIN.relative_to(CHECKOUT)} in this checkout"
        return "" if twistd().exists() else f"no {twistd()}: pip install . in this Python's environment"

    def version(self) -> str:
        """
        @return: its version, and the commit.
        """
        said = firstLine([sys.executable, "-c", _VERSION], env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
        commit = firstLine(["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"])
        return f"{said} ({commit})"

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate"]
        listen = {
            name: f"{self._front(hop, name)}tcp:{port}:interface={HOST}" for name, port in hop.listen.items()
        }
        if hop.front != TLS:
            argv += [each for name, text in listen.items() for each in ("--listen", f"{name}={text}")]
        if hop.upstream:
            argv += ["--route", f"*=socks:{HOST}:{hop.upstream}"]
        # No peer logs its streams here either.
        text = "node: {flows: quiet}\n"
        if hop.front == TLS:
            made, key = certificate(hop.shared)
            text += f"identity: {{cert: {made}, key: {key}}}\ntrust: {{roots: {made}}}\nlisten:\n"
            for name, endpoint in listen.items():
                text += f'  {name}: {{endpoint: "{endpoint}", to: "{HOST}:{hop.onward[name]}"}}\n'
        config = hop.directory / "ugate.yaml"
        config.write_text(text, encoding="utf-8")
        return Command([*argv, "--config", str(config)])

    def _front(self, hop: Hop, name: str) -> str:
        """
        @return: what is in front of C{tcp:}.
        """
        if not hop.front:
            return f"{self._listen}:"
        port = hop.onward[name]
        fronts = {
            PLAIN: f"forward:to={HOST}\\:{port}:",
            TLS: "mtls:anonymous=only:",
            SNI: f"sni:names={NAME}\\:{port}:port={port}:",
        }
        return fronts[hop.front]


class StandIn(Contestant):
    """
    A command given by hand, measured in ugate's place.
    """

    name = "ugate"
    speaks = SOCKS5

    def __init__(self, template: str) -> None:
        """
        @param template: a command with C{{port}} in it, its SOCKS5 port, and C{{upstream}} if it can be
            chained: the SOCKS5 port of the next one, or 0.
        @raise ValueError: if the template has no C{{port}}.
        """
        if "{port}" not in template:
            raise ValueError(f"--ugate {template!r} has no {{port}} in it, the port to listen on for SOCKS5")
        self._template = template
        self.hops = 2 if "{upstream}" in template else 1

    def missing(self) -> str:
        """
        @return: nothing.
        """
        return ""

    def version(self) -> str:
        """
        @return: the template.
        """
        return self._template

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        text = self._template.replace("{port}", str(hop.socks)).replace("{upstream}", str(hop.upstream))
        return Command(shlex.split(text))


def twistd() -> Path:
    """
    @return: the C{twistd} of the Python that runs the bench.
    """
    return Path(sys.executable).with_name("twistd")
