# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Options of C{twistd ugate}, and what they print.
"""

from __future__ import annotations

import os
import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from ugate.tap import Options
from ugate.tenancy.config.whole import Config


class TapCase(SynchronousTestCase):
    """
    Options, and what they print.
    """

    def setUp(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.reactor = Options().reactor
        self.before = self._opened()
        self.addCleanup(self._nothingOpened)

    def _opened(self) -> object:
        real = self.reactor
        return set(real.getReaders()), set(real.getWriters()), real.getDelayedCalls()

    def _nothingOpened(self) -> None:
        self.assertEqual(self._opened(), self.before)

    def write(self, text: str, name: str = "ugate.yaml") -> str:
        """
        A configuration file.
        """
        folder = str(self.mktemp())
        os.makedirs(folder)
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def parse(self, *arguments: str) -> Options:
        """
        Read a command line.
        """
        options = Options()
        options.parseOptions(arguments)
        return options

    def config(self, *arguments: str) -> Config:
        """
        The configuration of a command line.
        """
        config: Config = self.parse(*arguments)["read"]
        return config

    def ends(self, *arguments: str) -> int:
        """
        The exit status of a command line that starts nothing.
        """
        ended = self.assertRaises(SystemExit, self.parse, *arguments)
        assert isinstance(ended.code, int)
        return ended.code
