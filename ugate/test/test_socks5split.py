# -*- test-case-name: ugate.test.test_socks5split -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of L{ugate.protocols.socks5} with input that is cut anyhow, and with any input.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.interfaces import Auth
from ugate.protocols.socks5 import Socks5
from ugate.stream import Target
from ugate.test.test_socks5 import (
    ALICE,
    BY_IPV4,
    BY_IPV6,
    BY_NAME,
    GREET,
    GREET_BOTH,
    GREET_LOGIN,
    INFO,
    LOGIN,
    WRONG_LOGIN,
    everyByte,
    serve,
)

messages = st.one_of(
    st.binary(max_size=24),
    st.sampled_from(
        (GREET, GREET_LOGIN, GREET_BOTH, LOGIN, WRONG_LOGIN, b"\x01\x00\x00", BY_IPV4, BY_NAME, BY_IPV6)
    ),
    st.binary(max_size=8).map(lambda name: b"\x05\x01\x00\x03" + bytes((len(name),)) + name + b"\x00\x50"),
)
conversations = st.lists(messages, max_size=5).map(b"".join)


class SplitTests(SynchronousTestCase):
    """
    How the input is cut makes no difference.
    """

    def test_everySplit(self) -> None:
        """
        Each conversation cut in two at every place, and byte by byte.
        """
        for auth, data in (
            (Auth.NONE, GREET + BY_IPV4 + b"rest"),
            (Auth.NONE, GREET + BY_NAME + b"rest"),
            (Auth.NONE, GREET + BY_IPV6 + b"rest"),
            (Auth.OPTIONAL, GREET_BOTH + LOGIN + BY_NAME + b"rest"),
            (Auth.OPTIONAL, GREET_BOTH + b"\x01\x00\x00" + BY_IPV4 + b"rest"),
            (Auth.REQUIRED, GREET_LOGIN + LOGIN + BY_IPV6 + b"rest"),
            (Auth.REQUIRED, GREET_LOGIN + WRONG_LOGIN + BY_IPV6),
        ):
            whole = serve(Socks5(INFO, auth), [data])
            self.assertEqual(whole.rest, b"" if whole.error else b"rest")
            for cut in range(len(data)):
                self.assertEqual(serve(Socks5(INFO, auth), [data[:cut], data[cut:]]), whole)
            self.assertEqual(serve(Socks5(INFO, auth), everyByte(data)), whole)

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(Auth), conversations, st.lists(st.integers(1, 40), max_size=12))
    def test_anything(self, auth: Auth, data: bytes, sizes: list[int]) -> None:
        """
        Anything at all, cut anyhow, ends the same way, never in another error
        than L{ProtocolError}, and never past a login that was required.
        """
        pieces = []
        left = data
        for size in sizes:
            pieces.append(left[:size])
            left = left[size:]
        whole = serve(Socks5(INFO, auth), [data])
        self.assertEqual(serve(Socks5(INFO, auth), [*pieces, left]), whole)
        self.assertEqual(serve(Socks5(INFO, auth), everyByte(data)), whole)
        if whole.info is not None:
            self.assertTrue(whole.info.principal == ALICE or auth is not Auth.REQUIRED)
            assert whole.info.target is not None
            try:
                Target.checked(whole.info.target.host, whole.info.target.port)
            except StringError as e:
                self.fail(f"a target that cannot be: {e}")
