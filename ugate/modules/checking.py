# -*- test-case-name: ugate.test.test_cli,ugate.test.test_pages -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whether a configuration file would do, as C{twistd ugate --check} says it.
"""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from ugate.errors import UgateError


def checkedFile(path: str) -> str:
    """
    Read a file as at a start, and open nothing.

    @return: its normal form.
    @raise UgateError: with every mistake in it.
    """
    from ugate.tap import Options

    said, mistakes = StringIO(), StringIO()
    with redirect_stdout(said), redirect_stderr(mistakes):
        try:
            Options().parseOptions(["--config", path, "--check"])
        except SystemExit as end:
            if end.code == 0:
                return said.getvalue()
    raise UgateError(mistakes.getvalue().rstrip("\n"))
