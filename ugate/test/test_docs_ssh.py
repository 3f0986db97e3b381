# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the documentation says of SSH.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twisted.internet.defer import Deferred

from ugate.endpoints import forwards, muxed, remoteforward, sources, sshstring
from ugate.endpoints.links import linkTo
from ugate.endpoints.session import Session
from ugate.errors import Cause, Refused
from ugate.protocols import sshauth, sshchannel, sshchannels, sshciphers, sshforwards, sshtransport
from ugate.protocols.sshclient import Account, clientMaker, signerOf
from ugate.protocols.sshclientauth import Signer
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.keys import SSHKey
from ugate.test.credentialfakes import publicLine, write
from ugate.test.docpages import listing, page, table
from ugate.test.howtofakes import HowtoTests
from ugate.test.sshfakes import HOST, PEER
from ugate.test.test_usercertificates import certify
from ugate.test.tlsfakes import Issuer
from ugate.testing import Conversation

BOB, DEPLOY, CA = (Ed25519PrivateKey.generate() for _ in range(3))
KEYS = "/etc/ugate/authorized_keys"


class TableTests(HowtoTests):
    """
    The tables.
    """

    def test_limits(self) -> None:
        """
        The limits are those of the code.
        """
        rows = {row[0]: float(row[1]) for row in table(page("ssh"), "ssh-limits")}
        wanted = {
            "login": sshstring.LOGIN,
            "wrong": sshauth.TRIES,
            "password": sshauth.PASSWORD,
            "requests": sshauth.MOST,
            "delay": sshauth.DELAY,
            "unauthenticated": muxed.HANDSHAKES,
            "share": sources.SHARE,
            "penalty": sources.WRONG,
            "penalty, untried": sources.NOTHING,
            "penalty, late": sources.LATE,
            "penalties": sources.LEAST,
            "penalties at most": sources.LONGEST,
            "penalized": sources.KNOWN,
            "early": sshciphers.BEFORE_LOGIN,
            "streams": sshchannels.MOST,
            "window": sshchannels.WINDOW,
            "windows": sshchannels.TOTAL,
            "packet": sshchannel.PACKET,
            "unread": sshchannels.UNREAD,
            "unknown": sshtransport.UNKNOWN,
            "packets": sshtransport.SETTINGS.largest,
            "talk": sshtransport.SETTINGS.smallTalk,
            "answers": sshtransport.SETTINGS.replies,
            "exchange": sshtransport.SETTINGS.exchangeTime,
            "rekey": sshtransport.SETTINGS.rekeyTime,
            "rekey bytes": sshtransport.SETTINGS.rekeyBytes,
            "goodbye": sshtransport.GOODBYE,
            "forwards": sshforwards.MOST,
            "all forwards": forwards.MAX_FORWARDS,
            "user's forwards": forwards.MAX_OF_USER,
            "publishers": forwards.MAX_USERS,
            "names": forwards.MAX_NAMES,
            "kept": forwards.KEPT,
            "places": sshstring.MAX_PLACES,
            "listens": remoteforward.ANSWER,
            "at once": sshforwards.WAITING,
            "close": sshchannels.PATIENCE,
        }
        self.assertEqual(wanted, rows)

    def test_options(self) -> None:
        """
        Each option of keys is one that is taken.
        """
        for row in table(page("ssh"), "key-options"):
            for option in row[0].split():
                given = option.replace("YYYYMMDD", "20990101").replace("HOST:PORT", "db:1")
                first = "cert-authority," if option.startswith(("principals", "no-touch", "verify")) else ""
                SSHKey.fromLine(f"{first}{given} {publicLine(BOB)} bob".encode())


class RecipeTests(HowtoTests):
    """
    The gate of the recipe.
    """

    def setUp(self) -> None:
        super().setUp()
        lines = f'{publicLine(BOB)} bob\ncert-authority,principals="deploy" {publicLine(CA)} builds\n'
        text = listing("ssh.yaml").replace(KEYS, write(self.mktemp(), lines, mode=0o644))
        folder = Path(self.mktemp())
        Issuer("root").write(folder, "gate.corp.example")
        self.mesh.gateway("gate.corp.example", **yaml.safe_load(text), identity={"dir": str(folder)})
        self.laptop = self.mesh.client("laptop")

    def login(self, signer: Signer, user: str = "bob") -> Deferred[Any]:
        """
        Connect.
        """
        reactor: Any = self.laptop.host.reactor
        maker = clientMaker(reactor, lambda: Account(user, (signer,)), lambda key: Principal("gate", "key"))
        endpoint = self.laptop.endpoint("tcp:gate.corp.example:2222")
        linked = linkTo(reactor, endpoint, maker, hop="gate", deadline=60)
        self.mesh.flush()
        return linked

    def stream(self, session: Session, host: str, port: int) -> Conversation:
        """
        A stream there.
        """
        conversation = Conversation()
        info = StreamInfo(HOST, PEER, Target(host, port))
        opened: Deferred[Any] = session.link.open(info)
        opened.addCallbacks(lambda stream: stream.begin(conversation), conversation.failed)
        self.mesh.flush()
        return conversation

    def test_key(self) -> None:
        """
        Bob gets where the rule says, and nowhere else; a stranger gets in nowhere.
        """
        served = self.service("db.corp.example", 5432)
        session = Session(self.laptop.host.reactor, self.successResultOf(self.login(signerOf("", BOB))))
        stream = self.stream(session, "db.corp.example", 5432)
        stream.write(b"hello")
        self.mesh.flush()
        self.assertEqual(b"hello", served.last.received)
        refused: Any = self.stream(session, "db.corp.example", 22_000).failure
        self.assertIs(Cause.DENIED, refused.value.cause)
        self.assertIs(
            Cause.AUTHENTICATION, self.failureResultOf(self.login(signerOf("", DEPLOY)), Refused).value.cause
        )

    def test_certificate(self) -> None:
        """
        The CA of the builds certifies deploy, for one place, and nobody else.
        """
        self.service("build.corp.example", 22)
        plain = signerOf("", DEPLOY)
        for name, isIn in (("deploy", True), ("bob", False)):
            blob = certify(DEPLOY, CA, names=(name,), begins=0, ends=1 << 40)
            signer = Signer("", plain.algorithm + b"-cert-v01@openssh.com", blob, plain.sign)
            linked = self.login(signer, name)
            if not isIn:
                self.failureResultOf(linked, Refused)
                continue
            session = Session(self.laptop.host.reactor, self.successResultOf(linked))
            self.assertTrue(self.stream(session, "build.corp.example", 22).isOpen)
            self.assertFalse(self.stream(session, "db.corp.example", 5432).isOpen)
