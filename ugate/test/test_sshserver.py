# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.sshserver} and L{ugate.endpoints.sshstring}, in a network in memory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.links import linkTo
from ugate.endpoints.sshserver import LIMITS, SSHServerEndpoint
from ugate.endpoints.sshstring import LOGIN
from ugate.errors import ListenRefused, Refused, StringError
from ugate.protocols.sshclient import Account, SSHClient, clientMaker
from ugate.protocols.sshsettings import NIST
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.test.credentialfakes import write
from ugate.test.dialfakes import Net
from ugate.test.sshfakes import HOST, PEER
from ugate.test.tlsfakes import Issuer, Logged
from ugate.testing import Conversations, MemoryMesh


class StringTests(SynchronousTestCase):
    """
    How it is written.
    """

    def test_string(self) -> None:
        """
        A minute is enough to log in, unless the string has another time; nobody is sent away for being quiet.
        """
        for text, seconds in (("", LOGIN), (":handshake=3", 3.0)):
            endpoint = serverFromString(Net(), f"ssh:tcp:2222:interface=127.0.0.1{text}")
            self.assertIsInstance(endpoint, SSHServerEndpoint)
            self.assertEqual((seconds, True), (endpoint.deadline, endpoint.penalties))
        self.assertFalse(serverFromString(Net(), "ssh:tcp:2222:penalties=no").penalties)
        self.assertEqual((None, None), (LIMITS.idle, LIMITS.age))
        for wrong in ("nist=maybe", "penalties=never"):
            error = self.assertRaises(StringError, serverFromString, Net(), f"ssh:tcp:2222:{wrong}")
            self.assertIn(f"{wrong}: wanted yes or no", str(error))
        self.assertRaises(StringError, serverFromString, Net(), "ssh:tcp:2222:handshake=never")
        self.assertRaises(ValueError, serverFromString, Net(), "ssh:tcp:2222:user=bob")

    def test_noTenant(self) -> None:
        """
        Without a tenant there is no key, and nobody listens.
        """
        endpoint = serverFromString(Net(), "ssh:tcp:2222")
        refused = self.failureResultOf(endpoint.listen(Factory()), ListenRefused).value
        self.assertIn("wants a tenant", str(refused))

    def test_lazy(self) -> None:
        """
        Who has no such listener does not load Conch, nor who only checks one; to load it installs no reactor.
        """
        code = (
            "import sys\n"
            "import ugate.tap, ugate.endpoints.servers, ugate.tenancy.portal\n"
            "from twisted.internet.endpoints import serverFromString\n"
            "serverFromString(object(), 'ssh:tcp:2222')\n"
            "print('twisted.conch.ssh.transport' in sys.modules)\n"
            "del sys.modules['twisted.internet.reactor']\n"
            "import ugate.protocols.sshtransport, ugate.protocols.sshclient\n"
            "print('twisted.internet.reactor' in sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        self.assertEqual([b"False", b"False"], done.stdout.split())


class GateTests(SynchronousTestCase):
    """
    A gate, and those who come to it.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.mesh.host("web", "93.184.216.34")
        self.served = Conversations()
        self.mesh.serve("web", 80, self.served)

    def gate(self, interface: str = ":interface=127.0.0.1", prefix: str = "ssh:", **more: Any) -> None:
        """
        The gate.
        """
        folder = Path(self.mktemp())
        Issuer("root").write(folder, "gate")
        listen = {"main": f"{prefix}tcp:2222{interface}"}
        self.mesh.gateway("gate", listen=listen, identity={"dir": str(folder)}, **more)

    def login(self, host: str, account: Account, at: str = "127.0.0.1") -> Any:
        """
        Connect.
        """
        client = self.mesh.client(host)
        reactor: Any = client.host.reactor
        maker = clientMaker(reactor, lambda: account, lambda key: Principal("gate", "key"))
        linked = linkTo(reactor, client.endpoint(f"tcp:{at}:2222"), maker, hop="gate", deadline=60)
        self.mesh.flush()
        return linked

    def test_open(self) -> None:
        """
        On this machine, without credentials, it is open, and who comes is the operator.
        """
        self.gate(policy={})
        link = self.successResultOf(self.login("gate", Account("me")))
        opened = link.open(StreamInfo(HOST, PEER, Target("web", 80)))
        self.mesh.flush()
        self.successResultOf(opened)
        self.assertEqual(1, len(self.served.accepted))

    def test_curves(self) -> None:
        """
        Whoever has only the curves of NIST is told what there is, and gets in where that is allowed.
        """
        self.patch(SSHClient, "_possibleKex", lambda _: [*NIST])
        self.gate(policy={})
        refused = self.failureResultOf(self.login("gate", Account("me")), Refused).value
        self.assertIn("the client has ecdh-sha2-nistp256,", str(refused))
        self.assertIn("the server has mlkem768x25519-sha256,curve25519-sha256,", str(refused))

    def test_allCurves(self) -> None:
        """
        That is where C{nist=yes}.
        """
        self.patch(SSHClient, "_possibleKex", lambda _: [*NIST])
        self.gate(prefix="ssh:nist=yes:", policy={})
        self.successResultOf(self.login("gate", Account("me")))

    def test_closed(self) -> None:
        """
        With credentials all log in, wherever they are; and as a tenant below, if there is one.
        """
        users = write(self.mktemp(), f"bob:{PasswordHash.ofPassword(b'secret', 10)}\n")
        below = {"alice": {"policy": {"users": users, "rules": [{"action": "allow"}]}}}
        self.gate("", policy={"users": users, "rules": [{"action": "deny"}]}, tenants=below)
        for host, at in (("gate", "127.0.0.1"), ("other", "gate")):
            self.failureResultOf(self.login(host, Account("bob"), at), Refused)
            for user, isAllowed in (("bob", False), ("bob@alice", True)):
                linked = self.login(host, Account(user, (), b"secret"), at)
                self.mesh.advance(2)
                opened = self.successResultOf(linked).open(StreamInfo(HOST, PEER, Target("web", 80)))
                self.mesh.flush()
                if isAllowed:
                    self.successResultOf(opened)
                else:
                    self.failureResultOf(opened, Refused)

    def test_penalties(self) -> None:
        """
        Whose passwords are wrong on some connections has to wait, and nobody else.
        """
        users = write(self.mktemp(), f"bob:{PasswordHash.ofPassword(b'secret', 10)}\n")
        self.gate("", policy={"users": users, "rules": [{"action": "allow"}]})

        def come(host: str, password: bytes) -> Any:
            linked = self.login(host, Account("bob", (), password), "gate")
            self.mesh.advance(2)
            return linked

        for _ in range(5):
            self.failureResultOf(come("other", b"wrong"), Refused)
        with Logged() as logged:
            self.failureResultOf(come("other", b"secret"), Refused)
        self.assertEqual([], [line for line in logged.lines if "listen.main" in line])
        self.successResultOf(come("home", b"secret"))
        self.mesh.advance(20)
        self.successResultOf(come("other", b"secret"))

    def test_late(self) -> None:
        """
        Who does not log in within a minute is cut off.
        """
        self.gate(policy={})
        silent = self.mesh.client("gate").connect("tcp:127.0.0.1:2222")
        self.mesh.flush()
        self.mesh.advance(59)
        self.assertIsNone(silent.lost)
        self.mesh.advance(2)
        self.assertIsNotNone(silent.lost)
