# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.unixsockets}.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionRefusedError, getConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.direct import Direct
from ugate.endpoints.unixsockets import PathEndpoint
from ugate.errors import Cause, Denied, Refused
from ugate.stream import UNIX, Principal, Target
from ugate.tenancy.policy import KnownPrincipals
from ugate.tenancy.tenant import Around, Tenant
from ugate.test.dialfakes import Net, Recorders, streamTo


class PathTests(SynchronousTestCase):
    """
    Sockets that are asked for by their paths.
    """

    def setUp(self) -> None:
        self.folder = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.net = Net()
        self.around = Around(self.net)
        self.tenant = Tenant(self.net, KnownPrincipals(), around=self.around, private=False)

    def socket(self, name: str = "x") -> str:
        """
        A file that is a socket, on which nobody listens.
        """
        path = f"{self.folder}/{name}"
        os.mknod(path, stat.S_IFSOCK | 0o600)
        return path

    def connect(self, path: str, reactor: Any = None) -> Any:
        """
        Connect to a path.
        """
        info = streamTo("x:1").but(target=Target(path, 0, UNIX))
        return Direct(reactor or self.tenant.reactor, 4.0).endpointFor(info).connect(Recorders())

    def refusal(self, path: str, reactor: Any = None) -> Refused:
        """
        Why a path cannot be.
        """
        refused = self.failureResultOf(self.connect(path, reactor), Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual([], self.net.unixClients)
        return refused

    def test_connects(self) -> None:
        """
        What is connected to is what was looked at, whatever the path leads to by then; it is held no longer
        than that takes.
        """
        path = self.socket()
        endpoint = PathEndpoint(self.net, Target.atPath(path), 1.0)
        verifyObject(IStreamClientEndpoint, endpoint)
        self.assertEqual(f"unix:{path}", str(endpoint))
        connected = self.connect(path)
        ((way, factory, timeout, _),) = self.net.unixClients
        self.assertEqual(4.0, timeout)
        number = os.stat(path).st_ino
        os.rename(path, f"{self.folder}/other")
        self.assertEqual(number, os.stat(way).st_ino)
        factory.buildProtocol(None).makeConnection(None)
        self.successResultOf(connected)
        self.assertFalse(os.path.exists(way))

    def test_links(self) -> None:
        """
        A path with a symbolic link in it is not the one that a rule allows.
        """
        path = self.socket()
        os.symlink(path, f"{self.folder}/link")
        os.mkdir(f"{self.folder}/sub")
        os.symlink(self.folder, f"{self.folder}/sub/up")
        for other in ("link", "sub/up/x"):
            refused = self.refusal(f"{self.folder}/{other}")
            self.assertIsInstance(refused, Denied)
            self.assertIn(f"it is {path}, by a symbolic link", str(refused))
            self.assertIn(f"ask for unix:{path}, and let a rule allow that", str(refused))

    def test_nothing(self) -> None:
        """
        What is not there, and what is no socket.
        """
        self.assertEqual(Cause.CONNECTION_REFUSED, self.refusal(f"{self.folder}/x").cause)
        refused = self.refusal(self.folder)
        self.assertEqual((Cause.CONNECTION_REFUSED, "it is no socket"), (refused.cause, refused.detail))

    def test_fails(self) -> None:
        """
        Nobody listens; or the system does not let us. Nothing is left open.
        """
        for error, cause, step in (
            (ConnectionRefusedError(), Cause.CONNECTION_REFUSED, ""),
            (getConnectError((errno.EACCES, "no")), Cause.DENIED, "let the user that ugate runs as write"),
        ):
            connected = self.connect(self.socket(cause.name))
            way, factory, _, _ = self.net.unixClients.pop()
            factory.clientConnectionFailed(None, Failure(error))
            refused: Any = self.failureResultOf(connected, Refused).value
            self.assertEqual(cause, refused.cause)
            self.assertIn(step, str(refused))
            self.assertFalse(os.path.exists(way))

    def test_cancelled(self) -> None:
        """
        Nothing is left open by what is given up.
        """
        connected = self.connect(self.socket())
        ((way, _, _, _),) = self.net.unixClients
        self.assertTrue(os.path.exists(way))
        connected.cancel()
        self.failureResultOf(connected)
        self.assertFalse(os.path.exists(way))

    def test_noRules(self) -> None:
        """
        Where there are no rules to name one, nobody may have any.
        """
        info = streamTo("x:1").but(principal=Principal("operator", "local"))
        self.tenant.policy.check(info)
        path = info.but(target=Target("/run/x", 0, UNIX))
        self.assertRaises(Denied, self.tenant.policy.check, path)

    def test_egress(self) -> None:
        """
        Never to a listener of ours, which would take it for somebody on this machine; and never for a tenant.
        """
        path = self.socket()
        alice = Tenant(self.net, KnownPrincipals(), name="alice", around=self.around, parent=self.tenant)
        self.assertIn("are for no tenant but root", str(self.refusal(path, alice.reactor)))
        self.around.own.add(path, 0, UNIX)
        for reactor in (self.tenant.reactor, self.tenant.hopReactor, alice.reactor):
            self.assertIn("a listener of this gateway", str(self.refusal(path, reactor)))
        info = streamTo("x:1").but(target=Target(path, 0, UNIX))
        (line,) = Direct(self.tenant.reactor).explain(info)
        self.assertIn("a listener of this gateway", line)
        self.around.own.remove(path, 0, UNIX)
        (line,) = Direct(self.tenant.reactor, asClient=True).explain(info)
        self.assertEqual(f"connect to unix:{path} from here, within 10 s", line)
