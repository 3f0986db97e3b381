# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.tokens}.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.credentialfiles import checkName
from ugate.tenancy.tokens import Token, TokenFile, checkTokens, isToken, main, makeToken, readTokens
from ugate.test.credentialfakes import tokenLine, write

DIGEST = sha256(b"x")


def _isName(text: str) -> bool:
    try:
        checkName(text.encode(errors="surrogatepass"))
    except StringError:
        return False
    return True


class LineTests(SynchronousTestCase):
    """
    The lines of the file.
    """

    def test_shapes(self) -> None:
        """
        Names, digests and times.
        """
        for text, expires in (("", None), (":2026-03-01T12:00:01Z", 1772366401.0), (":1970-01-02", 86400.0)):
            token = Token.fromLine(f"ci é:sha256:{DIGEST.hexdigest()}{text}".encode())
            self.assertEqual(token, Token("ci é", DIGEST.digest(), expires))

    def test_mistakes(self) -> None:
        """
        Each says what is wrong, and nothing of the digest.
        """
        good = DIGEST.hexdigest()
        for text, words in (
            ("ci", "no ':' after a name"),
            (f":sha256:{good}", "a name of 0 bytes"),
            (f"ci:{good}", "no sha256:"),
            (f"ci:md5:{good}", "no sha256:"),
            (f"ci:sha256:{good[:-1]}", "63 characters"),
            (f"ci:sha256:{'z' * 64}", "64 hexadecimal digits"),
            (f"ci:sha256:{good}:", "'' is no time"),
            (f"ci:sha256:{good}:soon", "'soon' is no time"),
        ):
            error = self.assertRaises(StringError, Token.fromLine, text.encode())
            self.assertIn(words, str(error), text)
            self.assertNotIn(good[:8], str(error))

    @given(
        st.text(max_size=20).filter(_isName),
        st.binary(min_size=32, max_size=32),
        st.none() | st.integers(0, 4 * 10**9),
    )
    def test_roundTrip(self, name: str, digest: bytes, expires: int | None) -> None:
        """
        What is written is read again.
        """
        token = Token(name, digest, expires)
        self.assertEqual(Token.fromLine(str(token).encode()), token)

    @given(st.binary(max_size=100) | st.text(":sha256-0123456789TZabcdef").map(str.encode))
    def test_anything(self, line: bytes) -> None:
        """
        Any line is a token or a L{StringError}.
        """
        for prefix in (b"", b"ci:sha256:" + b"0" * 64):
            try:
                token = Token.fromLine(prefix + line)
            except StringError:
                continue
            self.assertEqual(Token.fromLine(str(token).encode()), token)

    def test_file(self) -> None:
        """
        Somebody may have several tokens, but no two the same one.
        """
        path = write(self.mktemp(), tokenLine("a", "x") + tokenLine("a", "y") + tokenLine("b", "z"))
        self.assertEqual([token.name for token in readTokens(path).values()], ["a", "a", "b"])
        write(path, tokenLine("a", "x") + tokenLine("b", "x"))
        error = self.assertRaises(StringError, checkTokens, path)
        self.assertIn(f"{path}:2:1: the same token as on line 1", str(error))


class TokenFileTests(SynchronousTestCase):
    """
    L{TokenFile}.
    """

    def setUp(self) -> None:
        self.now = 1000.0
        self.one, self.two = makeToken(), makeToken()
        self.path = write(self.mktemp(), tokenLine("a", self.one) + tokenLine("b", self.two, 2000))
        self.file = TokenFile(self.path, lambda: self.now)

    def names(self) -> list[str | None]:
        """
        Whom the two tokens were made for.
        """
        return [self.file.nameFor(token.encode()) for token in (self.one, self.two)]

    def test_names(self) -> None:
        """
        Each is of whom it was made for, until it expires; no other is.
        """
        self.assertEqual(self.names(), ["a", "b"])
        self.now = 1999.9
        self.assertEqual(self.names(), ["a", "b"])
        self.now = 2000.0
        self.assertEqual(self.names(), ["a", None])
        for other in (makeToken(), "", self.one[:-1], self.one + "=", self.one.upper()):
            self.assertIsNone(self.file.nameFor(other.encode()), other)

    def test_changed(self) -> None:
        """
        A changed file holds at once; one with mistakes does not.
        """
        write(self.path, tokenLine("c", self.two))
        self.assertEqual(self.names(), [None, "c"])
        write(self.path, "c\n")
        self.assertEqual(self.names(), [None, "c"])

    def test_weak(self) -> None:
        """
        What is no token of ours is none, even if its digest is there: it could be guessed.
        """
        write(self.path, tokenLine("a", "secret"))
        self.assertIsNone(self.file.nameFor(b"secret"))

    def test_noFile(self) -> None:
        """
        Without a file there are none; a bad file is an error.
        """
        self.assertIsNone(TokenFile(None).nameFor(self.one.encode()))
        self.assertRaises(ConfigError, TokenFile, "/nowhere")

    def test_noSecrets(self) -> None:
        """
        Nothing that is kept shows a token or its digest.
        """
        digest = sha256(self.one.encode()).digest()
        for text in (repr(vars(self.file)), repr(readTokens(self.path)[digest])):
            self.assertNotIn(self.one, text)
            self.assertNotIn(digest.hex(), text)
            self.assertNotIn(repr(digest), text)


class MainTests(SynchronousTestCase):
    """
    The program that makes tokens.
    """

    def run_(self, *arguments: str) -> tuple[int, str, str]:
        """
        Run it.
        """
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(arguments, lambda: 1000.0)
        return code, out.getvalue(), err.getvalue()

    def test_made(self) -> None:
        """
        The token goes to one output, and its line to the other; no two are the same.
        """
        made = set()
        for arguments, expires in (("ci",), None), (("ci", "--expires", "1.5"), 1000 + 1.5 * 86400):
            code, out, err = self.run_(*arguments)
            token = err.rstrip("\n")
            self.assertEqual(code, 0)
            self.assertTrue(isToken(token.encode()))
            wanted = Token("ci", sha256(token.encode()).digest(), expires)
            self.assertEqual(Token.fromLine(out.rstrip("\n").encode()), wanted)
            self.assertNotIn(token, out)
            made.add(token)
        self.assertEqual(len(made), 2)

    def test_bad(self) -> None:
        """
        A name or a time that cannot be.
        """
        for arguments, words in (
            (("a:b",), "'a:b' is no name"),
            (("a", "--expires", "0"), "wanted days"),
            (("a", "--expires", "nan"), "wanted days"),
            (("a", "--expires", "1e9"), "wanted days"),
        ):
            code, out, err = self.run_(*arguments)
            self.assertEqual((code, out), (1, ""))
            self.assertIn(words, err)
