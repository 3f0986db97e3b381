# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The log as JSON.
"""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import Any

from twisted.application.service import Application, Service
from twisted.logger import FileLogObserver, ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.logs import JsonLogged, jsonLine, jsonObserver
from ugate.test.gatewayfakes import INFO


class Unprintable:
    """
    What cannot be printed.
    """

    def __str__(self) -> str:
        raise ZeroDivisionError


class LineTests(SynchronousTestCase):
    """
    L{jsonLine}.
    """

    def line(self, **event: Any) -> Any:
        """
        The line of an event.
        """
        text = jsonLine(
            {
                "log_time": 1.5,
                "log_level": LogLevel.warn,
                "log_namespace": "ugate.x",
                "log_format": "",
                **event,
            }
        )
        assert text is not None
        self.assertEqual(text.count("\n"), 1)
        self.assertTrue(text.endswith("\n"))
        return json.loads(text)

    def test_fields(self) -> None:
        """
        When, how bad, who says it, what, and the rest.
        """
        line = self.line(
            log_format="{info}: {n} sent\n", info=INFO, n=5, good=True, changed=("a", "b"), no=None
        )
        self.assertEqual(
            line,
            {
                "time": "1970-01-01T00:00:01.500+00:00",
                "level": "warn",
                "source": "ugate.x",
                "text": f"{INFO}: 5 sent\n",
                "info": str(INFO),
                "n": 5,
                "good": True,
                "changed": ["a", "b"],
            },
        )

    def test_failure(self) -> None:
        """
        A failure with where it was.
        """
        line = self.line(log_failure=Failure(ZeroDivisionError("x")), log_format="it failed")
        self.assertEqual(line["text"], "it failed")
        self.assertIn("ZeroDivisionError: x", line["traceback"])

    def test_unprintable(self) -> None:
        """
        A value that cannot be printed costs nobody the line.
        """
        self.assertEqual(self.line(log_format="x", y=Unprintable())["y"], "<Unprintable>")

    def test_noOverwriting(self) -> None:
        """
        No field takes the place of another.
        """
        line = self.line(log_format="x", time="y", text="z", level="w", source="v")
        self.assertEqual((line["text"], line["level"], line["source"]), ("x", "warn", "ugate.x"))

    def test_nothing(self) -> None:
        """
        What says nothing has no line; what is from elsewhere has one.
        """
        self.assertIs(jsonLine({"log_format": ""}), None)
        line = json.loads(jsonLine({"log_format": "x"}) or "")
        self.assertEqual((line["level"], line["source"]), ("info", ""))


class ObserverTests(SynchronousTestCase):
    """
    Where it goes.
    """

    def test_application(self) -> None:
        """
        An application logs so, to where it would otherwise.
        """
        out = StringIO()
        self.patch(sys, "stdout", out)
        application: Any = Application("x")
        inner: Any = Service()
        service = JsonLogged(inner, {"nodaemon": True, "logfile": None})
        service.setServiceParent(application)
        observer = application.getComponent(ILogObserver)
        self.assertIsInstance(observer, FileLogObserver)
        Logger("x", observer=observer).info("hello {who}", who="world")
        self.assertEqual(json.loads(out.getvalue())["text"], "hello world")
        service.startService()
        self.assertEqual(inner.running, 1)

    def test_syslog(self) -> None:
        """
        The system's log stays as it is.
        """
        observer: Any = jsonObserver({"syslog": True, "prefix": "ugate", "nodaemon": True})
        self.assertNotIsInstance(observer, FileLogObserver)
