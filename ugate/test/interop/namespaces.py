# -*- test-case-name: ugate.test.interop.test_discovery -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Hosts of their own for tests, on one link: network namespaces with a bridge between them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twisted.trial.unittest import SkipTest

from ugate.test.interop.processes import InteropTestCase, program, waitUntil

_NETWORK: Final = "10.91.7"
_NO_DAD: Final = "for each in all default; do echo 0 > /proc/sys/net/ipv6/conf/$each/accept_dad; done"


@dataclass(frozen=True)
class Host:
    """
    One host.
    """

    namespace: str
    """The name of its namespace."""

    ipv4: str
    """Its address, or nothing."""

    def inside(self, *argv: str) -> list[str]:
        """
        The command line that runs a program there; it has the same process id.
        """
        return [program("ip", "iproute2"), "netns", "exec", self.namespace, *argv]

    def ip(self, *arguments: str) -> str:
        """
        Run C{ip} on it.

        @return: what it prints.
        """
        return _ip("-n", self.namespace, *arguments)

    @property
    def ipv6(self) -> str:
        """
        Its link-local address, without a zone; or nothing.
        """
        for line in self.ip("-6", "-o", "address", "show", "dev", "eth0", "scope", "link").splitlines():
            if "tentative" not in line:
                return line.split()[3].partition("/")[0]
        return ""


def needTun() -> None:
    """
    @raise SkipTest: there are no TUN devices here.
    """
    if not os.path.exists("/dev/net/tun"):
        raise SkipTest("no /dev/net/tun here: load the module tun of the kernel")


def _ip(*arguments: str) -> str:
    done = subprocess.run(
        [program("ip", "iproute2"), *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def hosts(
    test: InteropTestCase, names: Iterable[str], *, ipv4: bool = True, ipv6: bool = True
) -> dict[str, Host]:
    """
    Make hosts that are on one link, each with an interface C{eth0}; they go with the test.

    @param ipv4: whether they have addresses of IPv4.
    @param ipv6: whether they have link-local addresses of IPv6.
    @raise SkipTest: it cannot be done here.
    """
    if os.geteuid() != 0:
        raise SkipTest("network namespaces need root")
    prefix = f"ug{os.getpid()}{os.urandom(2).hex()}"
    switch = f"{prefix}-switch"
    made: dict[str, Host] = {}
    try:
        _namespace(test, switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(names, 1):
            host = Host(f"{prefix}-{name}", f"{_NETWORK}.{number}" if ipv4 else "")
            _namespace(test, host.namespace, ipv6)
            port = f"p{number}"
            end = ("peer", "name", "eth0", "netns", host.namespace)
            _ip("-n", switch, "link", "add", port, "type", "veth", *end)
            _ip("-n", switch, "link", "set", port, "master", "br0", "up")
            host.ip("link", "set", "lo", "up")
            host.ip("link", "set", "eth0", "up")
            if ipv4:
                host.ip("address", "add", f"{host.ipv4}/24", "dev", "eth0")
            made[name] = host
    except (OSError, subprocess.SubprocessError) as error:
        raise SkipTest(f"no network namespaces here: {error}") from error
    if ipv6:
        waitUntil(lambda: all(host.ipv6 for host in made.values()), "link-local addresses")
    return made


def _namespace(test: InteropTestCase, name: str, ipv6: bool = False) -> None:
    _ip("netns", "add", name)
    test.addCleanup(_ip, "netns", "delete", name)
    # Nobody has an address that we take, and to ask would take a second.
    command = _NO_DAD if ipv6 else "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"
    try:
        subprocess.run(Host(name, "").inside("sh", "-c", command), check=True, timeout=30)
    except subprocess.SubprocessError as error:
        if ipv6:
            raise SkipTest(f"no IPv6 in network namespaces here: {error}") from error
