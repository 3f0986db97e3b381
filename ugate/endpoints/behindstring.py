# -*- test-case-name: ugate.test.test_behind -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{behind:HOST:PORT}, as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ugate.endpoints.behind import KEEPS, MOST, BehindServerEndpoint
from ugate.endpoints.keyids import readKeys
from ugate.errors import StringError
from ugate.stream import Target

_KEYWORDS: Final = ("ready", "gate")


def behindFromParts(reactor: Any, args: Sequence[str], own: Mapping[str, Any]) -> BehindServerEndpoint:
    """
    The endpoint of a string.

    @raise StringError: it cannot be read.
    """
    try:
        if len(args) != 2:
            raise StringError("behind which gate? write behind:HOST:PORT")
        for name in own:
            if name not in _KEYWORDS:
                raise StringError(f"{name}= is not known; wanted {', '.join(_KEYWORDS)}")
        host = args[0][1:-1] if args[0].startswith("[") else args[0]
        gate = Target.fromText(str(Target(host, 0)).rpartition(":")[0] + ":" + args[1])
        count = str(own.get("ready", KEEPS))
        if not (count.isascii() and count.isdigit() and len(count) < 3 and 0 < int(count) <= MOST):
            raise StringError(f"ready={count}: wanted how many connections are kept, 1 to {MOST}")
        keys = readKeys("gate", own["gate"]) if "gate" in own else frozenset(("",))
        if len(keys) != 1:
            raise StringError("gate=: wanted one KEYID")
    except StringError as error:
        raise StringError(f"behind: {error}") from error
    return BehindServerEndpoint(reactor, gate, keyid=next(iter(keys)), ready=int(count))
