# -*- test-case-name: ugate.test.test_gateway_names -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams that ask for an address and were meant for a name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import INames
from ugate.stream import NAME, StreamInfo

LED: Final = frozenset(("redirect", "tproxy", "tun"))
"""What streams are recognized as that the kernel led here, whose programs could say no name."""


def named(info: StreamInfo, names: INames) -> StreamInfo:
    """
    The same with the name.  An address that only stands for one is replaced by it; any other one stays, and
    the name is what its client calls it, if the client could not say so.

    @raise Refused: the address stands for a name, and it is forgotten for which.
    @since: ugate NEXT
    """
    target = info.target
    if target is None:
        return info
    if names.isFake(target.host):
        name = names.nameFor(target.host)
        if name is None:
            detail = "this address was made up for a name, which is forgotten"
            raise Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, str(target), detail, "look the name up again")
        return info.but(target=replace(target, host=name))
    if info.protocol in LED and NAME not in info.hints:
        name = names.nameFor(target.host)
        if name is not None:
            return info.but(hints={**info.hints, NAME: name})
    return info
