# -*- test-case-name: ugate.test.test_config_watching,ugate.test.test_config_polling -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
When to look at files again: when the system tells of a change, and every few seconds, since it tells nothing
of network file systems and of what links lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, TypeAlias

from twisted.logger import Logger

POLL: Final = 2.0
"""Seconds between two looks at all files."""

QUIET: Final = 0.05
"""Seconds without a further change after which files are read: who writes several writes them all."""

LONGEST: Final = 0.5
"""Seconds after which they are read though more changes come."""

Suspects: TypeAlias = tuple[Collection[str], bool]
"""Files that may have changed, and whether there may be others; or nothing, for a pause."""


class Watch:
    """
    Tells when files may have changed.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        noticed: Callable[[str, str, bool], None],
        suspects: Callable[[], Iterator[Suspects]],
        update: Callable[[Collection[str] | None, bool], object],
    ) -> None:
        """
        @param noticed: called with a directory, the name in it to which something happened, and whether it
            is more than that the file has other bytes.
        @param suspects: looks at all files; see C{FileStore.suspects}.
        @param update: reads files; see C{FileStore.update}.
        """
        self._reactor = reactor
        self._noticed = noticed
        self._suspects = suspects
        self._update = update
        self._paths: set[str] | None = set()
        self._isListing = False
        self._reading: Any = None
        self._deadline = 0.0
        self._notify: Any = None
        self._watched: set[str] = set()
        self._isTold = False
        self._polling = reactor.callLater(POLL, self._poll)

    def stop(self) -> None:
        """
        Tell nothing more.
        """
        for call in (self._polling, self._reading):
            if call is not None and call.active():
                call.cancel()
        self._lose()

    def soon(self, paths: Collection[str] | None, isListing: bool = False) -> None:
        """
        Some files are to be read as soon as nothing more happens to them.

        @param paths: which; L{None} for all.
        @param isListing: whether there may be others than before.
        """
        self._isListing |= isListing
        if paths is None or self._paths is None:
            self._paths = None
        else:
            self._paths.update(paths)
        now = self._reactor.seconds()
        if self._reading is None:
            self._deadline = now + LONGEST
            self._reading = self._reactor.callLater(QUIET, self._read)
        else:
            self._reading.reset(max(0.0, min(QUIET, self._deadline - now)))

    def _read(self) -> None:
        self._reading = None
        paths, self._paths = self._paths, set()
        isListing, self._isListing = self._isListing, False
        self._update(paths, isListing)

    def setFolders(self, folders: Iterable[str]) -> None:
        """
        Say which directories there are.
        """
        wanted = set(folders)
        if self._notify is not None and (self._notify.isLost or self._watched - wanted):
            self._lose()
        if self._notify is None:
            self._notify = self._made()
        missing = wanted - self._watched if self._notify is not None else ()
        added = [folder for folder in missing if self._add(folder)]
        if added and self._polling.active():
            # What happened before that was not told.
            self._polling.reset(0)

    def _made(self) -> Any:
        """
        What the system tells by, or L{None} if it has no such thing.
        """
        try:
            from ugate.tenancy.config.notify import Notify

            return Notify(self._reactor, self._noticed)
        except (ImportError, OSError, AttributeError) as error:
            self._tell(error)
            return None

    def _add(self, folder: str) -> bool:
        try:
            self._notify.add(folder)
        except OSError as error:
            self._tell(error)
            return False
        self._watched.add(folder)
        return True

    def _tell(self, error: Exception) -> None:
        if not self._isTold:
            self._isTold = True
            self._log.warn(
                "not told of every change of files ({error}): looking every {seconds:g} seconds",
                error=error,
                seconds=POLL,
            )

    def _lose(self) -> None:
        notify, self._notify = self._notify, None
        self._watched.clear()
        if notify is not None:
            notify.loseConnection()

    def _poll(self) -> None:
        self._slice(self._suspects())

    def _slice(self, suspects: Iterator[Suspects]) -> None:
        """
        Look at some files, and let others do something before the next.
        """
        for paths, isListing in suspects:
            if paths or isListing:
                self.soon(paths, isListing)
            else:
                self._polling = self._reactor.callLater(0, self._slice, suspects)
                return
        self._polling = self._reactor.callLater(POLL, self._poll)
