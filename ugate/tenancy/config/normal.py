# -*- test-case-name: ugate.test.test_config_normal -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The normal form of a configuration: all defaults filled in, in a fixed order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Final

from msgspec import Struct

from ugate.tenancy.config.whole import Config

_PLAIN: Final = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./@=+%~-]|:(?=[A-Za-z0-9_./@=+%~-]))*")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def normalForm(config: Config) -> str:
    """
    Write a configuration as YAML that reads back as an equal one.

    Equal configurations have the same normal form, so that two can be compared line by line.

    @since: ugate NEXT
    """
    lines: list[str] = []
    for kind in ("listen", "dial"):
        named = getattr(config, kind)
        lines.append(f"{kind}:" if named else f"{kind}: {{}}")
        for name in sorted(named):
            lines.append(f"  {_text(name)}:")
            lines += _entries(_pairs(named[name]), "    ")
    lines.append("routes:" if config.routes else "routes: []")
    for route in config.routes:
        first, *rest = _entries(((field.name, getattr(route, field.name)) for field in fields(route)), "    ")
        lines += [f"  - {first.lstrip()}", *rest]
    for kind in ("policy", "node"):
        lines += [f"{kind}:", *_entries(_pairs(getattr(config, kind)), "  ")]
    return "\n".join(lines) + "\n"


def _pairs(section: Struct) -> Iterator[tuple[str, object]]:
    return ((name, getattr(section, name)) for name in section.__struct_fields__)


def _entries(pairs: Iterable[tuple[str, object]], margin: str) -> list[str]:
    return [f"{margin}{name}: {_value(value)}" for name, value in pairs]


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return _value(value[0]) if len(value) == 1 else f"[{', '.join(map(_value, value))}]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    """
    A text for YAML, in quotes unless every reader of YAML takes it for a text without them.
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
