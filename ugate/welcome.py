# -*- test-case-name: ugate.test.test_welcome -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a person sees who has started a gateway by hand: lines that work when pasted.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import serverFromString

from ugate.endpoints.reach import isLoopback, listedTargets, onlyLocal
from ugate.node import Node
from ugate.stream import Target

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_OTHERS: Final = 20
"""How many listeners of other tenants than the root are named."""

_PLAIN: Final = ("tcp", "tcp6", "systemd")
"""What a prefix has to stand in front of, so that clients speak it first."""


def lines(node: Node, which: Callable[[str], str | None] = shutil.which) -> Iterator[str]:
    """
    What to paste, for each listener that takes what it names.

    @param which: finds a program.
    """
    more = 0
    for name, port in node.ports.items():
        address = port.getHost()
        if name not in node.config.listen:
            more += 1
            if more <= _OTHERS:
                yield f"{name}: listening on {_where(address)}"
            continue
        if isinstance(address, (IPv4Address, IPv6Address)):
            yield f"{name}: listening on {_where(address)}"
            yield from _listed(node, name)
            at = Target(_WILDCARDS.get(address.host, address.host), address.port)
            yield from _clients(
                node.config.listen[name].endpoint, at, _login(node, name, address.host), which
            )
        else:
            yield f"{name}: listening on {_where(address)}"
    if more > _OTHERS:
        yield f"and {more - _OTHERS} more of other tenants"


def _where(address: Any) -> str:
    if isinstance(address, (IPv4Address, IPv6Address)):
        return str(Target(address.host, address.port))
    path = getattr(address, "name", None)
    # What is in no directory begins with a zero, and is written with an @.
    return f"unix:{path.decode().replace(chr(0), '@')}" if isinstance(path, bytes) else str(address)


def _login(node: Node, name: str, host: str) -> bool:
    """
    Whether nobody passes a listener without a login.
    """
    return node.tenant.portal is not None and not node.config.listen[name].open and not isLoopback(host)


def _listed(node: Node, name: str) -> Iterator[str]:
    """
    What a listener leads to without a login, if it lists that.
    """
    listener = node.config.listen[name]
    endpoint = serverFromString(node.tenant.reactor, listener.endpoint)
    names = listedTargets(endpoint)
    if names:
        who = "programs of this machine" if onlyLocal(endpoint) else "anybody, whom a rule allows,"
        yield f"  {who} may reach by TLS: {names}"


def _clients(endpoint: str, at: Target, login: bool, which: Callable[[str], str | None]) -> Iterator[str]:
    kind, _, rest = endpoint.partition(":")
    if rest.partition(":")[0] not in _PLAIN:
        return
    # Then curl asks for the password.
    user = " -U NAME" if login else ""
    if kind in ("auto", "socks"):
        yield f"  curl -x socks5h://{at}{user} http://example.com/"
    if kind in ("auto", "connect"):
        yield f"  curl -x http://{at}{user} https://example.com/"
    if kind in ("auto", "socks") and not login:
        yield f"  ssh -o {shlex.quote('ProxyCommand=' + _proxyCommand(at, which))} user@example.com"
    if kind == "ssh":
        yield f"  ssh -J {'NAME@' if login else ''}{at} user@example.com"


def _proxyCommand(at: Target, which: Callable[[str], str | None]) -> str:
    if which("ncat"):
        return f"ncat --proxy {at} --proxy-type socks5 --proxy-dns remote %h %p"
    # Always there, if a little slower to start: this very program on standard input.
    twistd = Path(sys.executable).with_name("twistd")
    forward = shlex.quote("ssh=forward:stdio:to=%h\\:%p")
    return (
        f"{shlex.quote(str(twistd))} -n --pidfile= --logfile=/dev/null ugate "
        f"--listen {forward} --route {shlex.quote(f'*=socks:{at}')}"
    )


def greet(node: Node) -> None:
    """
    Print the lines, past twistd's log, so that they can be pasted as they are; but
    not between the bytes of a stream.
    """
    out = sys.__stdout__
    if out is None or not node.ports or node.stdio:
        return
    out.write("".join(f"{line}\n" for line in lines(node)))
    out.flush()
