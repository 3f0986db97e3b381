# -*- test-case-name: bench.test_dns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A server that knows one address for all names.
"""

from __future__ import annotations

_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"


def answer(question: bytes) -> bytes:
    """
    What it says: the address, for an hour, and nothing of EDNS.
    """
    end = question.index(0, 12) + 5
    return question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[12:end] + _RECORD
