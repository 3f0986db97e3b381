# -*- test-case-name: ugate.test.test_config_managed -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections put into files: one file of each tenant is ours to write, all others are people's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from tempfile import mkstemp
from typing import Any, Final

from ugate.errors import UgateError
from ugate.tenancy.config.delegated import placeOf
from ugate.tenancy.config.filetext import bytesOf, readFile
from ugate.tenancy.config.folder import MANAGED, SUFFIXES, TENANTS
from ugate.tenancy.config.index import Index
from ugate.tenancy.config.kinds import unknownKind
from ugate.tenancy.config.sections import (
    DELEGATED,
    NAME_SHAPE,
    ONLY,
    ROOT,
    Kind,
    Order,
    Section,
    childPath,
    isName,
    isTenantName,
)
from ugate.tenancy.config.tree import Table, isEmpty, plainValue
from ugate.tenancy.config.yamlout import entries

_HEAD: Final = "# ugate writes this file when a section is put; comments in it are not kept.\n"


class Managed:
    """
    The files C{managed.yaml} of a directory.

    @since: ugate NEXT
    """

    def __init__(self, path: str, kinds: Mapping[str, Kind], index: Index) -> None:
        """
        @param path: of the directory.
        @param index: what all files of it have.
        """
        self._path = path
        self._kinds = kinds
        self._index = index

    def put(self, tenant: str, kind: str, name: str, section: Mapping[str, object]) -> set[str]:
        """
        Write a section.

        @return: the paths of the files that changed.
        @raise KeyError: there is no such kind, or no such place in a list.
        @raise UgateError: it cannot be written.
        """
        checkPut(self._kinds, tenant, kind, name)
        path = self._pathOf(tenant)
        document = self._read(path)
        order = self._kinds[kind].order
        if order is Order.LISTED:
            items = document.setdefault(kind, [])
            if name == ONLY:
                items.append(section)
            else:
                items[self._place(path, tenant, kind, name)] = section
        else:
            self._checkOthers(path, tenant, kind, name, section)
            if order is Order.SINGLE:
                document[kind] = section
            else:
                named = document.setdefault(kind, {})
                if kind == "tenants":
                    # What a tenant has of its parent is one section, what it has itself are others.
                    own = named.get(name) or {}
                    section = {**section, **{key: own[key] for key in own if key not in DELEGATED}}
                named[name] = section
        _write(path, document)
        return {path}

    def delete(self, tenant: str, kind: str, name: str) -> set[str] | None:
        """
        Take a section out.

        @return: the paths of the files that changed; L{None} if it may be any.
        @raise KeyError: there is none.
        @raise UgateError: it cannot be taken out.
        """
        if name not in self._index[tenant].sections.get(kind, ()):
            raise KeyError(f"there is no {_named(tenant, kind, name)}")
        path = self._pathOf(tenant)
        document = self._read(path)
        order = self._kinds[kind].order
        others = self.others(tenant, kind, name)
        if others:
            raise UgateError(f"{_named(tenant, kind, name)} is at {others[0].place}; take it out there")
        if kind == "tenants":
            self._deleteTenant(path, document, childPath(tenant, name), name)
            return None
        if order is Order.LISTED:
            del document[kind][self._place(path, tenant, kind, name)]
        elif order is Order.SINGLE:
            del document[kind]
        else:
            del document[kind][name]
        _write(path, document)
        return {path}

    def _deleteTenant(self, path: str, document: dict[str, Any], child: str, name: str) -> None:
        folder = os.path.dirname(self._pathOf(child))
        for each in SUFFIXES:
            if os.path.exists(folder + each):
                raise UgateError(f"tenants.{name} has a file of its own, {folder + each}; remove that")
        for where, _, names in os.walk(folder):
            for each in names:
                if each != MANAGED:
                    raise UgateError(f"tenants.{name} has {os.path.join(where, each)}; remove that")
        gone = os.path.join(os.path.dirname(folder), f".{name}.gone")
        try:
            if os.path.isdir(folder):
                shutil.rmtree(gone, ignore_errors=True)
                os.rename(folder, gone)
            if document.get("tenants", {}).pop(name, None) is not None:
                _write(path, document)
        except (OSError, UgateError) as error:
            if os.path.isdir(gone):
                os.rename(gone, folder)
            raise UgateError(f"tenants.{name} cannot be taken out: {error}") from error
        shutil.rmtree(gone, ignore_errors=True)

    def _pathOf(self, tenant: str) -> str:
        if not os.path.isdir(self._path):
            raise UgateError(f"{self._path} is one file, which only people write; wanted a directory")
        parts = [] if tenant == ROOT else tenant.split("/")
        return os.path.join(self._path, *(each for part in parts for each in (TENANTS, part)), MANAGED)

    def _read(self, path: str) -> dict[str, Any]:
        if not os.path.exists(path):
            return {}
        written, mistakes = readFile(path, bytesOf(path))
        if mistakes:
            raise UgateError(f"{mistakes[0]}; correct that first")
        if written is None or isEmpty(written):
            return {}
        if not isinstance(written, Table):
            raise UgateError(f"{path} is no mapping of kinds; correct that first")
        document = plainValue(written)
        assert isinstance(document, dict)
        return {kind: value for kind, value in document.items() if value is not None}

    def others(self, tenant: str, kind: str, name: str) -> list[Section]:
        """
        The same section in the files of people.
        """
        path = self._pathOf(tenant)
        return [
            section
            for each, parts in self._index.parts()
            if each != path
            for itsKind, itsName, section in parts.sections.get(tenant, ())
            if (itsKind, itsName) == (kind, name)
        ]

    def _checkOthers(
        self, path: str, tenant: str, kind: str, name: str, section: Mapping[str, object]
    ) -> None:
        what = _named(tenant, kind, name)
        for other in self.others(tenant, kind, name):
            if not self._kinds[kind].isMerged:
                raise UgateError(f"{what} is at {other.place}; change it there, or take it out there first")
            for key in other.keys() & section.keys():
                place = placeOf(other, key)
                raise UgateError(f"{what}.{key} is at {place}; change it there, or take it out there first")

    def _place(self, path: str, tenant: str, kind: str, name: str) -> int:
        """
        Which item of a list in our file has a name.

        @raise KeyError: no item has.
        """
        ours = [parts for each, parts in self._index.parts() if each == path]
        names = [n for parts in ours for k, n, _ in parts.sections.get(tenant, ()) if k == kind]
        if name not in names:
            raise KeyError(f"{kind} has no {name!r} in {path}")
        return names.index(name)


def checkPut(kinds: Mapping[str, Kind], tenant: str, kind: str, name: str) -> None:
    """
    Whether there may be such a section.

    @raise KeyError: there is no such kind.
    @raise UgateError: it may not be.
    """
    if kind not in kinds:
        raise unknownKind(kind, kinds)
    order = kinds[kind].order
    if kind == "node" and tenant != ROOT:
        raise UgateError(f"node holds for the whole process; wanted it of {ROOT}, not of {tenant}")
    if order is Order.NAMED and not isName(name):
        raise UgateError(f"{name!r} is no name for {kind}; wanted {NAME_SHAPE}")
    if kind == "tenants" and not isTenantName(tenant, name):
        raise UgateError(f"{name!r} is the node itself; wanted another name")
    if order is Order.SINGLE and name != ONLY:
        raise UgateError(f"there is one {kind}; wanted no name, not {name!r}")


def _named(tenant: str, kind: str, name: str) -> str:
    what = f"{kind}.{name}" if name else kind
    return what if tenant == ROOT else f"{what} of {tenant}"


def _write(path: str, document: Mapping[str, Any]) -> None:
    """
    Put a new file in place of the old one, so that either is there and whole, whatever happens.
    """
    kept = {kind: value for kind, value in document.items() if value not in ({}, [])}
    text = _HEAD + "".join(f"{line}\n" for line in entries(kept.items()))
    folder = os.path.dirname(path)
    temporary = ""
    try:
        os.makedirs(folder, exist_ok=True)
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o600
        descriptor, temporary = mkstemp(prefix=f".{MANAGED}.", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        _sync(folder)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise UgateError(f"{path} cannot be written: {error.strerror or error}") from error


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
