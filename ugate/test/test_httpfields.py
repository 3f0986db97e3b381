# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpfields}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.httpfields import HOP_BY_HOP, endToEnd, tokens, trailers, upgradeOf, values, via


class FieldTests(SynchronousTestCase):
    """
    What goes on, and what stays.
    """

    def test_values(self) -> None:
        """
        All fields of a name count, however it is written.
        """
        fields = [(b"Via", b"1.1 a"), (b"X", b"y"), (b"VIA", b"1.0 b")]
        self.assertEqual(values(fields, b"via"), [b"1.1 a", b"1.0 b"])

    def test_tokens(self) -> None:
        """
        Lists may be spread over fields, and have empty members.
        """
        fields = [(b"Connection", b"Close, ,X-A"), (b"connection", b"\tTE ")]
        self.assertEqual(tokens(fields, b"connection"), [b"close", b"x-a", b"te"])
        self.assertEqual(tokens(fields, b"te"), [])

    def test_hopByHop(self) -> None:
        """
        Fields for this hop do not go on, by whatever case they are written.
        """
        for name in HOP_BY_HOP:
            fields = [(name.title(), b"x"), (b"Accept", b"*/*")]
            self.assertEqual(endToEnd(fields), [(b"Accept", b"*/*")])

    def test_named(self) -> None:
        """
        Nor do those that Connection names; order and case of the others stay.
        """
        fields = [(b"B", b"1"), (b"X-Secret", b"2"), (b"a", b"3"), (b"Connection", b"x-secret, close")]
        self.assertEqual(endToEnd(fields), [(b"B", b"1"), (b"a", b"3")])

    def test_kept(self) -> None:
        """
        Connection cannot take out the framing or the address.
        """
        fields = [(b"Content-Length", b"5"), (b"Host", b"a")]
        self.assertEqual(endToEnd([*fields, (b"Connection", b"content-length, host")]), fields)

    def test_trailers(self) -> None:
        """
        A trailer cannot change what was said in front.
        """
        fields = [(b"Content-Length", b"5"), (b"Digest", b"a"), (b"Transfer-Encoding", b"chunked")]
        self.assertEqual(
            trailers([*fields, (b"Set-Cookie", b"a"), (b"Authorization", b"b")]), [(b"Digest", b"a")]
        )

    def test_upgrade(self) -> None:
        """
        Upgrade counts if Connection names it.
        """
        self.assertEqual(upgradeOf([(b"Upgrade", b"websocket")]), b"")
        self.assertEqual(
            upgradeOf([(b"upgrade", b"a"), (b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"b")]),
            b"a, b",
        )

    def test_via(self) -> None:
        """
        RFC 9110, 7.6.3: the version as it came, and who we are.
        """
        self.assertEqual(via(b"1.0"), (b"Via", b"1.0 ugate"))
