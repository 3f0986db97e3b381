# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpauth}.
"""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st

from twisted.cred.credentials import UsernamePassword
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.credentials import BearerToken
from ugate.protocols.httpauth import basicLogin, basicValue, bearerLogin, loginFrom

_plain = st.binary(max_size=30).filter(lambda b: all(c >= 32 and c != 127 for c in b))


class ReadTests(SynchronousTestCase):
    """
    Reading the value of a field.
    """

    def test_rfc(self) -> None:
        """
        The example of RFC 7617, section 2.
        """
        login = basicLogin(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        assert login is not None
        self.assertEqual((login.username, login.password), (b"Aladdin", b"open sesame"))

    def test_utf8(self) -> None:
        """
        The example of RFC 7617, section 2.1: the bytes stay as they are.
        """
        login = basicLogin(b"basic  dGVzdDoxMjPCow==")
        assert login is not None
        self.assertEqual((login.username, login.password), (b"test", "123\u00a3".encode()))

    def test_colons(self) -> None:
        """
        A password may have colons, and either may be empty.
        """
        for plain, wanted in (b"a:b:c", (b"a", b"b:c")), (b":", (b"", b"")):
            login = basicLogin(b"BASIC " + b64encode(plain))
            assert login is not None
            self.assertEqual((login.username, login.password), wanted)

    def test_bad(self) -> None:
        """
        What is no Basic login is none.
        """
        for value in (
            b"",
            b"Basic",
            b"Basic ",
            b"Basic !!!!",
            b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            b"Basic " + b64encode(b"no colon"),
            b"Basic " + b64encode(b"a:b\n"),
            b"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            b"BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ):
            self.assertIsNone(basicLogin(value), value)

    def test_bearer(self) -> None:
        """
        A token, with the path of a tenant before it or without; what cannot be one is none.
        """
        for value, token in (
            (b"Bearer ugate_abc-DEF_019", b"ugate_abc-DEF_019"),
            (b"bearer  alice/dev~ugate_x ", b"alice/dev~ugate_x"),
            (b"BEARER a.b+c==", b"a.b+c=="),
            (b"Bearer", None),
            (b"Bearer ", None),
            (b"Bearer a b", None),
            (b"Bearer a=b", None),
            (b"Bearer a@b", None),
            (b"Bearer \xe9", None),
            (b"Bearer a\n", None),
            (b"Bearer " + b"a" * 2049, None),
            (b"Bearera", None),
            (b"Basic abc", None),
        ):
            login = bearerLogin(value)
            self.assertEqual(login, None if token is None else BearerToken(token), value)

    def test_either(self) -> None:
        """
        A login is of the scheme that it says.
        """
        self.assertEqual(loginFrom(b"Bearer abc"), BearerToken(b"abc"))
        self.assertIsInstance(loginFrom(b"Basic YTpi"), UsernamePassword)
        self.assertIsNone(loginFrom(b"Digest abc"))

    @given(st.binary())
    def test_anything(self, value: bytes) -> None:
        """
        No value is an error.
        """
        for scheme in (b"Basic ", b"Bearer ", b""):
            loginFrom(scheme + value)


class WriteTests(SynchronousTestCase):
    """
    Writing the value of a field.
    """

    def test_refused(self) -> None:
        """
        What Basic cannot say is refused, without saying it.
        """
        for user, password in (b"a:b", b"hush"), (b"a\r", b"hush"), (b"a", b"hush\n"), (b"a", b"hush\x7f"):
            error = self.assertRaises(Refused, basicValue, UsernamePassword(user, password), "proxy:3128")
            self.assertEqual((error.cause, error.phase), (Cause.UNSUPPORTED, Phase.AUTH))
            self.assertIn("proxy:3128", str(error))
            self.assertNotIn("hush", str(error))

    @given(_plain.filter(lambda b: b":" not in b), _plain)
    def test_roundTrip(self, user: bytes, password: bytes) -> None:
        """
        What is written is read again.
        """
        login = basicLogin(basicValue(UsernamePassword(user, password), "proxy"))
        assert login is not None
        self.assertEqual((login.username, login.password), (user, password))
