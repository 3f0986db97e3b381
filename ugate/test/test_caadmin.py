# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.capages} and L{ugate.modules.ca}: who looks after a CA, and how it runs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address

from ugate.errors import StringError, UgateError
from ugate.modules import capages
from ugate.modules.admin import Admin
from ugate.modules.ca import FRESH, CaModule
from ugate.modules.cashapes import MadeToken, Sign, SignSSH
from ugate.modules.sections import AdminSection
from ugate.modules.tries import MAX_FAILED
from ugate.stream import Principal, StreamInfo
from ugate.tenancy.ca.schema import CaRule, CaSection
from ugate.tenancy.ca.tlscertificates import CRL_LIFE
from ugate.test.adminfakes import HERE, PEER, Client
from ugate.test.test_capages import CaCase, basic


class AdminTests(CaCase):
    """
    What is for administrators.
    """

    def test_list(self) -> None:
        """
        Who looks after the tenant sees what was certified.
        """
        far = self.port(isLocal=False)
        serial = self.sign("local.corp").json["serial"]
        for answer in (
            self.ask("GET", "/ca/issued"),
            self.ask("GET", "/ca/issued", site=far, Authorization=basic("ann")),
        ):
            self.assertEqual([serial], [each["serial"] for each in answer.json["certificates"]])
        self.trouble(401, self.ask("GET", "/ca/issued", site=far))
        self.trouble(403, self.ask("GET", "/ca/issued", site=far, Authorization=basic("eve")))
        self.patch(capages, "MAX_LISTED", 2)
        for _ in range(2):
            self.sign("local.corp")
        self.assertEqual(2, len(self.ask("GET", "/ca/issued").json["certificates"]))

    def test_secret(self) -> None:
        """
        What has a token in it does not show it.
        """
        for each in (Sign("", token="sesame"), SignSSH("", "", (), token="sesame"), MadeToken("sesame")):
            self.assertNotIn("sesame", repr(each))

    def test_changes(self) -> None:
        """
        And who may change it revokes, and makes tokens.
        """
        far = self.port(isLocal=False)
        serial = self.sign("local.corp").json["serial"]
        for path, body in (("revoke", {"what": serial}), ("token", {"name": "node-9"})):
            self.trouble(401, self.ask("POST", f"/ca/{path}", body, site=far))
            self.trouble(403, self.ask("POST", f"/ca/{path}", body, site=far, Authorization=basic("eve")))
        answer = self.ask("POST", "/ca/revoke", {"what": serial}, site=far, Authorization=basic("ann"))
        self.assertEqual([serial], answer.json["serials"])
        self.trouble(404, self.ask("POST", "/ca/revoke", {"what": "nothing"}))
        answer = self.ask("POST", "/ca/token", {"name": "node-9"})
        self.assertEqual(200, self.sign("a.corp", token=answer.json["token"], site=far).status)
        said = "\n".join(self.lines)
        self.assertIn("ca: local:operator made a token for node-9", said)
        self.assertNotIn(answer.json["token"], said)
        self.trouble(400, self.ask("POST", "/ca/token", {"name": "node-9", "uses": 0}))

    def test_certificate(self) -> None:
        """
        An administrator may be one by the certificate of the connection.
        """
        self.node.modules["root", "admin", "mesh"] = Admin(AdminSection(("certificate:spiffe://corp/*",)))
        far = self.port(isLocal=False)

        def ask(name: str, tenant: str = "root") -> bytes:
            peer = StreamInfo(PEER, HERE, principal=Principal(name, "certificate", tenant))
            return Client(far, peer).say(b"GET /ca/issued HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").split(b" ")[1]

        self.assertEqual(b"200", ask("spiffe://corp/ns/ops/sa/ann"))
        self.assertEqual(b"403", ask("spiffe://other/ns/ops/sa/ann"))
        self.assertEqual(b"403", ask("spiffe://corp/ns/ops/sa/ann", "bob"))

    def test_look(self) -> None:
        """
        Who may only look may not change anything.
        """
        self.node.modules["alice", "ca", "main"] = self.service
        host = {"Host": "alice.example", "Authorization": basic("dave")}
        self.assertEqual(200, self.ask("GET", "/ca/issued", **host).status)
        self.trouble(403, self.ask("POST", "/ca/token", {"name": "x"}, **host))


class ServiceTests(CaCase):
    """
    The module.
    """

    def test_sections(self) -> None:
        """
        What cannot be is told when it is made.
        """
        module, tenant = CaModule(), self.node.tenants["root"]
        for section, kind in (
            (CaSection(self.mktemp()), UgateError),
            (CaSection(str(self.folder), rules=(CaRule(who=("nothing:x",)),)), StringError),
        ):
            self.assertRaises(kind, module.makeService, tenant, "main", section)
        made: Any = module.makeService(tenant, "main", CaSection(str(self.folder)))
        self.assertTrue(made.isPublic)
        self.assertIs(CaSection, module.schema)

    def test_stopped(self) -> None:
        """
        One that is stopped leaves nothing behind, and says so to who comes late.
        """
        self.service.stopService()
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.trouble(503, self.ask("GET", "/ca/krl"))

    def test_fresh(self) -> None:
        """
        The lists in the folder are written at the start, and again before they are old.
        """
        path = self.folder / "krl"
        before = path.read_bytes()
        self.reactor.advance(FRESH)
        self.assertEqual(before, path.read_bytes())
        self.at += CRL_LIFE / 4
        self.reactor.advance(FRESH)
        self.assertNotEqual(before, path.read_bytes())

    def test_peers(self) -> None:
        """
        Addresses are told apart.
        """
        far = self.port(isLocal=False)
        for _ in range(MAX_FAILED):
            self.sign("a.corp", token="ugate_x", site=far)
        client = Client(far, IPv4Address("TCP", "192.0.2.77", 1))
        head = b"POST /ca/sign HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self.assertIn(b" 400 ", client.say(head + b"Content-Length: 2\r\n\r\n{}"))
