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
from ugate.keyid import KEYID

_KEYID: Final = re.compile(KEYID)


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
