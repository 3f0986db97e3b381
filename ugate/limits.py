# -*- test-case-name: ugate.test.test_limits -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How many descriptors the process may have.
"""

from __future__ import annotations

import resource
from typing import Final

from twisted.logger import Logger

_PER_STREAM: Final = 2
_SPARE: Final = 256

_log = Logger()


def raiseDescriptorLimit(streams: int) -> int:
    """
    Raise the soft limit as far as C{streams} need it and the hard limit lets us.

    @return: how many streams the limit is now good for; a smaller number than
        C{streams} is logged.
    """
    wanted = streams * _PER_STREAM + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return streams
    good = max(1, (soft - _SPARE) // _PER_STREAM)
    _log.warn(
        "only {good} of node.streams={streams} streams have descriptors: raise the hard limit (ulimit -Hn)",
        good=good,
        streams=streams,
    )
    return good
