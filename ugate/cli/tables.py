# -*- test-case-name: ugate.test.test_cli,ugate.test.test_cli_options -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Answers for people.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import inspect

from ugate.modules.operations import Operation

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def render(operation: Operation, value: Any) -> str:
    """
    An answer as text, with a line end.
    """
    if operation.name == "explain":
        return "".join(f"{line}\n" for line in value["lines"])
    if operation.name == "check":
        return str(value["normal"])
    if operation.name in ("get", "schema"):
        return f"{_yaml(value)}"
    information = inspect.type_info(operation.answer)
    if isinstance(information, inspect.ListType):
        assert isinstance(information.item_type, inspect.StructType)
        return "".join(f"{line}\n" for line in _rows(operation, information.item_type, value))
    assert isinstance(information, inspect.StructType)
    return "".join(f"{line}\n" for line in _fields(information, value))


def _yaml(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text


def _fields(information: inspect.StructType, value: Mapping[str, Any]) -> Iterator[str]:
    """
    A line for each field, and those of what is within behind it.
    """
    names = [
        field.encode_name
        for field in information.fields
        if value.get(field.encode_name) not in (None, "", [])
    ]
    width = max(map(len, names), default=0)
    for field in information.fields:
        name = field.encode_name
        if name not in names:
            continue
        inner = _struct(field.type)
        if inner is not None:
            yield f"{name}:"
            yield from (f"  {line}" for line in _fields(inner, value[name]))
        else:
            # A text of several lines, as mistakes are, goes on below where it begins.
            lines = value[name].splitlines() if isinstance(value[name], str) else [value[name]]
            yield f"{name:<{width}}  {shown(field.type, lines[0])}"
            yield from (f"{'':{width}}  {shown(field.type, line)}" for line in lines[1:])


def _rows(
    operation: Operation, information: inspect.StructType, rows: list[Mapping[str, Any]]
) -> Iterator[str]:
    """
    A table: a line for each, below the names of the columns.
    """
    fields = {field.encode_name: field.type for field in information.fields}
    columns = operation.columns or tuple(fields)
    cells = [[shown(fields[name], row.get(name)) for name in columns] for row in rows]
    titles = [name.upper() for name in columns]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    rights = [_isNumber(fields[name]) for name in columns]
    for line in [titles, *cells]:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, rights, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def _bare(wanted: inspect.Type) -> tuple[inspect.Type, str]:
    show = ""
    while True:
        if isinstance(wanted, inspect.Metadata):
            show = show or (wanted.extra or {}).get("show", "")
            wanted = wanted.type
        elif isinstance(wanted, inspect.UnionType):
            wanted = next(each for each in wanted.types if not isinstance(each, inspect.NoneType))
        else:
            return wanted, show


def _struct(wanted: inspect.Type) -> inspect.StructType | None:
    plain, _ = _bare(wanted)
    return plain if isinstance(plain, inspect.StructType) else None


def _isNumber(wanted: inspect.Type) -> bool:
    plain, show = _bare(wanted)
    return isinstance(plain, (inspect.IntType, inspect.FloatType)) and show != "time"


def shown(wanted: inspect.Type, value: Any) -> str:
    """
    One value in words.  What would move the cursor of a terminal does not get there.
    """
    _, show = _bare(wanted)
    if value in (None, "", []):
        return "-"
    if show == "time":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if show == "bytes":
        return inBytes(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if value < 1e6 else f"{value:.0f}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(each if each.isprintable() else "?" for each in text)


def inBytes(count: float) -> str:
    """
    A number of bytes with the unit that fits.
    """
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("there is a last unit")
