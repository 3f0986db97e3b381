# -*- test-case-name: ugate.test.test_config_normal -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Plain values as YAML that reads back as the same values, in this and in other readers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./@=+%~-]|:(?=[A-Za-z0-9_./@=+%~-]))*")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def entries(pairs: Iterable[tuple[str, object]], margin: str = "") -> list[str]:
    """
    The lines of a mapping.

    @param pairs: keys with what they stand for: mappings, lists, texts, numbers, truths or L{None}.
    @param margin: what is before each line.
    """
    lines = []
    for key, value in pairs:
        name = f"{margin}{text(key)}:"
        if isinstance(value, Mapping) and value:
            lines += [name, *entries(value.items(), margin + "  ")]
        elif isinstance(value, (list, tuple)) and any(isinstance(each, Mapping) and each for each in value):
            lines += [name, *items(value, margin + "  ")]
        else:
            lines.append(f"{name} {inline(value)}")
    return lines


def items(values: Iterable[object], margin: str) -> list[str]:
    """
    The lines of a list.
    """
    lines = []
    for value in values:
        if isinstance(value, Mapping) and value:
            first, *rest = entries(value.items(), margin + "  ")
            lines += [f"{margin}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{margin}- {inline(value)}")
    return lines


def inline(value: object) -> str:
    """
    A value within a line.
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(str(key))}: {inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(inline, value))}]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return text(value) if isinstance(value, str) else repr(value)


def text(value: str) -> str:
    """
    A text, in quotes unless every reader of YAML takes it for a text without them.
    """
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
