# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.sshhop} and L{ugate.endpoints.sshaccount}, in a network in memory.
"""

from __future__ import annotations

import json
import os
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints import sshaccount
from ugate.endpoints.clients import clientFromChain
from ugate.endpoints.hops import Hop
from ugate.endpoints.sshaccount import HostFiles, signersFrom, userOf
from ugate.endpoints.sshhop import SSHHop
from ugate.errors import Cause, Refused, UgateError
from ugate.interfaces import IDialer
from ugate.protocols.sshknownhosts import fingerprint
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.tenancy.tokens import makeToken
from ugate.test.credentialfakes import publicLine, tokenLine, write
from ugate.test.dialfakes import FakeEndpoint, Net, streamTo
from ugate.test.test_jwts import ISSUER, jwt, webKeys
from ugate.test.test_usercertificates import blobOf, certify
from ugate.test.tlsfakes import Issuer
from ugate.testing import Conversation, Conversations, MemoryMesh

ALLOW = {"rules": [{"action": "allow"}]}
BOB, CA = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def privateText(key: Any, kind: Any = serialization.PrivateFormat.OpenSSH) -> str:
    """
    A file of a private key.
    """
    text: bytes = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return text.decode()


class FileTests(SynchronousTestCase):
    """
    What is in files.
    """

    def test_keys(self) -> None:
        """
        A key in either format, and the certificate that is beside it and of it.
        """
        path = self.mktemp()
        for kind in (serialization.PrivateFormat.OpenSSH, serialization.PrivateFormat.PKCS8):
            write(path, privateText(BOB, kind))
            (signer,) = signersFrom(path)
            self.assertEqual((blobOf(BOB), path), (signer.blob, signer.name))
        blob = certify(BOB, CA)
        for each, count in ((blob, 2), (certify(CA, CA), 1), (b"x", 1)):
            write(f"{path}-cert.pub", f"ssh-ed25519-cert-v01@openssh.com {b64encode(each).decode()} x\n")
            self.assertEqual(count, len(signersFrom(path)))
        write(f"{path}-cert.pub", f"ssh-ed25519-cert-v01@openssh.com {b64encode(blob).decode()} x\n")
        certified = signersFrom(path)[0]
        self.assertEqual((b"ssh-ed25519-cert-v01@openssh.com", blob), (certified.algorithm, certified.blob))

    def test_wrong(self) -> None:
        """
        What is no key, or everybody's, is refused.
        """
        path = self.mktemp()
        self.assertIn("No such file", str(self.assertRaises(UgateError, signersFrom, path)))
        write(path, "x")
        self.assertIn("wanted a private key", str(self.assertRaises(UgateError, signersFrom, path)))
        write(path, privateText(BOB))
        os.chmod(path, 0o644)
        self.assertIn("chmod 600", str(self.assertRaises(UgateError, signersFrom, path)))

    def test_user(self) -> None:
        """
        Without a user it is whoever runs this.
        """
        self.assertEqual("bob", userOf(Hop.fromText("ssh:bob@gate:22")))
        self.assertTrue(userOf(Hop.fromText("ssh:gate:22")))

    def test_noFile(self) -> None:
        """
        A file that is named has to be there.
        """
        hop = Hop.fromText("ssh:bob@gate:22:known=/nowhere")
        self.assertIn("known=/nowhere", str(self.assertRaises(Refused, HostFiles, hop)))

    def test_largeFile(self) -> None:
        """
        A file that is too large to be read whole is not read in part, wherever it is.
        """
        path = write(self.mktemp(), "#" * (1 << 20) + f"\n@revoked * {publicLine(BOB)}\n")
        self.patch(sshaccount, "USUAL", (path,))
        for more in (f":known={path}", ""):
            hop = Hop.fromText(f"ssh:bob@gate:22{more}")
            self.assertIn("over 1 MiB", str(self.assertRaises(Refused, HostFiles, hop)))


class HopCase(SynchronousTestCase):
    """
    A gate that serves SSH, one that uses it, and a server behind.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.served = Conversations()
        self.mesh.serve("web", 80, self.served)
        self.known = self.mktemp()

    def identity(self, name: str) -> tuple[dict[str, str], Any]:
        """
        An identity, and its key.
        """
        folder = Path(self.mktemp())
        Issuer("root").write(folder, name)
        (path,) = folder.glob("*key*")
        return {"dir": str(folder)}, serialization.load_pem_private_key(path.read_bytes(), None)

    def gate(self, *keys: str, users: str = "", **files: str) -> None:
        """
        The gate, which lets in those in the file of keys.
        """
        ours, self.key = self.identity("gate")
        policy: dict[str, Any] = {
            **files,
            "keys": write(self.mktemp(), "\n".join(keys), mode=0o644),
            "rules": [{"action": "allow", "target": "web:80"}],
        }
        if users:
            policy["users"] = write(self.mktemp(), users)
        self.mesh.gateway("gate", listen={"main": "ssh:tcp:2222"}, identity=ours, policy=policy)
        write(self.known, f"[gate]:2222 {publicLine(self.key)}\n", mode=0o644)

    def client(self, via: str, identity: dict[str, str]) -> None:
        """
        Bob's own gateway, that leads to the gate.
        """
        self.mesh.gateway(
            "bob",
            listen={"main": "socks:tcp:1080:interface=127.0.0.1"},
            routes=[{"match": "*", "via": via}],
            policy=ALLOW,
            identity=identity,
        )

    def connect(self, target: str = "web\\:80") -> Conversation:
        """
        A stream through.
        """
        stream = self.mesh.client("bob").connect(f"socks:127.0.0.1:1080:to={target}")
        self.mesh.flush()
        return stream

    def links(self) -> int:
        """
        How many connections there are to the gate.
        """
        return len([each for each in self.mesh.connections("gate") if ":2222" in each])


class HopTests(HopCase):
    """
    Streams by it.
    """

    def test_identity(self) -> None:
        """
        The key of our identity is what we log in with; streams share a connection, and end by halves.
        """
        ours, key = self.identity("bob")
        self.gate(f"{publicLine(key)} bob")
        self.client(f"ssh:bob@gate:2222:known={self.known}", ours)
        streams = [self.connect() for _ in range(3)]
        self.assertEqual([True] * 3, [each.isOpen for each in streams])
        self.assertEqual(1, self.links())
        streams[0].write(b"question")
        streams[0].halfClose()
        self.mesh.flush()
        theirs = self.served.accepted[0]
        self.assertEqual((b"question", True), (theirs.received, theirs.isEnded))
        theirs.write(b"answer")
        theirs.close()
        self.mesh.flush()
        self.assertEqual((b"answer", True), (streams[0].received, streams[0].isClean))

    def test_denied(self) -> None:
        """
        What the gate refuses is refused here.
        """
        ours, key = self.identity("bob")
        self.gate(f"{publicLine(key)} bob")
        self.client(f"ssh:bob@gate:2222:known={self.known}", ours)
        refused: Any = self.connect("web\\:81").failure
        self.assertIs(Cause.DENIED, refused.value.cause)
        self.assertTrue(self.connect().isOpen)

    def test_unknownHost(self) -> None:
        """
        A gate whose key is in no file is told nothing; it is said which key it has, and where to write it.
        """
        key = self.identity("bob")[1]
        self.gate(f"{publicLine(key)} bob")
        write(self.known, f"[gate]:2222 {publicLine(BOB)}\n", mode=0o644)
        hop = f"ssh:bob@gate:2222:known={self.known}"
        endpoint = clientFromChain(self.mesh.host("bob").reactor, f"{hop} -> tcp:web:80")
        connected: Deferred[Any] = endpoint.connect(Conversations())
        self.mesh.flush()
        said = str(self.failureResultOf(connected, Refused).value)
        self.assertIn(f"its key is {fingerprint(blobOf(self.key))}", said)
        self.assertIn(f"in {self.known}", said)
        self.assertIn(f"ssh-keyscan -p 2222 gate >> {self.known}", said)

    def test_keyFile(self) -> None:
        """
        A program that has no identity names a key, or a password.
        """
        self.gate(f"{publicLine(BOB)} bob", users=f"eve:{PasswordHash.ofPassword(b'secret', 10)}\n")
        key = write(self.mktemp(), privateText(BOB))
        password = write(self.mktemp(), "secret\n")
        reactor = self.mesh.host("bob").reactor
        for hop, isIn in (
            (f"ssh:bob@gate:2222:known={self.known}:key={key}", True),
            (f"ssh:eve@gate:2222:known={self.known}:passwordFile={password}", True),
            (f"ssh:bob@gate:2222:known={self.known}:passwordFile={password}", False),
            (f"ssh:bob@gate:2222:known={self.known}", False),
            (f"ssh:bob@gate:2222:known={self.known}:key=/nowhere", False),
            (f"ssh:bob@gate:2222:known={self.known}:agent=env", False),
        ):
            self.patch(os, "environ", {**os.environ, "SSH_AUTH_SOCK": "/nowhere/agent"})
            connected: Deferred[Any] = clientFromChain(reactor, f"{hop} -> tcp:web:80").connect(
                Conversations()
            )
            self.mesh.advance(3)
            if isIn:
                self.successResultOf(connected)
            else:
                refused = self.failureResultOf(connected, Refused).value
                self.assertIs(Cause.AUTHENTICATION, refused.cause, hop)

    def test_token(self) -> None:
        """
        The password may be a token: one of ours, or a JWT by somebody whom the gate believes; read anew each
        time.
        """
        token, keys = makeToken(), write(os.path.abspath(self.mktemp()), json.dumps({"keys": webKeys()}))
        self.gate(
            tokens=write(self.mktemp(), tokenLine("ci", token)),
            issuers=write(self.mktemp(), f"{ISSUER} ugate {keys}\n"),
        )
        password = self.mktemp()
        reactor = self.mesh.host("bob").reactor
        long: Any = {"exp": time.time() + 600, "groups": ["x" * 90] * 60}
        for user, text, isIn in (
            ("ci", token, True),
            ("token", token, True),
            ("bob", token, False),
            ("bob", jwt("RS256", **long).decode(), True),
            ("token", jwt("EdDSA", **long).decode(), True),
            ("eve", jwt("RS256", **long).decode(), False),
            ("bob", jwt("RS256", exp=time.time() - 1).decode(), False),
        ):
            write(password, f"{text}\n")
            hop = f"ssh:{user}@gate:2222:known={self.known}:passwordFile={password}"
            connected = clientFromChain(reactor, f"{hop} -> tcp:web:80").connect(Conversations())
            self.mesh.advance(3)
            if isIn:
                self.successResultOf(connected)
            else:
                refused = self.failureResultOf(connected, Refused).value
                self.assertIs(Cause.AUTHENTICATION, refused.cause, user)

    def test_explain(self) -> None:
        """
        The way is told in words.
        """
        chain = clientFromChain(Net(), "ssh:bob@gate:22:known=/k -> tcp:db:5432")
        self.assertEqual(
            [
                "log in there as bob, if its key is in /k",
                "ask ssh:gate:22 for db:5432 in SSH, on a connection that streams share",
            ],
            chain.explain()[-2:],
        )
        hop = SSHHop(Net(), Hop.fromText("ssh:bob@gate:22"), FakeEndpoint())
        self.assertTrue(IDialer.providedBy(hop))
        self.assertRaises(Refused, hop.endpointFor, streamTo("db:1").but(target=None))
