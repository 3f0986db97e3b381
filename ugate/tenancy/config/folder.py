# -*- test-case-name: ugate.test.test_config_folder -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which files there are below a path, and whose they are.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Final

from ugate.tenancy.config.filetext import reasonOf
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import MAX_DEPTH, NAME_SHAPE, ROOT, childPath, depth, isTenantName
from ugate.tenancy.config.tree import Place, Source

MAX_FILES: Final = 50_000
"""How many files a directory may have, with all that is below it."""

TENANTS: Final = "tenants"
"""The directory within that of a tenant in which its own tenants have their files."""

MANAGED: Final = "managed.yaml"
"""The file that is written when a section is put."""

SUFFIXES: Final = (".yaml", ".yml", ".json")
"""How the names of files end."""

_SETTLED: Final = 2_000_000_000


class _Enough(Exception):
    """
    There are too many files.
    """


@dataclass(slots=True)
class Found:
    """
    What is below a path.
    """

    files: dict[str, str] = field(default_factory=dict)
    """The paths of the files to be read, in order, and the tenant of each."""

    folders: dict[str, object] = field(default_factory=dict)
    """All directories in which a file may be, each with its L{signature} from before it was listed."""

    implied: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tenants that have files: by the path of the parent, names, and where the first file is."""

    mistakes: list[Mistake] = field(default_factory=list)
    """What is wrong with names, and what cannot be listed."""

    kept: set[str] = field(default_factory=set)
    """Files that are not looked at now, because a directory above could not be listed."""

    unlisted: list[str] = field(default_factory=list)
    """Directories that cannot be listed now: what was below them may be there still."""


def filesBelow(path: str, limit: int = MAX_FILES) -> Found:
    """
    Look for files at a path.  No file is opened, and none is asked for its size or time.

    @param path: of a file, or of a directory.
    @param limit: how many files there may be.
    """
    found = Found()
    if not os.path.isdir(path):
        found.files[path] = ROOT
        for each in (os.path.abspath(path), os.path.realpath(path)):
            found.folders[os.path.dirname(each)] = None
        return found
    try:
        _folder(found, path, ROOT, limit)
    except _Enough:
        return Found(mistakes=[_mistake(path, f"more than {limit} files; wanted fewer")], unlisted=[path])
    if not found.files and not found.unlisted:
        # Maybe something that is to be mounted there is not there yet, or not any more.
        found.unlisted.append(path)
        if not found.mistakes:
            found.mistakes.append(_mistake(path, "no file *.yaml, *.yml or *.json; wanted one at least"))
    return found


def _listed(found: Found, path: str) -> list[os.DirEntry[str]]:
    found.folders[path] = signature(path)
    try:
        with os.scandir(path) as entries:
            return sorted((each for each in entries if each.name[0] != "."), key=lambda each: each.name)
    except OSError as error:
        found.mistakes.append(_mistake(path, reasonOf(error)))
        found.unlisted.append(path)
        return []


def _folder(found: Found, path: str, tenant: str, limit: int) -> None:
    """
    Take the files of one tenant, and then those of its own tenants.
    """
    below = None
    for entry in _listed(found, path):
        if entry.name.endswith(SUFFIXES):
            found.files[entry.path] = tenant
            if len(found.files) > limit:
                raise _Enough
        elif entry.name == TENANTS and entry.is_dir():
            below = entry.path
    if below is not None:
        _tenants(found, below, tenant, limit)


def _tenants(found: Found, path: str, parent: str, limit: int) -> None:
    for entry in _listed(found, path):
        stem, suffix = os.path.splitext(entry.name)
        isFile = suffix in SUFFIXES
        name = stem if isFile else entry.name
        if not (isFile or entry.is_dir()):
            continue
        if not isTenantName(parent, name):
            found.mistakes.append(
                _mistake(entry.path, f"{name!r} is no name for a tenant; wanted {NAME_SHAPE}")
            )
            continue
        if depth(parent) >= MAX_DEPTH:
            found.mistakes.append(_mistake(entry.path, f"more than {MAX_DEPTH} tenants in each other"))
            continue
        found.implied.setdefault(parent, {}).setdefault(name, entry.path)
        child = childPath(parent, name)
        if isFile:
            found.files[entry.path] = child
            if len(found.files) > limit:
                raise _Enough
        else:
            _folder(found, entry.path, child, limit)


def signature(path: str) -> tuple[int, ...] | str:
    """
    What changes when a file or a directory does; or what is wrong with it.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return str(error)
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino,
        status.st_dev,
        status.st_mode,
    )


def isSettled(seen: tuple[int, ...] | str) -> bool:
    """
    Whether any change from now on gives another signature: the clocks of file systems are coarse.
    """
    return not isinstance(seen, str) and time.time_ns() - max(seen[:2]) > _SETTLED


def _mistake(path: str, message: str) -> Mistake:
    return Mistake(Place(Source(path, numbered=False)), message)
