# -*- test-case-name: ugate.test.test_testing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A configuration from Python values, read as one from a file is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.sections import KINDS, ONLY, ROOT


@implementer(IConfigStore)
class ValueStore:
    """
    The sections of the root tenant, of the shapes that a file would have.

    @since: ugate NEXT
    """

    def __init__(
        self,
        listen: Mapping[str, object],
        dial: Mapping[str, object],
        routes: Sequence[Mapping[str, object]],
        policy: Mapping[str, object],
        node: Mapping[str, object],
    ) -> None:
        """
        See C{ugate.tenancy.config.schema} for what each may hold.
        """
        self._sections: dict[str, dict[str, Mapping[str, object]]] = {
            "listen": _named("listen", listen),
            "dial": _named("dial", dial),
            "routes": {str(number): route for number, route in enumerate(routes, 1)},
            "policy": {ONLY: policy} if policy else {},
            "node": {ONLY: node} if node else {},
        }

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind, in order.
        """
        return list(self._sections.get(kind, ())) if tenant == ROOT else []

    def section(self, tenant: str, kind: str, name: str) -> Mapping[str, object]:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        if tenant != ROOT:
            raise KeyError(tenant)
        return self._sections[kind][name]

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        It never changes.
        """
        return lambda: None


def _named(kind: str, sections: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    short = KINDS[kind].short
    return {
        name: section if isinstance(section, Mapping) else {short: section}
        for name, section in sections.items()
    }
