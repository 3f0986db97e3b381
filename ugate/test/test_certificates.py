# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.certificates}.
"""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.certificates import CertificateFile, checkCertificates, readCertificates
from ugate.tenancy.config.mistakes import ConfigError
from ugate.test.credentialfakes import certificate, write


class CertificateFileTests(SynchronousTestCase):
    """
    The file, and who is in it.
    """

    def setUp(self) -> None:
        self.der = certificate(1000, 2000)
        self.digest = sha256(self.der).digest()
        self.path = write(self.mktemp(), f"web:sha256:{self.digest.hex()}\n")
        self.now = 1500.0
        self.file = CertificateFile(self.path, lambda: self.now)

    def test_dates(self) -> None:
        """
        Somebody's certificate is good as long as it says.
        """
        for now, wanted in ((999, None), (1000, "web"), (2000, "web"), (2001, None)):
            self.now = now
            self.assertEqual(self.file.nameFor(self.der), wanted)

    def test_others(self) -> None:
        """
        Another one is nobody's, nor is what is none.
        """
        self.assertIsNone(self.file.nameFor(certificate(1000, 2000)))
        self.assertIsNone(self.file.nameFor(b""))
        write(self.path, f"x:sha256:{sha256(b'junk').hexdigest()}")
        self.assertIsNone(self.file.nameFor(b"junk"))

    def test_openssl(self) -> None:
        """
        A fingerprint may have colons, as openssl prints it; a changed file holds at once.
        """
        write(self.path, f"other:sha256:{self.digest.hex(':').upper()}\n")
        self.assertEqual(self.file.nameFor(self.der), "other")

    def test_mistakes(self) -> None:
        """
        What is wrong is told with its line.
        """
        line = f"web:sha256:{self.digest.hex()}\n"
        write(self.path, f"{line}{line}web\na:b:c\nx:sha256:12\n")
        error = self.assertRaises(ConfigError, readCertificates, self.path)
        said = [str(mistake).removeprefix(self.path) for mistake in error.mistakes]
        self.assertEqual(len(said), 4)
        for begin, text in zip(
            (":2:1: the same fingerprint", ":3:1: no sha256:", ":4:1: no sha256:", ":5:1: 2 characters"),
            said,
            strict=True,
        ):
            self.assertTrue(text.startswith(begin), text)
        self.assertRaises(StringError, checkCertificates, self.path)

    @given(st.binary(max_size=100))
    def test_anything(self, data: bytes) -> None:
        """
        Any file is one or a L{ConfigError}.
        """
        write(self.path, data)
        try:
            readCertificates(self.path)
        except ConfigError:
            pass
