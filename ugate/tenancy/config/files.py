# -*- test-case-name: ugate.test.test_config_files -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections from a file, or from a directory of files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from zope.interface import implementer

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.gather import Gathered
from ugate.tenancy.config.jsontext import readJSON
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.recovery import readYAML
from ugate.tenancy.config.sections import KINDS, ROOT, IDiagnosed, Kind, Section
from ugate.tenancy.config.tree import Place, Source, Unread, Written

MAX_BYTES: Final = 10 * 1024 * 1024
"""How large one file may be."""

MAX_FILES: Final = 10_000
"""How many files a directory may have."""

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_STRANGE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_NOT_UTF8: Final = "\ufffe"


@implementer(IConfigStore, IDiagnosed)
class FileStore:
    """
    The sections in one YAML or JSON file, or in all such files of a directory in the order of their names.

    It reads when it is made and when it is told to, and never raises for what is in the files or for
    files that cannot be read: see C{mistakes()}.

    @since: ugate NEXT
    """

    def __init__(self, path: str, kinds: Mapping[str, Kind] = KINDS) -> None:
        """
        @param path: of the file or the directory; C{*.json} is read as JSON, all else as YAML.
        @param kinds: the kinds that there are.
        """
        self._path = path
        self._kinds = kinds
        self._callbacks: dict[object, Callable[[frozenset[str] | None], None]] = {}
        self._gathered = Gathered(kinds)
        self._seen = b""
        self._load()

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind; those of routes are their places.
        """
        return list(self._gathered.sections.get(kind, ())) if tenant == ROOT else []

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        if tenant != ROOT:
            raise KeyError(tenant)
        return self._gathered.sections[kind][name]

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back whenever L{reload} finds a change.
        """
        key = object()
        self._callbacks[key] = callback

        def stop() -> None:
            self._callbacks.pop(key, None)

        return stop

    def mistakes(self) -> list[Mistake]:
        """
        What is wrong with the files, beside what is in their sections.
        """
        return list(self._gathered.mistakes)

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether all names of a kind could be read.
        """
        return kind not in self._gathered.partial

    def reload(self) -> bool:
        """
        Read the files again, and call back if any of them changed.

        @return: whether one did.
        """
        changed = self._load()
        if changed:
            for callback in list(self._callbacks.values()):
                callback(None)
        return changed

    def _load(self) -> bool:
        contents = self._contents()
        digest = sha256()
        for path, data in contents:
            told = data if isinstance(data, bytes) else data.encode()
            digest.update(b"%d %d " % (len(path), len(told)) + os.fsencode(path) + told)
        if digest.digest() == self._seen:
            return False
        self._seen = digest.digest()
        gathered = Gathered(self._kinds)
        for path, data in contents:
            written, mistakes = readFile(path, data)
            gathered.mistakes += mistakes
            gathered.add(written)
        self._gathered = gathered
        return True

    def _contents(self) -> list[tuple[str, bytes | str]]:
        """
        Each file with its bytes, or with why it cannot be read.
        """
        if not os.path.isdir(self._path):
            return [(self._path, _bytesOf(self._path))]
        try:
            names = sorted(n for n in os.listdir(self._path) if n.endswith(_SUFFIXES) and n[0] != ".")
        except OSError as error:
            return [(self._path, _reason(error))]
        if not names or len(names) > MAX_FILES:
            return [(self._path, f"{len(names)} files *.yaml, *.yml or *.json; wanted 1 to {MAX_FILES}")]
        paths = [os.path.join(self._path, name) for name in names]
        return [(path, _bytesOf(path)) for path in paths]


def _bytesOf(path: str) -> bytes | str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return _reason(error)
    if len(data) > MAX_BYTES:
        return f"the file is over {MAX_BYTES // 1024 // 1024} MiB; wanted several smaller ones in a directory"
    return data


def _reason(error: OSError) -> str:
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
