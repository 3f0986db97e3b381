# -*- test-case-name: ugate.test.test_gateway_names -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams that ask for an address which only stands for a name.
"""

from __future__ import annotations

from dataclasses import replace

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import INames
from ugate.stream import StreamInfo


def named(info: StreamInfo, names: INames) -> StreamInfo:
    """
    The same, asking for the name.

    @raise Refused: it is forgotten which.
    @since: ugate NEXT
    """
    target = info.target
    if target is None or not names.isFake(target.host):
        return info
    name = names.nameFor(target.host)
    if name is None:
        detail = "this address was made up for a name, which is forgotten"
        raise Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, str(target), detail, "look the name up again")
    return info.but(target=replace(target, host=name))
