# -*- test-case-name: ugate.test.test_hops -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The punctuation of endpoint strings: colons between parts, an equals sign in a
keyword, a backslash that takes the next character as it is, arrows in a chain.

It is Twisted's own, and more: an IPv6 address may stand in brackets, C{-E{>}}
separates hops unless a backslash is in it, and what Twisted would let pass in
silence (a keyword given twice, a backslash at the end) is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ugate.errors import StringError

ARROW: Final = "->"


def quoteValue(text: str) -> str:
    """
    Write a text so that it reads back as one value of a keyword.
    """
    quoted = text.replace("\\", "\\\\").replace(":", "\\:").replace(ARROW, "-\\>")
    if quoted[:1].isspace():
        quoted = "\\" + quoted
    if len(text) > 1 and text[-1].isspace():
        quoted = quoted[:-1] + "\\" + quoted[-1]
    return quoted


def quotePart(text: str) -> str:
    """
    Write a text so that it reads back as one part, or as the name of a keyword;
    brackets around it stay what they are.
    """
    return quoteValue(text).replace("=", "\\=")


def join(parts: Iterable[object], keywords: Mapping[str, object]) -> str:
    """
    Write parts and then keywords, in the order given, as an endpoint string.
    """
    words = [quotePart(str(part)) for part in parts]
    words += [f"{quotePart(key)}={quoteValue(str(value))}" for key, value in keywords.items()]
    return ":".join(words)


def split(text: str) -> tuple[list[str], dict[str, str]]:
    """
    Read an endpoint string.

    @return: the parts, of which one in brackets keeps them, and the keywords.
    @raise StringError: if a keyword comes twice, or a bracket or an escape has
        no end.
    """
    parts: list[str] = []
    keywords: dict[str, str] = {}
    at = 0
    while at <= len(text):
        if text.startswith("[", at):
            word, at = _bracketed(text, at)
            parts.append(word)
            continue
        word, at = _upTo(text, at, ":=")
        if not text.startswith("=", at):
            parts.append(word)
        else:
            value, at = _upTo(text, at + 1, ":")
            if word in keywords:
                raise StringError(f"{word}= is given twice")
            keywords[word] = value
        at += 1
    return parts, keywords


def _bracketed(text: str, start: int) -> tuple[str, int]:
    """
    A part in brackets, and where the next one starts.
    """
    word, end = _upTo(text, start, "]")
    if end == len(text) or text[end + 1 : end + 2] not in ("", ":"):
        raise StringError("an address in brackets ends with ] before the next colon, as in [::1]")
    return f"{word}]", end + 2


def _upTo(text: str, at: int, stops: str) -> tuple[str, int]:
    """
    The characters before one of C{stops}, their escapes undone, and where it is.
    """
    found: list[str] = []
    while at < len(text) and text[at] not in stops:
        if text[at] == "\\":
            at += 1
            if at == len(text):
                raise StringError("it ends with a backslash that escapes nothing: write it twice")
        found.append(text[at])
        at += 1
    return "".join(found), at


def splitArrows(text: str) -> list[str]:
    """
    Cut a chain at its arrows; the pieces keep their escapes and lose the white
    space around them.
    """
    pieces: list[str] = []
    piece = ""
    kept = at = 0
    while at < len(text):
        if text.startswith(ARROW, at):
            pieces.append(piece[:kept].lstrip())
            piece, kept, at = "", 0, at + len(ARROW)
            continue
        length = 2 if text[at] == "\\" else 1
        piece += text[at : at + length]
        at += length
        if length > 1 or not piece[-1].isspace():
            kept = len(piece)
    return [*pieces, piece[:kept].lstrip()]
