# -*- test-case-name: ugate.test.test_config_files,ugate.test.test_config_folder -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections from a file, or from a directory of files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from zope.interface import implementer

from ugate.interfaces import IWatching, IWritableStore
from ugate.tenancy.config.callbacks import Callbacks
from ugate.tenancy.config.filetext import bytesOf, readFile
from ugate.tenancy.config.folder import MAX_FILES, SUFFIXES, Found, filesBelow, isSettled, signature
from ugate.tenancy.config.gather import Parts
from ugate.tenancy.config.index import Index
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import KINDS, IDiagnosed, ILayered, Kind, Section
from ugate.tenancy.config.tree import Place, Source, Table

_SLICE: Final = 200


@dataclass(slots=True)
class _File:
    """
    A file as it was when it was read.
    """

    signature: object
    """What tells whether it may have changed."""

    isSettled: bool
    """Whether a change since then would have given another signature."""

    digest: bytes
    """Of what was in it."""

    parts: Parts
    """What it has, or had when it could be read."""


@implementer(IWritableStore, IWatching, IDiagnosed, ILayered)
class FileStore:
    """
    The sections in one YAML or JSON file, or in all such files of a directory in the order of their names.

    In a directory, C{tenants/NAME.yaml} and C{tenants/NAME/} have what is that tenant's own, and so on.

    It reads when it is made and when it is told to, and after L{start} whenever something changed.  It
    never raises for what is in the files or for files that cannot be read: see C{mistakes()}.  Of what
    could be read before and cannot be now, the sections of then stay.

    @since: ugate NEXT
    """

    def __init__(self, path: str, kinds: Mapping[str, Kind] = KINDS, limit: int = MAX_FILES) -> None:
        """
        @param path: of the file or the directory; C{*.json} is read as JSON, all else as YAML.
        @param kinds: the kinds that there are.
        @param limit: how many files there may be.
        """
        self._path = path
        self._kinds = kinds
        self._limit = limit
        self._callbacks = Callbacks()
        self._index = Index(kinds)
        self._files: dict[str, _File] = {}
        self._found = Found()
        self._implied: dict[str, dict[str, Section]] = {}
        self._watch: Any = None
        self._update(None)

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind; those of routes are their places.
        """
        return list(self._index[tenant].sections.get(kind, ()))

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        return self._index[tenant].sections[kind][name]

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back whenever a change was found.
        """
        return self._callbacks.add(callback)

    def mistakes(self) -> list[Mistake]:
        """
        What is wrong with the files, beside what is in their sections.
        """
        return [*self._found.mistakes, *self._index.mistakes()]

    def tenants(self) -> Mapping[str, Place]:
        """
        All tenants that have anything here are named here.
        """
        return {}

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether all names of a kind could be read.
        """
        return kind not in self._index[tenant].partial

    def reload(self) -> bool:
        """
        Read again what changed, and call back if anything did.

        @return: whether anything did.
        """
        return self.update(None)

    def start(self, reactor: Any) -> None:
        """
        Notice changes from now on, as soon as the system tells or by looking every few seconds.
        """
        from ugate.tenancy.config.watching import Watch

        if self._watch is None:
            self._watch = Watch(reactor, self._noticed, self.suspects, self.update)
            self._watch.setFolders(self._found.folders)

    def stop(self) -> None:
        """
        Notice nothing more.
        """
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    @property
    def isWritable(self) -> bool:
        """
        Whether this is a directory: a single file is only people's to write.
        """
        return self._path not in self._files

    def put(self, tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        """
        Write a section into the file C{managed.yaml} of a tenant.

        @raise KeyError: there is no such kind, or no such place in a list.
        @raise UgateError: it cannot be written: it is in another file, or this is no directory.
        """
        from ugate.tenancy.config.managed import Managed

        self.update(Managed(self._path, self._kinds, self._index).put(tenant, kind, name, section))

    def delete(self, tenant: str, kind: str, name: str) -> None:
        """
        Take a section out of the file C{managed.yaml} of a tenant; with that of a tenant, its files too.

        @raise KeyError: there is none.
        @raise UgateError: it cannot be taken out: it is in another file, or this is no directory.
        """
        from ugate.tenancy.config.managed import Managed

        self.update(Managed(self._path, self._kinds, self._index).delete(tenant, kind, name))

    def rest(self, tenant: str, kind: str, name: str) -> Section | None:
        """
        What the files of people have of a section.
        """
        from ugate.tenancy.config.managed import Managed

        found: Section | None = None
        for section in Managed(self._path, self._kinds, self._index).others(tenant, kind, name):
            found = section if found is None else found.over(section)
        return found

    def _noticed(self, folder: str, name: str, isListing: bool) -> None:
        """
        Something happened in one of the directories.

        @param name: to which name in it; empty if to itself.
        @param isListing: whether more than that a file has other bytes.
        """
        path = os.path.join(folder, name)
        if self._path in self._files:
            # Only one file is of interest, and links that may lead to it.
            isOurs = path in (os.path.abspath(self._path), os.path.realpath(self._path))
            if isOurs or name.startswith("..") or (isListing and os.path.islink(path)):
                self._watch.soon((self._path,))
        elif path in self._files:
            self._watch.soon((path,), isListing)
        elif isListing and (name.startswith("..") or os.path.islink(path)):
            # What links lead to changes with them.
            self._watch.soon(None, True)
        elif isListing and (not name or name.endswith(SUFFIXES) or not os.path.isfile(path)):
            self._watch.soon((), True)

    def suspects(self) -> Iterator[tuple[Collection[str], bool]]:
        """
        Look for files that may have changed, some at a time.

        @return: those files, and whether there may be others; and again and again nothing, for a pause.
        """
        if self._path not in self._files:
            for folder, seen in self._found.folders.items():
                if not (isinstance(seen, tuple) and isSettled(seen) and signature(folder) == seen):
                    yield (), True
                    break
        for count, (path, file) in enumerate(list(self._files.items()), 1):
            if path not in self._found.kept and (not file.isSettled or signature(path) != file.signature):
                yield (path,), False
            elif count % _SLICE == 0:
                yield (), False

    def update(self, paths: Collection[str] | None, isListing: bool = False) -> bool:
        """
        Read files again, and call back if anything changed.

        @param paths: those that may have changed; L{None} if it may be any.
        @param isListing: whether there may be others than before.
        @return: whether anything changed.
        """
        touched = self._update(paths, isListing)
        if self._watch is not None:
            self._watch.setFolders(self._found.folders)
        if touched is None:
            return False
        self._callbacks.call(touched)
        return True

    def _update(self, paths: Collection[str] | None, isListing: bool = False) -> frozenset[str] | None:
        """
        @return: the tenants that have to do with what changed; L{None} if nothing did.
        """
        before = [str(mistake) for mistake in self._found.mistakes]
        known = self._files
        if isListing or paths is None or not all(path in known and os.path.exists(path) for path in paths):
            self._found = self._look()
            touched = self._lookAt(paths)
        else:
            fresh = {path: self._readAgain(path, self._found.files[path], known[path]) for path in paths}
            known.update(fresh)
            touched = self._index.change({path: file.parts for path, file in fresh.items()})
        isSame = before == [str(mistake) for mistake in self._found.mistakes]
        return touched if touched or not isSame else None

    def _lookAt(self, paths: Collection[str] | None) -> frozenset[str]:
        """
        Take all files that were found, and read those that may have changed.
        """
        files = {}
        for path, tenant in self._found.files.items():
            old = self._files.get(path)
            if old is not None and (path in self._found.kept or (paths is not None and path not in paths)):
                files[path] = old
            else:
                files[path] = self._readAgain(path, tenant, old)
        self._files = files
        return self._index.replace({path: file.parts for path, file in files.items()}, self._implied)

    def _look(self) -> Found:
        """
        See which files there are; what cannot be listed is as it was.
        """
        found = filesBelow(self._path, self._limit)
        if self._files and self._path in found.files and self._path not in self._files:
            # It was a directory before.
            found = Found(folders={self._path: None}, unlisted=[self._path])
            place = Place(Source(self._path, numbered=False))
            found.mistakes.append(Mistake(place, "it is no directory any more; wanted it back"))
        if found.unlisted:
            below = tuple(os.path.join(path, "") for path in found.unlisted)
            kept = {path: tenant for path, tenant in self._found.files.items() if path.startswith(below)}
            found.files.update(kept)
            found.kept.update(kept)
            for parent, names in self._found.implied.items():
                for name, path in names.items():
                    if path.startswith(below):
                        found.implied.setdefault(parent, {}).setdefault(name, path)
        implied: dict[str, dict[str, Section]] = {}
        for parent, names in found.implied.items():
            seen = self._implied.get(parent, {})
            # One that is the same object need not be read again.
            implied[parent] = {
                name: seen[name] if name in seen else _nothing(path) for name, path in names.items()
            }
        self._implied = implied
        return found

    def _readAgain(self, path: str, tenant: str, old: _File | None) -> _File:
        seen = signature(path)
        if old is not None and old.isSettled and seen == old.signature:
            return old
        data = bytesOf(path)
        digest = sha256(data if isinstance(data, bytes) else b"\0" + data.encode()).digest()
        if old is not None and digest == old.digest:
            return _File(seen, isSettled(seen), digest, old.parts)
        written, mistakes = readFile(path, data)
        if isinstance(data, str) and old is not None:
            return _File(seen, isSettled(seen), digest, old.parts.failed(mistakes))
        parts = Parts(written, tenant, self._kinds)
        parts.mistakes[:0] = mistakes
        return _File(seen, isSettled(seen), digest, parts)


def _nothing(path: str) -> Section:
    return Section(Table(Place(Source(path, numbered=False))))
