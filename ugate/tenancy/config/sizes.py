# -*- test-case-name: ugate.test.test_config_forms -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Numbers of bytes as people write them: C{10M}, C{1.5Gi}.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_SIZE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([KkMGTP]?)(i?)B?")
_POWERS: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def sizeOf(text: str) -> int | None:
    """
    The number that is written: C{10M} is 10,000,000, C{10Mi} is 10 times 1024 times 1024.

    @return: L{None} if there is no such number, or it is not whole.
    @since: ugate NEXT
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        return None
    number = Decimal(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2]]
    return int(number) if number == number.to_integral_value() else None
