# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.peers}.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from twisted.cred.error import LoginDenied
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.endpoints.peers import clientOf
from ugate.errors import Refused
from ugate.stream import Principal
from ugate.tenancy.config.identityschema import Trust as Section
from ugate.tenancy.config.schema import Policy
from ugate.tenancy.portal import portalFrom
from ugate.tenancy.trust import Trust
from ugate.test.dialfakes import Recorders
from ugate.test.mtlsfakes import ALICE, OTHER, ROOT, SERVER, Below, Client
from ugate.test.tlsfakes import DAY, NOW, FakeIdentity, FakeTenant, FakeTrust, Logged


class PeersTests(SynchronousTestCase):
    """
    Clients whose certificates a file lists.
    """

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.revoked = Path(self.mktemp())
        self.revoked.write_text("")
        self.stranger = OTHER.identity("who.ever")
        self.list(carol=self.stranger)

    def list(self, **users: FakeIdentity) -> None:
        """
        Write the file.
        """
        lines = (f"{name}:sha256:{sha256(_der(each)).hexdigest()}\n" for name, each in users.items())
        self.file.write_text("".join(lines))

    def tenant(self) -> FakeTenant:
        """
        A tenant with that file, who trusts nobody else.
        """
        trust = Trust(Section(revoked=str(self.revoked)), "bob")
        tenant = FakeTenant(SERVER, trust, "bob")
        tenant.portal = portalFrom(Clock(), Policy(certificates=str(self.file)), "bob")
        return tenant

    def test_listed(self) -> None:
        """
        It is that user, whoever certifies it, and whatever its names are.
        """
        self.assertEqual(
            Principal("carol", "certificate", "bob"), clientOf(self.tenant(), self.stranger.chain)
        )

    def test_first(self) -> None:
        """
        The file comes before trust: who is believed anyway is who the file says.
        """
        tenant = self.tenant()
        tenant.trust = FakeTrust(ROOT)
        self.assertEqual(Principal("alice.corp", "certificate", "bob"), clientOf(tenant, ALICE.chain))
        self.list(carol=ALICE)
        self.assertEqual("carol@bob", str(clientOf(tenant, ALICE.chain)))

    def test_others(self) -> None:
        """
        All else is for trust, also with nobody to log in.
        """
        tenant = self.tenant()
        error = self.assertRaises(Refused, clientOf, tenant, ALICE.chain)
        self.assertIn("there are no roots", str(error))
        self.assertIn("sent no certificate", str(self.assertRaises(Refused, clientOf, tenant, [])))
        tenant.portal = None
        self.assertRaises(Refused, clientOf, tenant, self.stranger.chain)

    def test_revoked(self) -> None:
        """
        What is revoked is so, whatever is listed.
        """
        tenant = self.tenant()
        self.revoked.write_text(f"{self.stranger.certificate.serial_number:x}\n")
        error = self.assertRaises(Refused, clientOf, tenant, self.stranger.chain)
        self.assertIn("it is revoked", str(error))

    def test_ended(self) -> None:
        """
        What has ended is good for nothing.
        """
        old = OTHER.identity("old", ends=NOW - DAY)
        self.list(carol=old)
        error = self.assertRaises(Refused, clientOf, self.tenant(), old.chain)
        self.assertIn("ended at", str(error))
        # Between the clocks of both.
        tenant = self.tenant()
        tenant.portal = _Portal(Principal("carol", "certificate"))
        error = self.assertRaises(Refused, clientOf, tenant, old.chain)
        self.assertIn("its certificate ended at", str(error))

    def test_portals(self) -> None:
        """
        A portal that says no, or says nothing, lets trust decide; one that fails lets nobody in.
        """
        tenant = FakeTenant(SERVER, FakeTrust(ROOT))
        for answer in (fail(LoginDenied()), Deferred()):
            tenant.portal = _Portal(answer)
            self.assertEqual("alice.corp", str(clientOf(tenant, ALICE.chain)))
        tenant.portal = _Portal(fail(ZeroDivisionError()))
        self.assertRaises(ZeroDivisionError, clientOf, tenant, ALICE.chain)

    def test_mtls(self) -> None:
        """
        In C{mtls:}, in the middle of the handshake.
        """
        tenant = self.tenant()
        below, streams = Below(), Recorders()
        endpoint = MutualServerEndpoint(tenant.clock, below)
        self.successResultOf(endpoint.listen(streams))
        client = Client(below, self.stranger.context()).pump().send(b"x")
        stream: Any = streams.made[0]
        self.assertEqual(("", b"x"), (client.error, stream.got))
        self.assertEqual("carol@bob", str(stream.transport.getPeer().principal))
        with Logged() as logged:
            self.assertIn("unknown ca", Client(below, ALICE.context()).pump().error)
        self.assertIn("there are no roots", logged.lines[0])


class _Portal:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def login(self, credentials: object, mind: object, interface: object) -> Deferred[Any]:
        if isinstance(self.answer, Deferred):
            return self.answer
        done: Deferred[Any] = Deferred()
        done.callback((interface, self.answer, None))
        return done


def _der(identity: FakeIdentity) -> bytes:
    data: bytes = identity.certificate.public_bytes(Encoding.DER)
    return data
