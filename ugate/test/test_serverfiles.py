# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.serverfiles}.
"""

from __future__ import annotations

import random
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.dsa import generate_private_key as dsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError, UgateError
from ugate.tenancy import serverfiles
from ugate.tenancy.identityown import keyText
from ugate.tenancy.serverfiles import Pair, checkServers, pairsIn, readPair
from ugate.test.identityfakes import Holder, authority, certified


class FolderTestCase(SynchronousTestCase):
    """
    A folder, and an authority.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.root = authority()

    def put(self, name: str, data: bytes, mode: int = 0o600) -> Path:
        """
        Write a file.
        """
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode)
        path.chmod(mode)
        path.write_bytes(data)
        return path

    def whole(self, holder: Holder) -> bytes:
        """
        Key and certificates in one file.
        """
        return keyText(holder.key) + holder.pem() + self.root.pem()


class LayoutTests(FolderTestCase):
    """
    L{pairsIn}.
    """

    def found(self) -> tuple[list[tuple[str, str]], list[str]]:
        pairs, wrong = pairsIn(str(self.folder))
        short = [tuple(path.removeprefix(f"{self.folder}/") for path in (p.key, p.chain)) for p in pairs]
        return short, [sentence.replace(f"{self.folder}/", "") for sentence in wrong]  # type: ignore[return-value]

    def test_layouts(self) -> None:
        """
        One file with both, NAME.crt and NAME.key, certbot's, Kubernetes' and Istio's.
        """
        for name in (
            *("one.pem", "two.crt", "two.key", "two.issuer.crt", "two.json", "ca.crt", "README"),
            *("live/fullchain.pem", "live/privkey.pem", "live/cert.pem", "live/chain.pem", "live/README"),
            *("secret/tls.crt", "secret/tls.key", "secret/ca.crt", "secret/..data/tls.crt"),
            *("mesh/key.pem", "mesh/cert-chain.pem", "mesh/root-cert.pem", "plain/key.pem", "plain/cert.pem"),
            *(".hidden.pem", "two\nlines.pem"),
        ):
            (self.folder / name).parent.mkdir(exist_ok=True, parents=True)
            self.put(name, b"")
        pairs, wrong = self.found()
        self.assertEqual([], wrong)
        self.assertEqual(
            [
                ("one.pem", "one.pem"),
                ("two.key", "two.crt"),
                ("live/privkey.pem", "live/fullchain.pem"),
                ("mesh/key.pem", "mesh/cert-chain.pem"),
                ("plain/key.pem", "plain/cert.pem"),
                ("secret/tls.key", "secret/tls.crt"),
            ],
            pairs,
        )
        self.assertEqual("a/b.crt", str(Pair("a/b.key", "a/b.crt")))

    def test_alone(self) -> None:
        """
        One without the other is told.
        """
        alone = (("a.crt", "a.key"), ("b.key", "b.crt"))
        for one, _ in alone:
            self.put(one, b"")
        pairs, wrong = self.found()
        self.assertEqual([], pairs)
        self.assertEqual(
            [
                "a.crt: there is no a.key beside it; wanted both",
                "b.key: there is no b.crt beside it; wanted both",
            ],
            wrong,
        )

    def test_many(self) -> None:
        """
        There may not be any number of them.
        """
        self.patch(serverfiles, "MOST", 3)
        for number in range(5):
            self.put(f"{number}.pem", b"")
        pairs, wrong = self.found()
        self.assertEqual((3, 1), (len(pairs), len(wrong)))
        self.assertIn("5 certificates, of which the first 3 count", wrong[0])

    def test_nowhere(self) -> None:
        """
        There has to be a folder.
        """
        nowhere = str(self.folder / "nowhere")
        self.assertRaises(UgateError, pairsIn, nowhere)
        self.assertIn("No such file", str(self.assertRaises(StringError, checkServers, nowhere)))
        self.assertRaises(StringError, checkServers, str(self.put("file", b"")))
        checkServers(str(self.folder))


class PairTests(FolderTestCase):
    """
    L{readPair}.
    """

    def wrong(self, *said: str, key: str = "one.pem", chain: str = "one.pem") -> None:
        """
        It cannot be used, and each of these is said, but nothing of the key.
        """
        pair = Pair(str(self.folder / key), str(self.folder / chain))
        error = str(self.assertRaises(UgateError, readPair, pair))
        for each in said:
            self.assertIn(each.replace("FOLDER", str(self.folder)), error)
        self.assertNotIn("PRIVATE", error.replace("BEGIN PRIVATE KEY", ""))

    def read(self, holder: Holder) -> tuple[str, ...]:
        path = str(self.put("one.pem", self.whole(holder)))
        keypair, names = readPair(Pair(path, path))
        self.assertEqual((holder.certificate, self.root.certificate), keypair.chain)
        self.assertEqual(holder.key.public_key(), keypair.key.public_key())
        return names

    def test_read(self) -> None:
        """
        Keys of the types that servers have; names are those of hosts, in small letters.
        """
        names = ["WWW.corp", "*.corp", "spiffe://x/y", "f*.corp", "www.corp"]
        keys = (None, generate_private_key(SECP384R1()), Ed25519PrivateKey.generate(), rsa(65537, 2048))
        for key in keys:
            self.assertEqual(("www.corp", "*.corp"), self.read(certified(names, self.root, key=key)))

    def test_two(self) -> None:
        """
        Two files; what else is in them does not count.
        """
        holder = certified(["a.corp"], self.root)
        self.put("a.key", b"Bag Attributes\n" + keyText(holder.key).replace(b"\n", b"\r\n"))
        self.put("a.crt", b"# its certificate\n" + holder.pem(), 0o644)
        pair = Pair(str(self.folder / "a.key"), str(self.folder / "a.crt"))
        self.assertEqual(("a.corp",), readPair(pair)[1])

    def test_wrong(self) -> None:
        """
        What is wrong is told with the file and the line.
        """
        holder = certified(["a.corp"], self.root)
        key, pem = keyText(holder.key), holder.pem()
        lines = key.count(b"\n")
        begun = b"".join(pem.splitlines(True)[:-1])
        other = certified(["a.corp"], self.root)
        small = rsa(65537, 1024)
        dss = dsa(1024).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        hidden = holder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        for data, said in (
            (b"", "FOLDER/one.pem: no private keys in it"),
            (pem, "no private keys in it"),
            (key + key + pem, "2 private keys in it"),
            (key, "there is no certificate in it"),
            (key + begun, f"one.pem:{lines + 1}: this CERTIFICATE has no end"),
            (key + begun + pem, "BEGIN CERTIFICATE stands there; wanted END CERTIFICATE"),
            (pem[60:] + key, "END CERTIFICATE stands there; wanted a BEGIN before it"),
            (key + pem[:100] + b"!" + pem[101:], f"one.pem:{lines + 1}: this certificate cannot be read"),
            (key[:60] + b"\n" + key[70:] + pem, "one.pem:1: this private key cannot be read"),
            (
                b"\n\n" + hidden + pem,
                "one.pem:3: this private key cannot be read; wanted one in PEM, without a",
            ),
            (
                keyText(other.key) + pem,
                f"one.pem:{lines + 1}: this certificate is not of the key in FOLDER/one.pem",
            ),
            (key + self.root.pem() + pem, "is not of the key"),
            (self.whole(certified([], self.root)), "this certificate has no name of a host"),
            (self.whole(certified(["spiffe://x/y"], self.root)), "this certificate has no name of a host"),
            (self.whole(certified(["a.corp"], self.root, key=small)), "wanted ECDSA, Ed25519 or RSA of 2048"),
            (dss + pem, "one.pem:1: a key of another type"),
            (
                key + pem * 11,
                f"one.pem:{lines + 1 + 10 * pem.count(b'-----BEGIN') * len(pem.splitlines())}: over 10",
            ),
        ):
            self.put("one.pem", data)
            self.wrong(said)

    def test_modes(self) -> None:
        """
        Others may not read the key, and not write the certificate.
        """
        holder = certified(["a.corp"], self.root)
        self.put("one.pem", self.whole(holder), 0o644)
        self.wrong("FOLDER/one.pem: others may read or write this key; run: chmod o-rwx")
        self.put("a.key", keyText(holder.key))
        self.put("a.crt", holder.pem(), 0o666)
        self.wrong("FOLDER/a.crt: everyone may write it", key="a.key", chain="a.crt")
        self.put("big.pem", b"x" * (1 << 20) + b"x")
        self.wrong("over 1024 KiB", key="big.pem", chain="big.pem")
        self.wrong("No such file", key="nowhere", chain="nowhere")

    def test_mangled(self) -> None:
        """
        Whatever is in a file, it is read or told.
        """
        source = random.Random(5)
        good = self.whole(certified(["a.corp"], self.root))
        wrong = 0
        for _ in range(500):
            data = bytearray(good)
            for _ in range(source.randint(1, 4)):
                at = source.randrange(len(data))
                data[at : at + source.randint(0, 30)] = source.randbytes(source.randint(0, 30))
            path = str(self.put("one.pem", bytes(data)))
            try:
                readPair(Pair(path, path))
            except UgateError:
                wrong += 1
        self.assertGreater(wrong, 300)
