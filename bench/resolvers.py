# -*- test-case-name: bench.test_dns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Resolvers, on one core each: ugate's module C{dns}, dnsmasq and unbound.
"""

from __future__ import annotations

import importlib.util
import json

from bench.contestants import DNS, Command, Contestant, Hop, firstLine, onPath
from bench.dial import HOST
from bench.ours import Ugate, twistd

ENTRY = "names"
"""What the port of each is called, and that of the server behind it."""


class UgateResolver(Ugate):
    """
    Ours.
    """

    name = "ugate-dns"
    hops = 1
    fronts = (DNS,)
    alone = True

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        isThere = importlib.util.find_spec("dns") is not None
        return super().missing() or ("" if isThere else "no dnspython: pip install '.[bench]'")

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        config = hop.directory / "ugate.json"
        upstream = f"udp:{HOST}:{hop.onward[ENTRY]}"
        section = {"listen": f"{HOST}:{hop.listen[ENTRY]}", "upstreams": [upstream]}
        config.write_text(json.dumps({"listen": {}, "dns": {"main": section}}))
        return Command([str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate", "--config", str(config)])


class _Resolver(Contestant):
    """
    Another one, which does nothing else.
    """

    speaks = DNS
    hops = 1
    fronts = (DNS,)
    alone = True
    versionOption = ""

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return "" if onPath(self.name) else f"no {self.name}: apt install {self.name}"

    def version(self) -> str:
        """
        @return: its version.
        """
        return firstLine([onPath(self.name), self.versionOption])


class Dnsmasq(_Resolver):
    """
    dnsmasq.
    """

    name = "dnsmasq"
    versionOption = "-v"

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        options = ["-k", "--no-hosts", "--no-resolv", "--pid-file=", "--user=", "--bind-interfaces"]
        where = [f"--port={hop.listen[ENTRY]}", f"--listen-address={HOST}"]
        behind = [f"--server={HOST}#{hop.onward[ENTRY]}", "--cache-size=10000"]
        return Command([onPath(self.name), *options, *where, *behind])


class Unbound(_Resolver):
    """
    unbound.
    """

    name = "unbound"
    versionOption = "-V"

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        config = hop.directory / "unbound.conf"
        config.write_text(
            f"server:\n interface: {HOST}@{hop.listen[ENTRY]}\n use-syslog: no\n username: ''\n chroot: ''\n"
            " directory: ''\n do-daemonize: no\n pidfile: ''\n num-threads: 1\n do-not-query-localhost: no\n"
            " module-config: iterator\n"
            f"forward-zone:\n name: .\n forward-addr: {HOST}@{hop.onward[ENTRY]}\n"
        )
        return Command([onPath(self.name), "-d", "-c", str(config)])
