# -*- test-case-name: ugate.test.test_logs -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The log for programs: a JSON object on each line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from twisted.application.service import IService, MultiService
from twisted.logger import FileLogObserver, ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.scripts._twistd_unix import UnixAppLogger

_PLAIN: Final = (str, int, float, bool)
_TAKEN: Final = ("time", "level", "source", "text", "traceback")
_DOUBLE: Final = ("flow", "format", "message", "system", "isError", "why")
"""Fields that are the text again, or that stand for others."""


def jsonLine(event: LogEvent) -> str | None:
    """
    One event: C{time}, C{level}, C{source} and C{text}, maybe a C{traceback}, and its fields that are
    texts and numbers; others as they are printed.
    """
    text = formatEvent(event)
    level = event.get("log_level")
    failure = event.get("log_failure")
    if not text and failure is None:
        return None
    when = datetime.fromtimestamp(event.get("log_time", 0.0), timezone.utc)
    line: dict[str, Any] = {
        "time": when.isoformat(timespec="milliseconds"),
        "level": level.name if level is not None else LogLevel.info.name,
        "source": event.get("log_namespace", ""),
        "text": text,
    }
    for name, value in event.items():
        if name.startswith("log_") or name in _TAKEN or name in _DOUBLE or value is None:
            continue
        line[name] = value if isinstance(value, _PLAIN) else _printed(value)
    if failure is not None:
        line["traceback"] = failure.getTraceback()
    return json.dumps(line, ensure_ascii=False) + "\n"


def _printed(value: object) -> object:
    try:
        if isinstance(value, (tuple, list)):
            return [str(each) for each in value]
        return str(value)
    except Exception:
        # What cannot be printed must not take the line with it.
        return f"<{type(value).__name__}>"


def jsonObserver(options: Mapping[str, Any]) -> ILogObserver:
    """
    What C{twistd} is to log with in place of the log for people, to the same place.

    @param options: those of C{twistd}.
    """
    logger: Any = UnixAppLogger({**options, "logger": None})
    text: Any = logger._getLogObserver()
    if not isinstance(text, FileLogObserver):
        # syslog has a form of its own.
        return text  # type: ignore[no-any-return]
    return FileLogObserver(text._outFile, jsonLine)


class JsonLogged(MultiService):
    """
    A service whose application logs as JSON.
    """

    def __init__(self, service: IService, options: Mapping[str, Any]) -> None:
        """
        @param service: what it is about.
        @param options: those of C{twistd}.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._options = options
        service.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """
        Become a part of an application.
        """
        parent.setComponent(ILogObserver, jsonObserver(self._options))
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
