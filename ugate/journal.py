# -*- test-case-name: ugate.test.test_journal -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Changes that can be taken back as long as it is not known whether all of them are good.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final

_ABSENT: Final = object()


class Journal:
    """
    What was changed, and how it was before.

    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []
        self._after: list[Callable[[], object]] = []

    def put(self, mapping: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        """
        Put something in a mapping.
        """
        self._remember(mapping, key)
        mapping[key] = value

    def drop(self, mapping: MutableMapping[Any, Any], key: Any) -> None:
        """
        Take something out of a mapping, if it is there.
        """
        if key in mapping:
            self._remember(mapping, key)
            del mapping[key]

    def set(self, thing: object, name: str, value: Any) -> None:
        """
        Give something another attribute.
        """
        self.put(vars(thing), name, value)

    def clear(self, thing: object, name: str) -> None:
        """
        Take an attribute of an instance away, so that it is made again when it is wanted.
        """
        self.drop(vars(thing), name)

    def did(self, undo: Callable[[], object]) -> None:
        """
        Something else was done.

        @param undo: what takes it back.
        """
        self._undo.append(undo)

    def later(self, call: Callable[[], object]) -> None:
        """
        Do something if all is good, which cannot be taken back.
        """
        self._after.append(call)

    def commit(self) -> None:
        """
        All is good.
        """
        self._undo.clear()
        after, self._after = self._after, []
        for call in after:
            call()

    def rollback(self) -> None:
        """
        It is not: all is as before, the last change being taken back first.
        """
        self._after.clear()
        while self._undo:
            self._undo.pop()()

    def _remember(self, mapping: MutableMapping[Any, Any], key: Any) -> None:
        before = mapping.get(key, _ABSENT)
        if before is _ABSENT:
            self._undo.append(lambda: mapping.pop(key, None))
        else:
            self._undo.append(lambda: mapping.__setitem__(key, before))
