# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.jwts} and L{ugate.tenancy.jwks}.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from twisted.cred.credentials import UsernamePassword
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.protocols.credentials import BearerToken, ILogin
from ugate.stream import Principal
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.jwks import MAX_KEYS, fromBase64, keysFromJSON
from ugate.tenancy.jwts import MAX, SKEW, IssuerFile, checkIssuers, readIssuers
from ugate.tenancy.portal import portalFrom
from ugate.tenancy.tokens import isJWT
from ugate.test.credentialfakes import write
from ugate.test.test_portal import Files

NOW = 1_800_000_000.0
ISSUER = "https://login.example/"
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
CURVES = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
}
SIZES = {"P-256": 32, "P-384": 48, "P-521": 66}
CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", *CURVE_OF, "EdDSA")


def text64(data: bytes) -> str:
    """
    The base64 of URLs.
    """
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number64(number: int, size: int = 0) -> str:
    """
    A number in it.
    """
    return text64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def webKeys() -> list[dict[str, str]]:
    """
    All of the keys, as who issues publishes them.
    """
    numbers = RSA.public_key().public_numbers()
    keys = [{"kty": "RSA", "n": number64(numbers.n), "e": number64(numbers.e), "kid": "rsa", "use": "sig"}]
    for name, key in CURVES.items():
        point = key.public_key().public_numbers()
        x, y = (number64(each, SIZES[name]) for each in (point.x, point.y))
        keys.append({"kty": "EC", "crv": name, "x": x, "y": y, "kid": name})
    keys.append({"kty": "OKP", "crv": "Ed25519", "x": text64(ED.public_key().public_bytes_raw())})
    return keys


def signature(algorithm: str, data: bytes) -> bytes:
    """
    What one of the keys signs.
    """
    if algorithm == "EdDSA":
        return ED.sign(data)
    digest: Any = getattr(hashes, f"SHA{algorithm[2:]}")()
    if algorithm in CURVE_OF:
        curve = CURVE_OF[algorithm]
        pair = decode_dss_signature(CURVES[curve].sign(data, ec.ECDSA(digest)))
        return b"".join(each.to_bytes(SIZES[curve], "big") for each in pair)
    if algorithm.startswith("PS"):
        return RSA.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return RSA.sign(data, padding.PKCS1v15(), digest)


def jwt(algorithm: str = "ES256", header: Any = None, by: str = "", **claims: Any) -> bytes:
    """
    A token.
    """
    said = {"iss": ISSUER, "aud": "ugate", "exp": NOW + 60, "sub": "bob", **claims}
    said = {name: value for name, value in said.items() if value is not None}
    head = {"alg": algorithm, "typ": "JWT", **(header or {})}
    signed = f"{text64(json.dumps(head).encode())}.{text64(json.dumps(said).encode())}".encode()
    return signed + b"." + text64(signature(by or algorithm, signed)).encode()


class IssuersCase(SynchronousTestCase):
    """
    A file with one that is believed.
    """

    def setUp(self) -> None:
        self.now = NOW
        self.keys = write(self.path(), json.dumps({"keys": webKeys()}))
        self.lines = write(self.path(), f"# ours\n{ISSUER} ugate {self.keys}\n")
        self.issuers = IssuerFile(self.lines, lambda: self.now)

    def path(self) -> str:
        """
        One that is whole.
        """
        path: str = os.path.abspath(self.mktemp())
        return path

    def assertRefused(self, words: str, text: bytes) -> None:
        """
        It is nobody's, and it is said why, without the token.
        """
        error = str(self.assertRaises(StringError, self.issuers.find, text))
        self.assertIn(words, error)
        for part in text.split(b"."):
            if len(part) > 20:
                self.assertNotIn(part.decode("ascii", "replace"), error)


class TokenTests(IssuersCase):
    """
    What is believed.
    """

    def test_good(self) -> None:
        """
        By each algorithm; with the name of a key, and without.
        """
        for algorithm in ALGORITHMS:
            text = jwt(algorithm)
            self.assertTrue(isJWT(text))
            self.assertEqual("bob", self.issuers.find(text).name, algorithm)
        self.assertEqual("bob", self.issuers.find(jwt("RS256", {"kid": "rsa"})).name)
        self.assertEqual("bob", self.issuers.find(jwt(aud=["other", "ugate"])).name)

    def test_claim(self) -> None:
        """
        Another claim may say who it is.
        """
        write(self.lines, f"{ISSUER} ugate {self.keys} email\n")
        self.assertEqual("b@x.example", self.issuers.find(jwt(email="b@x.example")).name)
        self.assertRefused("does not say who it is for: email", jwt())
        self.assertRefused("does not say", jwt(email=7))
        self.assertRefused("is no name", jwt(email="b\nx"))

    def test_refused(self) -> None:
        """
        Nothing else is.
        """
        for words, text in (
            ("by nobody who is believed", jwt(iss="https://evil.example/")),
            ("for others than ugate", jwt(aud="other")),
            ("for others than ugate", jwt(aud=[])),
            ("has ended", jwt(exp=NOW)),
            ("not good yet", jwt(nbf=NOW + SKEW + 1)),
            ("has not all of", jwt(exp=None)),
            ("has not all of", jwt(exp="never")),
            ("has not all of", jwt(aud=None)),
            ("does not say who", jwt(sub=None)),
            ("crit", jwt(header={"crit": ["b64"]})),
            ("no key of who issued it", jwt("ES256", {"kid": "rsa"})),
            ("no key of who issued it", jwt("none", by="ES256")),
            ("no key of who issued it", jwt("HS256", by="ES256")),
            ("no key of who issued it", jwt("ES384", by="ES256")),
            ("no key of who issued it", jwt("RS256", by="PS256")),
            ("no key of who issued it", jwt("RS256", by="RS512")),
            ("no signed JWT", b"eyJ"),
            ("no signed JWT", jwt() + b".x"),
            ("base64", jwt()[:-2] + b"=="),
            ("bytes; wanted at most", b"eyJ" + b"x" * MAX),
        ):
            self.assertRefused(words, text)
        self.assertEqual("bob", self.issuers.find(jwt(nbf=NOW + SKEW)).name)

    def test_changed(self) -> None:
        """
        A token of which one bit is another is none.
        """
        text = bytearray(jwt("EdDSA"))
        for at in range(len(text)):
            changed = bytearray(text)
            changed[at] = ord("A") if changed[at] != ord("A") else ord("B")
            try:
                found = self.issuers.find(bytes(changed))
            except StringError:
                continue
            # What is left over in the last character of the base64 says nothing.
            self.assertEqual((len(text) - 1, "bob"), (at, found.name))

    def test_has(self) -> None:
        """
        What was believed is so until it ends, or its key or its issuer is gone.
        """
        issued = self.issuers.find(jwt("EdDSA"))
        self.assertTrue(self.issuers.has(issued))
        self.now += 60
        self.assertFalse(self.issuers.has(issued))
        self.now -= 60
        write(self.keys, json.dumps({"keys": webKeys()[:-1]}))
        self.assertFalse(self.issuers.has(issued))
        self.assertRefused("no key of who issued it", jwt("EdDSA"))
        write(self.keys, json.dumps({"keys": webKeys()}))
        self.assertTrue(self.issuers.has(issued))
        write(self.lines, "# nobody\n")
        self.assertFalse(self.issuers.has(issued))
        self.assertRefused("by nobody who is believed", jwt("EdDSA"))

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_anything(self, head: bytes, claims: bytes) -> None:
        """
        Any bytes are refused with L{StringError}.
        """
        for text in (head, b".".join((head, claims, b"x")), f"{text64(head)}.{text64(claims)}.eA".encode()):
            self.assertRaises(StringError, self.issuers.find, text)


class FileTests(IssuersCase):
    """
    The files.
    """

    def test_mistakes(self) -> None:
        """
        What is wrong is told with its line.
        """
        bad = write(self.path(), "{}")
        for line, words in (
            ("https://x ugate", "2 words; wanted ISSUER AUDIENCE PATH"),
            ("https://x ugate keys.json", "not a whole path"),
            ("https://x ugate /nowhere", "No such file"),
            (f"https://x ugate {bad}", "no set of keys"),
            (f"{ISSUER} ugate {self.keys}\n{ISSUER} other {self.keys}", "the same issuer as on line 1"),
        ):
            write(self.lines, line)
            self.assertIn(words, str(self.assertRaises(ConfigError, readIssuers, self.lines)))
            self.assertIn(words, str(self.assertRaises(StringError, checkIssuers, self.lines)))

    def test_keys(self) -> None:
        """
        What is no key, or too weak, is refused; what is for something else is left out.
        """
        first, curve = webKeys()[:2]
        weak = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
        for keys, words in (
            ([], "no key that could be used"),
            ([{**first, "use": "enc"}], "no key that could be used"),
            ([{"kty": "new"}], "no key that could be used"),
            ([{**curve, "alg": "ES512"}], "no key that could be used"),
            ([first, {"kty": "oct", "k": "AAAA"}], "a secret key"),
            ([{**first, "n": number64(weak.n)}], "an RSA key of 1024 bits"),
            ([{**first, "e": ""}], "broken"),
            ([{**first, "n": "=="}], "base64"),
            ([{**curve, "x": curve["y"]}], "a key of P-256 that is broken"),
            ([{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}], "a key of Ed25519 that is broken"),
            ([first] * (MAX_KEYS + 1), f"wanted at most {MAX_KEYS}"),
            ([{"kid": "x"}], "no set of keys"),
        ):
            error = self.assertRaises(StringError, keysFromJSON, json.dumps({"keys": keys}).encode())
            self.assertIn(words, str(error))
        found = keysFromJSON(json.dumps({"keys": [{**first, "alg": "PS256"}, {"kty": "new"}]}).encode())
        self.assertEqual([{"PS256"}], [each.algorithms for each in found])

    @given(st.binary(max_size=60))
    def test_anything(self, data: bytes) -> None:
        """
        Any bytes are keys or a L{StringError}, and base64 or one.
        """
        for read in (keysFromJSON, fromBase64):
            try:
                read(data)
            except StringError:
                pass

    def test_large(self) -> None:
        """
        A file that is too large is not read in part.
        """
        write(self.keys, json.dumps({"keys": webKeys()}) + " " * (1 << 20))
        self.assertIn("over 1 MiB", str(self.assertRaises(ConfigError, readIssuers, self.lines)))

    def test_modes(self) -> None:
        """
        Keys that everyone may write are not believed: whoever has one there can say who it is.
        """
        write(self.keys, json.dumps({"keys": webKeys()}), mode=0o646)
        self.assertIn("run: chmod o-w ", str(self.assertRaises(ConfigError, readIssuers, self.lines)))


class PortalTests(IssuersCase):
    """
    As logins.
    """

    def setUp(self) -> None:
        super().setUp()
        files = Files(issuers=self.lines)
        below = portalFrom(Clock(), files, "alice", now=lambda: self.now)
        portal = portalFrom(Clock(), files, children={"alice": below}.get, now=lambda: self.now)
        assert portal is not None
        self.portal = portal

    def login(self, credentials: Any) -> Any:
        """
        @return: the login, or why there is none.
        """
        found: list[Any] = []
        self.portal.login(credentials, None, ILogin).addCallbacks(
            lambda result: found.append(result[1]), lambda failure: found.append(failure.getErrorMessage())
        )
        return found[0]

    def test_good(self) -> None:
        """
        As a bearer token, and as a password with its own name or C{token}; in a tenant below too.
        """
        text = jwt("RS256")
        for user, tenant in (("bob", "root"), ("token", "root"), ("bob@alice", "alice")):
            login = self.login(UsernamePassword(user.encode(), text))
            self.assertEqual((Principal("bob", "jwt", tenant), True), (login.principal, login.again()))
        for before, tenant in ((b"", "root"), (b"alice~", "alice")):
            login = self.login(BearerToken(before + text))
            self.assertEqual(Principal("bob", "jwt", tenant), login.principal)
        self.now += 60
        self.assertFalse(login.again())
        self.assertIn("the JWT: it has ended", self.login(BearerToken(text)))

    def test_refused(self) -> None:
        """
        Not with the name of another, and not elsewhere.
        """
        self.assertIn("not for another user name", self.login(UsernamePassword(b"eve", jwt())))
        self.assertIn("for others than", self.login(UsernamePassword(b"bob", jwt(aud="x"))))
        self.assertIsInstance(self.login(BearerToken(b"nowhere~" + jwt())), str)
