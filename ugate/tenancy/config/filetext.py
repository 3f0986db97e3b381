# -*- test-case-name: ugate.test.test_config_files -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From the bytes of a file to what is written in it.
"""

from __future__ import annotations

import re
from typing import Final

from ugate.tenancy.config.jsontext import readJSON
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.recovery import readYAML
from ugate.tenancy.config.tree import Place, Source, Unread, Written

MAX_BYTES: Final = 10 * 1024 * 1024
"""How large one file may be."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_STRANGE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_NOT_UTF8: Final = "\ufffe"


def bytesOf(path: str) -> bytes | str:
    """
    The bytes of a file, or why there are none.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return reasonOf(error)
    if len(data) > MAX_BYTES:
        return f"the file is over {MAX_BYTES // 1024 // 1024} MiB; wanted several smaller ones in a directory"
    return data


def reasonOf(error: OSError) -> str:
    """
    Why something cannot be read, in words for whoever said that it can.
    """
    return f"{error.strerror or error}; wanted a YAML or JSON file, or a directory of such, that can be read"


def readFile(name: str, data: bytes | str) -> tuple[Written | None, list[Mistake]]:
    """
    Read the bytes of a file.

    @param name: its path, for mistakes; C{*.json} is JSON.
    @param data: its bytes, or why there are none.
    @return: what is written, L{None} if nothing is; and the mistakes.
    """
    if isinstance(data, str):
        place = Place(Source(name, numbered=False))
        return Unread(place), [Mistake(place, data)]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        place = Place(Source(name))
        return Unread(place), [Mistake(place, "the file is UTF-16; wanted UTF-8")]
    source, mistakes = _sourceOf(name, data.removeprefix(b"\xef\xbb\xbf"))
    written, more = (readJSON if name.endswith(".json") else readYAML)(source)
    return written, mistakes + more


def _sourceOf(name: str, data: bytes) -> tuple[Source, list[Mistake]]:
    """
    The lines of a file.  What is not UTF-8, and control characters, are told once and replaced: so the
    other mistakes are found too.
    """
    wrong = ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        wrong = f"the byte 0x{data[error.start]:02x} is not UTF-8; wanted the file saved as UTF-8"
        text = data[: error.start].decode() + _NOT_UTF8 + data[error.end :].decode(errors="replace")
    strange = _STRANGE.search(text)
    if strange is None:
        return Source(name, _LINE_END.split(text)), []
    if strange[0] != _NOT_UTF8 or not wrong:
        wrong = f"the character U+{ord(strange[0]):04X} cannot stand in a text; wanted it left out"
    before = _LINE_END.split(text[: strange.start()])
    source = Source(name, _LINE_END.split(_STRANGE.sub("\ufffd", text)))
    return source, [Mistake(Place(source, len(before), len(before[-1]) + 1), wrong)]
