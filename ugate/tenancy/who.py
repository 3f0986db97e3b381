# -*- test-case-name: ugate.test.test_who -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whom a rule means: C{NAME} or C{METHOD:NAME}, both with C{*}, C{?} and C{[...]} as in a shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Final

from ugate.errors import StringError
from ugate.stream import Principal

METHODS: Final = ("local", "open", "password", "token", "jwt", "key", "certificate", "enrolment")
"""What can prove who somebody is."""

_MAX: Final = 512
_METHOD: Final = re.compile(r"([a-z*?\[\]!-]+):(?!//)")
_SPECIAL: Final = re.compile(r"[*?\[]")

Fits = Callable[[str], object]
"""Something true if a text fits."""


def glob(pattern: str) -> Fits | None:
    """
    What tells whether a text fits a pattern, where upper and lower case differ.

    @return: L{None} if every text does.
    """
    if pattern == "*":
        return None
    if _SPECIAL.search(pattern) is None:
        return pattern.__eq__
    return re.compile(translate(pattern)).match


def literally(text: str) -> str:
    """
    The pattern that a text alone fits.
    """
    return _SPECIAL.sub(lambda found: f"[{found[0]}]", text)


def checkPattern(text: str) -> None:
    """
    Whether a text can be a pattern of names.

    @raise StringError: not, and why.
    """
    if not 0 < len(text) <= _MAX:
        raise StringError(f"a pattern of {len(text)} characters; wanted 1 to {_MAX}")
    if not text.isprintable() or text != text.strip():
        raise StringError(f"{text!r} is no pattern; wanted printable characters, no space around them")


@dataclass(frozen=True, slots=True)
class Who:
    """
    Some principals.  C{str()} gives the text, which reads back as an equal value.

    @since: ugate NEXT
    """

    name: str
    """The pattern of their names."""

    method: str = "*"
    """The pattern of what proved them."""

    _name: Fits | None = field(init=False, repr=False, compare=False)
    _method: Fits | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_name", glob(self.name))
        object.__setattr__(self, "_method", glob(self.method))

    def matches(self, principal: Principal) -> bool:
        """
        Whether this means a principal.
        """
        fits, isProven = self._name, self._method
        if fits is not None and not fits(principal.name):
            return False
        return isProven is None or bool(isProven(principal.method))

    def __str__(self) -> str:
        if self.method == "*" and _METHOD.match(self.name) is None:
            return self.name
        return f"{self.method}:{self.name}"


def parseWho(text: str) -> Who:
    """
    Read whom a rule means.

    A name may have colons: what stands before the first one is a method if it is of small letters,
    and is not followed by C{//} as in C{spiffe://...}.

    @raise StringError: it cannot be read, and why.
    @since: ugate NEXT
    """
    checkPattern(text)
    match = _METHOD.match(text)
    if match is None:
        return Who(text)
    method, name = match[1], text[match.end() :]
    if not name:
        raise StringError(f"who {text!r}: no name after the colon; {method}:* are all of these")
    fits = glob(method)
    if fits is not None and not any(fits(known) for known in METHODS):
        raise StringError(
            f"who {text!r}: {method!r} proves nobody; wanted NAME or METHOD:NAME with one of "
            f"{', '.join(METHODS)}; for a name with a colon write *:NAME"
        )
    return Who(name, method)
