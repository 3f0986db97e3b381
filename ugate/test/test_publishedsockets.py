# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.publishedsockets}: UNIX sockets of a gate that users have.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from ugate.endpoints.meshtransports import forwardsOf
from ugate.endpoints.publishedsockets import PublishedSockets
from ugate.explaining import explain
from ugate.protocols.sshforwards import LOCAL_CANCEL, MOST
from ugate.stream import Principal, Target
from ugate.test.sshpublishingfakes import Came, PublishingCase
from ugate.test.tlsfakes import Logged

BOB = Principal("bob", "key")


class PublishedSocketsTests(PublishingCase):
    """
    A gate with a folder in which bob may have sockets.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = f"{self.sockets}/x.sock"

    def begin(self, target: Any = ("*", "unix:*"), **more: Any) -> Came:
        """
        The gate, and bob.
        """
        self.gateway = self.gate([{"action": "allow", "target": list(target)}], **more)
        return self.login()

    def visit(self, isThere: bool = True) -> str:
        """
        A program on the gate connects.

        @return: what is logged of its stream.
        """
        with Logged() as logged:
            stream = self.mesh.client("gate").connect(f"unix:{self.path}")
            self.mesh.flush()
        self.assertEqual(isThere, stream.failure is None)
        return "\n".join(logged.lines)

    def assertRefused(self, came: Came, path: str, why: str) -> None:
        """
        It may not be, and the log says why.
        """
        with Logged() as logged:
            self.assertFalse(self.publishAt(came, path), path)
        self.assertIn(why, "\n".join(logged.lines))
        self.assertEqual(0, len(forwardsOf(self.tenant)))

    def test_published(self) -> None:
        """
        What comes at the socket goes to the client, as long as the client wants it; then there is no socket.
        """
        bob = self.begin()
        self.assertTrue(self.publishAt(bob, self.path))
        # The client of these tests takes no such streams.
        self.assertIn(f"unix:{self.path} forward anyone: refused: remote", self.visit())
        self.assertFalse(self.publishAt(bob, self.path))
        self.assertTrue(self.publishAt(bob, self.path, LOCAL_CANCEL))
        self.visit(isThere=False)
        self.assertTrue(self.publishAt(bob, self.path))
        self.cut(bob)
        self.visit(isThere=False)
        self.assertFalse(forwardsOf(self.tenant).hasPath(self.path))

    def test_again(self) -> None:
        """
        Another connection of the same user may ask for the same; the socket is there until both are gone.
        Nobody else may have it.
        """
        bob, other = self.begin(nodes={"all": {"who": "*", "sockets": self.sockets}}), self.login()
        self.assertTrue(self.publishAt(bob, self.path) and self.publishAt(other, self.path))
        with Logged() as logged:
            self.assertFalse(self.publishAt(self.login("eve"), self.path))
        self.assertIn("it is that of another user); ask for another path", "\n".join(logged.lines))
        self.assertIn("refused: remote", self.visit())
        self.cut(other)
        self.assertIn("refused: remote", self.visit())
        self.cut(bob)
        self.visit(isThere=False)
        self.assertTrue(self.publishAt(self.login("eve"), self.path))

    def test_policy(self) -> None:
        """
        Whoever comes at the socket is anybody, and no rule for hosts lets that to a path.
        """
        bob = self.begin(["*"])
        self.assertTrue(self.publishAt(bob, self.path))
        self.assertIn("no rule in policy.rules names that UNIX socket", self.visit())

    def test_explained(self) -> None:
        """
        It is said who has it; without anybody it would be a socket of this machine.
        """
        bob = self.begin()
        at = Target.atPath(self.path)
        self.assertIn("via direct, since no route says otherwise", explain(self.tenant, at, BOB))
        self.assertTrue(self.publishAt(bob, self.path))
        lines = explain(self.tenant, at, BOB)
        self.assertIn("via mesh, since a user has it", lines)
        self.assertIn("open a stream on the connection of bob (key) from", lines[-1])

    def test_given(self) -> None:
        """
        Only right in a folder that the config gives, and whoever may have none there is told so.
        """
        bob = self.begin()
        os.mkdir(f"{self.sockets}/sub", 0o755)
        for path in ("/run/x.sock", f"{self.sockets}/sub/x.sock", self.sockets, f"{self.sockets}x"):
            self.assertRefused(bob, path, f"the socket {path} is not given to bob")
        self.assertRefused(self.login("eve"), self.path, "let hosts, ports or sockets of a section")

    def test_files(self) -> None:
        """
        What is there is left alone, but for a socket of a process that is gone.
        """
        bob = self.begin()
        with open(self.path, "w") as file:
            file.write("precious")
        self.assertRefused(bob, self.path, "there is a file already")
        os.symlink("/nowhere", f"{self.sockets}/link")
        self.assertRefused(bob, f"{self.sockets}/link", "there is a file already")
        os.unlink(self.path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            other.listen()
            self.assertRefused(bob, self.path, "there is a file already")
        self.assertTrue(os.path.exists(self.path))
        self.assertTrue(self.publishAt(bob, self.path))
        # In this network listeners make no files.
        self.assertFalse(os.path.exists(self.path))

    def test_folder(self) -> None:
        """
        The folder has to be there, to be what it says, and to be nobody else's to write to.
        """
        link = f"{self.sockets}/link"
        os.symlink(self.sockets, link)
        folders = [self.sockets, link, f"{self.sockets}/none"]
        bob = self.begin(nodes={"bob": {"who": "key:bob", "sockets": folders}})
        self.assertRefused(bob, f"{link}/x", "has a symbolic link); name the folder as it is")
        self.assertRefused(bob, f"{self.sockets}/none/x", f"make the folder {self.sockets}/none")
        os.chmod(self.sockets, 0o770)
        self.assertRefused(bob, self.path, f"others may write to {self.sockets}")

    def test_permits(self) -> None:
        """
        A key with C{permitlisten} is good for none.
        """
        self.options = {"bob": 'permitlisten="*:*"'}
        self.assertRefused(self.begin(), self.path, "the key is not good for it")

    def test_many(self) -> None:
        """
        They count as all that a connection asks for.
        """
        bob = self.begin()
        for number in range(MOST):
            self.assertTrue(self.publishAt(bob, f"{self.sockets}/{number}"))
        self.assertFalse(self.publishAt(bob, self.path))

    def test_reloaded(self) -> None:
        """
        When the config gives it no more, it is gone.
        """
        bob = self.begin()
        self.assertTrue(self.publishAt(bob, self.path))
        with Logged() as logged:
            self.gateway.store.put("root", "nodes", "bob", {"who": "key:bob"})
            self.mesh.advance(2)
        self.assertIn(f"bob may not publish unix:{self.path} any more", "\n".join(logged.lines))
        self.visit(isThere=False)

    def test_taken(self) -> None:
        """
        Where we listen ourselves there is no room.
        """
        bob = self.begin(listen={"main": "ssh:tcp:2222", "own": f"socks:unix:{self.path}"})
        self.assertRefused(bob, self.path, "it cannot be listened on")

    def test_mode(self) -> None:
        """
        Nobody but whoever runs the gate may connect.
        """
        reactor: Any = MemoryReactorClock()
        at = Target.atPath(self.path)
        adding = Deferred.fromCoroutine(PublishedSockets(reactor).add("K", at, Factory()))
        self.successResultOf(adding)
        ((path, _, _, mode, _),) = reactor.unixServers
        self.assertEqual((self.path, 0o600), (path, mode))
