# -*- test-case-name: ugate.test.test_guard -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which tenant a host name belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_ANY: Final = "*."


class Hosts:
    """
    The names that tenants were delegated: C{NAME}, or C{*.NAME} for all below it.

    @since: ugate NEXT
    """

    def __init__(self, hosts: Mapping[str, Iterable[str]]) -> None:
        """
        @param hosts: the patterns, by the paths of the tenants; parents before children.
        """
        # A child's names are within its parent's: where both have one, it is the child's.
        self._tenants = {
            pattern.lower().rstrip("."): path for path, patterns in hosts.items() for pattern in patterns
        }

    def tenantOf(self, host: str) -> str | None:
        """
        The path of the tenant of a name in lower case; the longest pattern that fits decides.
        """
        exact = self._tenants.get(host)
        if exact is not None:
            return exact
        _, dot, rest = host.partition(".")
        while dot:
            path = self._tenants.get(_ANY + rest)
            if path is not None:
                return path
            _, dot, rest = rest.partition(".")
        return self._tenants.get("*")
