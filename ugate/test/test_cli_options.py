# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.cli}: its options, its completion, and what it imports.
"""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from shutil import which
from unittest import SkipTest

import msgspec

from twisted.trial.unittest import SynchronousTestCase

from ugate.cli.arguments import optionsOf, parser
from ugate.cli.connection import nodeFrom
from ugate.cli.main import main, pathOf
from ugate.cli.outcomes import EXITS
from ugate.cli.tables import inBytes, shown
from ugate.errors import UgateError
from ugate.modules.operations import BY_NAME, OPERATIONS


class OptionsTests(SynchronousTestCase):
    """
    Commands are made of the table.
    """

    def test_each(self) -> None:
        """
        Every parameter and every field of a body is an argument or an option, and has a help.
        """
        for operation in OPERATIONS:
            options = optionsOf(operation)
            names = [option.name for option in options]
            self.assertEqual(len(names), len(set(names)), operation.name)
            self.assertLessEqual({each.name for each in operation.parameters}, set(names))
            self.assertTrue(all(option.summary for option in options), operation.name)

    def test_help(self) -> None:
        """
        Each command has help, and the help of all has them and the statuses.
        """
        text = parser().format_help()
        for operation in OPERATIONS:
            self.assertIn(operation.words.split()[0], text)
            with redirect_stdout(io.StringIO()) as out:
                self.assertRaises(SystemExit, parser().parse_args, [*operation.words.split(), "--help"])
            self.assertIn("--json", out.getvalue())
        for number, meaning in EXITS.items():
            self.assertIn(f"{number}  {meaning}", text)

    def test_paths(self) -> None:
        """
        What goes into a path or a query cannot leave its place there.
        """
        for operation, parameters, path in (
            ("get", {"kind": "dial", "name": "../x?y#z"}, "/api/v1/config/dial/..%2Fx%3Fy%23z"),
            ("get", {"kind": "policy", "name": ""}, "/api/v1/config/policy"),
            ("status", {}, "/api/v1/status"),
            (
                "streams",
                {"tenant": "alice/dev", "target": "a&b"},
                "/api/v1/streams?tenant=alice%2Fdev&target=a%26b",
            ),
        ):
            self.assertEqual(path, pathOf(BY_NAME[operation], dict(parameters)))

    def test_numbers(self) -> None:
        """
        Bytes have the unit that fits.
        """
        for count, text in (
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (150 << 20, "150 MiB"),
            (1 << 60, "1024 PiB"),
        ):
            self.assertEqual(text, inBytes(count))
        self.assertEqual("yes", shown(msgspec.inspect.BoolType(), True))


class TokenTests(SynchronousTestCase):
    """
    With what one comes to a node.
    """

    def token(self, text: str) -> str:
        """
        A file with a token.
        """
        path = Path(self.mktemp())
        path.write_text(text)
        return str(path)

    def test_found(self) -> None:
        """
        By option, by variable, or not at all.
        """
        path = self.token("ugate_x\n")
        self.assertEqual("ugate_x", nodeFrom("https://gate.example", path, {}).token)
        node = nodeFrom(None, None, {"UGATE_TOKEN_FILE": path, "UGATE_URL": "unix:/run/ugate"})
        self.assertEqual(("ugate_x", "unix:/run/ugate"), (node.token, node.url))
        self.assertNotIn("ugate_x", repr(node))
        self.assertEqual(
            ("", "http://127.0.0.1:15000"), (nodeFrom(None, None, {}).token, nodeFrom(None, None, {}).url)
        )

    def test_clear(self) -> None:
        """
        A token is not sent for all to read.
        """
        path = self.token("ugate_x")
        self.assertRaises(UgateError, nodeFrom, "http://gate.example", path, {})
        nodeFrom("http://127.0.0.1:1", path, {})

    def test_none(self) -> None:
        """
        A file without a token is told.
        """
        for text in ("", "\n", "a b", "x\ny"):
            self.assertRaises(UgateError, nodeFrom, "https://x", self.token(text), {})
        self.assertRaises(UgateError, nodeFrom, "https://x", "/none", {})


class CompletionTests(SynchronousTestCase):
    """
    What a shell offers.
    """

    def completed(self, *words: str) -> list[str]:
        """
        What bash offers for the last of some words.
        """
        bash = which("bash")
        if bash is None:
            raise SkipTest("no bash here")
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(0, main(["completion", "bash"]))
        line = " ".join(f"'{word}'" for word in ("ucli", *words))
        script = f"{out.getvalue()}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _ucli; "
        script += 'printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual("", done.stderr)
        return done.stdout.split()

    def test_bash(self) -> None:
        """
        Commands, their sub-commands, and their options.
        """
        self.assertLessEqual({"status", "streams", "tenant"}, set(self.completed("")))
        self.assertEqual(["streams"], self.completed("stre"))
        self.assertEqual(["--principal"], self.completed("streams", "--pr"))
        self.assertEqual(["add"], self.completed("tenant", "a"))
        self.assertEqual(["--hosts"], self.completed("tenant", "add", "carl", "--ho"))

    def test_zsh(self) -> None:
        """
        zsh takes the same by its own means.
        """
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(0, main(["completion", "zsh"]))
        self.assertTrue(out.getvalue().startswith("#compdef ucli\n"))


class StartTests(SynchronousTestCase):
    """
    It starts quickly.
    """

    def test_light(self) -> None:
        """
        Neither help nor a request imports Twisted.
        """
        code = (
            "import sys; sys.argv = ['ucli', '--url', 'unix:/none', 'status'];"
            "from ugate.cli.main import main; status = main();"
            "print(status, [each for each in ('twisted', 'zope.interface') if each in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual("3 []\n", done.stdout, done.stderr)
