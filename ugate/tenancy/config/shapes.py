# -*- test-case-name: ugate.test.test_config_check -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Types in words: what is wanted at a place, for the person who wrote something else there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import inspect

from ugate.tenancy.config.mistakes import oneOf
from ugate.tenancy.config.schema import Secret


def bare(wanted: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """
    A type without its wrapping, and what the wrapping says: C{check}, C{wanted}, C{unit}.
    """
    extra: dict[str, Any] = {}
    while isinstance(wanted, inspect.Metadata):
        extra = {**(wanted.extra or {}), **extra}
        wanted = wanted.type
    return wanted, extra


def shape(wanted: inspect.Type) -> str:
    """
    What is wanted, in words that end a sentence: C{a number of seconds above 0, at most 3600}.
    """
    plain, extra = bare(wanted)
    if "wanted" in extra:
        return str(extra["wanted"])
    if isinstance(plain, inspect.UnionType):
        return _anyOf(plain)
    if isinstance(plain, inspect.LiteralType):
        return oneOf(str(value) for value in plain.values)
    if isinstance(plain, (inspect.IntType, inspect.FloatType)):
        noun = "a whole number" if isinstance(plain, inspect.IntType) else "a number"
        unit = f" of {extra['unit']}" if "unit" in extra else ""
        suffix = ", maybe with K, M, G, T, P or Ki, Mi, ... after it" if "size" in extra else ""
        return noun + unit + bounds(plain) + suffix
    if isinstance(plain, inspect.StrType):
        return "text" + (f" of at most {plain.max_length} characters" if plain.max_length else "")
    if isinstance(plain, inspect.BoolType):
        return "true or false"
    if isinstance(plain, inspect.StructType):
        if plain.cls is Secret:
            return "where a secret is, as in {file: PATH} or {env: NAME}"
        return f"a mapping with {oneOf(field.encode_name for field in plain.fields)}"
    if isinstance(plain, (inspect.VarTupleType, inspect.ListType)):
        item = shape(plain.item_type)
        return f"{item}, or a list of such" if "one" in extra else f"a list of {item}"
    return "a mapping" if isinstance(plain, inspect.DictType) else "something else"


def _anyOf(union: inspect.UnionType) -> str:
    members = [member for member in union.types if not isinstance(member, inspect.NoneType)]
    single = [shape(member) for member in members if not isinstance(bare(member)[0], inspect.VarTupleType)]
    return oneOf(single) + (", or a list of such" if len(single) < len(members) else "")


def bounds(number: inspect.IntType | inspect.FloatType) -> str:
    """
    The range of a number, in words, with a space before; empty if it has none.
    """
    low, high = number.ge, number.le
    if low is not None and high is not None:
        return f" from {low:g} to {high}"
    parts = []
    if number.gt is not None:
        parts.append(f"above {number.gt:g}")
    if low is not None:
        parts.append(f"at least {low:g}")
    if high is not None:
        parts.append(f"at most {high}")
    return " " + ", ".join(parts) if parts else ""
