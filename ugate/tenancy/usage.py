# -*- test-case-name: ugate.test.test_usage -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What tenants have used in this calendar month (UTC), and a file that keeps it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from errno import EACCES
from fcntl import LOCK_EX, LOCK_NB, flock
from threading import Lock
from typing import Final

from msgspec import MsgspecError, Struct, json

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

SAVE_EVERY: Final = 30.0
"""Seconds whose bytes may be forgotten by a crash."""


class Used:
    """
    The bytes of one tenant in one month.

    @since: ugate NEXT
    """

    __slots__ = ("_down", "_month", "_up", "_usage")

    def __init__(self, usage: Usage, up: int = 0, down: int = 0) -> None:
        self._usage = usage
        self._month = usage.month
        self._up = up
        self._down = down

    def add(self, up: int, down: int) -> int:
        """
        So many more.

        @return: how many there are now, both ways together.
        """
        usage = self._usage
        month = usage.month
        if month != self._month:
            self._month = month
            self._up = self._down = 0
        self._up += up
        self._down += down
        if up or down:
            usage.changed()
        return self._up + self._down

    @property
    def both(self) -> tuple[int, int]:
        """
        From clients to targets, and back.
        """
        self.add(0, 0)
        return self._up, self._down


class Usage:
    """
    The bytes of all tenants that have a limit of them; forgotten when the process ends.

    @since: ugate NEXT
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """
        @param wall: the time of day, in seconds since 1970.
        """
        self._wall = wall
        self._all: dict[str, Used] = {}
        self._month = ""
        self._ends = 0.0

    @property
    def month(self) -> str:
        """
        Which month it is, as in C{2026-03}.  A clock that is set back does not undo one.
        """
        now = self._wall()
        if now >= self._ends:
            self._month, self._ends = monthAt(now)
        return self._month

    @property
    def ends(self) -> float:
        """
        When the next month begins, in seconds since 1970.
        """
        return self._ends if self.month else 0.0

    def of(self, path: str) -> Used:
        """
        What the tenant of this path has used.
        """
        used = self._all.get(path)
        if used is None:
            used = self._all[path] = Used(self)
        return used

    def claim(self) -> None:
        """
        There is somebody whose bytes are limited: say so now if they cannot be kept.
        """

    def changed(self) -> None:
        """
        Somebody has used more.
        """


class ForgottenUsage(Usage):
    """
    The same, for a node without a folder for it; that is said when it matters.

    @since: ugate NEXT
    """

    log = Logger()
    _told = False

    def of(self, path: str) -> Used:
        """
        See L{Usage}.
        """
        self.claim()
        return super().of(path)

    def claim(self) -> None:
        """
        See L{Usage}.
        """
        if not self._told:
            self._told = True
            self.log.warn(
                "a restart forgets the bytes of this month: name a folder for them with --state or node.state"
            )


class UsageFile(Usage):
    """
    The same, kept in a file.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        path: str,
        clock: IReactorTime,
        wall: Callable[[], float] = time.time,
        inThread: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """
        @param path: the file.  Another beside it is written first.
        @param clock: what tells when to save.
        @param inThread: runs what waits for the disk; L{None} to wait for it.
        """
        super().__init__(wall)
        self.path = path
        self._clock = clock
        self._inThread = inThread
        self._timer: IDelayedCall | None = None
        self._folder: int | None = None
        self._lock = Lock()
        self._serial = 0
        self._written = 0

    def start(self) -> None:
        """
        Read what was used before.  A file that cannot be read is put aside, and logged.
        """
        try:
            with open(self.path, "rb") as file:
                state = json.decode(file.read(), type=_State)
        except FileNotFoundError:
            return
        except (OSError, MsgspecError) as error:
            self.log.error(
                "{path}: {error}; the bytes of this month are counted from 0", path=self.path, error=error
            )
            self._putAside()
            return
        if state.month == self.month:
            for path, (up, down) in state.tenants.items():
                self._all[path] = Used(self, up, down)

    def of(self, path: str) -> Used:
        """
        See L{Usage}.
        """
        self.claim()
        return super().of(path)

    def claim(self) -> None:
        """
        See L{Usage}: have the folder to ourselves.
        """
        if self._folder is None:
            self._folder = self._claimed(os.path.dirname(self.path) or ".")

    def _claimed(self, folder: str) -> int:
        """
        @return: the descriptor of the folder, or -1.
        """
        descriptor = -1
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if not os.access(folder, os.W_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
        except OSError as error:
            self.log.error(
                "{folder}: {error}; the bytes of this month cannot be kept: make it for the user that ugate "
                "runs as, or name another folder with --state or node.state",
                folder=folder,
                error=error.strerror,
            )
            return descriptor
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            self.log.error(
                "{folder}: another process keeps the bytes of this month there, and each forgets those of "
                "the other; give each a folder of its own with --state or node.state",
                folder=folder,
            )
        except OSError:
            # There are file systems without locks.
            pass
        return descriptor

    def _putAside(self) -> None:
        try:
            os.replace(self.path, f"{self.path}.broken")
        except OSError as error:
            self.log.warn("{path} cannot be put aside: {error}", path=self.path, error=error)

    def changed(self) -> None:
        """
        There is something to save, soon.
        """
        if self._timer is None:
            self._timer = self._clock.callLater(SAVE_EVERY, self._due)

    def stop(self) -> None:
        """
        Save what was not saved yet.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._save(None)
        folder, self._folder = self._folder, None
        if folder is not None and folder >= 0:
            os.close(folder)

    def _due(self) -> None:
        self._timer = None
        self._save(self._inThread)

    def _save(self, inThread: Callable[[Callable[[], None]], object] | None) -> None:
        tenants = {}
        for path, used in self._all.items():
            both = used.both
            if any(both):
                tenants[path] = both
        data = json.encode(_State(self.month, tenants))
        self._serial += 1
        serial = self._serial
        if inThread is None:
            self._write(data, serial)
        else:
            inThread(lambda: self._write(data, serial))

    def _write(self, data: bytes, serial: int) -> None:
        """
        Replace the file as a whole.
        """
        part = f"{self.path}.new"
        with self._lock:
            if serial < self._written:
                # A later one was quicker.
                return
            try:
                with open(part, "wb", opener=_private) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, self.path)
            except OSError as error:
                self.log.error(
                    "{path}: {error}; if ugate ended now, bytes of this month would be forgotten",
                    path=self.path,
                    error=error,
                )
            else:
                self._written = serial


class _State(Struct, frozen=True):
    """
    What the file holds.
    """

    month: str
    tenants: dict[str, tuple[int, int]]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def monthAt(wall: float) -> tuple[str, float]:
    """
    The month of a time, and when it ends.
    """
    now = datetime.fromtimestamp(wall, timezone.utc)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return f"{now:%Y-%m}", datetime(year, month, 1, tzinfo=timezone.utc).timestamp()
