# -*- test-case-name: ugate.test.test_nearkeyid -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A KEYID that somebody has mistyped, which could be taken for the name of a host.
"""

from __future__ import annotations

import re
from typing import Final

from ugate.errors import StringError

_LENGTH: Final = 52
_NEAR: Final = re.compile(rf"(?=.*[0-9])[A-Za-z0-9]{{{_LENGTH - 1},{_LENGTH + 1}}}")
_WANTED: Final = "wanted a KEYID of 52 characters, as ucli identity shows it, or a name that looks like none"


def checkNoNearKeyid(text: str) -> None:
    """
    Return if a name begins with a KEYID, or with what is none by far.  Names of hosts that begin with a
    label of as many letters and digits are nobody's.

    @raise StringError: it is nearly one, and what is wrong with it.
    @since: ugate NEXT
    """
    label = text.partition(".")[0]
    if _NEAR.fullmatch(label) is None:
        return
    if len(label) != _LENGTH:
        why = f"it has {len(label)} characters"
    elif strange := sorted({*label} & {*"0189"}):
        why = f"no KEYID has {', '.join(strange)}"
    elif not (label.isupper() or label.islower()):
        why = "some of its letters are small, and some are not"
    elif label[-1] not in "AQaq":
        why = f"no KEYID ends in {label[-1]}"
    else:
        return
    raise StringError(f"{label!r} is nearly a KEYID, but {why}; {_WANTED}")
