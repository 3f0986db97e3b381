# -*- test-case-name: ugate.test.test_config_watching -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the kernel of Linux tells of changes in directories; elsewhere this cannot be imported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.inotify import (
    IN_ATTRIB,
    IN_CLOSE_WRITE,
    IN_MODIFY,
    IN_WATCH_MASK,
    INotify,
    INotifyError,
)
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

_CONTENTS: Final = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB


class Notify(INotify):
    """
    Tells of changes; as with what it is made of, the end of one directory is the end of all of it.

    @ivar isLost: whether it has ended.
    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, noticed: Callable[[str, str, bool], None]) -> None:
        """
        @param noticed: called with a directory, a name in it or C{""} for itself, and whether more happened
            than that a file has other bytes.
        @raise OSError: there are too many already, of this user.
        """
        self.isLost = False
        self._noticed = noticed
        try:
            super().__init__(reactor)  # type: ignore[no-untyped-call]
        except INotifyError as error:
            raise OSError(*error.args) from error
        self.startReading()

    def add(self, folder: str) -> None:
        """
        Tell of a directory, too.

        @raise OSError: it cannot be watched, or nothing more can.
        """
        try:
            self.watch(
                FilePath(folder), IN_WATCH_MASK | IN_CLOSE_WRITE, callbacks=[partial(self._happened, folder)]
            )
        except INotifyError as error:
            raise OSError(*error.args) from error

    def _happened(self, folder: str, watch: object, path: FilePath[bytes], mask: int) -> None:
        isItself = path == FilePath(folder).asBytesMode()
        name = "" if isItself else path.asTextMode().basename()
        self._noticed(folder, name, bool(mask & ~_CONTENTS))

    def loseConnection(self) -> None:
        """
        End.
        """
        if not self.isLost:
            self.stopReading()
            self.connectionLost(Failure(ConnectionDone()))

    def connectionLost(self, reason: Failure) -> None:
        """
        It ended, or the reactor did.
        """
        if not self.isLost:
            self.isLost = True
            super().connectionLost(reason)  # type: ignore[no-untyped-call]
            # The number may be that of another file from now on.
            self._fd = -1
