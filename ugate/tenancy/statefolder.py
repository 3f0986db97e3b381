# -*- test-case-name: ugate.test.test_identityfiles -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The folder for what outlives the process and is nobody else's business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from tempfile import mkstemp
from typing import Final

from ugate.errors import UgateError
from ugate.tenancy.config.sections import ROOT

_OTHERS_WRITE: Final = 0o022


def stateFolder(configured: str, environment: Mapping[str, str] = os.environ) -> str:
    """
    Where it is: C{node.state}, or systemd's, or C{$XDG_STATE_HOME/ugate}.

    @param configured: C{node.state}.
    @since: ugate NEXT
    """
    given = configured or environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    # What is relative is to be left out (XDG Base Directory Specification).
    home = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "ugate")


def folderOf(state: str, path: str) -> str:
    """
    The part of a tenant in it; the root has all of it.

    @since: ugate NEXT
    """
    return state if path == ROOT else os.path.join(state, "tenants", *path.split("/"))


def makeFolder(folder: str) -> None:
    """
    See that there is a folder, for nobody else to read.

    @raise UgateError: there cannot be, or others may write what is there.
    @since: ugate NEXT
    """
    missing = []
    at = os.path.abspath(folder)
    while not os.path.isdir(at) and at != os.path.dirname(at):
        missing.append(at)
        at = os.path.dirname(at)
    try:
        for each in reversed(missing):
            # Not by makedirs(): what it makes in between is open to all.
            os.makedirs(each, mode=0o700, exist_ok=True)
        mode = os.stat(folder).st_mode
    except OSError as error:
        raise UgateError(
            f"{folder}: {error.strerror or error}; make it for the user that ugate runs as, or name another "
            "folder with --state or node.state"
        ) from error
    if mode & _OTHERS_WRITE:
        raise UgateError(f"{folder}: others may write it; run: chmod go-w {folder}")


def writeWhole(path: str, data: bytes, *, isNew: bool = False) -> bool:
    """
    Write a file that only we may read, so that at every moment there is all of it or none.

    @param isNew: leave alone what is there already.
    @return: whether it is what was given; else somebody was quicker.
    @raise UgateError: it cannot be written.
    @since: ugate NEXT
    """
    folder, name = os.path.split(path)
    folder = folder or os.curdir
    part = ""
    try:
        # Its mode is 0600 from the beginning.
        descriptor, part = mkstemp(prefix=f".{name}.", dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if isNew:
            try:
                os.link(part, path)
            except FileExistsError:
                return False
        else:
            os.replace(part, path)
            part = ""
        _sync(folder)
        return True
    except OSError as error:
        raise UgateError(f"{path}: {error.strerror or error}; wanted a place that can be written") from error
    finally:
        if part:
            os.unlink(part)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
