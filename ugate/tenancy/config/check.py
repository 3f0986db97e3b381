# -*- test-case-name: ugate.test.test_config_check,ugate.test.test_config_forms -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From what was written to what it means: values of the wanted types, and every mistake on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import inspect

from ugate.errors import UgateError, meant, suggestion
from ugate.tenancy.config.mistakes import Mistake, oneOf
from ugate.tenancy.config.schema import Secret
from ugate.tenancy.config.shapes import bare, shape
from ugate.tenancy.config.sizes import sizeOf
from ugate.tenancy.config.tree import (
    Place,
    Scalar,
    Series,
    Source,
    Table,
    Unread,
    Written,
    found,
    isEmpty,
    plainValue,
)

Checks: TypeAlias = Mapping[str, Callable[[str], object]]
"""
What knows whether a text is good, by what the schema calls C{check}: takes it, raises L{ValueError} or
L{UgateError} (L{ugate.errors.StringError} is both) with what is wrong and what is wanted.
"""

BAD: Final = object()
"""Stands for a value that could not be had; the mistake is already told."""

_LIMITS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
_LEAVES: Final[Mapping[type, type | None]] = {
    inspect.StrType: str,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.BoolType: bool,
    inspect.NoneType: None,
}
_LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9_]+")


class Reading:
    """
    Reads trees as values and collects what is wrong with them.

    @ivar mistakes: what was found so far.
    @since: ugate NEXT
    """

    def __init__(self, checks: Checks) -> None:
        self.mistakes: list[Mistake] = []
        self._checks = checks

    def complain(self, written: Written, message: str) -> object:
        """
        Tell a mistake.

        @return: L{BAD}.
        """
        self.mistakes.append(Mistake(written.place, message))
        return BAD

    def read(self, written: Written, wanted: inspect.Type, path: str) -> Any:
        """
        Read a tree as a value of some type.

        @param path: the keys that lead there, with dots, for mistakes.
        @return: the value, or L{BAD} if there was any mistake in it.
        """
        if isinstance(written, Unread):
            return BAD
        plain, extra = bare(wanted)
        if isinstance(plain, inspect.UnionType):
            member = self._member(written, plain)
            return self._wrong(written, wanted, path) if member is None else self.read(written, member, path)
        if isinstance(plain, inspect.StructType) and isinstance(written, Table):
            return (self._secret if plain.cls is Secret else self._struct)(written, plain, path)
        if isinstance(plain, (inspect.VarTupleType, inspect.ListType)):
            if isinstance(written, Scalar) and "one" in extra and not isEmpty(written):
                written = Series(written.place, (written,))
            if isinstance(written, Series):
                return self._series(written, plain, path)
        if isinstance(plain, inspect.DictType) and isinstance(written, Table):
            return self._dict(written, plain, path)
        if isinstance(written, Scalar) and (type(plain) in _LEAVES or isinstance(plain, inspect.LiteralType)):
            return self._leaf(written, wanted, path)
        return self._wrong(written, wanted, path)

    def _member(self, written: Written, union: inspect.UnionType) -> inspect.Type | None:
        """
        The member of a union that has the form of what is written.
        """
        for member in union.types:
            plain, _ = bare(member)
            if isinstance(plain, inspect.NoneType):
                fits = isEmpty(written)
            elif isinstance(plain, (inspect.StructType, inspect.DictType)):
                fits = isinstance(written, Table)
            elif isinstance(plain, (inspect.VarTupleType, inspect.ListType)):
                fits = isinstance(written, Series)
            else:
                fits = isinstance(written, Scalar) and not isEmpty(written)
            if fits:
                return member
        return None

    def _wrong(self, written: Written, wanted: inspect.Type, path: str) -> object:
        hint = ""
        plain, extra = bare(wanted)
        if isSecret(plain) and not isEmpty(written):
            # It may be the secret itself.
            self.mistakes.append(Mistake(unshown(written.place), f"{path} is not {shape(wanted)}"))
            return BAD
        if isinstance(written, Scalar) and not isEmpty(written):
            if isinstance(plain, inspect.LiteralType):
                hint = suggestion(written.text, map(str, plain.values))
            elif isinstance(plain, (inspect.IntType, inspect.FloatType)):
                if written.quoted and not isinstance(plainValue(Scalar(written.place, written.text)), str):
                    hint = ", without quotes"
                elif _LEADING_ZERO.fullmatch(written.text):
                    hint = ", without a leading zero"
        elif isEmpty(written) and "check" not in extra and isinstance(plain, inspect.StrType):
            hint = ', or "" for none'
        return self.complain(written, f"{path} is {found(written)}; wanted {shape(wanted)}{hint}")

    def _leaf(self, written: Scalar, wanted: inspect.Type, path: str) -> Any:
        plain, extra = bare(wanted)
        if "size" in extra:
            size = sizeOf(written.text)
            written = written if size is None else Scalar(written.place, str(size))
        isText = isinstance(plain, (inspect.StrType, inspect.LiteralType))
        # A text is what was written, be it a number, a date or a truth for YAML.
        value = written.text if isText and not isEmpty(written) else plainValue(written)
        try:
            value = msgspec.convert(value, _asType(plain))
        except msgspec.ValidationError:
            return self._wrong(written, wanted, path)
        checker = self._checks.get(extra.get("check", ""))
        if checker is not None:
            try:
                checker(written.text)
            except (ValueError, UgateError) as error:
                return self.complain(written, f"{path}: {error}")
        return value

    def _series(self, written: Series, wanted: inspect.VarTupleType | inspect.ListType, path: str) -> Any:
        if len(written.items) < (wanted.min_length or 0):
            return self.complain(written, f"{path} is an empty list; wanted {shape(wanted.item_type)}")
        values = [self.read(item, wanted.item_type, path) for item in written.items]
        if any(value is BAD for value in values):
            return BAD
        return tuple(values) if isinstance(wanted, inspect.VarTupleType) else values

    def _dict(self, written: Table, wanted: inspect.DictType, path: str) -> Any:
        values = {}
        for key, item in written.entries:
            name = self.read(Scalar(key.place, key.text, True), wanted.key_type, f"a key of {path}")
            value = self.read(item, wanted.value_type, f"{path}.{key.text}")
            values[BAD if BAD in (name, value) else name] = value
        return BAD if BAD in values else values

    def _struct(self, written: Table, wanted: inspect.StructType, path: str) -> Any:
        fields = {field.encode_name: field for field in wanted.fields}
        values: dict[str, Any] = {}
        for key, item, name in self.keys(written, fields, path):
            read = self.read(item, fields[name].type, f"{path}.{name}")
            values[name] = read if key.text == name else BAD
        missing = [name for name, field in fields.items() if field.required and name not in values]
        for name in missing:
            self.complain(written, f"{path} lacks {name!r}; wanted {shape(fields[name].type)}")
        if missing or BAD in values.values() or len(values) < len(written.entries):
            return BAD
        try:
            return wanted.cls(**values)
        except ValueError as error:
            # What no single key shows, of a type that checks itself.
            return self.complain(written, f"{path}: {error}")

    def _secret(self, written: Table, wanted: inspect.StructType, path: str) -> Any:
        """
        Read where a secret is; no mistake shows the text, which may have the secret itself.
        """
        before = len(self.mistakes)
        value = self._struct(written, wanted, path)
        new = self.mistakes[before:]
        self.mistakes[before:] = [Mistake(unshown(each.place), each.message) for each in new]
        return value

    def keys(self, written: Table, known: Iterable[str], path: str) -> Iterable[tuple[Scalar, Written, str]]:
        """
        The entries of a table with the key that each stands for.

        An unknown key is a mistake.  One that is like a known key stands for that, so that what is under it
        is read too, and what is meant does not seem to be missing.

        @return: the key as it is written, its value, and the known key.
        """
        known = list(known)
        present = {key.text for key, _ in written.entries}
        entries = []
        for key, item in written.entries:
            name = key.text
            if name not in known:
                where = f"in {path}" if path else "at the top"
                wanted = f"unknown key {name!r} {where}; wanted {oneOf(known)}"
                like = meant(name, set(known) - present) or ""
                self.complain(key, wanted + suggestion(name, known))
                if not like:
                    continue
                present.add(like)
                name = like
            entries.append((key, item, name))
        return entries


def _asType(wanted: inspect.Type) -> Any:
    """
    The annotation of a leaf again, with its limits.
    """
    if isinstance(wanted, inspect.LiteralType):
        return _annotation(None, tuple(wanted.values))
    return _annotation(type(wanted), tuple([getattr(wanted, name, None) for name in _LIMITS]))


@lru_cache(maxsize=1000)
def _annotation(kind: type | None, limits: tuple[Any, ...]) -> Any:
    if kind is None:
        return Literal[limits]
    given = {name: limit for name, limit in zip(_LIMITS, limits, strict=True) if limit is not None}
    return Annotated[_LEAVES[kind], msgspec.Meta(**given)]


def isSecret(wanted: inspect.Type) -> bool:
    """
    Whether a L{Secret} is wanted, or one is among what is.
    """
    plain, _ = bare(wanted)
    if isinstance(plain, inspect.UnionType):
        return any(map(isSecret, plain.types))
    return isinstance(plain, inspect.StructType) and plain.cls is Secret


def unshown(place: Place) -> Place:
    """
    The same place, but without the text that is there.
    """
    return Place(Source(place.source.name, (), place.source.numbered), place.line, place.column, place.width)
