# -*- test-case-name: ugate.test.test_config_yamltext -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Reading on after an error in YAML, so that one mistake does not hide the others.

A parser ends at the first error.  So a text with one is cut at its top-level keys, and each piece is read
alone; a piece with an error is cut once more, at the entries under its key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.tree import Place, Scalar, Series, Source, Table, Unread, Written
from ugate.tenancy.config.yamltext import YAMLTree, distinct

MAX_FAULTS: Final = 100
"""After how many errors reading ends."""

_TOP: Final = re.compile(r"[^\s#\-\]})%.]")
_KEY: Final = re.compile(r"""\s*(?:- +)?["']?([A-Za-z_][A-Za-z0-9_.-]*)["']?\s*:(?:\s|$)""")
_HEADER: Final = re.compile(r"[^\s#][^#]*:\s*(?:#.*)?")


def readYAML(source: Source) -> tuple[Written | None, list[Mistake]]:
    """
    Read YAML, and tell all mistakes of syntax in it.

    @return: what is written, L{None} if nothing is, with L{Unread} in place of what cannot be read; and
        the mistakes.
    @since: ugate NEXT
    """
    numbers = range(1, len(source.lines) + 1)
    tree = YAMLTree(source, numbers)
    if tree.fault is None:
        return tree.root, tree.mistakes
    if tree.isTooMuch:
        return tree.root, [*tree.mistakes, tree.fault]
    return _recovered(source, numbers, tree.fault)


def _recovered(source: Source, numbers: Sequence[int], fault: Mistake) -> tuple[Written, list[Mistake]]:
    mistakes: list[Mistake] = []
    faults: list[Mistake] = []
    entries: list[tuple[Written, Written]] = []
    for block in _cut(source, numbers, lambda line: _TOP.match(line) is not None):
        tree = YAMLTree(source, block)
        if tree.fault is None:
            mistakes += tree.mistakes
            if isinstance(tree.root, Table):
                entries += tree.root.entries
            continue
        entry, inner, innerFaults = _byEntries(source, block, tree.fault)
        mistakes += inner
        faults += innerFaults
        if entry is not None:
            entries.append(entry)
        if len(faults) >= MAX_FAULTS:
            break
    table = Table(Place(source), distinct(entries, mistakes))
    # If each piece alone is fine, what is wrong is how they stand together: then nothing is sure.
    return (table, mistakes + faults) if faults else (Unread(Place(source)), [fault])


def _byEntries(
    source: Source, block: Sequence[int], fault: Mistake
) -> tuple[tuple[Scalar, Written] | None, list[Mistake], list[Mistake]]:
    """
    Read a top-level key and each entry under it alone.

    @return: the key with what could be read under it, mistakes, and faults.
    """
    header, *body = block
    key = _keyOn(source, header)
    if key is None or not body or not _HEADER.fullmatch(source.lines[header - 1]):
        return (None if key is None else (key, Unread(key.place))), [], [fault]
    mistakes: list[Mistake] = []
    faults: list[Mistake] = []
    pairs: list[tuple[Written, Written]] = []
    items: list[Written] = []
    for group in _cut(source, body, _beginsEntry(source, body)):
        tree = YAMLTree(source, [header, *group])
        inner = tree.root.get(key.text) if isinstance(tree.root, Table) else None
        if tree.fault is not None:
            faults.append(tree.fault)
            name = _keyOn(source, group[0])
            if source.lines[group[0] - 1].lstrip().startswith("-"):
                items.append(Unread(Place(source, group[0])))
            elif name is not None:
                pairs.append((name, Unread(name.place)))
            if len(faults) == MAX_FAULTS:
                break
        mistakes += tree.mistakes
        if isinstance(inner, Table):
            pairs += inner.entries
        elif isinstance(inner, Series):
            items += inner.items
    if not faults or (pairs and items):
        return (key, Unread(key.place)), [], [fault]
    if items:
        return (key, Series(key.place, tuple(items))), mistakes, faults
    return (key, Table(key.place, distinct(pairs, mistakes))), mistakes, faults


def _beginsEntry(source: Source, body: Sequence[int]) -> Callable[[str], bool]:
    """
    What tells whether a line begins an entry: it is indented as little as any, or by a tab.
    """
    margins = [_margin(source.lines[number - 1]) for number in body]
    spaces = [len(margin) for margin in margins if margin is not None and "\t" not in margin]
    least = min(spaces, default=0)

    def begins(line: str) -> bool:
        margin = _margin(line)
        return margin is not None and (len(margin) == least or "\t" in margin)

    return begins


def _margin(line: str) -> str | None:
    """
    The white space before a line; L{None} if there is nothing after it, or a comment.
    """
    text = line.lstrip()
    return line[: len(line) - len(text)] if text and not text.startswith("#") else None


def _cut(source: Source, numbers: Sequence[int], begins: Callable[[str], bool]) -> list[list[int]]:
    """
    Cut lines into pieces, each from a line that begins one to before the next; what is before all is lost.
    """
    pieces: list[list[int]] = []
    for number in numbers:
        if begins(source.lines[number - 1]):
            pieces.append([number])
        elif pieces:
            pieces[-1].append(number)
    return pieces


def _keyOn(source: Source, number: int) -> Scalar | None:
    """
    The key that a line begins with, if it does.
    """
    match = _KEY.match(source.lines[number - 1])
    if match is None:
        return None
    return Scalar(Place(source, number, match.start(1) + 1, len(match[1])), match[1])
