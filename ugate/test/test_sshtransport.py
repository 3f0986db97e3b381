# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshtransport} and L{ugate.protocols.sshclient}: both sides, and what is between.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twisted.conch.error import ValidPublicKey
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.protocols.credentials import Login
from ugate.protocols.muxwriting import FULL
from ugate.protocols.sshclient import Account, clientMaker, signerOf
from ugate.protocols.sshclientauth import Signer
from ugate.protocols.sshlink import SSHLink
from ugate.protocols.sshpackets import string
from ugate.protocols.sshsignatures import isSigned
from ugate.protocols.sshtransport import hostKeys, serverMaker
from ugate.protocols.sshwire import ASKS
from ugate.stream import Principal, StreamInfo, Target
from ugate.test import sshcontract
from ugate.test.sshfakes import HOST, PEER
from ugate.testing import Conversation

HOST_KEY = Ed25519PrivateKey.generate()
BOB = Ed25519PrivateKey.generate()
EVE = Ed25519PrivateKey.generate()
INFO = StreamInfo(PEER, HOST)
GATE = Principal("gate", "key")


def believe(key: bytes) -> Principal:
    """
    Whoever it is.
    """
    return GATE


def bobOnly(credentials: Any) -> Deferred[Login]:
    """
    Bob has a key and a password.
    """
    if getattr(credentials, "password", None) == b"secret":
        return succeed(Login(Principal("bob", "password")))
    if getattr(credentials, "blob", None) == signerOf("", BOB).blob:
        if credentials.signature is None:
            return fail(ValidPublicKey())
        if isSigned(credentials.blob, credentials.sigData, credentials.signature):
            return succeed(Login(Principal("bob", "key")))
    return fail(UnauthorizedLogin())


class PairCase(SynchronousTestCase):
    """
    Both sides, in memory.
    """

    def connect(
        self, account: Account, login: Any = bobOnly, check: Any = believe, key: Any = HOST_KEY
    ) -> None:
        """
        Connect.
        """
        self.clock = Clock()
        self.prepared: list[tuple[SSHLink, str, Login | None]] = []
        keys = hostKeys(key)
        server, self.serverUp = serverMaker(
            self.clock, lambda: keys, login, lambda *prepared: self.prepared.append(prepared)
        )(INFO)
        client, self.clientUp = clientMaker(self.clock, lambda: account, check)(StreamInfo(HOST, PEER))
        self.server, self.client = server, client
        self.pump = connect(server, FakeTransport(server, True), client, FakeTransport(client, False))
        self.flush()

    def flush(self) -> None:
        """
        Let everything happen.
        """
        self.pump.flush()

    def refused(self, account: Account, **more: Any) -> Refused:
        """
        Why there is no way in.
        """
        self.connect(account, **more)
        for _ in range(10):
            self.clock.advance(1)
            self.flush()
        self.assertEqual([], self.prepared)
        refused: Refused = self.failureResultOf(self.clientUp, Refused).value
        self.failureResultOf(self.serverUp, Refused)
        return refused


class LoginTests(PairCase):
    """
    Ways in.
    """

    def test_key(self) -> None:
        """
        A key lets in: the last one at once, others when the server wants them.
        """
        bob, eve = signerOf("bob", BOB), signerOf("eve", EVE)
        for signers in ((bob,), (eve, bob), (bob, eve)):
            self.connect(Account("bob", signers))
            link = self.successResultOf(self.serverUp)
            self.assertEqual((Principal("bob", "key"), "bob"), (link.info.principal, link.info.hints["user"]))
            self.assertEqual([(link, "bob", Login(Principal("bob", "key")))], self.prepared)
            self.assertEqual(GATE, self.successResultOf(self.clientUp).info.principal)

    def test_password(self) -> None:
        """
        A password does, when no key is good.
        """
        self.connect(Account("bob", (signerOf("eve", EVE),), b"secret"))
        self.assertEqual(Principal("bob", "password"), self.successResultOf(self.serverUp).info.principal)

    def test_asksAgain(self) -> None:
        """
        A client may ask for the login before each try, as paramiko does, and gets no more tries by that; nor
        may it ask for ever, or when it is in.
        """
        self.connect(Account("bob", (), b"secret"), login=lambda credentials: Deferred())
        login: Any = self.server.service
        login.wrong = 3
        for _ in range(ASKS - 1):
            self.server.ssh_SERVICE_REQUEST(string(login.name))
        self.assertEqual((login, 3), (self.server.service, self.server.wrong))
        self.assertEqual("", self.server.why)
        self.server.ssh_SERVICE_REQUEST(string(login.name))
        self.assertIn("no service", self.server.why)
        self.connect(Account("bob", (), b"secret"))
        self.successResultOf(self.serverUp)
        self.server.ssh_SERVICE_REQUEST(string(login.name))
        self.assertIn("no service", self.server.why)

    def test_nobody(self) -> None:
        """
        Where nobody has credentials, all may come.
        """
        self.connect(Account("x", (signerOf("bob", BOB),)), login=None)
        self.assertIsNone(self.successResultOf(self.serverUp).info.principal)
        self.connect(Account("x"), login=None)
        self.assertEqual((None, "x"), (self.prepared[0][2], self.prepared[0][1]))

    def test_refused(self) -> None:
        """
        Without good ones there is no way in, and it is said what was tried.
        """
        refused = self.refused(Account("bob", (signerOf("eve.pem", EVE),), b"wrong"))
        self.assertIs(Cause.AUTHENTICATION, refused.cause)
        self.assertIn("does not take eve.pem, a password; it takes publickey,password", str(refused))
        self.assertIn("does not take nothing", str(self.refused(Account("bob"))))

    def test_signerFails(self) -> None:
        """
        A key that cannot sign is left out.
        """

        def no(data: bytes) -> bytes:
            raise ValueError("the agent is gone")

        broken = Signer("agent", b"ssh-ed25519", signerOf("", BOB).blob, no)
        self.connect(Account("bob", (broken,), b"secret"))
        self.assertEqual("password", self.successResultOf(self.serverUp).info.principal.method)

    def test_hostKeys(self) -> None:
        """
        Each type of key is that of a host; what SSH has no name for is none.
        """
        for key in (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP384R1()),
            rsa.generate_private_key(65537, 2048),
        ):
            self.connect(Account("bob", (signerOf("", BOB),)), key=key)
            self.successResultOf(self.clientUp)
        self.assertRaises(UgateError, hostKeys, ed448.Ed448PrivateKey.generate())

    def test_userKeys(self) -> None:
        """
        So is it of users, and RSA signs with SHA-2.
        """
        for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)):
            asked: list[Any] = []

            def login(credentials: Any, asked: list[Any] = asked) -> Deferred[Login]:
                asked.append(credentials)
                return succeed(Login(Principal("bob", "key")))

            self.connect(Account("bob", (signerOf("", key),)), login=login)
            self.successResultOf(self.clientUp)
            (credentials,) = asked
            self.assertTrue(isSigned(credentials.blob, credentials.sigData, credentials.signature))

    def test_unknownHost(self) -> None:
        """
        A server that is not believed is told nothing of us.
        """

        def check(key: bytes) -> Principal:
            raise Refused(Cause.AUTHENTICATION, Phase.AUTH, "gate", "its key is SHA256:x, in no file")

        refused = self.refused(Account("bob", (), b"secret"), check=check)
        self.assertIn("its key is SHA256:x", str(refused))

    def test_noKeys(self) -> None:
        """
        Without a key of our own nobody is served, and the reason is said.
        """

        def keys() -> Any:
            raise UgateError("no key")

        make = serverMaker(Clock(), keys, None, lambda *_: None)
        self.assertIn("no key", str(self.assertRaises(Refused, make, INFO)))


class StreamTests(PairCase):
    """
    Streams, through it all.
    """

    def setUp(self) -> None:
        self.connect(Account("bob", (signerOf("", BOB),)))
        self.ours: Any = self.successResultOf(self.clientUp)
        self.theirs: Any = self.successResultOf(self.serverUp)

    def stream(self) -> tuple[Conversation, Conversation]:
        """
        One that is up: our end, and theirs.
        """
        conversation, other = Conversation(), Conversation()
        self.theirs.incoming = lambda stream: (stream.accept(), stream.begin(other))
        opened = self.ours.open(INFO.but(target=Target("db", 1)))
        opened.addCallback(lambda stream: stream.begin(conversation))
        self.flush()
        return conversation, other

    def test_rekeyed(self) -> None:
        """
        Keys may be exchanged anew in the middle: nothing is lost, and nobody logs in again.
        """
        conversation, other = self.stream()
        sides: list[Any] = [self.client, self.server]
        for side in sides:
            side.sendKexInit()
            conversation.write(b"one")
            other.write(b"two")
            self.flush()
        self.assertEqual((b"oneone", b"twotwo"), (other.received, conversation.received))
        self.assertEqual(1, len(self.prepared))

    def test_held(self) -> None:
        """
        A peer that begins to exchange keys and does not go on is not written to without end.
        """
        conversation, other = self.stream()
        server: Any = self.server
        server.sendKexInit()
        other.pour(b"x" * (1 << 20))
        self.assertTrue(self.theirs.isHeld)
        self.assertEqual([], server._queue)
        self.flush()
        self.assertEqual(1 << 20, len(conversation.received))

    def test_goodbye(self) -> None:
        """
        Why one side goes is what the other side tells.
        """
        closed = self.ours.whenClosed()
        self.theirs.drain()
        self.flush()
        self.assertIn("the last stream", self.successResultOf(closed))

    def test_omitsEOF(self) -> None:
        """
        Only asyncssh is known to close streams that have not been cut without an end.
        """
        client: Any = self.client
        self.assertFalse(client.omitsEOF)
        client.otherVersionString = b"SSH-2.0-AsyncSSH_2.21.0"
        self.assertTrue(client.omitsEOF)

    def test_noGoodbye(self) -> None:
        """
        Who goes without a word has closed the connection.
        """
        conversation, other = self.stream()
        server: Any = self.server
        server.transport.loseConnection()
        self.flush()
        said = [each.lost and each.lost.getErrorMessage() for each in (conversation, other)]
        self.assertEqual(["the peer has closed the connection"] * 2, said)


class Slow(FakeTransport):
    """
    Pauses who writes more than 64 KiB at once.
    """

    size = 0
    isPaused = False

    def write(self, data: bytes) -> None:
        super().write(data)  # type: ignore[no-untyped-call]
        self.size += len(data)
        if self.size > FULL and self.producer is not None and not self.isPaused:
            self.isPaused = True
            self.producer.pauseProducing()

    def getOutBuffer(self) -> Any:
        out = super().getOutBuffer()  # type: ignore[no-untyped-call]
        self.size = 0
        if self.isPaused and self.producer is not None:
            self.isPaused = False
            self.producer.resumeProducing()
        return out


class SSHWireContractTests(sshcontract.SSHContract):
    """
    What every link has to do, encrypted.
    """

    pump: IOPump

    def makeLinks(self) -> tuple[Any, Any]:
        clock = Clock()
        keys = hostKeys(HOST_KEY)
        info = INFO
        server, serverUp = serverMaker(clock, lambda: keys, bobOnly, lambda *_: None)(info)
        account = Account("bob", (signerOf("", BOB),))
        client, clientUp = clientMaker(clock, lambda: account, believe)(StreamInfo(HOST, PEER))
        self.pump = connect(server, Slow(server, True), client, Slow(client, False))
        self.pump.flush()
        return self.successResultOf(clientUp), self.successResultOf(serverUp)

    def step(self) -> bool:
        return bool(self.pump.pump())
