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
_ENOUGH: Final = 0.9
"""The share of the streams that may be had without a word."""

_log = Logger()


def raiseDescriptorLimit(streams: int) -> int:
    """
    Raise the soft limit as far as C{streams} need it and the hard limit lets us.

    @return: how many streams the limit is now good for; a number well below
        C{streams} is logged.
    """
    wanted = streams * _PER_STREAM + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        except (OSError, ValueError) as error:
            # The kernel has a limit of its own, and a sandbox may forbid it.
            _log.warn("the limit of descriptors stays at {soft}: {error}", soft=soft, error=error)
        else:
            soft = more
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return streams
    good = max(1, (soft - _SPARE) // _PER_STREAM)
    if good < streams * _ENOUGH:
        _log.warn(
            "only {good} of node.streams={streams} streams have descriptors: "
            "raise the hard limit (ulimit -Hn)",
            good=good,
            streams=streams,
        )
    return good
