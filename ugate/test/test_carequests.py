# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.ca.requests}.
"""

from __future__ import annotations

from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.ca.errors import BadRequest
from ugate.tenancy.ca.requests import MAX_NAMES, MAX_REQUEST, MAX_TEXT, checkHost, readCSR, readSSHKey
from ugate.tenancy.keyids import keyidOf
from ugate.test.cafakes import csrOf, sshOf
from ugate.test.identityfakes import p256

KEY = p256()
CSR = csrOf(KEY, ["A.corp", "spiffe://corp/ns/default/sa/a"], form=Encoding.DER)
SIGNED = 4 + len(x509.load_der_x509_csr(CSR).tbs_certrequest_bytes)
SSH = sshOf(KEY)


class RequestTests(SynchronousTestCase):
    """
    PKCS #10.
    """

    def wrong(self, text: str, data: bytes, **more: object) -> None:
        """
        It is not read, and the error says why.
        """
        error = self.assertRaises(BadRequest, readCSR, data, "corp", **more)
        self.assertIn(text, str(error))

    def test_kinds(self) -> None:
        """
        P-256, Ed25519 and RSA, in PEM and DER; the names are those in it, in lower case.
        """
        for key in (KEY, Ed25519PrivateKey.generate(), rsa(65537, 2048)):
            for form in (Encoding.PEM, Encoding.DER):
                wanted = readCSR(
                    csrOf(key, ["A.corp", "a.corp", "spiffe://corp/ns/x/sa/y"], form=form), "corp"
                )
                self.assertEqual(("tls", keyidOf(key.public_key())), (wanted.kind, wanted.keyid))
                self.assertEqual(("a.corp", "spiffe://corp/ns/x/sa/y"), wanted.names)
        self.assertNotIn("object at", repr(wanted))

    def test_names(self) -> None:
        """
        Without names there are those of a node; others may be given instead.
        """
        keyid = keyidOf(KEY.public_key()).lower()
        wanted = readCSR(csrOf(KEY), "corp")
        host = f"{keyid}.default.corp"
        self.assertEqual((host, keyid, "spiffe://corp/ns/default/sa/default"), wanted.names)
        self.assertEqual(("b.corp",), readCSR(CSR, "corp", names=["b.corp."]).names)

    def test_keys(self) -> None:
        """
        Other keys have no name.
        """
        self.wrong("wanted P-256", csrOf(generate_private_key(SECP384R1())))
        self.wrong("wanted P-256", csrOf(rsa(65537, 1024)))

    def test_unsigned(self) -> None:
        """
        Whoever sends it has to have the key.
        """
        broken = bytearray(CSR)
        broken[-1] ^= 1
        self.wrong("is not signed by the key in it", bytes(broken))
        # The names of one, the signature of another.
        at = CSR.index(b"A.corp")
        self.wrong("is not signed", CSR[:at] + b"B" + CSR[at + 1 :])

    def test_forbidden(self) -> None:
        """
        What nobody gets.
        """
        self.wrong("wants to be a CA", csrOf(KEY, ["a"], [x509.BasicConstraints(True, None)]))
        others: list[x509.GeneralName] = [x509.IPAddress(ip_address("192.0.2.1")), x509.RFC822Name("a@corp")]
        for each in others:
            self.wrong(type(each).__name__, csrOf(KEY, [], [x509.SubjectAlternativeName([each])]))
        for name in (
            "*.corp",
            "a..b",
            "-a.corp",
            "a_.b c",
            "192.0.2.1",
            "x" * 64,
            f"{'a.' * 127}bc",
            "ä.corp",
            "",
        ):
            self.assertRaises(BadRequest, checkHost, name)
        for uri in ("spiffe://corp/ns/a b/sa/c", "spiffe://corp/\x00", f"spiffe://{'x' * 600}"):
            self.wrong("is no URI", CSR, names=[uri])
        self.wrong("more than one URI", CSR, names=["spiffe://a/ns/b/sa/c", "spiffe://a/ns/b/sa/d"])

    def test_caps(self) -> None:
        """
        How large it may be, how many names there may be, and how short a life.
        """
        self.wrong(f"at most {MAX_REQUEST}", CSR + bytes(MAX_REQUEST))
        names = [f"a{number}.corp" for number in range(MAX_NAMES)]
        self.assertEqual(MAX_NAMES, len(readCSR(CSR, "corp", names=names).names))
        self.wrong(f"at most {MAX_NAMES}", CSR, names=[*names, "b"])
        for life in (0.5, -1, float("nan")):
            self.wrong("at least 1", CSR, life=life)

    @given(st.binary(max_size=400))
    @settings(max_examples=60, deadline=None)
    def test_random(self, data: bytes) -> None:
        """
        Any bytes are a bad request and nothing else.
        """
        self.assertRaises(BadRequest, readCSR, data, "corp")
        self.assertRaises(BadRequest, readCSR, b"-----BEGIN" + data, "corp")

    @given(st.integers(4, SIGNED - 1), st.integers(1, 255))
    @settings(max_examples=200, deadline=None)
    def test_changed(self, at: int, change: int) -> None:
        """
        One byte of what is signed that is another one: a bad request.
        """
        data = bytearray(CSR)
        data[at] ^= change
        self.assertRaises(BadRequest, readCSR, bytes(data), "corp")

    def test_cut(self) -> None:
        """
        Half of it is a bad request wherever it is cut.
        """
        for end in range(len(CSR)):
            self.assertRaises(BadRequest, readCSR, CSR[:end], "corp")


class KeyTests(SynchronousTestCase):
    """
    Keys of SSH.
    """

    def wrong(
        self, text: str, key: str, kind: str = "ssh-user", names: object = ("a",), **more: object
    ) -> None:
        """
        It is not read, and the error says why.
        """
        error = self.assertRaises(BadRequest, readSSHKey, key, kind, names, **more)
        self.assertIn(text, str(error))

    def test_kinds(self) -> None:
        """
        All that OpenSSH makes and that are in one piece; they are known by KEYID or fingerprint.
        """
        for key in (KEY, Ed25519PrivateKey.generate(), rsa(65537, 2048)):
            wanted = readSSHKey(sshOf(key), "ssh-user", ["a", "b", "a"])
            self.assertEqual((keyidOf(key.public_key()), ("a", "b")), (wanted.keyid, wanted.names))
        large = readSSHKey(sshOf(generate_private_key(SECP384R1())), "ssh-host", ["Gate.corp"])
        self.assertTrue(large.keyid.startswith("SHA256:"))
        self.assertEqual(("gate.corp",), large.names)

    def test_wrong(self) -> None:
        """
        What is no key, and what are no names.
        """
        for text in ("", "ssh-ed25519", "ssh-dss AAAA", f"ssh-ed25519 {SSH.split()[1]}", "ssh-rsa é"):
            self.assertRaises(BadRequest, readSSHKey, text, "ssh-user", ["a"])
        self.wrong("RSA key of 1024 bits", sshOf(rsa(65537, 1024)))
        self.wrong("the kind 'tls'", SSH, "tls")
        self.wrong("the kind 'x'", SSH, "x")
        self.wrong("would be for all", SSH, names=())
        for name in ("", "a,b", " a", "a\n", "x" * (MAX_TEXT + 1)):
            self.wrong("cannot be a name of SSH", SSH, names=(name,))
            if name:
                self.wrong("cannot be a name of SSH", SSH, title=name)
        self.wrong("no name of a host", SSH, "ssh-host", ("*",))
        self.wrong(f"at most {MAX_NAMES}", SSH, names=tuple(map(str, range(MAX_NAMES + 1))))

    @given(st.one_of(st.text(max_size=100), st.text(max_size=60).map(lambda text: f"ssh-ed25519 {text}")))
    @settings(max_examples=100, deadline=None)
    def test_random(self, text: str) -> None:
        """
        Any text is a bad request and nothing else.
        """
        self.assertRaises(BadRequest, readSSHKey, text, "ssh-user", ["a"])

    def test_cut(self) -> None:
        """
        So is half of it, wherever it is cut.
        """
        kind, blob = SSH.split()[:2]
        for end in range(len(blob)):
            self.assertRaises(BadRequest, readSSHKey, f"{kind} {blob[:end]}", "ssh-user", ["a"])
