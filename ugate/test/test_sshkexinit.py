# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshkexinit}.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.sshkexinit import Chosen, KexInit, choose

AEAD = b"aes128-gcm@openssh.com"
CLIENT = KexInit((b"ext-info-c", b"k1", b"k2"), (b"h1",), (b"aes128-ctr",), (AEAD,), (b"m1",), (b"m1",))
SERVER = KexInit((b"ext-info-c", b"k2", b"k1"), (b"h2", b"h1"), (b"aes128-ctr",), (AEAD,), (b"m1",), (b"m2",))


class ChooseTests(SynchronousTestCase):
    """
    What follows from what both say.
    """

    def test_client(self) -> None:
        """
        The client's order decides; a marker is no key exchange; and an AEAD needs no MAC in common.
        """
        self.assertEqual(Chosen(b"k1", b"h1", b"aes128-ctr", AEAD, b"m1", b"", False), choose(CLIENT, SERVER))

    def test_guess(self) -> None:
        """
        A guess is right if both prefer the same.
        """
        self.assertTrue(choose(CLIENT, replace(SERVER, hostKeys=(b"h1",))).guessed)

    def test_nothing(self) -> None:
        """
        What is missing is named.
        """
        for name, words in (
            ("kex", "key exchange"),
            ("hostKeys", "host key"),
            ("ciphersUp", "cipher"),
            ("ciphersDown", "cipher"),
            ("macsUp", "MAC"),
            ("compressionsUp", "compression"),
        ):
            changes: dict[str, Any] = {name: (b"",)}
            wrong = replace(SERVER, **changes)
            self.assertIn(words, str(self.assertRaises(ProtocolError, choose, CLIENT, wrong)))
        many = replace(SERVER, hostKeys=(b"h3\n", b"x" * 1000))
        said = str(self.assertRaises(ProtocolError, choose, CLIENT, many))
        self.assertIn("in common: the client has h1; the server has h3?,xxx", said)
        self.assertLess(len(said), 200)

    def test_bytes(self) -> None:
        """
        It reads what it writes, and refuses each that is shorter.
        """
        data = replace(CLIENT, follows=True).toBytes()
        self.assertEqual(replace(CLIENT, follows=True), KexInit.fromBytes(data))
        for size in range(len(data)):
            self.assertRaises(ProtocolError, KexInit.fromBytes, data[:size])

    @given(st.binary(max_size=300))
    def test_garbage(self, data: bytes) -> None:
        """
        Nothing but L{ProtocolError} is raised.
        """
        try:
            KexInit.fromBytes(data)
        except ProtocolError:
            pass
