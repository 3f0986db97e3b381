# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for C{python -m ugate.tenancy.passwords}.
"""

from __future__ import annotations

import getpass
import io
import sys
from contextlib import redirect_stderr, redirect_stdout

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.passwordhashes import PasswordHash
from ugate.tenancy.passwords import main


class MainTests(SynchronousTestCase):
    """
    The program that makes lines.
    """

    def run_(self, name: str, typed: bytes) -> tuple[int, str, str]:
        """
        Run it with an input that is no terminal.

        @return: its result, output and errors.
        """
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([name])
        return code, out.getvalue(), err.getvalue()

    def test_line(self) -> None:
        """
        The first line of the input is the password, and the output a line of a file.
        """
        code, out, err = self.run_("alice", b"pass word \r\nmore\n")
        self.assertEqual((0, ""), (code, err))
        name, _, text = out.rstrip("\n").partition(":")
        self.assertEqual("alice", name)
        self.assertTrue(PasswordHash.fromText(text).matches(b"pass word "))

    def test_bad(self) -> None:
        """
        A name or a password that cannot be used.
        """
        cases = (
            ("a:b", b"x\n", "'a:b' is no name"),
            ("alice", b"\n", "a password of 0 bytes"),
            ("alice", b"x" * 256, "a password of 256 bytes"),
        )
        for name, typed, message in cases:
            code, out, err = self.run_(name, typed)
            self.assertEqual((1, ""), (code, out))
            self.assertIn(message, err)

    def test_terminal(self) -> None:
        """
        At a terminal the password is asked for twice, and the two have to be the same.
        """
        self.patch(sys, "stdin", Terminal())
        for second, code in (("pässword", 0), ("password", 1)):
            answers = iter(["pässword", second])
            self.patch(getpass, "getpass", lambda prompt, answers=answers: next(answers))
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                self.assertEqual(code, main(["alice"]))
            self.assertEqual(code == 1, "differ" in err.getvalue())
            self.assertEqual(code == 0, out.getvalue().startswith("alice:$scrypt$"))

    def test_nothingTyped(self) -> None:
        """
        Who ends the input, or gives up, is told that there is no line.
        """
        self.patch(sys, "stdin", Terminal())
        for end in (EOFError, KeyboardInterrupt):

            def asked(prompt: str, end: type[BaseException] = end) -> str:
                raise end

            self.patch(getpass, "getpass", asked)
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                self.assertEqual(1, main(["alice"]))
            self.assertEqual("", out.getvalue())
            self.assertIn("no password was typed", err.getvalue())


class Terminal:
    """
    An input that says it is a terminal.
    """

    def isatty(self) -> bool:
        """
        Say so.
        """
        return True
