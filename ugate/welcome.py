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

from twisted.internet.address import IPv4Address, IPv6Address

from ugate.node import Node
from ugate.stream import Target

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def lines(node: Node, which: Callable[[str], str | None] = shutil.which) -> Iterator[str]:
    """
    What to paste, for each listener that takes what it names.

    @param which: finds a program.
    """
    for name, port in node.ports.items():
        address = port.getHost()
        if not isinstance(address, (IPv4Address, IPv6Address)):
            yield f"{name}: listening on {address}"
            continue
        at = Target(_WILDCARDS.get(address.host, address.host), address.port)
        yield f"{name}: listening on {Target(address.host, address.port)}"
        kind = node.config.listen[name].endpoint.partition(":")[0]
        if kind in ("auto", "socks"):
            yield f"  curl -x socks5h://{at} http://example.com/"
        if kind in ("auto", "connect"):
            yield f"  curl -x http://{at} https://example.com/"
        if kind in ("auto", "socks"):
            yield f"  ssh -o {shlex.quote('ProxyCommand=' + _proxyCommand(at, which))} user@example.com"


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
    Print the lines, past twistd's log, so that they can be pasted as they are.
    """
    out = sys.__stdout__
    if out is None or not node.ports:
        return
    out.write("".join(f"{line}\n" for line in lines(node)))
    out.flush()
