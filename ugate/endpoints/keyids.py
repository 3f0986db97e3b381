# -*- test-case-name: ugate.test.test_hops,ugate.test.test_behind -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
KEYIDs in strings.
"""

from __future__ import annotations

import re
from typing import Final

from ugate.errors import StringError

_KEYID: Final = re.compile("[A-Z2-7]{51}[AQ]")
_NEARLY: Final = re.compile("[A-Za-z0-9]{50,54}")


def readKeys(name: str, text: str) -> frozenset[str]:
    """
    The KEYIDs that a keyword lists.

    @raise StringError: they are none.
    """
    keys = frozenset(each.strip().upper() for each in text.split(","))
    for each in keys:
        if _KEYID.fullmatch(each) is None:
            raise StringError(f"{name}={text[:200]}: wanted KEYIDs of 52 characters; ucli identity shows one")
    return keys


def checkName(text: str) -> None:
    """
    See that a name of a peer is no KEYID with a slip in it.

    @raise StringError: it looks like one.
    """
    if _NEARLY.fullmatch(text) is not None and _KEYID.fullmatch(text.upper()) is None:
        detail = "has 52 characters, A to Z and 2 to 7, and ends in A or Q"
        raise StringError(f"{text!r}: looks like a KEYID, which {detail}; ucli identity shows it")
