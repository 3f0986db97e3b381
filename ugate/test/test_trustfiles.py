# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Files of known peers and of those who are believed no more.
"""

from __future__ import annotations

from base64 import b32encode
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.trustfiles import KnownFile, Met, isWritable, normalName, readKnown, readRevoked
from ugate.test.identityfakes import authority, certified, listOf

KEYID = b32encode(b"\1" * 32).decode().rstrip("=")
OTHER = b32encode(b"\2" * 32).decode().rstrip("=")

keyids = st.binary(min_size=32, max_size=32).map(lambda data: b32encode(data).decode().rstrip("="))


class FileCase(SynchronousTestCase):
    """
    With a file.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def write(self, data: bytes) -> str:
        """
        What is in it.
        """
        self.path.write_bytes(data)
        return str(self.path)


class KnownTests(FileCase):
    """
    L{readKnown} and L{KnownFile}.
    """

    def test_read(self) -> None:
        """
        Names are in lower case, KEYIDs in upper.
        """
        path = self.write(f"# mine\n\nWeb.example.  {KEYID.lower()}\n{OTHER} {OTHER}".encode())
        self.assertEqual({"web.example": Met(KEYID, 3), OTHER.lower(): Met(OTHER, 4)}, readKnown(path))
        self.assertEqual({}, readKnown(f"{path}.no"))

    def test_mistakes(self) -> None:
        """
        All that is wrong is told, with the line.
        """
        lines = [
            "web",
            f"web {KEYID} x",
            "web KEYID",
            f"a {KEYID}",
            f"A. {OTHER}",
            f". {KEYID}",
            f"b {KEYID}.x",
        ]
        error = self.assertRaises(ConfigError, readKnown, self.write("\n".join(lines).encode() + b"\n\xff x"))
        told = [str(mistake) for mistake in error.mistakes]
        for line, text in (
            *((1, "NAME KEYID"), (2, "NAME KEYID"), (3, "no KEYID"), (5, "a is on line 4 too"), (6, "dots")),
            *((7, "no KEYID"), (8, "UTF-8")),
        ):
            self.assertTrue(any(f":{line}:1: " in each and text in each for each in told), (line, told))
        self.assertEqual(7, len(told))

    def test_open(self) -> None:
        """
        A file that everyone may write is of no use.
        """
        path = self.write(b"")
        self.path.chmod(0o666)
        self.assertIn("chmod o-w", str(self.assertRaises(ConfigError, readKnown, path)))

    def test_unended(self) -> None:
        """
        A last line without an end is not written on.
        """
        known = KnownFile(self.write(f"a {KEYID}".encode()))
        known.learn("b", OTHER)
        self.assertEqual(f"a {KEYID}\nb {OTHER}\n".encode(), self.path.read_bytes())
        self.assertEqual(Met(OTHER, 2), known.find("B."))
        self.assertTrue(known.has(KEYID))

    @given(st.binary(max_size=300))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever is there, it is read, or refused with mistakes.
        """
        try:
            readKnown(self.write(data))
        except ConfigError as error:
            self.assertTrue(error.mistakes)

    @given(st.dictionaries(st.text(min_size=1, max_size=40).map(normalName), keyids, max_size=5))
    def test_learned(self, peers: dict[str, str]) -> None:
        """
        What is learned is what is read.
        """
        self.write(b"")
        known = KnownFile(str(self.path))
        good = {name: keyid for name, keyid in peers.items() if isWritable(name) and normalName(name) == name}
        for name, keyid in good.items():
            known.learn(name, keyid)
        self.assertEqual(good, {name: met.keyid for name, met in readKnown(str(self.path)).items()})


class RevokedTests(FileCase):
    """
    L{readRevoked}.
    """

    def test_lines(self) -> None:
        """
        Serial numbers as OpenSSL prints them, and KEYIDs.
        """
        path = self.write(f"# gone\nserial=0A1B\n0xff\n01:02:03\n  7 \n{KEYID.lower()}\n".encode())
        revoked = readRevoked(path)
        self.assertEqual({0xA1B, 0xFF, 0x10203, 7}, revoked.serials)
        self.assertEqual({KEYID}, revoked.keyids)
        self.assertEqual("its serial number 7", revoked.why(certified(serial=7).certificate, None))
        self.assertEqual("", revoked.why(certified(serial=8).certificate, OTHER))

    def test_mistakes(self) -> None:
        """
        What is neither is told, with its line, and also a file that is not there.
        """
        for line in (b"xyz", b"01:2:3", b"0x", b"-1", b"1" * 41, b"1 2", f"{KEYID}.x".encode(), b"\xff"):
            error = self.assertRaises(ConfigError, readRevoked, self.write(b"1\n" + line))
            self.assertIn(":2:1: ", str(error))
            self.assertIn("neither a serial number nor a KEYID", str(error))
        self.assertIn("No such file", str(self.assertRaises(ConfigError, readRevoked, f"{self.path}.no")))

    def test_lists(self) -> None:
        """
        A CRL that is not whole is refused, at whatever byte it ends.
        """
        issuer = authority()
        data = listOf(issuer, [1, 2]).rstrip(b"\n")
        self.assertEqual(2, len(readRevoked(self.write(data + b"\n" + data)).lists))
        for end in range(len(data)):
            error = self.assertRaises(ConfigError, readRevoked, self.write(data[:end] or b"x"))
            self.assertTrue(error.mistakes)

    @given(st.binary(max_size=300))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever is there, it is read, or refused with mistakes.
        """
        for each in (data, b"-----BEGIN X509 CRL-----\n" + data + b"\n-----END X509 CRL-----"):
            try:
                readRevoked(self.write(each))
            except ConfigError as error:
                self.assertTrue(error.mistakes)

    @given(st.sets(st.integers(1, (1 << 159) - 1), max_size=5), st.sets(keyids, max_size=5))
    def test_every(self, serials: set[int], ids: set[str]) -> None:
        """
        All that is in it is read.
        """
        text = "".join(f"{each:X}\n" for each in serials) + "".join(f"{each}\n" for each in ids)
        revoked = readRevoked(self.write(text.encode()))
        self.assertEqual((serials, ids), (revoked.serials, revoked.keyids))
